//! A pingora-proxy that does nothing but forward: what a user of Pingora gets without a gateway on top.
//!
//! `bare-pingora LISTEN UPSTREAM [--h2-upstream] [--tls CERTIFICATE KEY]`

use async_trait::async_trait;
use pingora_core::listeners::tls::TlsSettings;
use pingora_core::prelude::*;
use pingora_core::protocols::ALPN;
use pingora_core::server::configuration::ServerConf;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};

struct Forward {
    upstream: String,
    h2: bool,
}

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, (): &mut ()) -> Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(&self.upstream, false, String::new());
        if self.h2 {
            peer.options.alpn = ALPN::H2;
            peer.options.max_h2_streams = 100;
        }
        Ok(Box::new(peer))
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let mut listen = None;
    let mut upstream = None;
    let mut h2 = false;
    let mut tls = None;
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--h2-upstream" => h2 = true,
            "--tls" => tls = arguments.next().zip(arguments.next()),
            _ if listen.is_none() => listen = Some(argument),
            _ => upstream = Some(argument),
        }
    }
    let (Some(listen), Some(upstream)) = (listen, upstream) else {
        return Err("usage: bare-pingora LISTEN UPSTREAM [--h2-upstream] [--tls CERTIFICATE KEY]".into());
    };
    // As many idle upstream connections as requests may be in flight: the default of 128 would be the bottleneck.
    let conf = ServerConf { threads: 1, upstream_keepalive_pool_size: 4096, ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    let mut service = http_proxy_service(&server.configuration, Forward { upstream, h2 });
    match tls {
        Some((certificate, key)) => {
            let mut settings = TlsSettings::intermediate(&certificate, &key)?;
            settings.enable_h2();
            service.add_tls_with_settings(&listen, None, settings);
        }
        None => service.add_tcp(&listen),
    }
    server.add_service(service);
    server.run_forever()
}
