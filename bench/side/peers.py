"""Ours and the others: how each is configured to the same meaning and started on one core."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time

PROXY_CORE = "0"
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PEERS = os.environ.get("PORTCULLIS_BENCH_PEERS", os.path.join(ROOT, "target", "peers"))
BACKEND = ("127.0.0.1", 19600)
BACKEND_H2 = ("127.0.0.1", 19601)


def which(name):
    inside = os.path.join(PEERS, "bin", name)
    return inside if os.access(inside, os.X_OK) else shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def wait_port(address, process, seconds=60):
    deadline = time.time() + seconds
    while time.time() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"exited with {process.returncode}")
        try:
            socket.create_connection(address, 0.2).close()
            return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"{address} never opened")


class Peer:
    """One proxy. `port` is its own, so that peers may run side by side in interleaved rounds."""

    name = ""
    program = ""
    port = 0

    def __init__(self, workdir, spec, certificate):
        self.dir = os.path.join(workdir, self.name)
        os.makedirs(self.dir, exist_ok=True)
        self.spec, self.cert = spec, certificate
        self.process = None

    @classmethod
    def available(cls):
        return which(cls.program) is not None

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def backend(self):
        return BACKEND_H2 if self.spec.h2_upstream else BACKEND

    def file(self, name, text):
        path = os.path.join(self.dir, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as out:
            out.write(text)
        return path

    def command(self):
        raise NotImplementedError

    def start(self):
        log = open(os.path.join(self.dir, "log"), "w")
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        self.process = subprocess.Popen(
            ["taskset", "-c", PROXY_CORE, *self.command()], stdout=log, stderr=log, start_new_session=True, env=environment
        )
        wait_port(("127.0.0.1", self.port), self.process)
        time.sleep(0.3)

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()

    @property
    def hosts(self):
        return [f"h{n}.test" for n in range(self.spec.hosts)]


class Portcullis(Peer):
    name, program, port = "portcullis", "portcullis", 19610

    @classmethod
    def binary(cls, name):
        return os.path.join(ROOT, "target", "release", name)

    @classmethod
    def available(cls):
        return os.access(cls.binary("portcullis"), os.X_OK)

    def command(self):
        upstream = {
            "apiVersion": "gloo.solo.io/v1", "kind": "Upstream",
            "metadata": {"name": "backend", "namespace": "gloo-system"},
            "spec": {"static": {"hosts": [{"addr": self.backend[0], "port": self.backend[1]}]}, "useHttp2": self.spec.h2_upstream},
        }
        gateway = {
            "apiVersion": "gateway.solo.io/v1", "kind": "Gateway",
            "metadata": {"name": "gateway-proxy", "namespace": "gloo-system"},
            "spec": {"bindAddress": "127.0.0.1", "bindPort": self.port, "ssl": self.spec.tls, "httpGateway": {}},
        }
        destination = {"upstream": {"name": "backend", "namespace": "gloo-system"}}
        routes = []
        for route in self.spec.routes:
            matcher = {"prefix": route.prefix}
            if route.headers:
                matcher["headers"] = [{"name": name, "value": value} for name, value in route.headers]
            if len(route.split) > 1:
                action = {"multi": {"destinations": [{"destination": destination, "weight": weight} for weight in route.split]}}
            else:
                action = {"single": destination}
            options = {}
            if route.rewrite:
                options["prefixRewrite"] = route.rewrite
            if route.set_headers:
                options["headerManipulation"] = {
                    "requestHeadersToAdd": [{"header": {"key": k, "value": v}, "append": False} for k, v in route.set_headers]
                }
            routes.append({"matchers": [matcher], "routeAction": action, **({"options": options} if options else {})})
        documents = [gateway, upstream]
        for index, host in enumerate(self.hosts):
            spec = {"virtualHost": {"domains": [host, f"{host}:{self.port}"], "routes": routes}}
            if self.spec.tls:
                spec["sslConfig"] = {"sslFiles": {"tlsCert": self.cert[0], "tlsKey": self.cert[1]}}
            documents.append({
                "apiVersion": "gateway.solo.io/v1", "kind": "VirtualService",
                "metadata": {"name": f"vs-{index}", "namespace": "gloo-system"}, "spec": spec,
            })
        self.file("config/all.json", "\n---\n".join(json.dumps(document) for document in documents))
        shutil.rmtree(os.path.join(self.dir, "state"), ignore_errors=True)
        return [
            self.binary("portcullis"), "up", "--config", os.path.join(self.dir, "config"), "--workers", "1",
            "--data-dir", os.path.join(self.dir, "state"), "--admin", "127.0.0.1:19680",
        ]


class BarePingora(Peer):
    name, program, port = "pingora", "bare-pingora", 19620

    @classmethod
    def available(cls):
        return os.access(Portcullis.binary("bare-pingora"), os.X_OK)

    def command(self):
        command = [Portcullis.binary("bare-pingora"), f"127.0.0.1:{self.port}", "%s:%d" % self.backend]
        if self.spec.h2_upstream:
            command.append("--h2-upstream")
        if self.spec.tls:
            command += ["--tls", *self.cert]
        return command


class Envoy(Peer):
    name, program, port = "envoy", "envoy", 19630

    def command(self):
        def route(one):
            match = {"prefix": one.prefix}
            if one.headers:
                match["headers"] = [{"name": n, "string_match": {"exact": v}} for n, v in one.headers]
            if len(one.split) > 1:
                action = {"weighted_clusters": {"clusters": [{"name": "backend", "weight": w} for w in one.split]}}
            else:
                action = {"cluster": "backend"}
            if one.rewrite:
                action["prefix_rewrite"] = one.rewrite
            made = {"match": match, "route": action}
            if one.set_headers:
                made["request_headers_to_add"] = [
                    {"header": {"key": k, "value": v}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for k, v in one.set_headers
                ]
            return made

        typed = "type.googleapis.com/envoy.extensions."
        routes = [route(one) for one in self.spec.routes]
        manager = {
            "@type": typed + "filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "http",
            "normalize_path": True,
            "route_config": {"virtual_hosts": [
                {"name": host, "domains": [host, f"{host}:{self.port}"], "routes": routes} for host in self.hosts
            ]},
            "http_filters": [{"name": "router", "typed_config": {"@type": typed + "filters.http.router.v3.Router"}}],
        }
        chain = {"filters": [{"name": "http", "typed_config": manager}]}
        if self.spec.tls:
            chain["transport_socket"] = {"name": "tls", "typed_config": {
                "@type": typed + "transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_certificates": [{"certificate_chain": {"filename": self.cert[0]}, "private_key": {"filename": self.cert[1]}}],
                },
            }}
        cluster = {
            "name": "backend", "type": "STATIC", "connect_timeout": "5s",
            "circuit_breakers": {"thresholds": [{"max_connections": 10000, "max_requests": 10000, "max_pending_requests": 10000}]},
            "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [{"endpoint": {
                "address": {"socket_address": {"address": self.backend[0], "port_value": self.backend[1]}}}}]}]},
        }
        if self.spec.h2_upstream:
            cluster["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": typed + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}
        listener = {"name": "l", "address": {"socket_address": {"address": "127.0.0.1", "port_value": self.port}}, "filter_chains": [chain]}
        path = self.file("envoy.json", json.dumps({"static_resources": {"listeners": [listener], "clusters": [cluster]}}))
        return [which("envoy"), "-c", path, "--concurrency", "1", "-l", "error", "--base-id", "6130"]


class Nginx(Peer):
    name, program, port = "nginx", "nginx", 19640

    def command(self):
        listen = f"listen 127.0.0.1:{self.port}" + (" ssl http2" if self.spec.tls else "") + ";"
        tls = f"ssl_certificate {self.cert[0]}; ssl_certificate_key {self.cert[1]}; ssl_session_cache shared:s:10m;" if self.spec.tls else ""
        locations = []
        for index, route in enumerate(self.spec.routes):
            if route.headers:
                continue  # has no ordered header matching: the header routes are left out, which is in its favour
            headers = "".join(f"proxy_set_header {k} {v}; " for k, v in route.set_headers)
            target = "http://backend" + (route.rewrite or "")
            locations.append(f"location {route.prefix} {{ proxy_pass {target}; {headers} }}")
        servers = "\n".join(
            f"server {{ {listen} server_name {host}; {tls}\n" + "\n".join(locations) + "\n}" for host in self.hosts
        )
        path = self.file("nginx.conf", f"""
