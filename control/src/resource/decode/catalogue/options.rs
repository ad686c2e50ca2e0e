//! Options of virtual hosts, routes and weighted destinations, and the objects that share them.

use super::{Entry, PLAIN, enterprise, reject, warn};

const KUBERNETES_GATEWAY: &str = "only Gloo's Kubernetes Gateway API mode uses it";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "VirtualHostOptions",
        later: &[
            warn("stats"),
            enterprise("rateLimitConfigs"),
            enterprise("rateLimitEarlyConfigs"),
            enterprise("rateLimitRegularConfigs"),
            enterprise("ratelimitBasic"),
            enterprise("jwt"),
            enterprise("jwtStaged"),
            enterprise("rbac"),
            enterprise("waf"),
            enterprise("dlp"),
            enterprise("extProcEarly"),
            enterprise("extProc"),
            enterprise("extProcLate"),
            warn("extensions"),
        ],
        oneofs: &[
            &["ratelimit", "rateLimitConfigs"],
            &["ratelimitEarly", "rateLimitEarlyConfigs"],
            &["ratelimitRegular", "rateLimitRegularConfigs"],
            &["jwt", "jwtStaged"],
        ],
        ..PLAIN
    },
    Entry {
        name: "RouteOptions",
        later: &[
            warn("envoyMetadata"),
            enterprise("rateLimitConfigs"),
            enterprise("rateLimitEarlyConfigs"),
            enterprise("rateLimitRegularConfigs"),
            enterprise("ratelimitBasic"),
            enterprise("jwt"),
            enterprise("jwtStaged"),
            enterprise("jwtProvidersStaged"),
            enterprise("rbac"),
            enterprise("waf"),
            enterprise("dlp"),
            enterprise("extProcEarly"),
            enterprise("extProc"),
            enterprise("extProcLate"),
            enterprise("ai"),
            warn("extensions"),
        ],
        oneofs: &[
            &["hostRewrite", "autoHostRewrite", "hostRewritePathRegex", "hostRewriteHeader"],
            &["ratelimit", "rateLimitConfigs"],
            &["ratelimitEarly", "rateLimitEarlyConfigs"],
            &["ratelimitRegular", "rateLimitRegularConfigs"],
            &["jwt", "jwtStaged", "jwtProvidersStaged"],
        ],
        ..PLAIN
    },
    Entry { name: "WeightedDestinationOptions", later: &[warn("extensions")], ..PLAIN },
    Entry {
        name: "TransformationStages",
        later: &[enterprise("postRouting")],
        deeper: &[
            ("requestTransforms", "early` or `regular"),
            ("responseTransforms", "early` or `regular"),
            ("requestTransformation", "regular.requestTransforms[]"),
            ("responseTransformation", "regular.responseTransforms[]"),
        ],
        ..PLAIN
    },
    Entry {
        name: "Transformation",
        oneofs: &[&["transformationTemplate", "headerBodyTransform", "xsltTransformation"]],
        later: &[enterprise("xsltTransformation")],
        ..PLAIN
    },
    Entry {
        name: "TransformationTemplate",
        oneofs: &[&["body", "passthrough", "mergeExtractorsToBody", "mergeJsonKeys"]],
        ..PLAIN
    },
    Entry { name: "Extraction", oneofs: &[&["header", "body"]], ..PLAIN },
    Entry {
        name: "HeaderValueOption",
        oneofs: &[&["header", "headerSecretRef"]],
        later: &[reject("headerSecretRef")],
        deeper: &[("key", "header"), ("value", "header"), ("name", "header")],
        ..PLAIN
    },
    Entry { name: "BufferPerRoute", oneofs: &[&["disabled", "buffer"]], ..PLAIN },
    Entry {
        name: "ProtocolUpgradeConfig",
        oneofs: &[&["websocket", "connect", "connectTerminate"]],
        ..PLAIN
    },
    Entry {
        name: "RouteTracingSettings",
        later: &[warn("tracePercentages").note("workers sample as OTEL_TRACES_SAMPLER says")],
        ..PLAIN
    },
    Entry { name: "StringMatcher", oneofs: &[&["exact", "prefix", "suffix", "safeRegex"]], ..PLAIN },
    Entry { name: "VirtualHostOption", later: &[warn("targetRefs").note(KUBERNETES_GATEWAY)], ..PLAIN },
    Entry { name: "RouteOption", later: &[warn("targetRefs").note(KUBERNETES_GATEWAY)], ..PLAIN },
];
