//! What should exist: SQLite tables and their migrations.
