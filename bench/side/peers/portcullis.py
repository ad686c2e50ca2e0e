"""Ours: `portcullis up` with one worker. The whole tree of processes is counted, control included."""

import json
import os
import re
import urllib.request

import measure

from .base import COLLECTOR_PORT, Peer

NAMESPACE = "gloo-system"


def resource(kind, name, spec):
    group = "gloo.solo.io/v1" if kind == "Upstream" else "gateway.solo.io/v1"
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec}


def route(one):
    destination = {"upstream": {"name": f"backend-{one.upstream}", "namespace": NAMESPACE}}
    matcher, options = {"prefix": one.prefix}, {}
    if one.headers:
        matcher["headers"] = [{"name": name, "value": value} for name, value in one.headers]
    if len(one.split) > 1:
        action = {"multi": {"destinations": [{"destination": destination, "weight": weight} for weight in one.split]}}
    else:
        action = {"single": destination}
    if one.rewrite:
        options["prefixRewrite"] = one.rewrite
    if one.set_headers:
        added = [{"header": {"key": key, "value": value}, "append": False} for key, value in one.set_headers]
        options["headerManipulation"] = {"requestHeadersToAdd": added}
    return {"matchers": [matcher], "routeAction": action, **({"options": options} if options else {})}


class Portcullis(Peer):
    name = program = "portcullis"

    @classmethod
    def path(cls, files):
        path = os.path.join(files.programs, cls.program)
        return path if os.access(path, os.X_OK) else None

    @property
    def config(self):
        return os.path.join(self.dir, "config")

    def render(self):
        listener = {"bindAddress": "127.0.0.1", "bindPort": self.port, "ssl": self.spec.tls, "httpGateway": {}}
        resources = [resource("Gateway", "gateway-proxy", listener)]
        for number in range(self.spec.upstreams):
            static = {"static": {"hosts": [{"addr": "127.0.0.1", "port": self.upstream_port}]}, "useHttp2": self.spec.h2_upstream}
            resources.append(resource("Upstream", f"backend-{number}", static))
        routes = [route(one) for one in self.spec.all_routes]
        for number, host in enumerate(self.hosts):
            service = {"virtualHost": {"domains": [host], "routes": routes}}
            if self.spec.tls:
                service["sslConfig"] = {"sslFiles": {"tlsCert": self.files.certificate, "tlsKey": self.files.key}}
            resources.append(resource("VirtualService", f"vs-{number}", service))
        self.file("config/all.json", "\n---\n".join(json.dumps(one) for one in resources))
        return [
            self.path(self.files), "up", "--config", self.config, "--workers", "1",
            "--data-dir", os.path.join(self.dir, "state"), "--admin", f"127.0.0.1:{self.admin}",
        ]

    def check(self):
        return [self.path(self.files), "check", "--file", self.config]

    def environment(self):
        if not self.spec.telemetry:
            return {"PORTCULLIS_ACCESS_LOG": "off", "OTEL_SDK_DISABLED": "true"}
        return {
            "PORTCULLIS_ACCESS_LOG": self.access_log,
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{COLLECTOR_PORT}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
            "OTEL_TRACES_SAMPLER_ARG": "0.01",
        }

    def memory(self):
        """The worker, and the rest: control and `up`."""
        sizes = {pid: measure.pss_of(pid) for pid in measure.tree(self.process.pid)}
        worker = sum(size for pid, size in sizes.items() if measure.program(pid) == "portcullis-dataplane")
        return worker, sum(sizes.values()) - worker

    def between_rounds(self):
        wrong = super().between_rounds()
        if self.spec.telemetry and not wrong:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin + 1}/metrics", timeout=5) as answer:
                lost = re.search(r"^portcullis_access_log_dropped_total (\d+)", answer.read().decode(), re.MULTILINE)
            if lost and int(lost[1]):
                wrong = f"{lost[1]} lines of the access log were lost"
        return wrong
