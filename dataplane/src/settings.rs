//! What the operator sets: flags, each with an environment variable, so that `portcullis up`, systemd units and pods
//! use the same words. Nothing here is about traffic; that comes from control.

#![allow(rustdoc::invalid_html_tags, reason = "the comments are the help texts of a terminal")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use portcullis_shared::telemetry::LogFormat;

const EXAMPLES: &str = "\
Examples:
  # beside control on one host
  portcullis-dataplane --link /run/portcullis/link.sock --data-dir /var/lib/portcullis --threads 4

  # a pod, with mutual TLS to control
  portcullis-dataplane --link-tcp control.gateway.svc:9977 \\
      --link-ca /tls/ca.crt --link-cert /tls/tls.crt --link-key /tls/tls.key --worker-id \"$HOSTNAME\"

Every flag can be given as the environment variable that its description names. Logs go to standard error
as JSON lines (--log-format text for a person); RUST_LOG sets the level (info), OTEL_EXPORTER_OTLP_ENDPOINT and the other OTEL_* variables set up traces.

Signals: SIGTERM or SIGINT drains (stop accepting, let requests finish up to --drain-timeout, exit 0); a second one
exits at once. SIGUSR2 starts a successor (an upgrade: the program is read anew), and drains when that one serves.
SIGHUP and SIGUSR1 open the access log anew. With PORTCULLIS_SUPERVISED=1 the end of standard input drains as well,
and SIGUSR2 only drains: the parent has started the successor.";

/// A Portcullis data plane worker: terminates TLS, routes and proxies HTTP as control tells it to.
///
/// It takes its configuration from control over the private link and goes on serving the last one when control is
/// away, also after a restart (from its cache in --data-dir).
#[derive(Debug, Clone, Parser)]
#[command(name = "portcullis-dataplane", version, args_override_self = true, after_help = EXAMPLES, max_term_width = 110)]
pub struct Settings {
    /// Unix socket of control.
    #[arg(long, env = "PORTCULLIS_LINK", value_name = "PATH", required_unless_present = "link_tcp")]
    pub link: Option<PathBuf>,

    /// Address of control over the network; needs --link-ca, --link-cert and --link-key (there is no plain-text mode).
    #[arg(
        long,
        env = "PORTCULLIS_LINK_TCP",
        value_name = "HOST:PORT",
        conflicts_with = "link",
        requires_all = ["link_ca", "link_cert", "link_key"]
    )]
    pub link_tcp: Option<String>,

    /// PEM file with the authority that signed control's certificate.
    #[arg(long, env = "PORTCULLIS_LINK_CA", value_name = "FILE")]
    pub link_ca: Option<PathBuf>,

    /// PEM file with this worker's certificate chain for the link.
    #[arg(long, env = "PORTCULLIS_LINK_CERT", value_name = "FILE")]
    pub link_cert: Option<PathBuf>,

    /// PEM file with the key of --link-cert.
    #[arg(long, env = "PORTCULLIS_LINK_KEY", value_name = "FILE")]
    pub link_key: Option<PathBuf>,

    /// Name that control's certificate must have. [default: the host of --link-tcp]
    #[arg(long, env = "PORTCULLIS_LINK_SERVER_NAME", value_name = "NAME")]
    pub link_server_name: Option<String>,

    /// Name of the proxy that this worker is part of: a Gateway's `proxyNames`.
    #[arg(long, env = "PORTCULLIS_PROXY_NAME", value_name = "NAME", default_value = "gateway-proxy")]
    pub proxy_name: String,

    /// Name of this worker, the same after a restart: control's `get workers` and the cache folder use it.
    #[arg(long, env = "PORTCULLIS_WORKER_ID", value_name = "NAME", default_value = "worker-0", value_parser = worker_id)]
    pub worker_id: String,

    /// Folder for the cache of the last good table (<data-dir>/<worker-id>-cache). Without it nothing is kept.
    #[arg(long, env = "PORTCULLIS_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// File of exactly 32 random bytes that seals private keys in the cache. Without it the cache holds none, and
    /// HTTPS listeners started from the cache wait for control. [default: $CREDENTIALS_DIRECTORY/cache-key if there]
    #[arg(long, env = "PORTCULLIS_CACHE_KEY_FILE", value_name = "FILE")]
    pub cache_key_file: Option<PathBuf>,

    /// Where /healthz, /readyz and /metrics are served.
    #[arg(long, env = "PORTCULLIS_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:19001")]
    pub admin: SocketAddr,

    /// Data threads; each accepts and serves connections of its own.
    #[arg(long, env = "PORTCULLIS_THREADS", value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=512))]
    pub threads: u16,

    /// How long requests may take to finish after SIGTERM, and connections after their listener was removed.
    #[arg(long, env = "PORTCULLIS_DRAIN_TIMEOUT", value_name = "DURATION", default_value = "5s", value_parser = humantime::parse_duration)]
    pub drain_timeout: Duration,

    /// How long WebSockets, other tunnels and gRPC streams may go on after SIGTERM: they seldom end by themselves. Each
    /// that is cut has a line in the access log, reason "drained". [default: --drain-timeout]
    #[arg(long, env = "PORTCULLIS_DRAIN_STREAMS", value_name = "DURATION", value_parser = humantime::parse_duration)]
    pub drain_streams: Option<Duration>,

    /// How log lines look: json, or text for a person.
    #[arg(long, env = "PORTCULLIS_LOG_FORMAT", value_name = "FORMAT", default_value = "json")]
    pub log_format: LogFormat,

    /// Client connections at one time, over all threads; more are closed at once. Lowered at start to what the
    /// limit of open files allows (two per connection, one of them towards the upstream, and 256 spare).
    #[arg(long, env = "PORTCULLIS_MAX_CONNECTIONS", value_name = "N", default_value_t = 65_536)]
    pub max_connections: usize,

    /// Memory that this worker may use, such as 512MiB; "off" for no limit. At 85 % it takes no new connections, at 95 %
    /// it answers requests with 503. [default: 90 % of the control group's limit, else 75 % of the machine's memory;
    /// `portcullis up` divides that among its workers]
    #[arg(long, env = "PORTCULLIS_MAX_MEMORY", value_name = "SIZE", value_parser = portcullis_shared::memory::parse_size)]
    pub max_memory: Option<portcullis_shared::memory::Size>,

    /// Let the system write core dumps, and programs of the same user look into this process: both show private keys.
    #[arg(long, env = "PORTCULLIS_ALLOW_CORE_DUMPS", value_parser = clap::builder::BoolishValueParser::new(), num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    pub allow_core_dumps: bool,

    /// Where the access log goes, one JSON object per request: a file, "-" for standard output, or "off".
    #[arg(long, env = "PORTCULLIS_ACCESS_LOG", value_name = "FILE", default_value = "-")]
    pub access_log: String,
}

