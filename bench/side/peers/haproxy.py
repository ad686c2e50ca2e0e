"""HAProxy with one thread."""

import process

from .base import POOL, Peer, which


class HAProxy(Peer):
    name = program = "haproxy"

    def render(self):
        bind = f"bind 127.0.0.1:{self.port}"
        if self.spec.tls:
            with open(self.files.certificate) as certificate, open(self.files.key) as key:
                pair = self.file("pair.pem", certificate.read() + key.read())
            bind += f" ssl crt {pair} alpn h2,http/1.1"
        rules = []
        for route in self.spec.all_routes:
            tests = [f"{{ path_beg {route.prefix} }}", *(f"{{ req.hdr({name}) -m str {value} }}" for name, value in route.headers)]
            for key, value in route.set_headers:
                rules.append(f"  http-request set-header {key} {value} if {' '.join(tests)}")
        protocol = " proto h2" if self.spec.h2_upstream else ""
        # It wants two descriptors a connection and some more, and does not start without.
        self.config = self.file("haproxy.cfg", f"""
global
  nbthread 1
  maxconn {min(32768, (process.open_files() - 500) // 2)}
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  timeout http-keep-alive 600s
  http-reuse always
frontend in
  {bind}
{chr(10).join(rules)}
  default_backend out
backend out
  server one 127.0.0.1:{self.upstream_port} pool-max-conn {POOL}{protocol}
""")
        return [which("haproxy"), "-db", "-f", self.config]

    def check(self):
        return [which("haproxy"), "-c", "-q", "-f", self.config]
