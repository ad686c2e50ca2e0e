//! The last good table on disk.
