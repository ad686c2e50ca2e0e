use std::sync::Arc;

use portcullis_shared::table::{Certificate, DownstreamTls, OcspPolicy, TlsVersion, UpstreamTls};
use portcullis_shared::version::Digest;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, ServerConfig};

use super::testing::{Ca, downstream, handshake, self_signed};
use super::{peer, server};
use crate::upstream::Tls;
use crate::upstream::tls::Material;

fn name(text: &str) -> ServerName<'static> {
    ServerName::try_from(text.to_owned()).expect("name")
}

fn texts(list: &[&str]) -> Vec<Arc<str>> {
    list.iter().map(|text| (*text).into()).collect()
}

fn upstream(tls: &UpstreamTls, ca: Option<Certificate>, client: Option<Certificate>) -> Arc<Tls> {
    let (ca, client) = (ca.map(Arc::new), client.map(Arc::new));
    let part = |part: &'static Option<Arc<Certificate>>| part.as_ref().map(|c| (Digest::default(), c));
    // Tests may leak.
    let (ca, client) = (&*Box::leak(Box::new(ca)), &*Box::leak(Box::new(client)));
    Material { ca: part(ca), client: part(client) }.tls(tls, false).expect("valid")
}

fn server_config(certificate: &Certificate, change: impl FnOnce(&mut DownstreamTls)) -> Arc<ServerConfig> {
    let mut tls = downstream("ns.leaf");
    change(&mut tls);
    server::settings(&tls, certificate).expect("valid").usual()
}

