"""The upstreams of all, on the load's core: nginx for HTTP/1.1, a small gRPC server, and a collector of traces."""

import os
import subprocess

import process

from .base import BACKENDS, COLLECTOR_PORT, which
from .nginx import main

MIB = 1 << 20


class Backend:
    """65 bytes on /, 1 MiB on /1m, 1 GiB on /1g, bodies of up to 2 MiB to /upload; gRPC on a port of its own."""

    def __init__(self, files):
        self.dir = os.path.join(files.work, "backend")
        os.makedirs(self.dir)
        self.grpc_server = os.path.join(files.programs, "grpc-upstream")
        self.processes = []

    def start(self):
        for name, size in (("1m", MIB), ("1g", 1024 * MIB)):
            with open(os.path.join(self.dir, name), "wb") as out:
                out.truncate(size)
        path = os.path.join(self.dir, "nginx.conf")
        with open(path, "w") as out:
            out.write(main(self.dir, f"""
  server {{
    listen 127.0.0.1:{BACKENDS["http1"]} backlog=4096;
    location / {{ return 200 "{"x" * 65}"; }}
    location = /1m {{ root {self.dir}; }}
    location = /1g {{ root {self.dir}; }}
    # Reads the whole body before it answers; `return` alone would answer at once.
    location = /upload {{
      client_body_buffer_size 2m; proxy_pass http://127.0.0.1:{BACKENDS["http1"]}/; proxy_http_version 1.1;
      proxy_pass_request_body off; proxy_set_header Content-Length ""; proxy_set_header Connection "";
    }}
  }}
  server {{
    listen 127.0.0.1:{COLLECTOR_PORT};
    access_log {self.dir}/collector.log;
    default_type application/x-protobuf;
    location / {{ return 200; }}
  }}"""))
        self._run([which("nginx"), "-c", path], BACKENDS["http1"])
        if self.has_grpc():
            self._run([self.grpc_server, f"127.0.0.1:{BACKENDS['grpc']}"], BACKENDS["grpc"])

    def _run(self, command, port):
        process.ensure_free(port)
        with open(os.path.join(self.dir, "log"), "a") as log:
            started = process.spawn(command, process.LOAD_CORE, stdout=log, stderr=subprocess.STDOUT)
        self.processes.append(started)
        process.wait_port(port, started)

    def has_grpc(self):
        return os.access(self.grpc_server, os.X_OK)

    def collected(self):
        """Number of exports that the collector of traces has got."""
        try:
            with open(os.path.join(self.dir, "collector.log")) as log:
                return sum(1 for line in log if '"POST /v1/traces' in line)
        except OSError:
            return 0

    def stop(self):
        for one in self.processes:
            process.stop(one)
