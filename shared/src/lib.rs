//! What control and the data plane share: the validated tables, the executable routing model, small value types, and
//! the kits for actors, transport and telemetry.
//!
//! Nothing here knows the user's vocabulary (control) or Pingora (data plane).

pub mod actor;
pub mod database;
pub mod dns;
pub mod format;
pub mod fuzzing;
pub mod invalid;
pub mod memory;
pub mod percent;
pub mod policy;
pub mod routing;
pub mod sensitive;
pub mod systemd;
pub mod table;
pub mod telemetry;
pub mod template;
pub mod tls;
pub mod transcoding;
pub mod transport;
pub mod version;

pub use invalid::Invalid;
pub use sensitive::Sensitive;
pub use version::{Digest, TableDigest, Version};
