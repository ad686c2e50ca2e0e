#!/usr/bin/env python3
"""One weight changed among many VirtualServices: a file renamed into place until every worker routes by it.

Also the cold start, a restart of control, and memory. Requests run all the while; none may fail.

    python3 bench/side/change.py --services 10000 --workers 2 --edits 50
"""

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import measure  # noqa: E402
from peers import ROOT  # noqa: E402

IP, PORT, ADMIN = "127.0.0.77", 18080, 19500


def service(number, weights):
    return f"""apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {{name: vs-{number}, namespace: gloo-system}}
spec:
  virtualHost:
    domains: ['h{number}.test']
    routes:
    - matchers: [{{prefix: /api}}]
      options: {{prefixRewrite: /}}
      routeAction: {{single: {{upstream: {{name: a, namespace: gloo-system}}}}}}
    - matchers: [{{prefix: /}}]
      routeAction:
        multi:
          destinations:
          - {{weight: {weights[0]}, destination: {{upstream: {{name: a, namespace: gloo-system}}}}}}
          - {{weight: {weights[1]}, destination: {{upstream: {{name: b, namespace: gloo-system}}}}}}
"""


def upstream(name, port):
    return f"""---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {{name: {name}, namespace: gloo-system}}
spec: {{static: {{hosts: [{{addr: {IP}, port: {port}}}]}}}}
"""


class Kept:
    """A keep-alive connection, which stays with the worker that accepted it."""

    def __init__(self):
        self.socket = socket.create_connection((IP, PORT), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, host):
        self.socket.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        while len(body) < length:
            body += self._more()
        return int(head.split(b" ", 2)[1]), body

    def _more(self):
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("closed by the gateway")
        return part


def ready(address):
    try:
        return urllib.request.urlopen(f"http://{address}/readyz", timeout=1).status == 200
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--services", type=int, default=10000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--edits", type=int, default=50)
    parser.add_argument("--profile", default="release")
    options = parser.parse_args()
    program = os.path.join(ROOT, "target", options.profile, "portcullis")
    work = tempfile.mkdtemp(prefix="portcullis-change-")
    config = os.path.join(work, "config")
    os.makedirs(config)
    for number in range(options.services):
        with open(os.path.join(config, f"vs-{number}.yaml"), "w") as out:
            out.write(service(number, (1, 0)))
    with open(os.path.join(config, "base.yaml"), "w") as out:
        out.write(f"""apiVersion: gateway.solo.io/v1
kind: Gateway
metadata: {{name: gateway-proxy, namespace: gloo-system}}
spec: {{bindAddress: {IP}, bindPort: {PORT}, httpGateway: {{}}}}
""" + upstream("a", 18101) + upstream("b", 18102))
    backends = [
        subprocess.Popen([program, "hello", "--listen", f"{IP}:{port}", "--name", name], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for name, port in (("a", 18101), ("b", 18102))
    ]
    log = open(os.path.join(work, "log"), "w")
    start = time.monotonic()
    up = subprocess.Popen(
        [program, "up", "--config", config, "--workers", str(options.workers), "--data-dir", os.path.join(work, "state"), "--admin", f"{IP}:{ADMIN}"],
        stdout=log, stderr=log,
    )
    try:
        while not all(ready(f"{IP}:{ADMIN + n}") for n in range(options.workers + 1)):
            if up.poll() is not None or time.monotonic() - start > 120:
                print(open(os.path.join(work, "log")).read()[-3000:])
                sys.exit("did not become ready")
            time.sleep(0.01)
        print(f"cold start, {options.services} VirtualServices: {time.monotonic() - start:.2f} s")
        kept = [Kept() for _ in range(8 * options.workers)]
        failed, done, stop = [], [0], threading.Event()

        def load():
            connection = Kept()
            while not stop.is_set():
                try:
                    status, _ = connection.ask(f"h{done[0] % options.services}.test")
                    if status != 200:
                        failed.append(status)
                except (OSError, StopIteration) as error:
                    failed.append(str(error))
                    connection = Kept()
                done[0] += 1
                time.sleep(0.002)

        thread = threading.Thread(target=load)
        thread.start()
        times = []
        for edit in range(options.edits):
            number = (edit * 7919) % options.services
            aside = os.path.join(work, "aside.yaml")
            wanted = b'"b"'
            with open(aside, "w") as out:
                out.write(service(number, (0, 1)))
            begin = time.monotonic()
            os.rename(aside, os.path.join(config, f"vs-{number}.yaml"))
            waiting = list(kept)
            while waiting:
                waiting = [connection for connection in waiting if wanted not in connection.ask(f"h{number}.test")[1][:200]]
                if time.monotonic() - begin > 20:
                    sys.exit(f"edit {edit} never took effect")
            times.append((time.monotonic() - begin) * 1000)
        stop.set()
        thread.join()
        times.sort()
        p99 = times[min(len(times) - 1, int(len(times) * 0.99))]
        print(f"edit until every worker routes by it: median {statistics.median(times):.1f} ms, p99 {p99:.1f} ms, max {times[-1]:.1f} ms ({len(times)} edits)")
        print(f"requests meanwhile: {done[0]}, failed: {len(failed)} {failed[:3]}")
        for child in measure.tree(up.pid)[1:]:
            with open(f"/proc/{child}/cmdline") as file:
                name = os.path.basename(file.read().split("\0")[0])
            with open(f"/proc/{child}/smaps_rollup") as file:
                pss = next(int(line.split()[1]) for line in file if line.startswith("Pss:"))
            print(f"memory {name}: {pss / 1024:.0f} MiB")
    finally:
        up.terminate()
        up.wait(30)
        for backend in backends:
            backend.kill()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
