//! The worker side of the private protocol.
