use super::*;

fn wire(weights: &[u32]) -> wire::Split {
    let destination = |weight: &u32| wire::Destination {
        upstream: "web_ns".into(),
        weight: *weight,
        policies: vec![],
        subset: vec![],
    };
    wire::Split {
        name: "group_ns".into(),
        origin: None,
        destinations: Some(wire::Destinations { destinations: weights.iter().map(destination).collect() }),
    }
}

#[test]
fn every_field_is_converted() {
    let split = Split::try_from(wire(&[90, 0, 10])).unwrap();
    assert_eq!(&*split.name, "group_ns");
    assert_eq!(split.destinations.iter().map(|d| d.weight).collect::<Vec<_>>(), [90, 0, 10]);
}

#[test]
fn errors_name_the_field() {
    let refused = |wire: wire::Split| Split::try_from(wire).unwrap_err().path;
    assert_eq!(refused(wire::Split { name: String::new(), ..wire(&[1]) }), "name");
    assert_eq!(refused(wire(&[0, 0])), "destinations.destinations");
    assert_eq!(refused(wire::Split { destinations: None, ..wire(&[]) }), "destinations.destinations");
    let mut unnamed = wire(&[1, 1]);
    unnamed.destinations.as_mut().unwrap().destinations[1].upstream.clear();
    assert_eq!(refused(unnamed), "destinations.destinations[1].upstream");
}
