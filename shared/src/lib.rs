//! What control and the data plane share.
