//! What the process is told: flags, each with an environment variable.

#![allow(rustdoc::invalid_html_tags, reason = "the comments are the help texts of a terminal")]

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use portcullis_shared::telemetry::LogFormat;
use portcullis_shared::transport::{Bind, TlsFiles};

/// Owns the configuration of Portcullis and streams it to the data plane workers.
///
/// Reads Gloo Edge resources (Gateway, VirtualService, RouteTable, Upstream, UpstreamGroup, Secret ...) from a folder,
/// follows its changes, validates them and sends compiled tables to every worker that connects to its link. Workers
/// keep serving while this process is away.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis-control",
    version,
    after_help = "Examples:\n  \
        portcullis-control --config /etc/portcullis/config\n  \
        portcullis-control --config ./config --data-dir ./state --admin 127.0.0.1:0\n\n\
        A person usually starts `portcullis up`, which runs this program and its workers.\n\
        Logs go to stderr; PORTCULLIS_LOG=debug or RUST_LOG choose what is logged."
)]
pub struct Settings {
    /// Folder with the resources: *.yaml, *.yml and *.json at any depth, many documents a file.
    #[arg(long, env = "PORTCULLIS_CONFIG", value_name = "DIR")]
    pub config: PathBuf,

    /// Folder for what is remembered over restarts: the last accepted form of each resource. One process at a time.
    #[arg(long, env = "PORTCULLIS_DATA_DIR", value_name = "DIR", default_value = "/var/lib/portcullis")]
    pub data_dir: PathBuf,

    /// Address of /healthz, /readyz, /metrics and of the API that `portcullis get` asks. Unauthenticated: keep it local.
    #[arg(long, env = "PORTCULLIS_ADMIN", value_name = "ADDR", default_value = "127.0.0.1:19000")]
    pub admin: SocketAddr,

    /// Unix socket for workers on this host [default: <data-dir>/link.sock]. Mode 0660; peers must be root, of the same
    /// user or of the same group.
    #[arg(long, env = "PORTCULLIS_LINK", value_name = "PATH")]
    pub link: Option<PathBuf>,

    /// Also listen for workers on TCP, with mutual TLS. The worker's certificate names its proxy as
    /// `spiffe://<trust domain>/proxy/<proxy name>`.
    #[arg(long, env = "PORTCULLIS_LINK_TCP", value_name = "ADDR",
          requires_all = ["link_tls_cert", "link_tls_key", "link_tls_ca"])]
    pub link_tcp: Option<SocketAddr>,

    /// Certificate chain for --link-tcp, PEM.
    #[arg(long, env = "PORTCULLIS_LINK_TLS_CERT", value_name = "FILE")]
    pub link_tls_cert: Option<PathBuf>,

    /// Private key for --link-tcp, PEM.
    #[arg(long, env = "PORTCULLIS_LINK_TLS_KEY", value_name = "FILE")]
    pub link_tls_key: Option<PathBuf>,

    /// Authorities that sign the workers' certificates, PEM.
    #[arg(long, env = "PORTCULLIS_LINK_TLS_CA", value_name = "FILE")]
    pub link_tls_ca: Option<PathBuf>,

    /// Namespace that Gateways and Settings are read from, and that resources without a namespace belong to.
    #[arg(long, env = "POD_NAMESPACE", value_name = "NAME", default_value = "gloo-system")]
    pub namespace: String,

    /// Build after this long without a further change.
    #[arg(long, env = "PORTCULLIS_DEBOUNCE", value_name = "DURATION", default_value = "1ms",
          value_parser = humantime::parse_duration)]
    pub debounce: Duration,

    /// Build at the latest this long after the first change, however many follow.
    #[arg(long, env = "PORTCULLIS_DEBOUNCE_MAX", value_name = "DURATION", default_value = "100ms",
          value_parser = humantime::parse_duration)]
    pub debounce_max: Duration,

    /// Let the system write core dumps, and programs of the same user look into this process: both show private keys.
    #[arg(long, env = "PORTCULLIS_ALLOW_CORE_DUMPS", value_parser = clap::builder::BoolishValueParser::new(),
          num_args = 0..=1, default_value = "false", default_missing_value = "true")]
    pub allow_core_dumps: bool,

    /// How log lines look: json, or text for a person.
    #[arg(long, env = "PORTCULLIS_LOG_FORMAT", value_name = "FORMAT", default_value = "json")]
    pub log_format: LogFormat,
}

impl Settings {
    /// Where to listen for workers: the unix socket first.
    #[must_use]
    pub fn links(&self) -> Vec<Bind> {
        let socket = self.link.clone().unwrap_or_else(|| self.data_dir.join("link.sock"));
        let mut binds = vec![Bind::Unix(socket)];
        let files = (&self.link_tls_cert, &self.link_tls_key, &self.link_tls_ca);
        if let (Some(address), (Some(cert), Some(key), Some(ca))) = (self.link_tcp, files) {
            let files = TlsFiles { certificate: cert.clone(), key: key.clone(), ca: ca.clone() };
            binds.push(Bind::Tls { address, files });
        }
        binds
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_flags_are_consistent() {
        Settings::command().debug_assert();
    }

    #[test]
    fn the_socket_stands_in_the_data_directory_unless_it_is_named() {
        let settings = Settings::parse_from(["x", "--config", "c", "--data-dir", "/d"]);
        assert!(
            matches!(settings.links().as_slice(), [Bind::Unix(path)] if path == &PathBuf::from("/d/link.sock"))
        );
        let settings = Settings::parse_from(["x", "--config", "c", "--link", "/run/l.sock"]);
        assert!(
            matches!(settings.links().as_slice(), [Bind::Unix(path)] if path == &PathBuf::from("/run/l.sock"))
        );
    }

    #[test]
    fn tcp_needs_all_three_files() {
        let error =
            Settings::try_parse_from(["x", "--config", "c", "--link-tcp", "0.0.0.0:9977"]).unwrap_err();
        assert!(error.to_string().contains("--link-tls-cert"), "{error}");
    }
}
