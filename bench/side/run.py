#!/usr/bin/env python3
"""Runs Portcullis next to what a user would pick instead, in one run on one machine, and prints one table.

The proxy is pinned to core 0, load and upstream to core 1. The figure is the CPU time of the proxy's processes per
request (user + system, from /proc), the median of interleaved rounds, as a ratio to each peer. Peers that are not
installed are left out by name; `make bench-peers` installs them.

    python3 bench/side/run.py                     every scenario
    python3 bench/side/run.py h1-keepalive        some
    python3 bench/side/run.py --rounds 5 --seconds 5 --write
"""

import argparse
import importlib.util
import os
import platform
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import load as loads  # noqa: E402
import measure  # noqa: E402
import peers as proxies  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))


def scenarios():
    """Every file of scenarios/, each with a list SCENARIOS."""
    found = []
    for name in sorted(os.listdir(os.path.join(HERE, "scenarios"))):
        if name.endswith(".py"):
            spec = importlib.util.spec_from_file_location(name[:-3], os.path.join(HERE, "scenarios", name))
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            found += module.SCENARIOS
    return found


def certificate(workdir):
    certificate, key = os.path.join(workdir, "tls.crt"), os.path.join(workdir, "tls.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=h0.test", "-addext", "subjectAltName=DNS:*.test,DNS:h0.test", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )
    return certificate, key


def run(scenario, rounds, seconds, workdir, pair):
    """Median CPU microseconds per request, throughput and memory of each peer."""
    names = ["portcullis", *scenario.peers]
    running, notes = {}, []
    try:
        for name in names:
            peer_type = proxies.PEERS_BY_NAME[name]
            if not peer_type.available():
                notes.append(f"{name}: not installed")
                continue
            peer = peer_type(os.path.join(workdir, scenario.name), scenario.spec, pair)
            try:
                peer.start()
                running[name] = peer
            except (RuntimeError, OSError) as error:
                notes.append(f"{name}: does not start ({error}), see {peer.dir}/log")
                peer.stop()
        tool = loads.TOOLS[scenario.load.tool]
        figures = {name: [] for name in running}
        for peer in running.values():
            tool(peer.address, scenario.spec, scenario.load, 1)
        for _ in range(rounds):
            for name, peer in running.items():
                before = measure.cpu_seconds(peer.process.pid)
                try:
                    requests, failed, took = tool(peer.address, scenario.spec, scenario.load, seconds)
                except loads.LoadFailed as error:
                    notes.append(f"{name}: {str(error).strip().splitlines()[-1:]}")
                    continue
                used = measure.cpu_seconds(peer.process.pid) - before
                if failed:
                    notes.append(f"{name}: {failed} of {requests} requests failed")
                figures[name].append((used / requests * 1e6, requests / took))
        result = {}
        for name, rows in figures.items():
            if rows:
                cost = sorted(row[0] for row in rows)
                result[name] = {
                    "us": statistics.median(cost), "low": cost[0], "high": cost[-1],
                    "rps": statistics.median(row[1] for row in rows), "mib": measure.pss_mib(running[name].process.pid),
                }
        return result, notes
    finally:
        for peer in running.values():
            peer.stop()


def table(results):
    lines = ["| scenario | peer | CPU us/request (spread) | requests/s | memory MiB | ours / peer | must hold |", "|---|---|---|---|---|---|---|"]
    for scenario, result, notes in results:
        ours = result.get("portcullis")
        for name, figures in result.items():
            ratio = f"{ours['us'] / figures['us']:.2f}" if ours and name != "portcullis" else ""
            limit = scenario.must.get(name)
            if name == "portcullis" and scenario.baseline:
                base = next((r for s, r, _ in results if s.name == scenario.baseline), {}).get("portcullis")
                if base:
                    ratio, limit = f"{figures['us'] / base['us']:.2f} x {scenario.baseline}", scenario.must.get("baseline")
            held = ""
            if limit and ratio:
                held = f"<= {limit}" + ("" if float(ratio.split()[0]) <= limit else " **missed**")
            lines.append(
                f"| {scenario.title if name == 'portcullis' else ''} | {name} | {figures['us']:.1f} ({figures['low']:.1f}-{figures['high']:.1f}) "
                f"| {figures['rps']:.0f} | {figures['mib']:.0f} | {ratio} | {held} |"
            )
        for note in sorted(set(notes)):
            lines.append(f"| | {note} | | | | | |")
    return "\n".join(lines)


def version(command):
    try:
        out = subprocess.run(command, capture_output=True, text=True)
        return (out.stdout + out.stderr).strip().splitlines()[0]
    except (OSError, IndexError):
        return "not installed"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenario", nargs="*")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--write", action="store_true", help="write bench/RESULTS.md")
    options = parser.parse_args()
    chosen = [s for s in scenarios() if not options.scenario or s.name in options.scenario]
    if not chosen:
        parser.error("no such scenario; there are: " + ", ".join(s.name for s in scenarios()))
    results = []
    with tempfile.TemporaryDirectory(prefix="portcullis-bench-") as workdir:
        pair = certificate(workdir)
        backend = proxies.Backend(workdir, chosen[0].spec, pair)
        backend.start()
        try:
            for scenario in chosen:
                print(f"{scenario.name} ...", file=sys.stderr, flush=True)
                result, notes = run(scenario, options.rounds, options.seconds, workdir, pair)
                results.append((scenario, result, notes))
        finally:
            backend.stop()
    text = table(results)
    print(text)
    if options.write:
        with open("/proc/cpuinfo") as file:
            model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())
        versions = [
            ("envoy", [proxies.which("envoy") or "envoy", "--version"]), ("nginx", [proxies.which("nginx") or "nginx", "-v"]),
            ("haproxy", [proxies.which("haproxy") or "haproxy", "-v"]),
        ]
        named = "\n".join(f"- {name}: {version(command)}" for name, command in versions)
        with open(os.path.join(os.path.dirname(HERE), "RESULTS.md"), "w") as out:
            out.write(
                f"# Side by side\n\nMachine: {model}, {os.cpu_count()} cores, Linux {platform.release()}.\n\n{named}\n\n"
                f"Command: `python3 bench/side/run.py --rounds {options.rounds} --seconds {options.seconds} --write "
                f"{' '.join(options.scenario)}`\n\n{text}\n"
            )


if __name__ == "__main__":
    main()
