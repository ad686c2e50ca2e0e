"""What the run ran on: machine, versions, revision."""

import os
import platform
import subprocess

from peers import ROOT, which


def _first_line(command):
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        return next((line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()), "")
    except (OSError, subprocess.TimeoutExpired):
        return "not installed"


def processor():
    with open("/proc/cpuinfo") as file:
        return next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), platform.machine())


def lines():
    """One line of Markdown for each fact."""
    with open("/proc/meminfo") as file:
        memory = int(file.readline().split()[1]) / (1 << 20)
    revision = _first_line(["git", "-C", ROOT, "describe", "--always", "--dirty", "--exclude", "*"])
    yield f"- machine: {processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"
    yield f"- portcullis: revision {revision}, {_first_line(['rustc', '--version'])}"
    for name, arguments in (("envoy", ["--version"]), ("nginx", ["-v"]), ("haproxy", ["-v"]), ("wrk", ["-v"]), ("h2load", ["--version"]), ("openssl", ["version"])):
        yield f"- {name}: {_first_line([which(name) or name, *arguments])}"
