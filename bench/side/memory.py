#!/usr/bin/env python3
"""Memory of control and of one worker as the configuration grows, and after many edits of it.

    python3 bench/side/memory.py --services 100 1000 10000 --edits 300
    python3 bench/side/memory.py --services 1 --routes 100000
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import change  # noqa: E402
import measure  # noqa: E402

# An address of its own, so that both measurements may run at once.
change.IP = "127.0.0.78"


def with_routes(number, count, weights):
    """As `change.service`, with `count` prefix routes."""
    routes = "".join(
        f"""    - matchers: [{{prefix: /service-{route}/}}]
      routeAction: {{single: {{upstream: {{name: a, namespace: gloo-system}}}}}}
"""
        for route in range(count - 1)
    )
    head, tail = change.service(number, weights).split("    - matchers: [{prefix: /api}]", 1)
    return head + routes + "    - matchers" + tail.split("    - matchers", 1)[1]


def rollup(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        rows = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in file if line.strip().endswith("kB")}
    return rows["Pss"], rows["Pss_Anon"]


def memory(up):
    found = {}
    for child in measure.tree(up.pid)[1:]:
        with open(f"/proc/{child}/cmdline") as file:
            found[os.path.basename(file.read().split("\0")[0])] = rollup(child)
    return found


def told(when, found):
    shown = ", ".join(f"{name.removeprefix('portcullis-')} {pss:.1f} ({anonymous:.1f} anonymous)" for name, (pss, anonymous) in sorted(found.items()))
    print(f"  {when}: PSS in MiB: {shown}", flush=True)


def cpu(pid):
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / measure.TICK


def run(folder, services, routes, edits, settle):
    work = tempfile.mkdtemp(prefix="portcullis-memory-")
    config = os.path.join(work, "config")
    os.makedirs(config)
    one = (lambda number, weights: with_routes(number, routes, weights)) if routes != 2 else change.service
    for number in range(services):
        with open(os.path.join(config, f"vs-{number}.yaml"), "w") as out:
            out.write(one(number, (1, 0)))
    with open(os.path.join(config, "base.yaml"), "w") as out:
        out.write(f"""apiVersion: gateway.solo.io/v1
kind: Gateway
metadata: {{name: gateway-proxy, namespace: gloo-system}}
spec: {{bindAddress: {change.IP}, bindPort: {change.PORT}, httpGateway: {{}}}}
""" + change.upstream("a", 18101) + change.upstream("b", 18102))
    log = open(os.path.join(work, "log"), "w")
    start = time.monotonic()
    command = [os.path.join(folder, "portcullis"), "up", "--config", config, "--workers", "1", "--data-dir", os.path.join(work, "state")]
    up = subprocess.Popen([*command, "--admin", f"{change.IP}:{change.ADMIN}"], stdout=log, stderr=log)
    try:
        while not all(change.ready(f"{change.IP}:{change.ADMIN + n}") for n in range(2)):
            if up.poll() is not None or time.monotonic() - start > 300:
                sys.exit(open(os.path.join(work, "log")).read()[-3000:])
            time.sleep(0.01)
        print(f"{services} VirtualServices of {routes} routes: ready after {time.monotonic() - start:.2f} s", flush=True)
        told("when ready", memory(up))
        time.sleep(settle)
        told(f"{settle} s later", memory(up))
        for edit in range(edits):
            number = (edit * 7919) % services
            aside = os.path.join(work, "aside.yaml")
            with open(aside, "w") as out:
                out.write(one(number, (0, 1) if (edit // services) % 2 == 0 else (1, 0)))
            os.rename(aside, os.path.join(config, f"vs-{number}.yaml"))
            time.sleep(0.02)
        if edits:
            time.sleep(1)
            told(f"after {edits} edits", memory(up))
            time.sleep(settle)
            told(f"{settle} s later", memory(up))
        for child in measure.tree(up.pid)[1:]:
            with open(f"/proc/{child}/cmdline") as file:
                name = os.path.basename(file.read().split("\0")[0])
            print(f"  CPU time {name}: {cpu(child):.2f} s")
    finally:
        up.terminate()
        up.wait(30)
        shutil.rmtree(work, ignore_errors=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--routes", type=int, default=2)
    parser.add_argument("--edits", type=int, default=0)
    parser.add_argument("--settle", type=float, default=15)
    parser.add_argument("--folder", default=os.path.join(change.ROOT, "target", "release"), help="where the programs are")
    options = parser.parse_args()
    for services in options.services:
        run(options.folder, services, options.routes, options.edits, options.settle)


if __name__ == "__main__":
    main()
