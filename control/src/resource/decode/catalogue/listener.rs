//! Gateway and its options.

use super::{Entry, PLAIN, enterprise, reject, warn};

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
        later: &[
            warn("grpcService").note("write to a file, or to /dev/stdout"),
            warn("openTelemetryService").note("write to a file, or to /dev/stdout"),
        ],
        ..PLAIN
    },
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
            warn("grpcWeb"),
            reject("healthCheck"),
            reject("buffer"),
            reject("csrf"),
            reject("gzip"),
            reject("grpcJsonTranscoder"),
            reject("connectionLimit"),
            reject("networkLocalRatelimit"),
            reject("router"),
            reject("headerValidationSettings"),
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
        later: &[
            warn("tracing").note("traces go out by OTLP, set up with the OTEL_ environment variables"),
            reject("useRemoteAddress"),
            reject("xffNumTrustedHops"),
            reject("skipXffAppend"),
            reject("appendXForwardedPort"),
            reject("via"),
            reject("generateRequestId"),
            reject("preserveExternalRequestId"),
            warn("uuidRequestIdConfig"),
            reject("streamIdleTimeout"),
            reject("idleTimeout"),
            reject("requestTimeout"),
            reject("requestHeadersTimeout"),
            reject("drainTimeout"),
            reject("delayedCloseTimeout"),
            reject("maxConnectionDuration"),
            reject("maxStreamDuration"),
            reject("maxRequestHeadersKb"),
            reject("maxHeadersCount"),
            reject("maxRequestsPerConnection"),
            reject("headersWithUnderscoresAction"),
            reject("serverName"),
            reject("serverHeaderTransformation"),
            reject("acceptHttp10"),
            reject("defaultHostForHttp10"),
            reject("proxy100Continue"),
            reject("allowChunkedLength"),
            reject("enableTrailers"),
            reject("properCaseHeaderKeyFormat"),
            reject("preserveCaseHeaderKeyFormat"),
            reject("stripAnyHostPort"),
            reject("normalizePath"),
            reject("mergeSlashes"),
            reject("pathWithEscapedSlashesAction"),
            reject("codecType"),
            reject("http2ProtocolOptions"),
            reject("forwardClientCertDetails"),
            reject("setCurrentClientCertDetails"),
            reject("upgrades"),
            reject("internalAddressConfig"),
            reject("earlyHeaderManipulation"),
        ],
        ..PLAIN
    },
];
