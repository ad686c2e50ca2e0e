//! `tcpGateway` and its options.

use super::{Entry, PLAIN};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "TcpAction",
        oneofs: &[&["single", "multi", "upstreamGroup", "forwardSniClusterName"]],
        ..PLAIN
    },
    Entry {
        name: "TcpListenerOptions",
        deeper: &[
            ("maxConnectAttempts", "tcpProxySettings"),
            ("idleTimeout", "tcpProxySettings"),
            ("tunnelingConfig", "tcpProxySettings"),
        ],
        ..PLAIN
    },
];
