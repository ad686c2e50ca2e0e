//! How much of an upstream one worker uses at one time.

use portcullis_proto::table::v1 as wire;

/// Bounds of one worker's use of an upstream, all its data threads together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CircuitBreakers {
    /// Open connections. A data thread that has none may open one all the same, or it could never send anything.
    pub max_connections: u32,
    /// Requests that wait for a connection.
    pub max_pending_requests: u32,
    /// Requests on a connection.
    pub max_requests: u32,
    /// Retries under way.
    pub max_retries: u32,
    /// Metrics say how much is left.
    pub track_remaining: bool,
}

const DEFAULT_MAX: u32 = 1024;
const DEFAULT_MAX_RETRIES: u32 = 3;

impl Default for CircuitBreakers {
    /// Envoy's defaults.
    fn default() -> Self {
        wire::CircuitBreakers::default().into()
    }
}

impl From<wire::CircuitBreakers> for CircuitBreakers {
    fn from(wire: wire::CircuitBreakers) -> Self {
        Self {
            max_connections: wire.max_connections.unwrap_or(DEFAULT_MAX),
            max_pending_requests: wire.max_pending_requests.unwrap_or(DEFAULT_MAX),
            max_requests: wire.max_requests.unwrap_or(DEFAULT_MAX),
            max_retries: wire.max_retries.unwrap_or(DEFAULT_MAX_RETRIES),
            track_remaining: wire.track_remaining,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_is_the_default_and_zero_is_zero() {
        let breakers = CircuitBreakers::from(wire::CircuitBreakers {
            max_connections: Some(0),
            max_retries: Some(7),
            ..Default::default()
        });
        assert_eq!((breakers.max_connections, breakers.max_retries), (0, 7));
        assert_eq!((breakers.max_pending_requests, breakers.max_requests), (1024, 1024));
        assert_eq!(CircuitBreakers::default().max_retries, 3);
    }
}
