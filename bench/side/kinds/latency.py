"""What a proxy adds to the 99th percentile at half of saturation, against requests straight to the upstream."""

import statistics

from load import percentile
from peers.base import BACKENDS

from . import Measured
from .requests import attempt, fixed_rate, one_round


def measure(scenario, bench):
    measured = {case.key: Measured() for case in scenario.cases}
    with bench.running(scenario) as peers:
        cases = [case for case in scenario.cases if case.key in peers]
        for case in cases:
            attempt(bench, case, lambda case=case: one_round(bench, case, peers[case.key], measured[case.key]))
            measured[case.key].figures = []
        rate = fixed_rate(measured.values())
        direct = []
        for _ in range(bench.rounds):
            base, failed = bench.load.paced(f"127.0.0.1:{BACKENDS['http1']}", cases[0].spec, cases[0].load, rate, bench.paced_seconds)
            direct.append(percentile(base, 0.99))
            for case in cases:
                one = measured[case.key]
                latencies, failed = bench.load.paced(peers[case.key].address, case.spec, case.load, rate, bench.paced_seconds)
                if failed:
                    bench.error(f"{case.key}: {failed} requests failed at {rate:.0f}/s")
                one.median_us.append(percentile(latencies, 0.5))
                one.p99_us.append(percentile(latencies, 0.99))
                # Nothing is added in less than no time; noise of the direct request must not make a negative ratio.
                one.figures.append(max(1, one.p99_us[-1] - direct[-1]))
                one.memory = peers[case.key].memory()
    bench.note(f"{scenario.name}: at {rate:.0f} requests/s for all; a direct request has p99 {statistics.median(direct):.0f} us")
    return {key: one for key, one in measured.items() if one.figures}
