"""What a proxy adds to the slowest requests when it is half busy."""

from spec import Load, Scenario, Spec, against

cases, bounds = against({"pingora": None, "envoy": 1.0, "nginx": 1.0, "haproxy": None}, Spec(), Load())

SCENARIOS = [
    Scenario("latency", "p99 added at half of saturation", cases, bounds, kind="latency", figure="us more at p99", note="half of what the slowest reaches"),
]
