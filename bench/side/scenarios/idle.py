"""Ten thousand idle connections."""

from spec import Bound, Case, Scenario, Spec

KINDS = {"plain": Spec(), "TLS": Spec(tls=True)}

SCENARIOS = [
    Scenario(
        "idle", "10,000 idle connections",
        tuple(Case(peer, spec, label=kind) for kind, spec in KINDS.items() for peer in ("portcullis", "envoy")),
        tuple(Bound(f"portcullis {kind}", f"envoy {kind}", 1.0) for kind in KINDS),
        kind="idle", figure="KiB/connection", note="each has made one request; proportional set size before and after",
    ),
]
