"""nginx with one worker process."""

import process

from .base import POOL, Peer, which


def folders(directory):
    """Where nginx would write; all inside the peer's folder."""
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in kinds)


def main(directory, http):
    """The part around the http block, for the proxy and for the upstream."""
    files = process.open_files()
    return f"""
daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log crit; worker_rlimit_nofile {files};
events {{ worker_connections {min(files, 65536)}; }}
http {{
  access_log off; {folders(directory)}
  keepalive_requests 1000000000; client_max_body_size 0; tcp_nopush on; sendfile on;
{http}
}}
"""


class Nginx(Peer):
    name = program = "nginx"

    def location(self, one):
        action = "grpc_pass grpc://" if self.spec.h2_upstream else "proxy_pass http://"
        set_header = "grpc_set_header" if self.spec.h2_upstream else "proxy_set_header"
        lines = [f"{action}backend-{one.upstream}{one.rewrite or ''};", f'{set_header} Host $host;']
        if not self.spec.h2_upstream:
            lines.append('proxy_set_header Connection "";')
        lines += [f"{set_header} {key} {value};" for key, value in one.set_headers]
        return f"  location {one.prefix} {{ {' '.join(lines)} }}"

    def render(self):
        listen = f"listen 127.0.0.1:{self.port}{' ssl http2' if self.spec.tls else ''};"
        tls = ""
        if self.spec.tls:
            tls = (f"ssl_certificate {self.files.certificate}; ssl_certificate_key {self.files.key}; "
                   "ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:s:10m; ssl_session_tickets on;")
        upstreams = "\n".join(
            f"  upstream backend-{number} {{ server 127.0.0.1:{self.upstream_port}; keepalive {POOL}; keepalive_requests 1000000000; }}"
            for number in range(self.spec.upstreams)
        )
        # It has no ordered matching by header: routes with header matchers are left out, which is in its favour.
        locations = "\n".join(self.location(one) for one in self.spec.all_routes if not one.headers)
        servers = "\n".join(f"  server {{ {listen} server_name {host}; {tls}\n{locations}\n  }}" for host in self.hosts)
        # Bodies are streamed, as by the others, not collected first.
        self.config = self.file("nginx.conf", main(self.dir, f"""
  server_names_hash_max_size 65536; server_names_hash_bucket_size 128;
  proxy_http_version 1.1; proxy_request_buffering off; proxy_max_temp_file_size 0;
{upstreams}
{servers}"""))
        return [which("nginx"), "-c", self.config]

    def check(self):
        return [which("nginx"), "-t", "-q", "-c", self.config]
