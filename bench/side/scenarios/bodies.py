"""Large bodies: 1 MiB down and up with 100 at a time, and 1 GiB with memory watched."""

from spec import Bound, Case, Load, Scenario, Spec, against

PEERS = {"envoy": 1.0, "nginx": None}

down_cases, down_bounds = against(PEERS, Spec(), Load(connections=100, path="/1m", paced=False))
up_cases, up_bounds = against(PEERS, Spec(), Load(connections=100, path="/upload", body=1 << 20, paced=False))

READERS = ("fast reader", "slow reader")

SCENARIOS = [
    Scenario("body-down", "1 MiB down, 100 at a time", down_cases, down_bounds),
    Scenario("body-up", "1 MiB up, 100 at a time", up_cases, up_bounds),
    Scenario(
        "body-stream", "1 GiB down, growth of memory", tuple(Case(peer, label=reader) for peer in ("portcullis", "envoy") for reader in READERS),
        tuple(Bound(f"portcullis {reader}", None, 8.0) for reader in READERS),
        kind="stream", figure="MiB more", note="the slow reader takes 20 MiB/s for four seconds, then what it can",
    ),
]
