use portcullis_proto::table::v1::{forward::Target as WireTarget, route::Action as WireAction};

use super::*;

fn any() -> Any {
    Any { type_url: "/portcullis.policy.v1.Timeout".into(), value: vec![8, 1] }
}

fn destinations() -> wire::Destinations {
    let destination =
        wire::Destination { upstream: "web_ns".into(), weight: 1, policies: vec![any()], subset: vec![] };
    wire::Destinations { destinations: vec![destination] }
}

fn forward(target: WireTarget) -> WireAction {
    WireAction::Forward(wire::Forward { target: Some(target) })
}

fn wire() -> wire::Route {
    wire::Route {
        name: "vhost-route-0-matcher-0".into(),
        origin: Some(wire::Origin { kind: "RouteTable".into(), namespace: "ns".into(), name: "rt".into() }),
        path: "spec.routes[0]".into(),
        r#match: Some(wire::Match {
            path: Some(wire::r#match::Path::Prefix("/".into())),
            ..Default::default()
        }),
        action: Some(forward(WireTarget::Destinations(destinations()))),
        policies: vec![any()],
    }
}

fn refused(wire: wire::Route) -> String {
    Route::try_from(wire).unwrap_err().path
}

#[test]
fn every_field_is_converted() {
    let route = Route::try_from(wire()).unwrap();
    assert_eq!((&*route.name, &*route.path), ("vhost-route-0-matcher-0", "spec.routes[0]"));
    assert_eq!(route.origin.to_string(), "RouteTable ns.rt");
    assert_eq!(route.matcher.path.to_string(), "prefix /");
    assert_eq!(route.policies, [any()]);
    let Action::Forward(Target::Destinations(list)) = &route.action else { panic!("{:?}", route.action) };
    assert_eq!((&*list[0].upstream, list[0].weight, &list[0].policies[..]), ("web_ns", 1, &[any()][..]));
}

#[test]
fn every_action_is_converted() {
    let action = |action| Route::try_from(wire::Route { action: Some(action), ..wire() }).unwrap().action;
    assert_eq!(action(forward(WireTarget::Split("g".into()))), Action::Forward(Target::Split("g".into())));
    let header = http::HeaderName::from_static("x-cluster");
    assert_eq!(
        action(forward(WireTarget::ClusterHeader("X-Cluster".into()))),
        Action::Forward(Target::ClusterHeader(header))
    );
    let direct = WireAction::DirectResponse(wire::DirectResponse { status: 418, body: "tea".into() });
    let teapot = DirectResponse { status: http::StatusCode::IM_A_TEAPOT, body: "tea".into() };
    assert_eq!(action(direct), Action::DirectResponse(teapot));
    assert!(matches!(action(WireAction::Redirect(wire::Redirect::default())), Action::Redirect(_)));
}

#[test]
fn errors_name_the_field() {
    assert_eq!(refused(wire::Route { name: String::new(), ..wire() }), "name");
    assert_eq!(refused(wire::Route { r#match: None, ..wire() }), "match");
    assert_eq!(refused(wire::Route { r#match: Some(Default::default()), ..wire() }), "match.path");
    assert_eq!(refused(wire::Route { action: None, ..wire() }), "");
    assert_eq!(
        refused(wire::Route { policies: vec![any(), Any::default()], ..wire() }),
        "policies[1].type_url"
    );
    let action = |action| refused(wire::Route { action: Some(action), ..wire() });
    assert_eq!(action(WireAction::Forward(wire::Forward { target: None })), "forward.target");
    assert_eq!(action(forward(WireTarget::Split(String::new()))), "forward.split");
    assert_eq!(action(forward(WireTarget::ClusterHeader(":x".into()))), "forward.cluster_header");
    let mut weightless = destinations();
    weightless.destinations[0].weight = 0;
    assert_eq!(action(forward(WireTarget::Destinations(weightless))), "forward.destinations.destinations");
    for status in [0, 199, 600, 70_000] {
        let direct = wire::DirectResponse { status, body: String::new() };
        assert_eq!(action(WireAction::DirectResponse(direct)), "direct_response.status", "{status}");
    }
    let redirect = wire::Redirect { code: 9, ..Default::default() };
    assert_eq!(action(WireAction::Redirect(redirect)), "redirect.code");
}
