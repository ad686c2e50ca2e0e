//! Options of the levels as JSON, and the messages that come of them.

use portcullis_proto::policy::v1 as wire;
use prost::{Message, Name};
use serde_json::{Value, json};

use super::*;
use crate::resource::{Kind, ObjectRef, RouteOptions, VirtualHostOptions, WeightedDestinationOptions};

pub(super) struct Case {
    owner: ObjectRef,
    host: VirtualHostOptions,
    routes: Vec<RouteOptions>,
    destination: Option<WeightedDestinationOptions>,
    reversed: bool,
    servers: Servers,
}

impl Case {
    /// Route options, the most specific first.
    pub(super) fn routes(routes: &[Value]) -> Self {
        Self {
            owner: ObjectRef::new(Kind::VirtualService, "ns", "a"),
            host: VirtualHostOptions::default(),
            routes: routes.iter().map(|it| serde_json::from_value(it.clone()).unwrap()).collect(),
            destination: None,
            reversed: false,
            servers: Servers::default(),
        }
    }

    pub(super) fn host(mut self, host: Value) -> Self {
        self.host = serde_json::from_value(host).unwrap();
        self
    }

    pub(super) fn destination(mut self, options: Value) -> Self {
        self.destination = Some(serde_json::from_value(options).unwrap());
        self
    }

    pub(super) fn run<T>(&self, run: impl FnOnce(&Levels<'_, '_>, &mut Notes) -> T) -> (T, Vec<String>) {
        let host = [Layer { options: &self.host, owner: &self.owner, path: "host".into(), depth: 0 }];
        let routes: Vec<_> = self
            .routes
            .iter()
            .enumerate()
            .map(|(at, options)| {
                // The last is a route of the virtual service, which delegates to the others.
                let depth = self.routes.len() - 1 - at;
                Layer { options, owner: &self.owner, path: format!("route{at}").into(), depth }
            })
            .collect();
        let destination = self.destination.as_ref().map(|options| Layer {
            options,
            owner: &self.owner,
            path: "destination".into(),
            depth: 0,
        });
        let levels = Levels {
            host: &host,
            route: &routes,
            destination: destination.as_ref(),
            most_specific_headers_win: self.reversed,
            servers: &self.servers,
            host_name: "vh",
            route_at: 0,
        };
        let mut notes = Notes::default();
        let result = run(&levels, &mut notes);
        (result, notes.iter().map(|note| format!("{} {}: {}", note.level, note.path, note.message)).collect())
    }

    pub(super) fn forward(&self) -> (Vec<ir::Policy>, Vec<String>) {
        self.run(|levels, notes| of_route(levels, ActionKind::Forward, notes))
    }
}

pub(super) fn one<M: Message + Name + Default>(policies: &[ir::Policy]) -> Option<M> {
    let policy = policies.iter().find(|policy| *policy.type_url == M::type_url())?;
    M::decode(policy.value.clone()).ok()
}

#[test]
fn policies_of_a_stage_stand_in_registry_order() {
    let options = json!({ "headerManipulation": {"requestHeadersToRemove": ["a"]}, "timeout": "1s", "hostRewrite": "x" });
    let (policies, notes) = Case::routes(&[options]).forward();
    let names: Vec<_> = policies.iter().map(|it| it.type_url.rsplit('.').next().unwrap()).collect();
    assert_eq!((names, notes.len()), (vec!["Timeout", "HostRewrite", "Headers"], 0));
}

#[test]
fn a_field_is_taken_from_the_first_layer_that_has_it() {
    let case = Case::routes(&[
        json!({ "prefixRewrite": "" }),
        json!({ "prefixRewrite": "/parent", "timeout": "2s" }),
        json!({ "timeout": "3s", "hostRewrite": "a" }),
    ]);
    let (policies, _) = case.forward();
    assert_eq!(one::<wire::Timeout>(&policies), Some(wire::Timeout { total_ms: 2000 }));
    assert_eq!(one::<wire::PathRewrite>(&policies), None);
    assert!(one::<wire::HostRewrite>(&policies).is_some());
}

#[test]
fn a_child_that_rewrites_the_host_in_another_way_replaces_the_parents_way() {
    let case = Case::routes(&[json!({ "autoHostRewrite": true }), json!({ "hostRewriteHeader": "X-Host" })]);
    let (policies, _) = case.forward();
    let rewrite = one::<wire::HostRewrite>(&policies).and_then(|it| it.rewrite);
    assert_eq!(rewrite, Some(wire::host_rewrite::Rewrite::Auto(true)));
}

#[test]
fn both_path_rewrites_are_an_error_at_the_field() {
    let case = Case::routes(&[json!({ "prefixRewrite": "/a", "regexRewrite": {"pattern": {"regex": "a"}} })]);
    let (policies, notes) = case.forward();
    assert_eq!(one::<wire::PathRewrite>(&policies), None);
    assert_eq!(notes, ["error route0.prefixRewrite: prefixRewrite and regexRewrite exclude each other"]);
}

