"""One run: how long, with which programs, and what is to be said about it afterwards."""

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass, field

from load import Generator
from peers import PEERS, Files


def certificate(work):
    """A P-256 certificate for *.test, for all proxies."""
    pair = os.path.join(work, "tls.crt"), os.path.join(work, "tls.key")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=h0.test", "-addext", "subjectAltName=DNS:*.test", "-keyout", pair[1], "-out", pair[0]],
        check=True, capture_output=True,
    )
    return pair


def files(work, programs):
    return Files(work, programs, *certificate(work))


@dataclass
class Bench:
    """What the kinds of measurement share."""

    files: Files
    load: Generator
    backend: object
    rounds: int
    seconds: float
    warm_up: float
    paced_rounds: int
    paced_seconds: float
    connections: int
    scenario: str = ""
    notes: list = field(default_factory=list)
    errors: list = field(default_factory=list)

    def note(self, text):
        """Goes below the table, once."""
        if text not in self.notes:
            self.notes.append(text)

    def error(self, text):
        """Something that makes a figure worthless, such as a failed request."""
        text = f"{self.scenario}: {text}"
        print(f"  ERROR {text}", file=sys.stderr, flush=True)
        if text not in self.errors:
            self.errors.append(text)

    @contextlib.contextmanager
    def running(self, scenario, cases=None):
        """The peers of these cases by case key, started; cases with the same spec share one. Those not installed are left out."""
        started, by_case = {}, {}
        exports = self.backend.collected()
        try:
            for case in cases or scenario.cases:
                peer = PEERS[case.peer]
                if not peer.path(self.files):
                    self.note(f"left out: {case.peer} is not installed (`make bench-peers`, `make bench`)")
                    continue
                if case.spec.backend == "grpc" and not self.backend.has_grpc():
                    self.note(f"left out: {scenario.title}: the program grpc-upstream is not built (`make bench`)")
                    continue
                if (case.peer, case.spec) not in started:
                    started[case.peer, case.spec] = self._start(peer(case.spec, self.files, len(started)))
                if started[case.peer, case.spec]:
                    by_case[case.key] = started[case.peer, case.spec]
            yield by_case
            if any(case.spec.telemetry for case in scenario.cases) and self.backend.collected() == exports:
                self.error("no traces came to the collector")
        finally:
            for peer in started.values():
                if peer:
                    peer.stop()

    def _start(self, peer):
        try:
            peer.start()
            return peer
        except (RuntimeError, OSError) as error:
            peer.stop()
            self.error(f"{peer.name} does not start: {error}: {peer.last_words()}")
            return None
