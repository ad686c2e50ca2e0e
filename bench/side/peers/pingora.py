"""A bare pingora-proxy that does nothing but forward: bench/src/bin/bare-pingora.rs."""

import os
import signal

from .base import Peer


class BarePingora(Peer):
    name, program = "pingora", "bare-pingora"
    end = signal.SIGINT  # SIGTERM waits for minutes

    @classmethod
    def path(cls, files):
        path = os.path.join(files.programs, cls.program)
        return path if os.access(path, os.X_OK) else None

    def render(self):
        command = [self.path(self.files), f"127.0.0.1:{self.port}", f"127.0.0.1:{self.upstream_port}"]
        if self.spec.h2_upstream:
            command.append("--h2-upstream")
        if self.spec.tls:
            command += ["--tls", self.files.certificate, self.files.key]
        return command
