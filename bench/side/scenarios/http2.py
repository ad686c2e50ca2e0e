"""HTTP/2 in, and gRPC over HTTP/2 on both sides."""

from spec import Load, Scenario, Spec, against

h2_cases, h2_bounds = against(
    {"pingora": None, "envoy": 0.5, "nginx": 1.1, "haproxy": None}, Spec(tls=True), Load(tool="h2load", connections=8)
)
grpc_cases, grpc_bounds = against(
    {"pingora": None, "envoy": 0.5, "nginx": 1.1, "haproxy": None}, Spec(tls=True, backend="grpc"),
    Load(tool="h2load", connections=8, path="/bench.Echo/Unary", grpc=True),
)

SCENARIOS = [
    Scenario("h2-tls", "HTTP/2 over TLS in, HTTP/1.1 out", h2_cases, h2_bounds, note="8 connections with 32 streams each"),
    Scenario(
        "grpc-unary", "gRPC unary, HTTP/2 over TLS in, HTTP/2 out", grpc_cases, grpc_bounds,
        note="8 connections with 32 streams each; 16 bytes each way, with trailers, from a server on the h2 crate",
    ),
]
