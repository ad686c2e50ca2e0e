//! A gateway with everything that changes and kills are tried on.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::backend::{Scripted, upstream};
use crate::client::{self, Tls};
use crate::gateway::Gateway;
use crate::load::{Allowed, Ask, How, echoing, named};
use crate::pki::Ca;
use crate::wait::until;
use crate::yaml::{forward, listener, secure, virtual_service, weighted};

/// A gateway with two upstreams `v1` and `v2`, a tunnel's upstream, and three virtual hosts: `still.test`, which does not
/// change, `moving.test` and `tls.test`.
pub struct Scene {
    /// The gateway.
    pub gateway: Gateway,
    /// Who signs the certificates of `tls.test`.
    pub ca: Ca,
    /// Who may answer `moving.test`.
    pub moving: Arc<Allowed>,
    _upstreams: [Scripted; 2],
}

impl Scene {
    /// Writes the files; the gateway is not started yet.
    pub async fn new(gateway: Gateway) -> Self {
        let upstreams = [named(gateway.ip, "v1").await, named(gateway.ip, "v2").await];
        let tunnels = echoing(gateway.ip).await;
        gateway.write(
            "upstreams.yaml",
            &(upstream("v1", upstreams[0].address, "")
                + &upstream("v2", upstreams[1].address, "")
                + &upstream("ws", tunnels, "")),
        );
        let still = forward("/ws", "ws") + &forward("/", "v1");
        gateway.write("still.yaml", &virtual_service("still", "['still.test']", &still));
        let ca = Ca::new("load");
        gateway.write("secret.yaml", &ca.issue(&["tls.test"]).secret("tls", None));
        gateway.write("tls.yaml", &secure("tls", "tls.test", "tls", &forward("/", "v1")));
        let scene = Self { gateway, ca, moving: Allowed::these(&["v1"]), _upstreams: upstreams };
        scene.route("v1");
        scene
    }

    /// Starts it and waits until all of it is served.
    pub async fn start(&mut self, env: &[(&str, String)]) {
        self.gateway.start_again(env).await;
        until("TLS", async || Tls::trusting(&self.ca).get(self.gateway.https(), "tls.test", "/").await.ok())
            .await;
    }

    /// `moving.test` goes to one upstream.
    pub fn route(&self, name: &str) {
        self.gateway.write("moving.yaml", &virtual_service("moving", "['moving.test']", &forward("/", name)));
    }

    /// `moving.test` is split.
    pub fn weigh(&self, weights: [u32; 2]) {
        let route = weighted(&[("v1", weights[0]), ("v2", weights[1])]);
        self.gateway.write("moving.yaml", &virtual_service("moving", "['moving.test']", &route));
    }

    /// A third plain listener, beside the usual two.
    #[must_use]
    pub fn third(&self) -> SocketAddr {
        SocketAddr::from((self.gateway.ip, 8081))
    }

    /// It is there from now on, or not.
    pub async fn with_third(&self, there: bool) {
        let mut all = self.gateway.listeners();
        if there {
            all += &listener("third", self.gateway.ip, self.third().port());
        }
        self.gateway.write("gateways.yaml", &all);
        until("the third listener to come or go", async || {
            (client::get(self.third(), "/").await.is_ok() == there).then_some(())
        })
        .await;
    }

    /// Clients of all kinds for all hosts.
    #[must_use]
    pub fn asks(&self) -> Vec<Ask> {
        let plain = |host, how, allowed: &Arc<Allowed>| Ask {
            address: self.gateway.http(),
            host,
            tls: None,
            how,
            allowed: Arc::clone(allowed),
        };
        let v1 = Allowed::these(&["v1"]);
        let mut asks = Vec::new();
        for how in [How::Fresh, How::Kept, How::Http2] {
            asks.push(plain("still.test", how, &v1));
            asks.push(plain("moving.test", how, &self.moving));
            let tls = Some(Tls::trusting(&self.ca));
            let address = self.gateway.https();
            asks.push(Ask { address, host: "tls.test", tls, how, allowed: Arc::clone(&v1) });
        }
        asks
    }

    /// Waits until `moving.test` is answered by this one alone, then says so to the clients.
    pub async fn settled(&self, name: &'static str) {
        until("the new route", async || {
            let answer =
                client::request(self.gateway.http(), "GET", "moving.test", "/x", &[], "").await.ok()?;
            (answer.text() == format!("{name} /x")).then_some(())
        })
        .await;
        self.moving.set(&[name]);
    }

    /// `tls.test` has another certificate from now on.
    pub async fn certificate(&self) {
        let pair = self.ca.issue(&["tls.test"]);
        self.gateway.write("secret.yaml", &pair.secret("tls", None));
        let (chain, _) = pair.rustls();
        until("the new certificate", async || {
            let stream = Tls::trusting(&self.ca).connect(self.gateway.https(), "tls.test").await.ok()?;
            let shown = stream.get_ref().1.peer_certificates()?.first()?.clone();
            (Some(&shown) == chain.first()).then_some(())
        })
        .await;
    }
}
