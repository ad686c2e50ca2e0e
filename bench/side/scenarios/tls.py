"""TLS: full handshakes, resumed ones, and keep-alive."""

from spec import Load, Scenario, Spec, against

TLS = Spec(tls=True)
ALL = {"envoy": 0.85, "nginx": 0.85, "haproxy": None}
NOTE = "TLS 1.3, AES-128-GCM, X25519, ECDSA P-256; one request on each connection"


def row(name, title, load, note=""):
    cases, bounds = against(ALL, TLS, load)
    return Scenario(name, title, cases, bounds, note=note)


SCENARIOS = [
    row("tls-full", "full TLS handshakes", Load(tool="handshakes", paced=False), NOTE),
    row("tls-resumed", "resumed TLS handshakes", Load(tool="resumptions", paced=False), NOTE + ", by the ticket of the one before"),
    row("tls-keepalive", "keep-alive over TLS", Load()),
]