#[test]
fn a_query_in_a_prefix_rewrite_is_fine() {
    assert!(Case::routes(&[json!({ "prefixRewrite": "/a?x=//" })]).forward().1.is_empty());
}

#[test]
fn retries_of_the_route_replace_those_of_the_virtual_host() {
    let host = json!({ "retries": {"retryOn": "5xx", "numRetries": 5} });
    let retry = |route: Value| {
        let (policies, notes) = Case::routes(&[route]).host(host.clone()).forward();
        (one::<wire::Retry>(&policies).map(|it| (it.retry_on.join(","), it.num_retries)), notes)
    };
    assert_eq!(retry(json!({})).0, Some(("5xx".to_owned(), 5)));
    assert_eq!(
        retry(json!({ "retries": {"retryOn": "reset, unavailable"} })).0,
        Some(("reset,unavailable".to_owned(), 1))
    );
    assert_eq!(retry(json!({ "retries": {} })).0, None);
    let (found, notes) = retry(json!({ "retries": {"retryOn": "reset,5XX"} }));
    assert_eq!(found, Some(("reset".to_owned(), 1)));
    assert!(
        notes
            .iter()
            .any(|it| it.starts_with("warning route0.retries.retryOn: retries: unknown condition [5XX]"))
    );
}

#[test]
fn back_off_is_checked() {
    let notes = |back_off: Value| {
        Case::routes(&[json!({ "retries": {"retryOn": "5xx", "retryBackOff": back_off} })]).forward().1.len()
    };
    assert_eq!(notes(json!({ "baseInterval": "1ms", "maxInterval": "1ms" })), 0);
    assert_eq!(notes(json!({ "maxInterval": "1s" })), 1);
    assert_eq!(notes(json!({ "baseInterval": "2s", "maxInterval": "1s" })), 1);
    assert_eq!(notes(json!({ "baseInterval": "1us" })), 1);
}

fn add(value: &str) -> Value {
    json!({ "headerManipulation": {"requestHeadersToAdd": [{"header": {"key": "x", "value": value}}]} })
}

#[test]
fn headers_run_from_destination_to_virtual_host_or_the_reverse() {
    let order = |reversed: bool| {
        let mut case = Case::routes(&[add("route")]).host(add("host")).destination(add("destination"));
        case.reversed = reversed;
        let (policies, _) = case.run(of_destination);
        let levels = one::<wire::Headers>(&policies).unwrap().request;
        levels.iter().map(|level| level.add[0].value.clone()).collect::<Vec<_>>()
    };
    assert_eq!(order(false), ["destination", "route", "host"]);
    assert_eq!(order(true), ["host", "route", "destination"]);
}

#[test]
fn a_destination_without_headers_of_its_own_keeps_the_routes() {
    let case = Case::routes(&[add("route")]).destination(json!({}));
    assert!(case.run(of_destination).0.is_empty());
}

#[test]
fn what_is_about_the_way_to_an_upstream_is_ignored_on_answers() {
    let case = Case::routes(&[
        json!({ "timeout": "-1s", "prefixRewrite": "//", "headerManipulation": {"responseHeadersToRemove": ["a"]} }),
    ]);
    for action in [ActionKind::Redirect, ActionKind::DirectResponse] {
        let (policies, notes) = case.run(|levels, notes| of_route(levels, action, notes));
        assert_eq!((policies.len(), notes.len()), (1, 0));
    }
    assert_eq!(case.forward().1.len(), 2);
}

#[test]
fn host_and_pseudo_headers_stay() {
    let case = Case::routes(&[json!({ "headerManipulation": {
        "requestHeadersToRemove": ["HOST", ":path", "x-forwarded-for"],
        "responseHeadersToAdd": [{"header": {"key": "Host", "value": ""}}, {}, {"header": {"key": "a", "value": "%"}}],
    }})]);
    let (_, notes) = case.forward();
    assert_eq!(notes.len(), 5, "{notes:#?}");
}

#[test]
fn faults_are_checked_and_one_that_never_happens_is_nothing() {
    let faults = |faults: Value| Case::routes(&[json!({ "faults": faults })]);
    let abort = faults(json!({ "abort": {"percentage": 12.5, "httpStatus": 503} }));
    let message = wire::Fault { abort_per_million: 125_000, abort_status: 503, ..Default::default() };
    assert_eq!(one::<wire::Fault>(&abort.forward().0), Some(message));
    for action in [ActionKind::ForwardByHeader, ActionKind::Redirect, ActionKind::DirectResponse] {
        let (policies, notes) = abort.run(|levels, notes| of_route(levels, action, notes));
        assert_eq!((policies.len(), notes.len()), (0, 0));
    }
    let never = json!({ "abort": {"httpStatus": 503}, "delay": {"fixedDelay": "1s"} });
    assert_eq!(faults(never).forward(), (Vec::new(), Vec::new()));
    let wrong = faults(json!({
        "abort": {"percentage": 101, "httpStatus": 199},
        "delay": {"percentage": 1, "fixedDelay": "999ms"},
    }));
    assert_eq!(
        wrong.forward().1,
        [
            "error route0.faults.delay.fixedDelay: faults: the delay 0.999s must be at least 1s",
            "error route0.faults.abort.httpStatus: faults: the status 199 must be in 200 to 599",
            "error route0.faults.abort.percentage: faults: the percentage 101 must be in 0 to 100",
        ]
    );
}