daemon off; worker_processes 1; pid {self.dir}/pid; error_log {self.dir}/error.log; worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off; keepalive_requests 1000000000; server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
  client_body_temp_path {self.dir}/body; proxy_temp_path {self.dir}/proxy; fastcgi_temp_path {self.dir}/f; uwsgi_temp_path {self.dir}/u; scgi_temp_path {self.dir}/s;
  upstream backend {{ server {self.backend[0]}:{self.backend[1]}; keepalive 4096; keepalive_requests 1000000000; }}
  proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
  {servers}
}}
""")
        return [which("nginx"), "-c", path]


class HAProxy(Peer):
    name, program, port = "haproxy", "haproxy", 19650

    def command(self):
        bind = f"bind 127.0.0.1:{self.port}"
        if self.spec.tls:
            pair = self.file("pair.pem", open(self.cert[0]).read() + open(self.cert[1]).read())
            bind += f" ssl crt {pair} alpn h2,http/1.1"
        rules = []
        for route in self.spec.routes:
            test = f"{{ path_beg {route.prefix} }} " + " ".join(f"{{ req.hdr({n}) -m str {v} }}" for n, v in route.headers)
            for key, value in route.set_headers:
                rules.append(f"  http-request set-header {key} {value} if {test}")
        options = " proto h2" if self.spec.h2_upstream else ""
        path = self.file("haproxy.cfg", f"""
global
  nbthread 1
  maxconn 32768
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  {bind}
{chr(10).join(rules)}
  default_backend out
backend out
  server one {self.backend[0]}:{self.backend[1]} pool-max-conn 4096{options}
""")
        return [which("haproxy"), "-db", "-f", path]


class Backend(Peer):
    """The upstream of all: nginx with 65-byte answers, on the load's core."""

    name, program, port = "backend", "nginx", BACKEND[1]

    def command(self):
        body = "x" * 65
        path = self.file("nginx.conf", f"""
daemon off; worker_processes 1; pid {self.dir}/pid; error_log {self.dir}/error.log; worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
  access_log off; keepalive_requests 1000000000; http2_max_requests 1000000000;
  client_body_temp_path {self.dir}/body; proxy_temp_path {self.dir}/proxy; fastcgi_temp_path {self.dir}/f; uwsgi_temp_path {self.dir}/u; scgi_temp_path {self.dir}/s;
  client_max_body_size 0;
  server {{ listen 127.0.0.1:{BACKEND[1]}; location / {{ return 200 "{body}"; }} }}
  server {{ listen 127.0.0.1:{BACKEND_H2[1]} http2; location / {{ return 200 "{body}"; }} }}
}}
""")
        return ["taskset", "-c", "1", which("nginx"), "-c", path]


PEERS_BY_NAME = {peer.name: peer for peer in (Portcullis, BarePingora, Envoy, Nginx, HAProxy)}
