#!/usr/bin/env python3
"""Runs Portcullis next to what a user would pick instead, in one run on one machine, and prints one table.

The proxy is pinned to core 0, load and upstream to core 1. The figure is the CPU time of the proxy's processes per
request (user + system, from /proc), the median of interleaved rounds, as a ratio to each peer. Peers that are not
installed are left out by name; `make bench-peers` installs them.

  run.py                          every scenario, about thirty-five minutes
  run.py --quick                  the same in a few minutes, to see whether it works
  run.py --list                   the scenarios
  run.py 'h1-*' tls-resumed       some of them
  run.py --profile quick          with the programs in target/quick
  run.py --write                  write bench/RESULTS.md
  run.py --check                  measure nothing: load scenarios, render every configuration, let the peers check it

Exit status: 0 measured (bounds may be missed, the table says so), 1 a request failed or a peer did not start, 2 wrong usage.
"""

import argparse
import datetime
import fnmatch
import importlib.util
import os
import shlex
import signal
import sys
import tempfile
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import bench as benches  # noqa: E402
import check  # noqa: E402
import kinds  # noqa: E402
import load  # noqa: E402
import machine  # noqa: E402
import process  # noqa: E402
import report  # noqa: E402
from peers import ROOT, which  # noqa: E402
from peers.backend import Backend  # noqa: E402

CHANGE = "change"


def scenarios():
    """Those of every file in scenarios/, each of which has a list SCENARIOS."""
    found = []
    for name in sorted(os.listdir(os.path.join(HERE, "scenarios"))):
        if name.endswith(".py"):
            spec = importlib.util.spec_from_file_location(f"scenarios.{name[:-3]}", os.path.join(HERE, "scenarios", name))
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            found += module.SCENARIOS
    return found


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*", help="names or patterns; all without any")
    parser.add_argument("--list", action="store_true", help="list the scenarios and stop")
    parser.add_argument("--check", action="store_true", help="check scenarios and configurations, measure nothing")
    parser.add_argument("--quick", action="store_true", help="one short round of each")
    parser.add_argument("--profile", default="release", choices=("release", "quick", "debug"), help="folder in target/ of our programs")
    parser.add_argument("--rounds", type=int, help="rounds of each scenario [5]")
    parser.add_argument("--seconds", type=float, help="length of a round [2]")
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    options = parser.parse_args()
    options.rounds = options.rounds or (1 if options.quick else 5)
    options.seconds = options.seconds or (1 if options.quick else 2)
    return parser, options


def chosen(parser, options):
    known = scenarios()
    names = [*(scenario.name for scenario in known), CHANGE]
    for pattern in options.scenario:
        if not fnmatch.filter(names, pattern):
            parser.error(f"no scenario {pattern}; there are: {', '.join(names)}")
    wanted = {name for name in names if not options.scenario or any(fnmatch.fnmatch(name, pattern) for pattern in options.scenario)}
    return [scenario for scenario in known if scenario.name in wanted], CHANGE in wanted


def say(text):
    print(text, file=sys.stderr, flush=True)


def measure(bench, wanted):
    """Rows and verdicts of all scenarios."""
    cells, verdicts = [], []
    for number, scenario in enumerate(wanted, 1):
        begin = time.monotonic()
        bench.scenario = scenario.name
        say(f"[{number}/{len(wanted)}] {scenario.name}: {scenario.title}")
        try:
            measured = kinds.measure(scenario, bench)
        except Exception as error:  # the other scenarios are worth having all the same
            traceback.print_exc()
            bench.error(f"not measured: {error!r}")
            measured = {}
        more, judged = report.rows(scenario, measured)
        for row in more:
            say("    " + "  ".join(cell for cell in row[1:6] if cell))
        say(f"    {time.monotonic() - begin:.0f} s")
        cells += more
        verdicts += judged
        if scenario.note:
            bench.note(f"{scenario.name}: {scenario.note}")
    return cells, verdicts


