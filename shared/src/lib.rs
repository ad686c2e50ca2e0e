//! What control and the data plane share: the validated tables, the executable routing model, and small value types.
//!
//! Nothing here knows the user's vocabulary (control) or Pingora (data plane).

pub mod invalid;
pub mod routing;
pub mod sensitive;
pub mod table;
pub mod version;

pub use invalid::Invalid;
pub use sensitive::Sensitive;
pub use version::{Digest, TableDigest, Version};