impl Settings {
    /// How long streams may go on while the worker drains.
    #[must_use]
    pub fn stream_patience(&self) -> Duration {
        self.drain_streams.map_or(self.drain_timeout, |streams| streams.min(self.drain_timeout))
    }

    /// The file of the key that seals private keys in the cache, if there is to be one.
    #[must_use]
    pub fn cache_key(&self) -> Option<PathBuf> {
        if self.cache_key_file.is_some() {
            return self.cache_key_file.clone();
        }
        let file = PathBuf::from(std::env::var_os("CREDENTIALS_DIRECTORY")?).join("cache-key");
        file.exists().then_some(file)
    }
}

/// A worker's name becomes a file name and a metric's label.
fn worker_id(text: &str) -> Result<String, String> {
    let fits = !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && !text.starts_with('.');
    if fits {
        Ok(text.to_owned())
    } else {
        Err("up to 128 letters, digits, '-', '_' and '.', not starting with '.'".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Settings, clap::Error> {
        Settings::try_parse_from([&["portcullis-dataplane"], arguments].concat())
    }

    #[test]
    fn a_unix_socket_is_all_it_needs() {
        let settings = parse(&["--link", "/run/link.sock"]).unwrap();
        assert_eq!(settings.worker_id, "worker-0");
        assert_eq!(settings.proxy_name, "gateway-proxy");
        assert_eq!(settings.drain_timeout, Duration::from_secs(5));
        assert_eq!(settings.admin.to_string(), "127.0.0.1:19001");
    }

    #[test]
    fn a_network_link_needs_its_certificates() {
        let error = parse(&["--link-tcp", "control:9977"]).unwrap_err().to_string();
        assert!(error.contains("--link-ca"), "{error}");
        let all = ["--link-tcp", "control:9977", "--link-ca", "a", "--link-cert", "b", "--link-key", "c"];
        parse(&all).unwrap();
    }

    #[test]
    fn wrong_values_are_refused() {
        for arguments in [
            &[][..],
            &["--link", "a", "--worker-id", "a/b"],
            &["--link", "a", "--worker-id", ".."],
            &["--link", "a", "--threads", "0"],
            &["--link", "a", "--drain-timeout", "soon"],
        ] {
            assert!(parse(arguments).is_err(), "{arguments:?}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        <Settings as clap::CommandFactory>::command().debug_assert();
    }
}
