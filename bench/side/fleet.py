"""One control and its workers as separate processes on addresses of their own, with a configuration that they follow.

Started one by one and not by `portcullis up`, so that each can be stopped, started and measured by itself.
"""

import http.client
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IP, PORT, PORT_TLS, ADMIN = "127.0.0.77", 18080, 18443, 19500
BACKENDS = {"a": 18101, "b": 18102}

GATEWAYS = f"""apiVersion: gateway.solo.io/v1
kind: Gateway
metadata: {{name: gateway-proxy, namespace: gloo-system}}
spec: {{bindAddress: {IP}, bindPort: {PORT}, httpGateway: {{}}}}
---
apiVersion: gateway.solo.io/v1
kind: Gateway
metadata: {{name: gateway-proxy-ssl, namespace: gloo-system}}
spec: {{bindAddress: {IP}, bindPort: {PORT_TLS}, ssl: true, httpGateway: {{}}}}
"""


def service(number, weights=(1, 0), upstream="a"):
    """A VirtualService with two routes, the second of which splits by weight between `upstream` and b."""
    return f"""---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {{name: vs-{number}, namespace: gloo-system}}
spec:
  virtualHost:
    domains: ['h{number}.test']
    routes:
    - matchers: [{{prefix: /api}}]
      options: {{prefixRewrite: /}}
      routeAction: {{single: {{upstream: {{name: {upstream}, namespace: gloo-system}}}}}}
    - matchers: [{{prefix: /}}]
      routeAction:
        multi:
          destinations:
          - {{weight: {weights[0]}, destination: {{upstream: {{name: {upstream}, namespace: gloo-system}}}}}}
          - {{weight: {weights[1]}, destination: {{upstream: {{name: b, namespace: gloo-system}}}}}}
"""


def upstream(name, address, port):
    return f"""---
apiVersion: gloo.solo.io/v1
kind: Upstream
metadata: {{name: {name}, namespace: gloo-system}}
spec: {{static: {{hosts: [{{addr: '{address}', port: {port}}}]}}}}
"""


def tls_service(folder):
    """A VirtualService with a certificate of its own: workers seal its key in their caches."""
    pair = [os.path.join(folder, name) for name in ("tls.crt", "tls.key")]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=tls.test", "-addext", "subjectAltName=DNS:tls.test", "-out", pair[0], "-keyout", pair[1]],
        check=True, capture_output=True,
    )
    return f"""---
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {{name: tls, namespace: gloo-system}}
spec:
  sslConfig: {{sniDomains: [tls.test], sslFiles: {{tlsCert: {pair[0]}, tlsKey: {pair[1]}}}}}
  virtualHost:
    domains: [tls.test]
    routes:
    - matchers: [{{prefix: /}}]
      routeAction: {{single: {{upstream: {{name: a, namespace: gloo-system}}}}}}
"""


