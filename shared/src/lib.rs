//! What control and the data plane share.

pub mod actor;
pub mod sensitive;
pub mod telemetry;
pub mod transport;
pub mod version;
