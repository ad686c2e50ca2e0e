//! What control and the data plane share.

pub mod format;
