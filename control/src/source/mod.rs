//! Sources: where resources come from.
//!
//! A source owns one watcher and what it read last. It must not interpret resources, and it never takes a failure to
//! read for an empty set.

pub mod file;
