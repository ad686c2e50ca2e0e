//! The grammar of the command line: every argument, its default and its help text.
//!
//! Must not do anything; the commands live in the sibling modules.

#![allow(rustdoc::invalid_html_tags, reason = "the comments are the help texts of a terminal")]

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use portcullis_shared::telemetry::LogFormat;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where control listens for the command line unless told otherwise.
pub const DEFAULT_ADMIN: &str = "127.0.0.1:19000";

/// An API gateway that serves Gloo Edge resources from a folder of YAML.
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    about = "An API gateway that serves Gloo Edge resources from a folder of YAML",
    arg_required_else_help = true,
    disable_help_subcommand = true,
    after_help = "\
Examples:
  portcullis check -f ./config             is this folder valid?
  portcullis up --config ./config          serve it, with one worker per core
  portcullis get vs                        which virtual services are served?
  portcullis explain GET http://shop.example.com/cart -f ./config

Exit status: 0 done, 1 the answer is no (rejected, not found, not reachable), 2 wrong usage."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve a folder of resources: control and workers in the foreground
    Up(UpArgs),
    /// Validate a folder of resources without serving it
    Check(CheckArgs),
    /// Show resources and workers of a running gateway
    Get(GetArgs),
    /// Say which route a request takes, and why
    Explain(ExplainArgs),
    /// Run a small demo upstream that answers JSON about the request it got
    Hello(HelloArgs),
    /// Print a shell completion script
    #[command(after_help = "\
Examples:
  portcullis completions bash > /etc/bash_completion.d/portcullis
  portcullis completions zsh > ~/.zfunc/_portcullis
  portcullis completions fish > ~/.config/fish/completions/portcullis.fish")]
    Completions {
        /// The shell to print it for
        shell: Shell,
    },
    /// Print the version
    Version,
}

/// `portcullis up`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis up --config ./config
  portcullis up --config ./config --workers 4 --data-dir /var/lib/portcullis
  portcullis up --config ./config --access-log off

The programs portcullis-control and portcullis-dataplane are looked for beside
this one, then in PATH; PORTCULLIS_CONTROL_BIN and PORTCULLIS_DATAPLANE_BIN name
them. OTEL_* and RUST_LOG reach all of them. Worker i answers /healthz, /readyz
and /metrics on the admin port + 1 + i.

Ctrl-C or SIGTERM drains the workers and ends with 0; a second one does not wait
for open requests. SIGHUP replaces control and the workers by new processes, one at a
time, without losing a request: after an upgrade of the programs.")]
pub struct UpArgs {
    /// Folder of YAML or JSON resources; watched, so that edits take effect at once
    #[arg(long, short = 'f', value_name = "DIR", env = "PORTCULLIS_CONFIG")]
    pub config: PathBuf,
    /// Number of worker processes [default: number of cores]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub workers: Option<u16>,
    /// Where control and workers keep their last good state [default: $STATE_DIRECTORY, else
    /// $XDG_STATE_HOME/portcullis/<folder>-<hash>, else ~/.local/state/portcullis/<folder>-<hash>]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Address of control's admin API, /healthz, /readyz and /metrics; port 0 takes a free range
    #[arg(long, value_name = "ADDR", env = "PORTCULLIS_ADMIN", default_value = DEFAULT_ADMIN)]
    pub admin: SocketAddr,
    /// Namespace of resources that name none
    #[arg(long, short, value_name = "NS", default_value = "gloo-system")]
    pub namespace: String,
    /// How log lines look: json or text [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT", env = "PORTCULLIS_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Where workers write the access log, one JSON object per request: "-" for standard output, "off", or a file
    /// that all of them append to
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_ACCESS_LOG", default_value = "-")]
    pub access_log: PathBuf,
    /// How long workers may finish open requests after SIGTERM
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = humantime::parse_duration)]
    pub drain: std::time::Duration,
}

/// `portcullis check`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis check -f ./config
  portcullis check -f ./config -o json | jq '.resources[] | select(.state == \"Rejected\")'

Text is one message a line, `file:line:column: error: field: message`, grouped by
resource, then a summary.

JSON is stable: {accepted, summary: {resources, accepted, warning, rejected,
problems, notices}, resources: [{kind, namespace, name, state, reason, file, line,
findings}], problems: [finding], notices: [finding]}, where a finding is {level,
path, message, file, line, column}. Problems are documents that cannot be used at
all, notices are documents of kinds that are not served.

Exit status: 0 everything is accepted (warnings allowed), 1 something is rejected
or unreadable, 2 wrong usage.")]
pub struct CheckArgs {
    /// Folder (or one file) of YAML or JSON resources
    #[arg(long = "file", short = 'f', value_name = "DIR")]
    pub folder: PathBuf,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = TextOrJson::Text)]
    pub output: TextOrJson,
    /// Namespace of resources that name none
    #[arg(long, short, value_name = "NS", default_value = "gloo-system")]
    pub namespace: String,
}

/// `portcullis get`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis get all
  portcullis get vs
  portcullis get vs shop -n gloo-system -o yaml
  portcullis get workers -o wide
  portcullis get us -o name

STATE is Accepted, Warning or Rejected; SERVED says how many workers run the
present form of a resource.

