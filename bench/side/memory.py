#!/usr/bin/env python3
"""Memory of control and of one worker as the configuration grows, and after many edits of it.

    python3 bench/side/memory.py --services 100 1000 10000 --edits 300
    python3 bench/side/memory.py --services 1 --routes 100000
"""

import argparse
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import fleet  # noqa: E402
import measure  # noqa: E402


def with_routes(number, count, weights):
    """As `fleet.service`, with `count` routes of which all but the last one are for a prefix of their own."""
    head, rest = fleet.service(number, weights).split("    - matchers: [{prefix: /api}]", 1)
    more = "".join(
        f"""    - matchers: [{{prefix: /service-{route}/}}]
      routeAction: {{single: {{upstream: {{name: a, namespace: gloo-system}}}}}}
"""
        for route in range(count - 1)
    )
    return head + more + "    - matchers" + rest.split("    - matchers", 1)[1]


def told(when, running):
    """One line of both processes."""
    shown = ", ".join(f"{measure.program(p.pid).removeprefix('portcullis-')} {measure.pss_of(p.pid):.1f}" for p in running.processes())
    print(f"  {when}: PSS in MiB: {shown}", flush=True)


def run(options, services):
    def one(number, weights):
        plain = options.routes == 2
        return fleet.service(number, weights) if plain else with_routes(number, options.routes, weights)

    with fleet.Fleet(options.profile, 1) as running:
        running.write_all(services)
        for number in range(services):
            running.write(f"vs-{number}.yaml", one(number, (1, 0)))
        print(f"{services} VirtualServices of {options.routes} routes: ready after {running.start():.2f} s", flush=True)
        told("when ready", running)
        time.sleep(options.settle)
        told(f"{options.settle:g} s later", running)
        for edit in range(options.edits):
            number = (edit * 7919) % services
            running.replace(f"vs-{number}.yaml", one(number, (0, 1) if (edit // services) % 2 == 0 else (1, 0)))
            time.sleep(0.02)
        if options.edits:
            time.sleep(1)
            told(f"after {options.edits} edits", running)
            time.sleep(options.settle)
            told(f"{options.settle:g} s later", running)
        for process in running.processes():
            print(f"  CPU time {measure.program(process.pid)}: {fleet.cpu_ms(process.pid) / 1000:.2f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--routes", type=int, default=2)
    parser.add_argument("--edits", type=int, default=0)
    parser.add_argument("--settle", type=float, default=15)
    parser.add_argument("--profile", default="release", help="folder in target/ of the programs")
    options = parser.parse_args()
    for services in options.services:
        run(options, services)


if __name__ == "__main__":
    main()
