//! The topics.