class Kept:
    """A keep-alive connection, which stays with the worker that accepted it."""

    def __init__(self):
        self.socket = socket.create_connection((IP, PORT), 5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self.socket.getsockname()[1]

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

    def served_by(self, name):
        """Whether the backend of that name answers."""
        return f'"{name}"'.encode() in self.ask(self.host)[1][:200]

    def _more(self):
        part = self.socket.recv(65536)
        if not part:
            raise ConnectionError("closed by the gateway")
        return part


def ready(port):
    """Whether /readyz of the admin server on that port answers 200."""
    connection = http.client.HTTPConnection(IP, port, timeout=1)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


class Fleet:
    """Folders, processes and the files of the configuration."""

    def __init__(self, profile, workers, env=None, wrap=()):
        self.programs = os.path.join(ROOT, "target", profile)
        self.number = workers
        self.env = {**os.environ, "PORTCULLIS_ALLOW_CORE_DUMPS": "1", **(env or {})}
        self.wrap = list(wrap)
        self.work = tempfile.mkdtemp(prefix="portcullis-change-")
        self.config = os.path.join(self.work, "config")
        self.state = os.path.join(self.work, "state")
        os.makedirs(self.config)
        os.makedirs(self.state)
        self.key = os.path.join(self.work, "cache-key")
        with open(self.key, "wb") as out:
            out.write(os.urandom(32))
        self.control, self.workers, self.backends = None, [], []
        self.log = open(os.path.join(self.work, "log"), "ab")

    def __enter__(self):
        for name, port in BACKENDS.items():
            self.backends.append(subprocess.Popen(
                [os.path.join(self.programs, "portcullis"), "hello", "--listen", f"{IP}:{port}", "--name", name],
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            ))
        return self

    def __exit__(self, *_):
        self.stop_control()
        self.stop_workers()
        for backend in self.backends:
            backend.kill()
            backend.wait()
        self.log.close()
        if not os.environ.get("PORTCULLIS_BENCH_KEEP"):
            shutil.rmtree(self.work, ignore_errors=True)

    # Configuration.

    def write(self, name, text):
        with open(os.path.join(self.config, name), "w") as out:
            out.write(text)

    def replace(self, name, text):
        """The file appears whole, by a rename; gives the moment of that."""
        aside = os.path.join(self.work, "aside-" + name)
        with open(aside, "w") as out:
            out.write(text)
        os.rename(aside, os.path.join(self.config, name))
        return time.monotonic()

    def write_all(self, services, per_file=1, of=lambda number: "a", more=""):
        """`services` VirtualServices, so many in each file, and what they need."""
        self.write("base.yaml", GATEWAYS + upstream("a", IP, BACKENDS["a"]) + upstream("b", IP, BACKENDS["b"]) + more)
        self.write("tls.yaml", tls_service(self.work))
        for first in range(0, services, per_file):
            numbers = range(first, min(first + per_file, services))
            self.write(f"vs-{first}.yaml", "".join(service(number, upstream=of(number)) for number in numbers))

    # Processes.

    def _start(self, program, *arguments):
        command = [*self.wrap, os.path.join(self.programs, program), *arguments]
        return subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL, env=self.env)

    def start_control(self):
        self.control = self._start(
            "portcullis-control", "--config", self.config, "--data-dir", os.path.join(self.state, "control"),
            "--admin", f"{IP}:{ADMIN}", "--link", os.path.join(self.work, "link.sock"),
        )

    def start_workers(self, number=None):
        for index in range(self.number if number is None else number):
            self.workers.append(self._start(
                "portcullis-dataplane", "--link", os.path.join(self.work, "link.sock"), "--worker-id", f"worker-{index}",
                "--data-dir", self.state, "--cache-key-file", self.key, "--admin", f"{IP}:{ADMIN + 1 + index}",
                "--drain-timeout", "100ms", "--access-log", "off",
            ))

    def wait_ready(self, control=True, seconds=120):
        ports = [ADMIN + 1 + index for index in range(len(self.workers))] + ([ADMIN] if control else [])
        deadline = time.monotonic() + seconds
        for port in ports:
            while not ready(port):
                if time.monotonic() > deadline or any(p.poll() is not None for p in self.processes()):
                    raise RuntimeError("not ready:\n" + self.said()[-3000:])
                time.sleep(0.002)

    def start(self):
        """Everything; gives the seconds until all are ready."""
        begin = time.monotonic()
        self.start_control()
        self.start_workers()
        self.wait_ready()
        return time.monotonic() - begin

    def stop_control(self):
        self._stop([self.control] if self.control else [])
        self.control = None

    def stop_workers(self):
        self._stop(self.workers)
        self.workers = []

    @staticmethod
    def _stop(processes):
        for process in processes:
            process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def processes(self):
        return ([self.control] if self.control else []) + self.workers

    def said(self):
        with open(os.path.join(self.work, "log"), errors="replace") as log:
            return log.read()

    def one_per_worker(self):
        """A kept connection to each worker: the kernel spreads them, and /proc tells who got which."""
        found, others = {}, []
        while len(found) < len(self.workers):
            kept = Kept()
            kept.ask("h0.test")
            owner = self._owner(kept.port)
            if owner is None or owner in found:
                others.append(kept)
                if len(others) > 500:
                    raise RuntimeError("no connection reaches one of the workers")
            else:
                found[owner] = kept
        return list(found.values())

    def _owner(self, port):
        with open("/proc/net/tcp") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        mine = f"{PORT:04X}"
        inode = next((row[9] for row in rows if row[1].endswith(":" + mine) and row[2].endswith(f":{port:04X}")), None)
        for worker in self.workers:
            folder = f"/proc/{worker.pid}/fd"
            for fd in os.listdir(folder):
                try:
                    if os.readlink(os.path.join(folder, fd)) == f"socket:[{inode}]":
                        return worker.pid
                except OSError:
                    pass
        return None


def cpu_ms(pid):
    """CPU time of a process, over all its threads; finer than /proc/<pid>/stat."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        except OSError:
            pass
    return total / 1e6
