//! Upstream.

use super::{Entry, PLAIN, enterprise, reject, warn, warn_enterprise};

pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "Upstream",
        oneofs: &[&["kube", "static", "pipe", "aws", "azure", "consul", "awsEc2", "gcp", "ai"]],
        later: &[
            reject("kube").note("list the addresses under `static`"),
            reject("consul").note("list the addresses under `static`"),
            reject("aws"),
            reject("awsEc2").note("list the addresses under `static`"),
            reject("azure"),
            enterprise("gcp"),
            enterprise("ai"),
            enterprise("failover"),
            warn("disableIstioAutoMtls"),
        ],
        deeper: &[("hosts", "static"), ("useTls", "static"), ("connectTimeout", "connectionConfig")],
        ..PLAIN
    },
    Entry { name: "StaticUpstream", deeper: &[("addr", "hosts"), ("port", "hosts")], ..PLAIN },
    Entry {
        name: "ServiceSpec",
        oneofs: &[&["rest", "grpc", "grpcJsonTranscoder"]],
        later: &[reject("rest"), reject("grpc").note("use `grpcJsonTranscoder`")],
        ..PLAIN
    },
    Entry { name: "StaticHost", later: &[warn_enterprise("healthCheckConfig")], ..PLAIN },
    Entry {
        name: "HealthCheck",
        oneofs: &[&["httpHealthCheck", "tcpHealthCheck", "grpcHealthCheck", "customHealthCheck"]],
        later: &[reject("customHealthCheck").note("workers know HTTP, TCP and gRPC checks")],
        deeper: &[("path", "httpHealthCheck"), ("host", "httpHealthCheck")],
        ..PLAIN
    },
    Entry { name: "HttpHealthCheck", later: &[enterprise("responseAssertions")], ..PLAIN },
    Entry { name: "HashPolicy", oneofs: &[&["header", "cookie", "sourceIp"]], ..PLAIN },
    Entry {
        name: "LoadBalancerConfig",
        oneofs: &[&["roundRobin", "leastRequest", "random", "ringHash", "maglev"]],
        later: &[enterprise("localityWeightedLbConfig")],
        ..PLAIN
    },
    Entry {
        name: "Http1ProtocolOptions",
        oneofs: &[&["properCaseHeaderKeyFormat", "preserveCaseHeaderKeyFormat"]],
        ..PLAIN
    },
    Entry { name: "PipeUpstream", later: &[reject("serviceSpec")], ..PLAIN },
];
