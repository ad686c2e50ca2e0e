use super::*;
use crate::table::{encode_upsert, upsert};

fn split() -> Wire {
    let destination =
        wire::Destination { upstream: "web_ns".into(), weight: 1, policies: vec![], subset: vec![] };
    Wire::Split(wire::Split {
        name: "group_ns".into(),
        origin: None,
        destinations: Some(wire::Destinations { destinations: vec![destination] }),
    })
}

#[test]
fn what_is_encoded_is_decoded() {
    let (resource, digest) = Resource::decode(upsert(split())).unwrap();
    assert_eq!((resource.kind(), &**resource.name()), (Kind::Split, "group_ns"));
    assert_eq!(encode_upsert(&split()), (digest, encode_upsert(&split()).1));
    assert_eq!(identity(&split()), (Kind::Split, "group_ns"));
}

#[test]
fn the_digest_is_verified() {
    let refused = |upsert| Resource::decode(upsert).unwrap_err().path;
    assert_eq!(refused(link::Upsert { digest: vec![0; 16].into(), resource: Some(split()) }), "digest");
    assert_eq!(refused(link::Upsert { digest: vec![0; 3].into(), resource: Some(split()) }), "digest");
    assert_eq!(refused(link::Upsert { resource: None, ..upsert(split()) }), "resource");
    let empty = upsert(Wire::Split(wire::Split { name: "g".into(), ..Default::default() }));
    assert_eq!(refused(empty), "destinations.destinations");
}

#[test]
fn equal_content_of_two_kinds_has_one_encoding_but_two_identities() {
    let listener = Wire::Listener(wire::Listener { name: "x".into(), ..Default::default() });
    let upstream = Wire::Upstream(wire::Upstream { name: "x".into(), ..Default::default() });
    assert_eq!(encode_upsert(&listener), encode_upsert(&upstream));
    assert_ne!(identity(&listener), identity(&upstream));
}

#[test]
fn kinds_are_those_of_the_wire() {
    use Kind::*;
    for kind in [Listener, VirtualHost, Upstream, Split, Certificate] {
        assert_eq!(Kind::try_from(kind.wire()), Ok(kind));
        assert_eq!(
            wire::Kind::try_from(kind.wire()).unwrap().as_str_name().to_lowercase(),
            format!("kind_{kind}")
        );
    }
    assert!(Kind::try_from(0).is_err() && Kind::try_from(6).is_err());
}
