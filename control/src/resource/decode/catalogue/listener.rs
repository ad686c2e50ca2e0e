//! Gateway and its options.

use super::{Entry, PLAIN, enterprise, reject, warn};

const OTLP: &str = "spans go by OTLP, to the collector of `openTelemetryConfig` or to the one that \
    OTEL_EXPORTER_OTLP_ENDPOINT names; the other fields of tracing hold";
const TO_OPTIONS: &str = "options";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "Gateway",
        oneofs: &[&["httpGateway", "tcpGateway", "hybridGateway"]],
        deeper: &[
            ("virtualServices", "httpGateway"),
            ("virtualServiceSelector", "httpGateway"),
            ("virtualServiceExpressions", "httpGateway"),
            ("virtualServiceNamespaces", "httpGateway"),
            ("tcpHosts", "tcpGateway"),
            ("matchedGateways", "hybridGateway"),
            ("delegatedHttpGateways", "hybridGateway"),
            ("delegatedTcpGateways", "hybridGateway"),
            ("accessLoggingService", TO_OPTIONS),
            ("proxyProtocol", TO_OPTIONS),
        ],
        ..PLAIN
    },
    Entry { name: "MatchedGateway", oneofs: &[&["httpGateway", "tcpGateway"]], ..PLAIN },
    Entry {
        name: "ConnectionMatcher",
        later: &[enterprise("passthroughCipherSuites")],
        deeper: &[("sniDomains", "sslConfig"), ("secretRef", "sslConfig")],
        ..PLAIN
    },
    Entry { name: "DelegatedHttpGateway", oneofs: &[&["ref", "selector"]], ..PLAIN },
    Entry { name: "DelegatedTcpGateway", oneofs: &[&["ref", "selector"]], ..PLAIN },
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
            warn("tcpStats").note("what the system knows of a connection (TCP_INFO) is not read"),
            warn("extensions"),
        ],
        ..PLAIN
    },
    Entry { name: "SocketOption", oneofs: &[&["intValue", "bufValue"]], ..PLAIN },
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
    Entry { name: "ProxyProtocol", later: &[enterprise("allowRequestsWithoutProxyProtocol")], ..PLAIN },
    Entry {
        name: "HttpListenerOptions",
        later: &[
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
        name: "DnsCacheConfig",
        oneofs: &[&["caresDns", "appleDns"]],
        later: &[warn("appleDns").note("it is for macOS")],
        ..PLAIN
    },
    Entry {
        name: "ResolverAddress",
        oneofs: &[&["socketAddress", "pipe"]],
        later: &[reject("pipe")],
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
            reject("openCensusConfig").note("it was removed from Envoy"),
        ],
        ..PLAIN
    },
    Entry { name: "OpenTelemetryConfig", oneofs: &[&["collectorUpstreamRef", "clusterName"]], ..PLAIN },
    Entry {
        name: "ListenerRouter",
        later: &[warn("dynamicStats"), warn("startChildSpan").note("each try has a span of its own")],
        ..PLAIN
    },
];
