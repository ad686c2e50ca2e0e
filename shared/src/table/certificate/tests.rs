use super::*;

fn wire() -> wire::Certificate {
    let made = rcgen::generate_simple_self_signed(["a.example".to_string()]).unwrap();
    wire::Certificate {
        name: "ns.cert".into(),
        chain_der: vec![made.cert.der().to_vec().into()],
        key_der: made.signing_key.serialize_der().into(),
        ca_der: vec![made.cert.der().to_vec().into()],
        ocsp_staple: vec![1, 2].into(),
    }
}

fn refused(wire: wire::Certificate) -> String {
    Certificate::try_from(wire).unwrap_err().path
}

#[test]
fn every_field_is_converted() {
    let wire = wire();
    let certificate = Certificate::try_from(wire.clone()).unwrap();
    assert_eq!(&*certificate.name, "ns.cert");
    assert_eq!(*certificate.chain[0], *wire.chain_der[0]);
    assert_eq!(certificate.private_key().unwrap().secret_der(), &*wire.key_der);
    assert_eq!(*certificate.ca[0], *wire.ca_der[0]);
    assert_eq!(certificate.ocsp.as_deref(), Some(&[1, 2][..]));
}

#[test]
fn a_ca_alone_and_a_chain_without_its_key_are_fine() {
    let ca = wire::Certificate { chain_der: vec![], key_der: Default::default(), ..wire() };
    assert!(Certificate::try_from(ca).unwrap().chain.is_empty());
    let keyless = Certificate::try_from(wire::Certificate { key_der: Default::default(), ..wire() }).unwrap();
    assert!(keyless.private_key().is_none());
}

#[test]
fn errors_name_the_field() {
    assert_eq!(refused(wire::Certificate { name: String::new(), ..wire() }), "name");
    assert_eq!(refused(wire::Certificate { chain_der: vec![], ..wire() }), "key_der");
    assert_eq!(refused(wire::Certificate { name: "x".into(), ..Default::default() }), "chain_der");
    assert_eq!(refused(wire::Certificate { key_der: vec![1, 2, 3].into(), ..wire() }), "key_der");
    assert_eq!(refused(wire::Certificate { ca_der: vec![Default::default()], ..wire() }), "ca_der[0]");
}

#[test]
fn debug_shows_the_name_only() {
    let certificate = Certificate::try_from(wire()).unwrap();
    assert_eq!(format!("{certificate:?}"), "Certificate { name: \"ns.cert\", .. }");
}