Exit status: 0 found, 1 no resource of that NAME or control is not reachable,
2 wrong usage.")]
pub struct GetArgs {
    /// What to list; gw, hgw, tgw, vs, rt, us, ug and the singular forms work too
    #[arg(value_enum, value_name = "KIND")]
    pub kind: GetKind,
    /// Only the resource of this name
    #[arg(value_name = "NAME")]
    pub name: Option<String>,
    /// Only resources of this namespace [default: all]
    #[arg(long, short, value_name = "NS")]
    pub namespace: Option<String>,
    /// How to print; a table without this
    #[arg(long, short, value_enum)]
    pub output: Option<GetOutput>,
    /// Address of control's admin API
    #[arg(long, value_name = "ADDR", env = "PORTCULLIS_ADMIN", default_value = DEFAULT_ADMIN)]
    pub admin: String,
}

/// What `get` can list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GetKind {
    /// Gateways.
    #[value(name = "gateways", aliases = ["gateway", "gw", "ggw"])]
    Gateways,
    /// MatchableHttpGateways.
    #[value(name = "httpgateways", aliases = ["httpgateway", "matchablehttpgateway", "matchablehttpgateways", "hgw", "ghgw"])]
    HttpGateways,
    /// MatchableTcpGateways.
    #[value(name = "tcpgateways", aliases = ["tcpgateway", "matchabletcpgateway", "matchabletcpgateways", "tgw", "gtgw"])]
    TcpGateways,
    /// VirtualServices.
    #[value(name = "virtualservices", aliases = ["virtualservice", "vs", "gvs"])]
    VirtualServices,
    /// RouteTables.
    #[value(name = "routetables", aliases = ["routetable", "rt", "grt"])]
    RouteTables,
    /// Upstreams.
    #[value(name = "upstreams", aliases = ["upstream", "us", "gus"])]
    Upstreams,
    /// UpstreamGroups.
    #[value(name = "upstreamgroups", aliases = ["upstreamgroup", "ug", "gug"])]
    UpstreamGroups,
    /// Data plane workers.
    #[value(name = "workers", aliases = ["worker", "wk"])]
    Workers,
    /// Every resource, then the workers.
    #[value(name = "all")]
    All,
}

/// How `get` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GetOutput {
    /// A table with more columns.
    Wide,
    /// JSON.
    Json,
    /// YAML, resources as the user wrote them with their status.
    Yaml,
    /// `kind/name`, one a line.
    Name,
}

/// Two ways to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TextOrJson {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// `portcullis explain`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis explain GET http://shop.example.com/cart
  portcullis explain POST https://api.example.com/v2/pay -H 'x-stage: canary' -f ./config
  portcullis explain GET http://127.0.0.1:8080/ -H 'Host: shop.example.com' -o json
  portcullis explain https://shop.example.com/ --from 10.1.2.3
  portcullis explain tcp://127.0.0.1:5432 --sni orders.example.com

https looks at TLS listeners and sends the host as SNI. A port in the URL picks the
listener on it; without one the lowest port of the scheme is taken. As with curl, the port is part of the Host unless it
is 80 for http or 443 for https; -H 'Host: ...' replaces the Host. tcp asks what becomes
of a connection; with --sni its client begins TLS.

Exit status: 0 a route was found, 1 none was (the gateway answers 404), 2 wrong
usage.")]
pub struct ExplainArgs {
    /// Request method; left out, it is GET
    #[arg(value_name = "METHOD")]
    pub method: String,
    /// Request URL with scheme and host
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// Request header, `name: value`; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    pub headers: Vec<String>,
    /// Server name in the TLS handshake, in place of the URL's host; empty for none
    #[arg(long, value_name = "NAME")]
    pub sni: Option<String>,
    /// Address of the client, for gateways that choose by it
    #[arg(long, value_name = "IP")]
    pub from: Option<String>,
    /// Use this folder (or file) instead of asking control
    #[arg(long = "file", short = 'f', value_name = "DIR")]
    pub folder: Option<PathBuf>,
    /// How to print
    #[arg(long, short, value_enum, default_value_t = TextOrJson::Text)]
    pub output: TextOrJson,
    /// Namespace of resources that name none (with --file)
    #[arg(long, short, value_name = "NS", default_value = "gloo-system")]
    pub namespace: String,
    /// Address of control's admin API
    #[arg(long, value_name = "ADDR", env = "PORTCULLIS_ADMIN", default_value = DEFAULT_ADMIN)]
    pub admin: String,
}

impl ExplainArgs {
    /// Method and URL.
    pub fn question(&self) -> (&str, &str) {
        match &self.url {
            Some(url) => (&self.method, url),
            None => ("GET", &self.method),
        }
    }
}

/// `portcullis hello`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  portcullis hello --listen 127.0.0.1:9001 --name v1
  portcullis hello --listen 127.0.0.1:9443 --name tls --tls-cert cert.pem --tls-key key.pem
  portcullis hello --listen 127.0.0.1:9002 --name slow --delay 2s --status 503

Speaks HTTP/1.1 and HTTP/2 (prior knowledge, or ALPN with TLS). /healthz answers 200 at once.")]
pub struct HelloArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9001")]
    pub listen: SocketAddr,
    /// What to call itself in answers
    #[arg(long, default_value = "hello")]
    pub name: String,
    /// Status of the answers
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(200..=599))]
    pub status: u16,
    /// Wait before answering
    #[arg(long, value_name = "DURATION", default_value = "0s", value_parser = humantime::parse_duration)]
    pub delay: std::time::Duration,
    /// PEM file with the certificate chain; TLS instead of plain text
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the private key
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}
