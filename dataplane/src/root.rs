//! The worker, assembled.
