"""Memory of each idle connection: holder.py opens them in steps, each makes one request and stays."""

import os
import subprocess
import sys
import time

import process

from . import Measured

HOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "holder.py")


def measure(scenario, bench):
    measured = {case.key: Measured() for case in scenario.cases}
    wanted = min(bench.connections, connections_that_fit())
    if wanted < 10_000:
        bench.note(f"{scenario.name}: {wanted} connections at most, by this run's length or its limit of {process.open_files()} open files")
    steps = sorted({min(step, wanted) for step in (1000, wanted // 2, wanted)} if wanted > 1000 else {wanted})
    # One after the other, on a proxy that has not carried anything before.
    for case in scenario.cases:
        with bench.running(scenario, [case]) as peers:
            if case.key in peers:
                hold(bench, case, peers[case.key], steps, measured[case.key])
    return {key: one for key, one in measured.items() if one.figures}


def connections_that_fit():
    """A proxy may keep two descriptors for each connection, and ours keeps some spare."""
    return (process.open_files() - 256) // 2 - 72


def hold(bench, case, peer, steps, measured):
    kind = "tls" if case.spec.tls else "plain"
    command = [sys.executable, HOLDER, peer.address, case.load.host, kind, *map(str, steps)]
    before = peer.memory()[0]
    holder = process.spawn(command, process.LOAD_CORE, bench.load.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        each = []
        for step in steps:
            answer = tell(holder)
            time.sleep(1)
            memory = peer.memory()
            each.append((step, (memory[0] - before) * 1024 / step))
            measured.memory = memory
        answer = tell(holder)
        if not answer.endswith("failed 0"):
            bench.error(f"{case.key}: {answer or 'the holder ended'}")
        measured.figures = [each[-1][1]]
        measured.growth = ", ".join(f"{kib:.1f} at {step}" for step, kib in each[:-1])
    finally:
        process.stop(holder)


def tell(holder):
    holder.stdin.write("\n")
    holder.stdin.flush()
    return holder.stdout.readline().strip()
