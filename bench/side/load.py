"""Load tools, pinned to the core that the proxy does not have. Each gives (requests, errors, seconds)."""

import re
import subprocess

LOAD_CORE = "1"


class LoadFailed(Exception):
    """The tool could not run, or most requests failed."""


def _run(command, timeout):
    done = subprocess.run(["taskset", "-c", LOAD_CORE, *command], capture_output=True, text=True, timeout=timeout)
    return done.stdout + done.stderr


def _base(address, tls):
    return f"{'https' if tls else 'http'}://{address}"


def wrk(address, spec, load, seconds):
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "-H", f"Host: {load.host}"]
    for name, value in load.headers:
        command += ["-H", f"{name}: {value}"]
    if load.close:
        command += ["-H", "Connection: close"]
    out = _run([*command, _base(address, spec.tls) + load.path], seconds + 30)
    total = re.search(r"(\d+) requests in ([\d.]+)(m?s)", out)
    if not total or int(total[1]) == 0:
        raise LoadFailed(out)
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    failed = int(errors[1]) if errors else 0
    if sockets and not load.close:
        failed += sum(int(n) for n in sockets.groups())
    return int(total[1]), failed, seconds


def h2load(address, spec, load, seconds):
    command = ["h2load", f"-c{load.connections}", f"-m{load.streams}", f"-D{seconds}", "-t1"]
    for name, value in (("host", load.host), *load.headers):
        command += ["-H", f"{':authority' if name == 'host' else name}: {value}"]
    out = _run([*command, _base(address, spec.tls) + load.path], seconds + 30)
    total = re.search(r"requests: \d+ total, \d+ started, \d+ done, (\d+) succeeded, (\d+) failed", out)
    if not total or int(total[1]) == 0:
        raise LoadFailed(out)
    return int(total[1]), 0, seconds


def resumed(address, spec, load, seconds):
    """TLS connections that resume a session, by `openssl s_time`."""
    out = _run(
        ["openssl", "s_time", "-connect", address, "-servername", load.host, "-reuse", "-time", str(seconds), "-www", load.path],
        seconds + 30,
    )
    total = re.search(r"(\d+) connections in \d+ real seconds", out)
    if not total or int(total[1]) == 0:
        raise LoadFailed(out)
    return int(total[1]), 0, seconds


TOOLS = {"wrk": wrk, "h2load": h2load, "resumed": resumed}
