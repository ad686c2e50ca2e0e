"""What all proxies have in common: a folder, a port, a command, a life."""

import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass

import measure
import process

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
INSTALLED = os.environ.get("PORTCULLIS_BENCH_PEERS", os.path.join(ROOT, "target", "peers"))

# Below the ports that the system gives to outgoing connections.
BASE_PORT = 27610
ADMIN_PORT = 27800
BACKENDS = {"http1": 27600, "grpc": 27602}
COLLECTOR_PORT = 27603
# More than requests may be in flight, so that no upstream connection is closed for want of room in a pool.
POOL = 4096


def which(name):
    """The program in the folder of peers, else the system's."""
    inside = os.path.join(INSTALLED, "bin", name)
    return inside if os.access(inside, os.X_OK) else shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


@dataclass(frozen=True)
class Files:
    """What a peer finds on the disk."""

    work: str  # where it may write
    programs: str  # where the programs of this repository are
    certificate: str
    key: str


class Peer:
    """One proxy with one Spec, on a port of its own."""

    name = ""
    program = ""
    end = signal.SIGTERM  # what ends it at once

    def __init__(self, spec, files, index=0):
        self.spec, self.files = spec, files
        self.port, self.admin = BASE_PORT + index, ADMIN_PORT + 4 * index
        self.dir = os.path.join(files.work, f"{self.name}-{index}")
        shutil.rmtree(self.dir, ignore_errors=True)
        os.makedirs(self.dir)
        self.process = None

    @classmethod
    def path(cls, _files):
        """The program, or None when it is not installed."""
        return which(cls.program)

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def upstream_port(self):
        return BACKENDS[self.spec.backend]

    @property
    def hosts(self):
        return [f"h{n}.test" for n in range(self.spec.hosts)]

    @property
    def access_log(self):
        return os.path.join(self.dir, "access.log")

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            out.write(text)
        return path

    def render(self):
        """Writes its configuration and gives the command that serves it."""
        raise NotImplementedError

    def check(self):
        """The command by which the program checks the rendered configuration; None when it has no such mode."""
        return None

    def environment(self):
        return {}

    def start(self):
        process.ensure_free(self.port)
        command = self.render()
        with open(os.path.join(self.dir, "log"), "w") as log:
            self.process = process.spawn(command, process.PROXY_CORE, self.environment(), self.end, stdout=log, stderr=subprocess.STDOUT)
        process.wait_port(self.port, self.process)
        time.sleep(0.3)

    def stop(self):
        if self.process:
            process.stop(self.process, self.end)

    def last_words(self):
        try:
            with open(os.path.join(self.dir, "log"), errors="replace") as log:
                return " ".join(log.read().split()[-40:])
        except OSError:
            return ""

    def cpu_seconds(self):
        return measure.cpu_seconds(self.process.pid)

    def memory(self):
        """MiB of the processes that carry traffic, and of the others."""
        return measure.pss_mib(self.process.pid), 0.0

    def between_rounds(self):
        """Gives back what a round has left on the disk. What is wrong with the round, if anything."""
        if self.spec.telemetry and os.path.exists(self.access_log):
            if not os.path.getsize(self.access_log):
                return "the access log is empty"
            os.truncate(self.access_log, 0)
        return None
