"""What a proxy adds to the 99th percentile at half of saturation, against requests straight to the upstream.

A machine that others share stalls for milliseconds now and then, and a single stall is the p99 of a whole round. So the load
(paced-load: one mean rate, random arrivals, each request timed from the moment at which it was due) comes in windows of a
quarter of a second, in which upstream and proxies take turns with the same arrivals. A window in which the host took a
core away, or in which the load itself was more than a millisecond late, says nothing about who was asked: it is left out and
made up for, by one rule for all, the upstream included. A figure is the median p99 of a block's windows less the
upstream's, so that a stall of the proxy's core has to come in every other window before it shows.
"""

import os
import statistics
from dataclasses import dataclass

import process
from load import LoadFailed, last_line
from peers.base import BACKENDS

from . import Measured
from .requests import attempt, fixed_rate, one_round

WINDOW_MS = 250
CONNECTIONS = 64
# Windows of each in a block, those of them that must be undisturbed, and how often the block may be gone through for them.
WINDOWS, ENOUGH, TRIES = 16, 10, 2
LATE_US = 1000


@dataclass(frozen=True)
class Window:
    p50: int
    p99: int
    late: int
    stolen: bool

    @property
    def calm(self):
        return not self.stolen and self.late <= LATE_US


def measure(scenario, bench):
    measured = {case.key: Measured() for case in scenario.cases}
    program = os.path.join(bench.files.programs, "paced-load")
    if not os.access(program, os.X_OK):
        bench.note(f"left out: {scenario.title}: the program paced-load is not built (`make bench`)")
        return {}
    with bench.running(scenario) as peers:
        cases = [case for case in scenario.cases if case.key in peers]
        for case in cases:
            attempt(bench, case, lambda case=case: one_round(bench, case, peers[case.key], measured[case.key]))
            measured[case.key].figures = []
        rate = fixed_rate(measured.values())
        addresses = [f"127.0.0.1:{BACKENDS['http1']}", *(peers[case.key].address for case in cases)]
        direct = []
        for _ in range(bench.rounds):
            base, *others = block(bench, program, addresses, rate)
            direct.append(median(base, "p99"))
            for case, windows in zip(cases, others):
                one = measured[case.key]
                one.median_us.append(median(windows, "p50"))
                one.p99_us.append(median(windows, "p99"))
                # Nothing is added in less than no time; noise of the direct request must not make a negative ratio.
                one.figures.append(max(1, one.p99_us[-1] - direct[-1]))
        for case in cases:
            measured[case.key].memory = peers[case.key].memory()
    bench.note(f"{scenario.name}: at {rate:.0f} requests/s for all; a direct request has p99 {statistics.median(direct):.0f} us")
    return {key: one for key, one in measured.items() if one.figures}


def block(bench, program, addresses, rate):
    """The undisturbed windows of each address."""
    every = [[] for _ in addresses]
    for _ in range(TRIES):
        for server, window in windows(program, addresses, rate):
            every[server].append(window)
        calm = [[one for one in windows if one.calm] for windows in every]
        if all(len(windows) >= ENOUGH for windows in calm):
            break
    else:
        bench.note(f"{bench.scenario}: fewer than {ENOUGH} of {WINDOWS * TRIES} windows were undisturbed")
    return [some or disturbed for some, disturbed in zip(calm, every)]


def windows(program, addresses, rate):
    """(number of the address, window) of one pass, in turn."""
    command = [program, f"{rate:.0f}", str(WINDOW_MS), str(CONNECTIONS), str(WINDOWS), "h0.test", *addresses]
    out = process.run(command, process.LOAD_CORE, timeout=60 + WINDOWS * len(addresses) * WINDOW_MS / 1000)
    rows = [tuple(map(int, line.split())) for line in out.splitlines() if line[:1].isdigit()]
    if len(rows) != WINDOWS * len(addresses):
        raise LoadFailed(last_line(out))
    return [(server, Window(p50, p99, late, bool(stolen))) for _, server, _, p50, p99, late, stolen in rows]


def median(windows, which):
    return statistics.median(getattr(window, which) for window in windows)
