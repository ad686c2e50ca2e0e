#!/usr/bin/env python3
"""How fast configuration changes take effect, and what starting and keeping many VirtualServices costs.

    python3 bench/side/change.py                              every section at 10,000 VirtualServices, 2 workers
    python3 bench/side/change.py edits start --services 1000
    python3 bench/side/change.py --profile quick edits --edits 300

Sections: edits (a file of one VirtualService renamed into place, until every worker routes by it, under load), file (the
same with 1,000 VirtualServices in one file), burst (100 files at once), start (cold start, restart of control, a worker
from its sealed cache without control), memory, endpoints (a DNS answer until every worker uses it, with as many
upstreams), growth (edits at 100 and 1,000 VirtualServices). Exits with 1 where a bound is missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import dns  # noqa: E402
import fleet  # noqa: E402
import measure  # noqa: E402
from fleet import ADMIN, BACKENDS, Fleet, service, upstream  # noqa: E402

PATIENCE = 20
DNS = "127.0.0.78"


def percentile(values, part):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * part))]


class Rows(list):
    """What was measured. A bound of None is for information."""

    def add(self, title, figure, unit, bound=None):
        held = bound is None or figure <= bound
        self.append({"title": title, "figure": figure, "unit": unit, "bound": bound, "held": held})
        print(line(self[-1]), file=sys.stderr, flush=True)


def line(row):
    bound = "" if row["bound"] is None else f"<= {row['bound']:g} {row['unit']}" + ("" if row["held"] else " **missed**")
    return f"| {row['title']} | {row['figure']:.4g} {row['unit']} | {bound} |"


class Load:
    """Paced requests beside what is measured."""

    def __init__(self, services, per_second):
        command = [sys.executable, os.path.join(HERE, "paced.py"), str(services), str(per_second)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def end(self):
        out, _ = self.process.communicate(b"\n", timeout=30)
        return json.loads(out)


def until_used(kept, begin, name):
    """Milliseconds from `begin` until each of the connections is answered by the backend of that name."""
    waiting = list(kept)
    while waiting:
        waiting = [connection for connection in waiting if not connection.served_by(name)]
        if time.monotonic() - begin > PATIENCE:
            raise RuntimeError("a change never took effect")
    return (time.monotonic() - begin) * 1000


def aim(kept, number):
    for connection in kept:
        connection.host = f"h{number}.test"


def cpu(running):
    return [fleet.cpu_ms(process.pid) for process in running.processes()]


def edits(running, rows, options, services, title, bounds=(None, 50), per_file=1):
    """One weight after the other, each as soon as the one before is in force."""
    kept = running.one_per_worker()
    if options.rate:
        quiet = Load(services, options.rate)
        time.sleep(2)
        quiet = quiet.end()
        load = Load(services, options.rate)
    times, before = [], cpu(running)
    for edit in range(options.edits):
        # Each in its turn to b, and when all are there, back.
        number, to_b = (edit * 7919) % services, (edit // services) % 2 == 0
        first = number - number % per_file
        weights = ((0, 1) if to_b and other == number else (1, 0) for other in range(first, min(first + per_file, services)))
        text = "".join(service(first + at, each) for at, each in enumerate(weights))
        aim(kept, number)
        times.append(until_used(kept, running.replace(f"vs-{first}.yaml", text), "b" if to_b else "a"))
    after = cpu(running)
    rows.add(f"{title}, median", statistics.median(times), "ms", bounds[0])
    rows.add(f"{title}, p99 of {len(times)}", percentile(times, 0.99), "ms", bounds[1])
    spent = [(b - a) / len(times) for a, b in zip(before, after)]
    rows.add(f"{title}, CPU of control per edit", spent[0], "ms")
    rows.add(f"{title}, CPU of a worker per edit", max(spent[1:]), "ms")
    if options.rate:
        load = load.end()
        rows.add(f"{title}, failed of {load['requests']} requests meanwhile", load["failures"], "", 0)
        rows.add(f"{title}, requests meanwhile, p99", load["p99"], "ms")
        rows.add(f"{title}, requests without edits, p99", quiet["p99"], "ms")


def burst(running, rows, options, count=100):
    """Many files at once: the last of them counts."""
    kept, times = running.one_per_worker(), []
    for turn in range(5):
        weights = (0, 1) if turn % 2 == 0 else (1, 0)
        numbers = [(number * 83 + 41) % options.services for number in range(count)]
        for number in numbers:
            with open(os.path.join(running.work, f"aside-{number}"), "w") as out:
                out.write(service(number, weights))
        begin = time.monotonic()
        for number in numbers:
            os.rename(os.path.join(running.work, f"aside-{number}"), os.path.join(running.config, f"vs-{number}.yaml"))
        # Every tenth, the first and the last one renamed among them: to ask for all would take longer than the change.
        for number in numbers[::-10] + numbers[:1]:
            aim(kept, number)
            until_used(kept, begin, "b" if weights[1] else "a")
        times.append((time.monotonic() - begin) * 1000)
    rows.add(f"{count} files at once, until all are in force, worst of {len(times)}", max(times), "ms", 250)


def start(running, rows, options):
    """What starting takes; leaves everything running."""
    rows.add(f"cold start at {options.services}: control and workers from nothing to ready", running.start(), "s", 3)
    deadline = time.monotonic() + 20
    while running.said().count("the table is in the cache") < running.number and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1)
    running.stop_control()
    begin = time.monotonic()
    running.start_control()
    running.wait_ready()
    rows.add(f"restart of control at {options.services}, until ready", time.monotonic() - begin, "s", 3)
    running.stop_control()
    times = []
    for _ in range(5):
        running.stop_workers()
        time.sleep(0.2)
        begin = time.monotonic()
        running.start_workers(1)
        while not answers():
            if time.monotonic() - begin > PATIENCE:
                raise RuntimeError("a worker does not start from its cache:\n" + running.said()[-2000:])
        times.append((time.monotonic() - begin) * 1000)
    rows.add("a worker from its sealed cache without control, until it serves, worst of 5", max(times), "ms", 300)
    running.stop_workers()
    rows.add("start of all with caches and store", running.start(), "s", 3)


def answers():
    try:
        kept = fleet.Kept()
        return kept.ask("h0.test")[0] == 200
    except (OSError, StopIteration):
        return False


def memory(running, rows, options):
    rows.add(f"memory of control at {options.services}", measure.pss_of(running.control.pid), "MiB", 350)
    rows.add(f"memory of a worker at {options.services}", max(measure.pss_of(w.pid) for w in running.workers), "MiB", 80)


def endpoints(rows, options):
    """As many upstreams as VirtualServices, each with a DNS name of its own. The answer for one changes."""
    with Fleet(options.profile, options.workers) as running:
        wrap = dns.wrap(running.work, DNS)
        if wrap is None:
            print("endpoints: left out, only root may stand in for the system's DNS server", file=sys.stderr)
            return
        zone = dns.Zone(DNS, fleet.IP)
        zone.start()
        running.wrap = wrap
        special, other = 7 % options.services, "127.0.0.79"
        zone.point(f"u{special}.bench", fleet.IP)
        names = (upstream(f"u{n}", f"u{n}.bench", BACKENDS["a"]) for n in range(options.services))
        running.write_all(options.services, of=lambda number: f"u{number}", more="".join(names))
        hello = os.path.join(running.programs, "portcullis")
        backend = subprocess.Popen([hello, "hello", "--listen", f"{other}:{BACKENDS['a']}", "--name", "other"],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        running.backends.append(backend)
        begin = time.monotonic()
        running.start()
        while zone.asked < options.services:
            if time.monotonic() - begin > 60:
                raise RuntimeError(f"only {zone.asked} names were asked for")
            time.sleep(0.05)
        rows.add(f"all {options.services} names resolved after the start", time.monotonic() - begin, "s")
        kept = running.one_per_worker()
        aim(kept, special)
        times = []
        for turn in range(options.answers):
            address, name = ((other, "other"), (fleet.IP, "a"))[turn % 2]
            zone.point(f"u{special}.bench", address)
            times.append(until_used(kept, zone.wait_told(f"u{special}.bench", address), name))
        rows.add(f"DNS answer until every worker uses it, {options.services} upstreams, median", statistics.median(times), "ms")
        rows.add(f"DNS answer until every worker uses it, p99 of {len(times)}", percentile(times, 0.99), "ms", 10)
        rows.add("memory of control with as many DNS upstreams", measure.pss_of(running.control.pid), "MiB")


def growth(rows, options):
    for services in (100, 1000):
        with Fleet(options.profile, options.workers) as running:
            running.write_all(services)
            rows.add(f"cold start at {services}", running.start(), "s", 3)
            edits(running, rows, options, services, f"one weight changed among {services}")
            memory(running, rows, argparse.Namespace(services=services))


SECTIONS = ("start", "edits", "burst", "memory", "file", "endpoints", "growth")


def measure(options):
    """One dictionary per figure: title, figure, unit, bound (or None), held."""
    rows = Rows()
    wanted = set(options.sections or SECTIONS)
    if wanted & {"start", "edits", "burst", "memory"}:
        with Fleet(options.profile, options.workers) as running:
            running.write_all(options.services)
            if "start" in wanted:
                start(running, rows, options)
            else:
                running.start()
            if "edits" in wanted:
                edits(running, rows, options, options.services, f"one weight changed among {options.services}")
            if "burst" in wanted:
                burst(running, rows, options)
            if "memory" in wanted:
                memory(running, rows, options)
    if "file" in wanted:
        with Fleet(options.profile, options.workers) as running:
            running.write_all(1000, per_file=1000)
            running.start()
            edits(running, rows, options, 1000, "one weight changed in a file of 1000", per_file=1000)
    if "endpoints" in wanted:
        endpoints(rows, options)
    if "growth" in wanted:
        growth(rows, options)
    return rows


def parser():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="section", choices=[[], *SECTIONS], help=", ".join(SECTIONS))
    parser.add_argument("--services", type=int, default=10000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--answers", type=int, default=30, help="changes of a DNS answer, at least a second each")
    parser.add_argument("--rate", type=float, default=300, help="requests per second meanwhile; 0 for none")
    parser.add_argument("--profile", default="release")
    return parser


def main():
    rows = measure(parser().parse_args())
    print("\n| configuration changes | figure | must hold |\n|---|---|---|")
    print("\n".join(line(row) for row in rows))
    sys.exit(0 if all(row["held"] for row in rows) else 1)


if __name__ == "__main__":
    main()