#[test]
fn cors_is_merged_field_by_field() {
    let host = json!({
        "cors": {
            "allowOrigin": ["https://host"], "allowMethods": ["GET", "PUT"], "exposeHeaders": ["a", "b"],
            "maxAge": "60", "allowCredentials": true,
        },
        "corsPolicyMergeSettings": {"exposeHeaders": "UNION"},
    });
    let route = json!({ "cors": {"allowOriginRegex": ["https://.*"], "allowMethods": ["POST"], "exposeHeaders": ["b", "c"]} });
    let (policies, notes) = Case::routes(&[route]).host(host.clone()).forward();
    let merged = wire::Cors {
        origin_regexes: vec!["https://.*".into()],
        allow_methods: "POST".into(),
        expose_headers: "a,b,c".into(),
        max_age: "60".into(),
        allow_credentials: true,
        ..Default::default()
    };
    assert_eq!((one::<wire::Cors>(&policies), notes.len()), (Some(merged), 0));
    let off = Case::routes(&[json!({ "cors": {"allowOrigin": ["*"], "disableForRoute": true} })]).host(host);
    assert_eq!(off.forward().0, Vec::new());
}

#[test]
fn cors_needs_origins_and_an_action_that_suits() {
    let case = Case::routes(&[json!({ "cors": {"disableForRoute": true} })]);
    assert_eq!(
        case.forward().1,
        ["error route0.cors: cors must provide at least one of allowOrigin or allowOriginRegex"]
    );
    let case = Case::routes(&[json!({ "cors": {"allowOrigin": ["*"], "allowOriginRegex": ["("]} })]);
    assert!(
        case.forward().1[0].starts_with("error route0.cors.allowOriginRegex[0]: cors: invalid regex [(]")
    );
    let case = Case::routes(&[json!({ "cors": {"allowOrigin": ["*"]} })]);
    let of = |case: &Case, action| case.run(|levels, notes| of_route(levels, action, notes));
    let (policies, notes) = of(&case, ActionKind::Redirect);
    assert_eq!(notes, ["error route0.cors: cors is not possible with the action of this route"]);
    assert!(policies.is_empty());
    assert!(one::<wire::Cors>(&of(&case, ActionKind::DirectResponse).0).unwrap().fixed);
    let inherited = Case::routes(&[]).host(json!({ "cors": {"allowOrigin": ["*"]} }));
    assert!(!one::<wire::Cors>(&of(&inherited, ActionKind::DirectResponse).0).unwrap().fixed);
    assert!(one::<wire::Cors>(&of(&inherited, ActionKind::Redirect).0).is_some());
}

#[test]
fn csrf_of_the_most_specific_level_replaces_the_others() {
    let part = |numerator: u32, denominator: &str| json!({ "defaultValue": {"numerator": numerator, "denominator": denominator} });
    let host = json!({ "csrf": {"filterEnabled": part(100, "HUNDRED")} });
    let enforced = |case: &Case| one::<wire::Csrf>(&case.forward().0).map(|it| it.enforced_per_million);
    assert_eq!(enforced(&Case::routes(&[]).host(host.clone())), Some(1_000_000));
    assert_eq!(enforced(&Case::routes(&[json!({ "csrf": {} })]).host(host.clone())), Some(0));
    let case = Case::routes(&[]).host(host).destination(json!({ "csrf": {
        "shadowEnabled": part(5, "TEN_THOUSAND"),
        "additionalOrigins": [{"suffix": ".example.com", "ignoreCase": true}, {}, {"safeRegex": {"regex": "["}}],
    }}));
    let (policies, notes) = case.run(of_destination);
    let csrf = one::<wire::Csrf>(&policies).unwrap();
    assert_eq!((csrf.enforced_per_million, csrf.shadowed_per_million), (0, 500));
    let suffix = wire::text_match::How::Suffix(".example.com".into());
    assert_eq!(csrf.origins, [wire::TextMatch { how: Some(suffix), ignore_case: true }]);
    assert_eq!(
        notes[0],
        "error destination.csrf.additionalOrigins[1]: csrf: an origin needs one of exact, prefix, suffix or safeRegex"
    );
    assert!(notes[1].starts_with("error destination.csrf.additionalOrigins[2]: csrf: invalid regex [[]"));
}