def measure_change(options, bench):
    """What change.py measures: configuration in motion."""
    import change

    bench.scenario = CHANGE
    if not callable(getattr(change, "measure", None)):
        bench.note("change.py measures nothing for this table yet; run it by itself")
        return [], []
    say(f"{CHANGE}: configuration in motion")
    few = ["--services", "1000", "--edits", "20", "--answers", "3"] if options.quick else []
    try:
        return report.change_rows(change.measure(change.parser().parse_args(["--profile", options.profile, *few])))
    except Exception as error:  # what was measured before is worth having all the same
        traceback.print_exc()
        bench.error(f"not measured: {error!r}")
        return [], []


def write(text, bench):
    command = " ".join(["python3 bench/side/run.py", *map(shlex.quote, sys.argv[1:])])
    path = os.path.join(ROOT, "bench", "RESULTS.md")
    with open(path, "w") as out:
        out.write("# Side by side\n\nMade by `make bench`; see CONTRIBUTING.md.\n\n")
        out.write(f"- date: {datetime.date.today()}\n- command: `{command}`\n" + "\n".join(machine.lines()))
        out.write(f"\n- rounds: {bench.rounds} of {bench.seconds:g} s for each proxy, taking turns\n\n{text}\n")
    say(f"wrote {path}")


def told(cells, verdicts, bench):
    parts = [report.table(cells), report.summary(verdicts), report.LEGEND]
    if bench.notes:
        parts.insert(2, "Notes:\n" + "\n".join(f"- {note}" for note in bench.notes))
    if bench.errors:
        parts.insert(1, "**Errors: figures of these are worthless.**\n" + "\n".join(f"- {error}" for error in bench.errors))
    return "\n\n".join(parts)


def main():
    parser, options = arguments()
    wanted, with_change = chosen(parser, options)
    if options.list:
        for scenario in wanted:
            print(f"{scenario.name:16} {scenario.title}")
        if with_change:
            print(f"{CHANGE:16} configuration in motion (change.py)")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    process.raise_open_files()
    programs = os.path.join(ROOT, "target", options.profile)
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as work:
        try:
            # The workers of nginx run as another user, who reads the files to be served.
            os.chmod(work, 0o711)
            files = benches.files(work, programs)
            if options.check:
                return check.all_configurations(wanted, files)
            missing = [name for name in ("nginx", "wrk", "h2load") if not which(name)]
            if missing:
                parser.exit(1, f"{', '.join(missing)} missing: the upstream is nginx, the load comes from wrk and h2load; `make bench-peers`\n")
            if not os.access(os.path.join(programs, "portcullis"), os.X_OK):
                parser.exit(1, f"no programs in {programs}: `make bench` builds them\n")
            return measured(options, wanted, with_change, files, work)
        except KeyboardInterrupt:
            say("interrupted")
            return 130
        finally:
            process.stop_all()


def measured(options, wanted, with_change, files, work):
    lock = process.alone(say)
    backend = Backend(files)
    backend.start()
    bench = benches.Bench(
        files, load.Generator(work), backend, options.rounds, options.seconds,
        warm_up=1, paced_rounds=0 if options.quick else min(3, options.rounds), paced_seconds=options.seconds,
        connections=1000 if options.quick else 10_000,
    )
    os.sched_setaffinity(0, {process.LOAD_CORE} if os.cpu_count() > 1 else {0})
    begin = time.monotonic()
    cells, verdicts = measure(bench, wanted)
    # Control and workers of change.py are free to use every core, as they are in life.
    os.sched_setaffinity(0, range(os.cpu_count()))
    backend.stop()
    if with_change:
        more, judged = measure_change(options, bench)
        cells += more
        verdicts += judged
    lock.close()
    say(f"{(time.monotonic() - begin) / 60:.0f} minutes in all\n")
    text = told(cells, verdicts, bench)
    print(text)
    if options.write:
        write(text, bench)
    return 1 if bench.errors else 0


if __name__ == "__main__":
    sys.exit(main())
