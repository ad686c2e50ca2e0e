//! `sslConfig` of both sides.

use super::{Entry, PLAIN, warn};

pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "SslConfig", oneofs: &[&["secretRef", "sslFiles", "sds"]], ..PLAIN },
    Entry {
        name: "UpstreamSslConfig",
        oneofs: &[&["secretRef", "sslFiles", "sds"]],
        later: &[warn("allowRenegotiation")],
        ..PLAIN
    },
    Entry { name: "SdsConfig", oneofs: &[&["callCredentials", "clusterName"]], ..PLAIN },
];
