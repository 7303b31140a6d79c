//! Configuration file, paths and defaults of both modes.
