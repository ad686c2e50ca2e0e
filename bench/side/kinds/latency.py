"""What a proxy adds to the 99th percentile at half of saturation, against requests straight to the upstream."""

import statistics

from load import percentile
from peers.base import BACKENDS

from . import Measured
from .requests import attempt, fixed_rate, one_round, paced


def measure(scenario, bench):
    measured = {case.key: Measured() for case in scenario.cases}
    with bench.running(scenario) as peers:
        cases = [case for case in scenario.cases if case.key in peers]
        for case in cases:
            attempt(bench, case, lambda case=case: one_round(bench, case, peers[case.key], measured[case.key]))
            measured[case.key].figures = []
        rate = fixed_rate(measured.values())
        direct, upstream = [], f"127.0.0.1:{BACKENDS['http1']}"
        for _ in range(bench.rounds):
            direct.append(percentile(paced(bench, cases[0], upstream, rate), 0.99))
            for case in cases:
                one = measured[case.key]
                latencies = paced(bench, case, peers[case.key].address, rate)
                one.median_us.append(percentile(latencies, 0.5))
                one.p99_us.append(percentile(latencies, 0.99))
                # Nothing is added in less than no time; noise of the direct request must not make a negative ratio.
                one.figures.append(max(1, one.p99_us[-1] - direct[-1]))
                one.memory = peers[case.key].memory()
    bench.note(f"{scenario.name}: at {rate:.0f} requests/s for all; a direct request has p99 {statistics.median(direct):.0f} us")
    return {key: one for key, one in measured.items() if one.figures}
