"""TLS: handshakes, full and resumed, and keep-alive."""

from spec import Load, Scenario, Spec

SCENARIOS = [
    Scenario(
        "tls-handshake", "full TLS handshake and one request, ECDSA P-256", Spec(tls=True), Load(connections=16, close=True),
        must={"envoy": 0.85, "nginx": 0.85},
    ),
    Scenario(
        "tls-resumed", "resumed TLS handshake and one request", Spec(tls=True), Load(tool="resumed"),
        must={"envoy": 0.85, "nginx": 0.85}, peers=("envoy", "nginx"),
    ),
    Scenario(
        "tls-keepalive", "keep-alive over TLS", Spec(tls=True), Load(),
        must={"envoy": 0.85}, peers=("pingora", "envoy", "nginx", "haproxy"),
    ),
]
