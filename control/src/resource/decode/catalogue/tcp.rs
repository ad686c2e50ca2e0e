//! `tcpGateway` and its options.

use super::{Entry, PLAIN, reject, warn};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "TcpAction",
        oneofs: &[&["single", "multi", "upstreamGroup", "forwardSniClusterName"]],
        ..PLAIN
    },
    Entry {
        name: "TcpListenerOptions",
        later: &[reject("connectionLimit"), reject("localRatelimit")],
        deeper: &[
            ("maxConnectAttempts", "tcpProxySettings"),
            ("idleTimeout", "tcpProxySettings"),
            ("tunnelingConfig", "tcpProxySettings"),
        ],
        ..PLAIN
    },
    Entry {
        name: "TcpProxySettings",
        later: &[
            reject("tunnelingConfig"),
            warn("accessLogFlushInterval").note("a connection is logged as one line, at its end"),
        ],
        ..PLAIN
    },
];