async fn works(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> bool {
    handshake(client, server, name("any.example.com")).await.is_ok()
}

/// Whether a client with `names` in its certificate is let in by a server that wants `wanted`.
async fn client_accepted(names: &[&str], wanted: &[&str]) -> bool {
    let ca = Ca::new("clients");
    let server = server_config(&ca.verifies(self_signed(&["server"])), |tls| {
        tls.require_client_certificate = true;
        tls.verify_subject_alt_names = texts(wanted);
    });
    let client = upstream(&UpstreamTls::default(), None, Some(ca.issue(names)));
    works(&client.config, &server).await
}

#[tokio::test]
async fn a_server_is_not_verified_without_a_ca() {
    let server = server_config(&self_signed(&["other.name"]), |_| {});
    assert!(works(&upstream(&UpstreamTls::default(), None, None).config, &server).await);
}

#[tokio::test]
async fn a_ca_verifies_the_chain_and_not_the_name() {
    let (ours, theirs) = (Ca::new("ca"), Ca::new("ca"));
    let client = upstream(&UpstreamTls::default(), Some(ours.alone()), None);
    assert!(works(&client.config, &server_config(&ours.issue(&["other.name"]), |_| {})).await);
    assert!(!works(&client.config, &server_config(&theirs.issue(&["any.example.com"]), |_| {})).await);
    assert!(!works(&client.config, &server_config(&ours.issue_expired(&["any.example.com"]), |_| {})).await);
    assert!(!works(&client.config, &server_config(&self_signed(&["any.example.com"]), |_| {})).await);
}

#[tokio::test]
async fn a_self_signed_server_may_be_its_own_ca() {
    let leaf = self_signed(&["x"]);
    let ca = Certificate { ca: leaf.chain.clone(), chain: vec![], key: None, ..leaf.clone() };
    let client = upstream(&UpstreamTls::default(), Some(ca), None);
    assert!(works(&client.config, &server_config(&leaf, |_| {})).await);
    assert!(!works(&client.config, &server_config(&self_signed(&["x"]), |_| {})).await);
}

#[tokio::test]
async fn one_of_the_listed_names_must_be_in_the_servers_certificate() {
    let ca = Ca::new("ca");
    let tls =
        UpstreamTls { verify_subject_alt_names: texts(&["a.b", "spiffe://td/app"]), ..Default::default() };
    let client = upstream(&tls, Some(ca.alone()), None);
    assert!(works(&client.config, &server_config(&ca.issue(&["z", "spiffe://td/app"]), |_| {})).await);
    assert!(!works(&client.config, &server_config(&ca.issue(&["z", "spiffe://td/other"]), |_| {})).await);
    assert!(!works(&client.config, &server_config(&ca.issue(&[]), |_| {})).await);
}

#[tokio::test]
async fn clients_need_a_certificate_of_the_ca() {
    let (ours, theirs) = (Ca::new("ca"), Ca::new("ca"));
    let server =
        server_config(&ours.verifies(self_signed(&["s"])), |tls| tls.require_client_certificate = true);
    let with = |certificate| upstream(&UpstreamTls::default(), None, certificate).config.clone();
    assert!(works(&with(Some(ours.issue(&["c"]))), &server).await);
    assert!(!works(&with(Some(theirs.issue(&["c"]))), &server).await);
    assert!(!works(&with(Some(ours.issue_expired(&["c"]))), &server).await);
    assert!(!works(&with(None), &server).await);
}

#[tokio::test]
async fn client_names_are_compared_by_kind() {
    for (names, wanted, accepted) in [
        (&["a.b"][..], &["a.b"][..], true),
        (&["A.B"], &["a.b"], true),
        (&["*.b"], &["a.b"], true),
        (&["*.b"], &["x.a.b"], false),
        (&["*.b"], &["b"], false),
        (&["a.b"], &["c.d", "a.b"], true),
        (&["a.b"], &["a"], false),
        (&["spiffe://td/A"], &["spiffe://td/A"], true),
        (&["spiffe://td/A"], &["spiffe://td/a"], false),
        (&["me@a.b"], &["me@a.b"], true),
        (&["10.0.0.1"], &["10.0.0.1"], true),
        (&["::1"], &["0:0:0:0:0:0:0:1"], true),
        (&["10.0.0.1"], &["10.0.0.2"], false),
        (&["a.b"], &[], true),
    ] {
        assert_eq!(client_accepted(names, wanted).await, accepted, "{names:?} for {wanted:?}");
    }
}

#[tokio::test]
async fn facts_tell_what_the_handshake_settled() {
    let ca = Ca::new("clients");
    let server = server_config(&ca.verifies(self_signed(&["s"])), |tls| {
        tls.require_client_certificate = true;
        tls.alpn = texts(&["h2", "http/1.1"]);
    });
    let tls = UpstreamTls { alpn: texts(&["h2"]), ..Default::default() };
    let client = upstream(&tls, None, Some(ca.issue(&["a.b", "c.d", "spiffe://td/app"])));
    let (_client, accepted) = handshake(&client.config, &server, name("s")).await.expect("handshake");
    let facts = server::facts(accepted.get_ref().1);
    assert_eq!((facts.version, facts.http2), ("TLSv1.3", true));
    assert!(facts.cipher.starts_with("TLS_"), "{}", facts.cipher);
    let leaf = facts.peer_certificate.expect("client certificate");
    assert_eq!(peer::subject(&leaf).as_deref(), Some("O=Portcullis,CN=Test\\, Client"));
    assert_eq!(peer::issuer(&leaf).as_deref(), Some("CN=clients"));
    assert_eq!(peer::uri_names(&leaf).as_deref(), Some("spiffe://td/app"));
    assert_eq!(peer::dns_names(&leaf).as_deref(), Some("a.b,c.d"));
}

#[tokio::test]
async fn versions_suites_and_groups_are_obeyed() {
    let leaf = self_signed(&["s"]);
    let client = upstream(&UpstreamTls::default(), None, None);
    let settled = async |change: fn(&mut DownstreamTls)| {
        let server = server_config(&leaf, change);
        let (_client, accepted) = handshake(&client.config, &server, name("s")).await.expect("handshake");
        let facts = server::facts(accepted.get_ref().1);
        (facts.version, facts.cipher)
    };
    assert_eq!(settled(|tls| tls.min_version = TlsVersion::V1_3).await.0, "TLSv1.3");
    let old = settled(|tls| {
        tls.max_version = TlsVersion::V1_2;
        tls.cipher_suites =
            texts(&["AES128-SHA", "[ECDHE-ECDSA-CHACHA20-POLY1305|ECDHE-RSA-AES256-GCM-SHA384]"]);
    });
    assert_eq!(old.await, ("TLSv1.2", "ECDHE-ECDSA-CHACHA20-POLY1305"));

    let only_13 = upstream(&UpstreamTls { min_version: TlsVersion::V1_3, ..Default::default() }, None, None);
    assert!(!works(&only_13.config, &server_config(&leaf, |tls| tls.max_version = TlsVersion::V1_2)).await);
    let p384 = upstream(&UpstreamTls { curves: texts(&["P-384"]), ..Default::default() }, None, None);
    assert!(
        !works(&p384.config, &server_config(&leaf, |tls| tls.curves = texts(&["X25519", "P-256"]))).await
    );
    assert!(works(&p384.config, &server_config(&leaf, |tls| tls.curves = texts(&["P-384"]))).await);
}

#[test]
fn choices_that_leave_nothing_are_refused() {
    let refused = |change: fn(&mut DownstreamTls)| {
        let mut tls = downstream("ns.leaf");
        change(&mut tls);
        server::settings(&tls, &self_signed(&["s"])).expect_err("refused").path
    };
    assert_eq!(refused(|tls| tls.curves = texts(&["P-521"])), "curves");
    let old = |tls: &mut DownstreamTls| {
        tls.max_version = TlsVersion::V1_2;
        tls.cipher_suites = texts(&["AES128-SHA"]);
    };
    assert_eq!(refused(old), "cipher_suites");
    assert_eq!(refused(|tls| tls.require_client_certificate = true), "certificate", "there is no CA");
    assert_eq!(refused(|tls| tls.ocsp_policy = OcspPolicy::Must), "certificate.ocsp_staple");
}

#[test]
fn a_key_of_another_certificate_is_refused() {
    let (mut one, other) = (self_signed(&["s"]), self_signed(&["s"]));
    one.key = other.key;
    let error = server::settings(&downstream("ns.leaf"), &one).expect_err("refused");
    assert!(error.to_string().contains("does not fit its private key"), "{error}");
}

#[tokio::test]
async fn sessions_are_resumed_unless_that_is_disabled() {
    for (version, disabled) in [
        (TlsVersion::V1_2, false),
        (TlsVersion::V1_3, false),
        (TlsVersion::V1_2, true),
        (TlsVersion::V1_3, true),
    ] {
        let server = server_config(&self_signed(&["s"]), |tls| {
            tls.max_version = version;
            tls.disable_session_resumption = disabled;
        });
        let client = upstream(&UpstreamTls::default(), None, None);
        let kind = async || {
            let (_client, accepted) = handshake(&client.config, &server, name("s")).await.expect("handshake");
            accepted.get_ref().1.handshake_kind()
        };
        assert_eq!(kind().await, Some(HandshakeKind::Full));
        let again = kind().await;
        assert_eq!(again == Some(HandshakeKind::Resumed), !disabled, "{version:?}: {again:?}");
    }
}

#[tokio::test]
async fn a_session_of_one_chain_does_not_open_another() {
    let ca = Ca::new("clients");
    let leaf = ca.verifies(self_signed(&["s"]));
    let open = server_config(&leaf, |_| {});
    let guarded = server_config(&leaf, |tls| tls.require_client_certificate = true);
    let client = upstream(&UpstreamTls::default(), None, None);
    assert!(works(&client.config, &open).await);
    assert!(!works(&client.config, &guarded).await);
}

#[test]
fn identities_differ_in_everything_that_must_not_be_shared() {
    let (one, two) = (Ca::new("ca"), Ca::new("ca"));
    let (me, you) = (one.issue(&["c"]), one.issue(&["c"]));
    let plain = UpstreamTls::default;
    let mut identities = vec![
        upstream(&plain(), None, None).identity,
        upstream(&plain(), Some(one.alone()), None).identity,
        upstream(&plain(), Some(two.alone()), None).identity,
        upstream(&plain(), Some(one.alone()), Some(me.clone())).identity,
        upstream(&plain(), Some(one.alone()), Some(you)).identity,
        upstream(
            &UpstreamTls { verify_subject_alt_names: texts(&["a"]), ..plain() },
            Some(one.alone()),
            None,
        )
        .identity,
        upstream(&UpstreamTls { alpn: texts(&["a"]), ..plain() }, Some(one.alone()), None).identity,
        upstream(&UpstreamTls { min_version: TlsVersion::V1_3, ..plain() }, Some(one.alone()), None).identity,
    ];
    let count = identities.len();
    identities.sort();
    identities.dedup();
    assert_eq!(identities.len(), count);
    let again = upstream(&plain(), Some(one.alone()), Some(me)).identity;
    assert!(identities.contains(&again), "equal material has one identity");
}

#[test]
fn an_expired_staple_is_left_out_or_breaks_the_chain_by_policy() {
    use super::ocsp::tests::response;

    let build = |policy, staple: Option<Vec<u8>>| {
        let leaf = Certificate { ocsp: staple, ..self_signed(&["s"]) };
        server::settings(&DownstreamTls { ocsp_policy: policy, ..downstream("ns.leaf") }, &leaf).is_ok()
    };
    let (valid, expired) = (response(0, Some("29990101000000Z")), response(0, Some("20240201000000Z")));
    for (policy, staple, works) in [
        (OcspPolicy::Lenient, Some(&expired), true),
        (OcspPolicy::Strict, Some(&expired), false),
        (OcspPolicy::Strict, None, true),
        (OcspPolicy::Must, Some(&valid), true),
        (OcspPolicy::Must, Some(&expired), false),
        (OcspPolicy::Must, None, false),
    ] {
        assert_eq!(build(policy, staple.cloned()), works, "{policy:?} {staple:?}");
    }
    assert!(build(OcspPolicy::Lenient, Some(b"nonsense".to_vec())));
    assert!(!build(OcspPolicy::Strict, Some(b"nonsense".to_vec())));
}
