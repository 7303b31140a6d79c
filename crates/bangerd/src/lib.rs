//! The daemon: configuration, wiring, HTTP routes and signals.
