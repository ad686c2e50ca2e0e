//! Options of a listener that act on its connections and on the sockets that listen.

use serde::Deserialize;

use super::access_log::NoFields;
use super::headers::HeaderValueOption;
use super::scalar::GoDuration;

/// `connectionLimit`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionLimit {
    /// At one time; without it there is no limit.
    pub max_active_connections: Option<u64>,
    /// One too many is closed after so long; absent = at once.
    pub delay_before_close: Option<GoDuration>,
}

/// One of `socketOptions`: setsockopt(2), with the system's numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SocketOption {
    /// For people.
    pub description: String,
    /// `SOL_SOCKET` is 1, `IPPROTO_TCP` is 6.
    pub level: i64,
    /// `SO_KEEPALIVE` is 9.
    pub name: i64,
    /// A number. One of the two is set.
    pub int_value: Option<i64>,
    /// Bytes, in base64.
    pub buf_value: Option<String>,
    /// When it is set.
    pub state: SocketState,
}

/// In the order of the API's numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[allow(missing_docs, reason = "named as in the API")]
pub enum SocketState {
    #[default]
    StatePrebind,
    StateBound,
    StateListening,
}

/// `connectionBalanceConfig`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConnectionBalanceConfig {
    /// Every thread gets as many.
    pub exact_balance: Option<NoFields>,
}

/// `options.proxyProtocol`: its presence demands the header.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyProtocol {
    /// What is kept of the header's extensions.
    pub rules: Vec<ProxyProtocolRule>,
}

/// One of `rules`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProxyProtocolRule {
    /// Type of the extension, below 256.
    pub tlv_type: u32,
    /// Where its value goes.
    pub on_tlv_present: Option<TlvMetadata>,
}

/// `onTlvPresent`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TlvMetadata {
    /// Namespace of dynamic metadata; empty = that of Envoy's filter.
    pub metadata_namespace: String,
    /// Key there.
    pub key: String,
}

/// `tunnelingConfig` of a TCP gateway.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TunnelingConfig {
    /// Host and port that the upstream is asked for, with format operators.
    pub hostname: String,
    /// Further fields of the request.
    pub headers_to_add: Vec<HeaderValueOption>,
}
