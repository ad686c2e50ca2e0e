"""Envoy with one worker thread, static configuration, as Gloo Edge would make it for the same routes."""

import json

from .base import COLLECTOR_PORT, POOL, Peer, which

TYPED = "type.googleapis.com/envoy.extensions."

# The fields of our own access log.
LOG_FIELDS = {
    "time": "%START_TIME%", "listener": "%DOWNSTREAM_LOCAL_ADDRESS%", "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "protocol": "%PROTOCOL%", "method": "%REQ(:METHOD)%", "scheme": "%REQ(:SCHEME)%", "authority": "%REQ(:AUTHORITY)%",
    "path": "%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%", "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%",
    "virtual_host": "%VIRTUAL_CLUSTER_NAME%", "route": "%ROUTE_NAME%", "upstream": "%UPSTREAM_CLUSTER%",
    "endpoint": "%UPSTREAM_HOST%", "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "duration_ms": "%DURATION%",
    "upstream_ms": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%", "bytes_received": "%BYTES_RECEIVED%",
    "bytes_sent": "%BYTES_SENT%", "request_id": "%REQ(X-REQUEST-ID)%", "user_agent": "%REQ(USER-AGENT)%",
    "trace_id": "%TRACE_ID%",
}


def route(one):
    match, cluster = {"prefix": one.prefix}, f"backend-{one.upstream}"
    if one.headers:
        match["headers"] = [{"name": name, "string_match": {"exact": value}} for name, value in one.headers]
    if len(one.split) > 1:
        action = {"weighted_clusters": {"clusters": [{"name": cluster, "weight": weight} for weight in one.split]}}
    else:
        action = {"cluster": cluster}
    if one.rewrite:
        action["prefix_rewrite"] = one.rewrite
    made = {"match": match, "route": action}
    if one.set_headers:
        made["request_headers_to_add"] = [
            {"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"} for key, value in one.set_headers
        ]
    return made


def cluster(name, port, h2=False):
    made = {
        "name": name, "type": "STATIC", "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [{limit: POOL for limit in ("max_connections", "max_requests", "max_pending_requests")}]},
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [
            {"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}
        ]}]},
    }
    if h2:
        options = {"@type": TYPED + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}
        made["typed_extension_protocol_options"] = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
    return made


class Envoy(Peer):
    name = program = "envoy"

    def render(self):
        routes = [route(one) for one in self.spec.all_routes]
        manager = {
            "@type": TYPED + "filters.network.http_connection_manager.v3.HttpConnectionManager", "stat_prefix": "http",
            "normalize_path": True,
            "route_config": {"virtual_hosts": [{"name": host, "domains": [host], "routes": routes} for host in self.hosts]},
            "http_filters": [{"name": "router", "typed_config": {"@type": TYPED + "filters.http.router.v3.Router"}}],
        }
        clusters = [cluster(f"backend-{number}", self.upstream_port, self.spec.h2_upstream) for number in range(self.spec.upstreams)]
        if self.spec.telemetry:
            manager["access_log"] = [{"name": "file", "typed_config": {
                "@type": TYPED + "access_loggers.file.v3.FileAccessLog", "path": self.access_log,
                "log_format": {"json_format": LOG_FIELDS},
            }}]
            collector = {"uri": f"http://127.0.0.1:{COLLECTOR_PORT}/v1/traces", "cluster": "collector", "timeout": "5s"}
            manager["tracing"] = {"random_sampling": {"value": 1}, "provider": {"name": "otel", "typed_config": {
                "@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig", "service_name": "envoy",
                "http_service": {"http_uri": collector},
            }}}
            clusters.append(cluster("collector", COLLECTOR_PORT))
        chain = {"filters": [{"name": "http", "typed_config": manager}]}
        if self.spec.tls:
            pair = {"certificate_chain": {"filename": self.files.certificate}, "private_key": {"filename": self.files.key}}
            chain["transport_socket"] = {"name": "tls", "typed_config": {
                "@type": TYPED + "transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {"alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [pair]},
            }}
        address = {"socket_address": {"address": "127.0.0.1", "port_value": self.port}}
        listener = {"name": "listener", "address": address, "filter_chains": [chain]}
        config = {"static_resources": {"listeners": [listener], "clusters": clusters}}
        self.config = self.file("envoy.json", json.dumps(config))
        # Each Envoy of a host needs a base id of its own.
        return [which("envoy"), "-c", self.config, "--concurrency", "1", "-l", "error", "--base-id", str(self.port)]

    def check(self):
        return [which("envoy"), "--mode", "validate", "-c", self.config, "-l", "error", "--base-id", str(self.port)]
