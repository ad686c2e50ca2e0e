//! Auth and rate limit servers, and the options that ask them.

use super::{Entry, PLAIN, enterprise};

pub(super) const ENTRIES: &[Entry] = &[
    Entry { name: "ExtAuthSettings", oneofs: &[&["httpService", "grpcService"]], ..PLAIN },
    Entry { name: "GrpcService", ..PLAIN },
    Entry {
        name: "ExtAuthHttpService",
        deeper: &[
            ("allowedHeaders", "request"),
            ("allowedHeadersRegex", "request"),
            ("headersToAdd", "request"),
            ("allowedUpstreamHeaders", "response"),
            ("allowedClientHeaders", "response"),
        ],
        ..PLAIN
    },
    Entry {
        name: "ExtAuthExtension",
        oneofs: &[&["disable", "configRef", "customAuth"]],
        later: &[enterprise("configRef").note("an auth server of your own is asked with `customAuth`")],
        deeper: &[("contextExtensions", "customAuth")],
        ..PLAIN
    },
    Entry {
        name: "RateLimitAction",
        oneofs: &[&[
            "sourceCluster",
            "destinationCluster",
            "requestHeaders",
            "remoteAddress",
            "genericKey",
            "headerValueMatch",
            "metadata",
        ]],
        ..PLAIN
    },
    Entry {
        name: "RateLimitHeaderMatcher",
        oneofs: &[&["exactMatch", "regexMatch", "rangeMatch", "presentMatch", "prefixMatch", "suffixMatch"]],
        ..PLAIN
    },
];
