//! `sslConfig` of both sides.

use super::{Entry, PLAIN, reject, warn};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "SslConfig",
        oneofs: &[&["secretRef", "sslFiles", "sds"]],
        later: &[reject("sds")],
        ..PLAIN
    },
    Entry {
        name: "UpstreamSslConfig",
        oneofs: &[&["secretRef", "sslFiles", "sds"]],
        later: &[reject("sds"), warn("allowRenegotiation")],
        ..PLAIN
    },
];
