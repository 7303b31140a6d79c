//! Fixtures for tests: a simulated VMM, fault points, a daemon of one's own.
