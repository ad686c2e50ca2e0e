"""Load tools, pinned to the core that the proxy does not have.

TLS is the same for every proxy because the client decides: TLS 1.3, AES-128-GCM, X25519 (openssl.cnf below and h2load's
own arguments).
"""

import math
import os
import re
import struct
import sys
from dataclasses import dataclass

import process

HERE = os.path.dirname(os.path.abspath(__file__))

OPENSSL = """
openssl_conf = settings
[settings]
ssl_conf = ssl
[ssl]
system_default = tls
[tls]
MinProtocol = TLSv1.3
Ciphersuites = TLS_AES_128_GCM_SHA256
Groups = X25519
"""

# At a fixed rate each connection sends this often a second at most: h2load's clock ticks once in 10 ms, and would send
# what is due in bursts.
PACE = 80


class LoadFailed(Exception):
    """The tool could not run, or nothing came back."""


@dataclass(frozen=True)
class Done:
    requests: int
    failed: int
    seconds: float


class Generator:
    """Runs the tools; `work` is where it writes what they read."""

    def __init__(self, work):
        self.dir = os.path.join(work, "load")
        os.makedirs(self.dir)
        self.environment = {"OPENSSL_CONF": self._file("openssl.cnf", OPENSSL)}

    def run(self, address, spec, load, seconds):
        return getattr(self, load.tool)(address, spec, load, seconds)

    def wrk(self, address, spec, load, seconds):
        command = ["wrk", "-t1", f"-c{load.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s"]
        command += self._headers(load, "Host")
        if load.body:
            script = f'wrk.method = "POST"\nwrk.body = string.rep("x", {load.body})\n'
            command += ["-s", self._file(f"post-{load.body}.lua", script)]
        out = self._run([*command, url(address, spec, load)], seconds)
        total = re.search(r"(\d+) requests in ([\d.]+)(ms|s|m)", out)
        if not total or not int(total[1]):
            raise LoadFailed(last_line(out))
        requests, took = int(total[1]), float(total[2]) * {"ms": 0.001, "s": 1, "m": 60}[total[3]]
        other = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
        other = int(other[1]) if other else 0
        failed = other if load.status < 400 else requests - other
        sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
        return Done(requests, failed + (sum(map(int, sockets.groups())) if sockets else 0), took)

    def h2load(self, address, spec, load, seconds):
        command = [*self._h2load(load), f"-c{load.connections}", f"-m{load.streams}", f"-D{seconds * 1000:.0f}ms"]
        out = self._run([*command, url(address, spec, load)], seconds)
        requests, failed = self._h2load_outcome(out, load)
        return Done(requests, failed, seconds)

    def handshakes(self, address, spec, load, seconds, resume=False):
        """A new TLS connection for each request: handshakes.py."""
        command = [sys.executable, os.path.join(HERE, "handshakes.py"), address, load.host, str(seconds), *(["resume"] if resume else [])]
        out = self._run(command, seconds)
        found = re.search(r"^(\d+) done (\d+) failed ([\d.]+) s", out, re.MULTILINE)
        if not found or not int(found[1]):
            raise LoadFailed(last_line(out))
        return Done(int(found[1]), int(found[2]), float(found[3]))

    def resumptions(self, address, spec, load, seconds):
        """The same, with the ticket of the connection before."""
        return self.handshakes(address, spec, load, seconds, resume=True)

    def paced(self, address, spec, load, rate, seconds):
        """Sorted latencies in microseconds at `rate` requests a second, by h2load; the number of failures; the rate reached.

        The connections begin one after the other, so that they do not send at the same moments.
        """
        warm_up = 0.5
        connections = max(4, math.ceil(rate / PACE))
        each = max(1, round(rate / connections * (seconds + warm_up)))
        log = os.path.join(self.dir, "latency.tsv")
        every = max(1, round(1000 / PACE))
        command = [
            *self._h2load(load), f"-c{connections}", f"-n{connections * each}", f"--rps={rate / connections:.3f}", "-m1",
            "-r", str(math.ceil(connections / every)), "--rate-period=1ms", f"--log-file={log}",
        ]
        if load.tool == "wrk":
            command.append("--h1")
        # h2load appends to its log.
        with open(log, "w"):
            pass
        self._run([*command, url(address, spec, load)], seconds + warm_up)
        with open(log) as file:
            rows = [tuple(map(int, line.split()[:3])) for line in file]
        begin = min((row[0] for row in rows), default=0) + warm_up * 1e6
        failed = sum(1 for row in rows if row[1] != load.status) + connections * each - len(rows)
        counted = [row for row in rows if row[0] >= begin]
        if not counted:
            raise LoadFailed("no request was answered at a fixed rate")
        took = max(row[0] for row in counted) - begin
        return sorted(row[2] for row in counted), failed, len(counted) / max(1, took) * 1e6

    def _h2load(self, load):
        command = ["h2load", "-t1", "--tls13-ciphers=TLS_AES_128_GCM_SHA256", "--groups=X25519", *self._headers(load, ":authority")]
        if load.grpc:
            # A message of 16 bytes behind its five of framing.
            message = self._file("message.grpc", struct.pack(">BI", 0, 16) + b"m" * 16)
            command += ["-d", message, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        elif load.body:
            command += ["-d", self._file(f"body-{load.body}", b"x" * load.body)]
        return command

    @staticmethod
    def _h2load_outcome(out, load):
        total = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
        if not total or not int(total[1]):
            raise LoadFailed(last_line(out))
        done, succeeded = int(total[1]), int(total[2])
        # What is under way when the time is over counts as neither: h2load calls it failed, not done.
        return done, done - succeeded if load.status < 400 else 0

    @staticmethod
    def _headers(load, host):
        pairs = ((host, load.host), *load.headers)
        return [part for name, value in pairs for part in ("-H", f"{name}: {value}")]

    def _file(self, name, content):
        path = os.path.join(self.dir, name)
        with open(path, "wb" if isinstance(content, bytes) else "w") as out:
            out.write(content)
        return path

    def _run(self, command, seconds):
        return process.run(command, process.LOAD_CORE, self.environment, timeout=seconds + 60)


def url(address, spec, load):
    return f"{'https' if spec.tls else 'http'}://{address}{load.path}"


def last_line(text):
    return (text.strip().splitlines() or ["it said nothing"])[-1][:200]


def percentile(ordered, share):
    """Of sorted values; `share` from 0 to 1."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
