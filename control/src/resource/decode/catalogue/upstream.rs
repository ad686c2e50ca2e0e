//! Upstream.

use super::{Entry, PLAIN, enterprise, reject, warn, warn_enterprise};

const NO_HEALTH_CHECKS: &str = "endpoints have no health yet";

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "Upstream",
        oneofs: &[&["kube", "static", "pipe", "aws", "azure", "consul", "awsEc2", "gcp", "ai"]],
        later: &[
            reject("kube").note("list the addresses under `static`"),
            reject("pipe"),
            reject("consul").note("list the addresses under `static`"),
            reject("aws"),
            reject("awsEc2").note("list the addresses under `static`"),
            reject("azure"),
            enterprise("gcp"),
            enterprise("ai"),
            reject("healthChecks"),
            reject("outlierDetection"),
            reject("protocolSelection"),
            warn("initialStreamWindowSize"),
            warn("initialConnectionWindowSize"),
            warn("maxConcurrentStreams"),
            reject("overrideStreamErrorOnInvalidHttpMessage"),
            reject("proxyProtocolVersion"),
            reject("httpProxyHostname"),
            reject("httpConnectHeaders"),
            reject("httpConnectSslConfig"),
            warn("ignoreHealthOnHostRemoval").note(NO_HEALTH_CHECKS),
            warn("respectDnsTtl").note("names are resolved again when their TTL ends"),
            warn("dnsRefreshRate").note("names are resolved again when their TTL ends"),
            warn("preconnectPolicy"),
            enterprise("failover"),
            warn("disableIstioAutoMtls"),
        ],
        deeper: &[("hosts", "static"), ("useTls", "static"), ("connectTimeout", "connectionConfig")],
        ..PLAIN
    },
    Entry {
        name: "StaticUpstream",
        later: &[reject("serviceSpec")],
        deeper: &[("addr", "hosts"), ("port", "hosts")],
        ..PLAIN
    },
    Entry { name: "StaticHost", later: &[warn_enterprise("healthCheckConfig"), warn("metadata")], ..PLAIN },
    Entry {
        name: "LoadBalancerConfig",
        oneofs: &[&["roundRobin", "leastRequest", "random", "ringHash", "maglev"]],
        later: &[
            reject("ringHash"),
            reject("maglev"),
            warn("healthyPanicThreshold").note(NO_HEALTH_CHECKS),
            warn("updateMergeWindow"),
            warn("useHostnameForHashing"),
            reject("closeConnectionsOnHostSetChange"),
            enterprise("localityWeightedLbConfig"),
        ],
        ..PLAIN
    },
    Entry { name: "RoundRobin", later: &[reject("slowStartConfig")], ..PLAIN },
    Entry { name: "LeastRequest", later: &[reject("slowStartConfig")], ..PLAIN },
    Entry {
        name: "ConnectionConfig",
        later: &[
            warn("tcpKeepalive"),
            warn("perConnectionBufferLimitBytes"),
            reject("commonHttpProtocolOptions"),
            reject("http1ProtocolOptions"),
        ],
        ..PLAIN
    },
];
