"""The ways in which something is measured. A module has `measure(scenario, bench)`, which gives {case key: Measured}."""

import importlib
from dataclasses import dataclass, field


@dataclass
class Measured:
    """What came of one case, one entry for each round."""

    figures: list = field(default_factory=list)  # in the scenario's unit
    rates: list = field(default_factory=list)  # requests a second
    limited: bool = False  # the load was the limit of the rate, not the proxy
    median_us: list = field(default_factory=list)  # latency at the fixed rate
    p99_us: list = field(default_factory=list)
    memory: tuple | None = None  # MiB: data plane, the rest
    growth: str = ""  # cost of each unit


def measure(scenario, bench):
    return importlib.import_module(f"kinds.{scenario.kind}").measure(scenario, bench)
