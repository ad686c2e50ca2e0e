"""CPU time for each request under full load, then latency at a fixed rate; cases alternate in every round."""

import subprocess
import time

from load import LoadFailed, percentile

from . import Measured

# A proxy that has used less of its core was waiting for the load.
BUSY = 0.9


def measure(scenario, bench):
    measured = {case.key: Measured() for case in scenario.cases}
    with bench.running(scenario) as peers:
        cases = [case for case in scenario.cases if case.key in peers]
        for case in cases:
            attempt(bench, case, lambda case=case: bench.load.run(peers[case.key].address, case.spec, case.load, bench.warm_up))
            peers[case.key].between_rounds()
        for _ in range(bench.rounds * scenario.times):
            for case in cases:
                attempt(bench, case, lambda case=case: one_round(bench, case, peers[case.key], measured[case.key]))
        for case in cases:
            measured[case.key].memory = peers[case.key].memory()
        rate = fixed_rate(measured.values())
        for _ in range(bench.paced_rounds if rate else 0):
            for case in cases:
                if case.load.paced:
                    attempt(bench, case, lambda case=case: paced_round(bench, case, peers[case.key], measured[case.key], rate))
        if rate and any(one.p99_us for one in measured.values()):
            bench.note(f"{scenario.name}: latency at {rate:.0f} requests/s for all, half of what the slowest here reaches")
    per_unit(scenario, measured)
    return {key: one for key, one in measured.items() if one.figures}


def attempt(bench, case, what):
    try:
        what()
    except (LoadFailed, subprocess.TimeoutExpired) as error:
        bench.error(f"{case.key}: {error}")


def one_round(bench, case, peer, measured):
    before, begin = peer.cpu_seconds(), time.monotonic()
    done = bench.load.run(peer.address, case.spec, case.load, bench.seconds)
    used, took = peer.cpu_seconds() - before, time.monotonic() - begin
    if done.failed:
        bench.error(f"{case.key}: {done.failed} of {done.requests} requests failed")
    wrong = peer.between_rounds()
    if wrong:
        bench.error(f"{case.key}: {wrong}")
    measured.figures.append(used / done.requests * 1e6)
    measured.rates.append(done.requests / done.seconds)
    measured.limited = measured.limited or used / took < BUSY


def paced_round(bench, case, peer, measured, rate):
    latencies = paced(bench, case, peer.address, rate)
    peer.between_rounds()
    measured.median_us.append(percentile(latencies, 0.5))
    measured.p99_us.append(percentile(latencies, 0.99))


def paced(bench, case, address, rate):
    """Sorted latencies at the fixed rate; says when it was not reached or a request failed."""
    latencies, failed, reached = bench.load.paced(address, case.spec, case.load, rate, bench.paced_seconds)
    if failed:
        bench.error(f"{case.key}: {failed} requests failed at {rate:.0f}/s")
    if reached < 0.95 * rate:
        bench.note(f"{bench.scenario}: the load did not always reach {rate:.0f} requests/s: something else ran on its core")
    return latencies


def fixed_rate(measured):
    """Half of the lowest throughput."""
    rates = [min(one.rates) for one in measured if one.rates]
    return max(1, min(rates) / 2) if rates else None


def per_unit(scenario, measured):
    """Memory of each route, host or upstream, against the peer's own case with the fewest of them."""
    for case in scenario.cases:
        fewest = min((other for other in scenario.cases if other.peer == case.peer and other.unit == case.unit), key=lambda other: other.units)
        one, least = measured[case.key], measured[fewest.key]
        if case.units > fewest.units and one.memory and least.memory:
            kib = (one.memory[0] - least.memory[0]) * 1024 / (case.units - fewest.units)
            one.growth = f"{kib:.2f} KiB/{case.unit}"
