//! Gateway and its options.

use super::{Entry, PLAIN, enterprise, reject, warn};

const OTLP: &str = "workers send traces by OTLP to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names; the other fields of \
    tracing hold";
const TO_OPTIONS: &str = "options";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "Gateway",
        oneofs: &[&["httpGateway", "tcpGateway", "hybridGateway"]],
        later: &[reject("hybridGateway")],
        deeper: &[
            ("virtualServices", "httpGateway"),
            ("virtualServiceSelector", "httpGateway"),
            ("virtualServiceExpressions", "httpGateway"),
            ("virtualServiceNamespaces", "httpGateway"),
            ("tcpHosts", "tcpGateway"),
            ("accessLoggingService", TO_OPTIONS),
            ("proxyProtocol", TO_OPTIONS),
        ],
        ..PLAIN
    },
    Entry {
        name: "HttpGateway",
        deeper: &[
            ("httpConnectionManagerSettings", TO_OPTIONS),
            ("healthCheck", TO_OPTIONS),
            ("waf", TO_OPTIONS),
        ],
        ..PLAIN
    },
    Entry {
        name: "ListenerOptions",
        later: &[
            reject("perConnectionBufferLimitBytes"),
            reject("socketOptions"),
            warn("connectionBalanceConfig"),
            warn("tcpStats"),
            warn("extensions"),
        ],
        ..PLAIN
    },
    Entry {
        name: "AccessLog",
        oneofs: &[&["fileSink", "grpcService", "openTelemetryService"]],
        later: &[warn("openTelemetryService").note("write to a file, or to /dev/stdout")],
        ..PLAIN
    },
    Entry { name: "GrpcAccessLogService", later: &[warn("filterStateObjectsToLog")], ..PLAIN },
    Entry { name: "FileSink", oneofs: &[&["stringFormat", "jsonFormat"]], ..PLAIN },
    Entry {
        name: "AccessLogFilter",
        oneofs: &[&[
            "statusCodeFilter",
            "durationFilter",
            "notHealthCheckFilter",
            "traceableFilter",
            "runtimeFilter",
            "andFilter",
            "orFilter",
            "headerFilter",
            "responseFlagFilter",
            "grpcStatusFilter",
        ]],
        ..PLAIN
    },
    Entry {
        name: "EnvoyHeaderMatcher",
        oneofs: &[&[
            "exactMatch",
            "safeRegexMatch",
            "rangeMatch",
            "presentMatch",
            "prefixMatch",
            "suffixMatch",
        ]],
        ..PLAIN
    },
    Entry {
        name: "ProxyProtocol",
        later: &[warn("rules"), enterprise("allowRequestsWithoutProxyProtocol")],
        ..PLAIN
    },
    Entry {
        name: "HttpListenerOptions",
        later: &[
            reject("connectionLimit"),
            reject("networkLocalRatelimit"),
            enterprise("waf"),
            enterprise("dlp"),
            enterprise("caching"),
            enterprise("tap"),
            enterprise("proxyLatency"),
            enterprise("extProcEarly"),
            enterprise("extProc"),
            enterprise("extProcLate"),
            enterprise("disableExtProcEarly"),
            enterprise("disableExtProc"),
            enterprise("disableExtProcLate"),
            enterprise("statefulSession"),
            enterprise("wasm"),
            enterprise("sanitizeClusterHeader"),
            enterprise("leftmostXffAddress"),
            warn("extensions"),
        ],
        ..PLAIN
    },
    Entry {
        name: "GrpcJsonTranscoder",
        oneofs: &[&["protoDescriptor", "protoDescriptorBin", "protoDescriptorConfigMap"]],
        later: &[reject("protoDescriptorConfigMap")
            .note("put the descriptor set into `protoDescriptorBin`, or name its file in `protoDescriptor`")],
        ..PLAIN
    },
    Entry {
        name: "DynamicForwardProxy",
        later: &[reject("sslConfig"), reject("circuitBreakers"), warn("saveUpstreamAddress")],
        ..PLAIN
    },
    Entry {
        name: "DnsCacheConfig",
        oneofs: &[&["caresDns", "appleDns"]],
        later: &[
            warn("dnsFailureRefreshRate").note("a host that is not found is looked up at the next request"),
            reject("caresDns").note("names are resolved with the system's configuration"),
            warn("appleDns"),
        ],
        ..PLAIN
    },
    Entry {
        name: "HttpConnectionManagerSettings",
        oneofs: &[&["properCaseHeaderKeyFormat", "preserveCaseHeaderKeyFormat"]],
        ..PLAIN
    },
    Entry {
        name: "ListenerTracing",
        oneofs: &[&["zipkinConfig", "datadogConfig", "openTelemetryConfig", "openCensusConfig"]],
        later: &[
            warn("zipkinConfig").note(OTLP),
            warn("datadogConfig").note(OTLP),
            warn("openTelemetryConfig").note(OTLP),
            reject("openCensusConfig").note("it was removed from Envoy"),
            warn("metadataForTags"),
        ],
        ..PLAIN
    },
    Entry {
        name: "ListenerUpgrade",
        oneofs: &[&["websocket", "connect"]],
        later: &[reject("connect")],
        ..PLAIN
    },
    Entry {
        name: "ListenerRouter",
        later: &[warn("dynamicStats"), warn("startChildSpan").note("each try has a span of its own")],
        ..PLAIN
    },
];
