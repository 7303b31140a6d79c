//! The guest's /init and its agent.
