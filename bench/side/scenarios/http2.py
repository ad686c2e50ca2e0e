"""HTTP/2 in, and gRPC-like HTTP/2 on both sides."""

from spec import Load, Scenario, Spec

SCENARIOS = [
    Scenario(
        "h2-tls", "HTTP/2 over TLS in, HTTP/1.1 out, 8 connections with 32 streams", Spec(tls=True),
        Load(tool="h2load", connections=8), must={"envoy": 0.5, "nginx": 1.1},
    ),
    Scenario(
        "h2-both", "HTTP/2 over TLS in, HTTP/2 out", Spec(tls=True, h2_upstream=True), Load(tool="h2load", connections=8),
        must={"envoy": 0.5}, peers=("envoy", "haproxy"),
    ),
]
