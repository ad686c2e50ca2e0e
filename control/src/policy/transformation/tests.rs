use portcullis_proto::policy::v1 as wire;
use serde_json::{Value, json};

use super::super::tests::{Case, one};
use super::super::{of_destination, of_route};
use crate::policy::ActionKind;

fn set(name: &str) -> Value {
    json!({ "transformationTemplate": {"headers": {name: {"text": "1"}}} })
}

fn requests(name: &str) -> Value {
    json!({ "requestTransforms": [{"requestTransformation": set(name)}] })
}

/// The headers that the entries of a stage set, in order.
fn names(stage: Option<wire::TransformationStage>) -> Vec<String> {
    let requests = stage.map(|stage| stage.requests).unwrap_or_default();
    let of = |request: wire::RequestTransform| match request.request?.kind? {
        wire::transform::Kind::Template(template) => Some(template.set.first()?.name.clone()),
        wire::transform::Kind::Envelope(_) => None,
    };
    requests.into_iter().filter_map(of).collect()
}

/// What the two stages set.
fn stages(case: &Case) -> (Vec<String>, Vec<String>) {
    let (policies, notes) = case.forward();
    assert_eq!(notes, Vec::<String>::new());
    let early = one::<wire::EarlyTransformation>(&policies).and_then(|it| it.stage);
    let regular = one::<wire::Transformation>(&policies).and_then(|it| it.stage);
    (names(early), names(regular))
}

#[test]
fn a_route_replaces_both_stages_of_its_virtual_host() {
    let host =
        json!({ "stagedTransformations": {"early": requests("host-early"), "regular": requests("x-host")} });
    let case = Case::routes(&[json!({})]).host(host.clone());
    assert_eq!(stages(&case), (vec!["host-early".into()], vec!["x-host".into()]));
    let route = json!({ "stagedTransformations": {"early": requests("route-early")} });
    let case = Case::routes(&[route]).host(host);
    assert_eq!(stages(&case), (vec!["route-early".into()], vec![]));
}

#[test]
fn lists_are_inherited_as_far_up_as_each_level_inherits() {
    let level = |name: &str, inherit: bool| json!({ "stagedTransformations": {"regular": requests(name), "inheritTransformation": inherit} });
    let host = level("x-host", false);
    let regular = |routes: &[Value]| stages(&Case::routes(routes).host(host.clone())).1;
    assert_eq!(regular(&[level("child", true), level("parent", true)]), ["child", "parent", "x-host"]);
    assert_eq!(regular(&[level("child", true), level("parent", false)]), ["child", "parent"]);
    assert_eq!(regular(&[level("child", false), level("parent", true)]), ["child"]);
    assert_eq!(
        regular(&[level("child", true), json!({})]),
        ["child"],
        "a delegating route must inherit itself"
    );
    assert_eq!(regular(&[json!({}), level("parent", true)]), ["parent", "x-host"]);
    assert_eq!(regular(&[level("only", true)]), ["only", "x-host"]);
}

#[test]
fn the_older_form_is_a_regular_stage_unless_there_is_one() {
    let old = json!({ "requestTransformation": set("old"), "clearRouteCache": true });
    let case = Case::routes(&[json!({ "transformations": old })]);
    assert_eq!(stages(&case), (vec![], vec!["old".into()]));
    let early = json!({ "transformations": old, "stagedTransformations": {"early": requests("new")} });
    assert_eq!(stages(&Case::routes(&[early])), (vec!["new".into()], vec!["old".into()]));
    let both = json!({ "transformations": old, "stagedTransformations": {"regular": requests("new")} });
    let (policies, notes) = Case::routes(&[both]).forward();
    let regular = one::<wire::Transformation>(&policies).and_then(|it| it.stage);
    assert_eq!(names(regular), ["new"]);
    assert_eq!(
        notes,
        [
            "warning route0.transformations: `stagedTransformations.regular` counts and `transformations` is left out"
        ]
    );
}

#[test]
fn a_destination_hides_what_it_does_not_have() {
    let host =
        json!({ "stagedTransformations": {"early": requests("host-early"), "regular": requests("x-host")} });
    let own = json!({ "stagedTransformations": {"early": requests("own")} });
    let (policies, _) = Case::routes(&[json!({})]).host(host).destination(own.clone()).run(of_destination);
    let early = one::<wire::EarlyTransformation>(&policies).and_then(|it| it.stage);
    assert_eq!(names(early), ["own"]);
    let regular = one::<wire::Transformation>(&policies).and_then(|it| it.stage);
    assert_eq!(regular, Some(wire::TransformationStage::default()));
    let (policies, _) = Case::routes(&[json!({})]).destination(own).run(of_destination);
    assert_eq!(policies.len(), 1);
}

#[test]
fn it_works_on_answers_of_the_gateway_too() {
    let case = Case::routes(&[json!({ "stagedTransformations": {"regular": requests("a")} })]);
    for action in [ActionKind::Redirect, ActionKind::DirectResponse, ActionKind::ForwardByHeader] {
        let (policies, notes) = case.run(|levels, notes| of_route(levels, action, notes));
        assert_eq!((policies.len(), notes.len()), (1, 0));
    }
}

/// What is said about a template on requests.
fn notes(template: Value) -> Vec<String> {
    let request = json!({ "requestTransformation": {"transformationTemplate": template} });
    let stages = json!({ "stagedTransformations": {"early": {"requestTransforms": [request]}} });
    let prefix = "route0.stagedTransformations.early.requestTransforms[0].requestTransformation.transformationTemplate.";
    let (_, notes) = Case::routes(&[stages]).forward();
    notes.into_iter().map(|note| note.replace(prefix, "")).collect()
}

#[test]
fn what_is_wrong_is_said_at_its_field() {
    let cases = [
        (
            json!({ "headers": {"x-a": {"text": "{{ a"}} }),
            "error headers[x-a].text: this tag is not closed by `}}` (line 1, column 1 of the template)",
        ),
        (
            json!({ "body": {"text": "a\n{% if x %}"} }),
            "error body.text: `if` without `endif` (line 2, column 4 of the template)",
        ),
        (
            json!({ "headersToAppend": [{"key": "x", "value": {"text": "{{ nope() }}"}}] }),
            "error headersToAppend[0].value.text: there is no function `nope` (line 1, column 4 of the template)",
        ),
        (
            json!({ "extractors": {"a.b": {"header": "h", "regex": "a", "subgroup": 1}} }),
            "error extractors[a.b].subgroup: group 1 requested for regex with only 0 sub groups",
        ),
        (
            json!({ "extractors": {"a": {"body": {}, "regex": "(?=a)"}} }),
            "error extractors[a].regex: [(?=a)]: look-around, including look-ahead and look-behind, is not supported",
        ),
        (
            json!({ "extractors": {"a": {"header": "h", "regex": "a", "mode": "SINGLE_REPLACE"}} }),
            "error extractors[a]: a replacementText is needed in the modes SINGLE_REPLACE and REPLACE_ALL",
        ),
        (
            json!({ "extractors": {"a": {"regex": "a"}} }),
            "error extractors[a]: an extractor needs `header` or `body: {}`",
        ),
        (
            json!({ "headers": {"a b": {"text": "1"}} }),
            "error headers[a b]: [a b] is not a header that can be changed",
        ),
        (
            json!({ "headers": {":status": {"text": "1"}} }),
            "warning headers[:status]: a request has no status: [:status] is left out",
        ),
        (
            json!({ "headers": {"Content-Length": {"text": "0"}} }),
            "warning headers[Content-Length]: the gateway computes it from the body that it sends: [Content-Length] is left out",
        ),
        (
            json!({ "mergeJsonKeys": {"jsonKeys": {"a.b": {"tmpl": {"text": "1"}}}} }),
            "error mergeJsonKeys.jsonKeys[a.b]: a key is a name without dots",
        ),
        (
            json!({ "mergeJsonKeys": {}, "parseBodyBehavior": "DontParse" }),
            "error mergeJsonKeys: needs a parsed body: parseBodyBehavior must be ParseAsJson",
        ),
        (
            json!({ "mergeJsonKeys": {}, "advancedTemplates": true }),
            "error mergeJsonKeys: does not go with advancedTemplates",
        ),
        (
            json!({ "dynamicMetadataValues": [{"value": {"text": "1"}}] }),
            "error dynamicMetadataValues[0].key: a key is needed",
        ),
    ];
    for (template, wanted) in cases {
        assert_eq!(notes(template), [wanted]);
    }
}

#[test]
fn matchers_are_checked_and_lowered() {
    let entry = |matcher: Value| json!({ "matcher": matcher, "requestTransformation": set("a") });
    let list = json!([
        entry(json!({ "headers": [{"name": "x"}], "caseSensitive": false })),
        entry(json!({ "regex": "(" }))
    ]);
    let responses = json!([
        {"matchers": [{"name": ":status", "value": "4..", "regex": true}], "responseCodeDetails": "via_upstream",
         "responseTransformation": set("b")},
        {"matchers": [{"name": "x", "value": "(", "regex": true}]},
    ]);
    let early = json!({ "requestTransforms": list, "responseTransforms": responses });
    let case = Case::routes(&[json!({ "stagedTransformations": {"early": early} })]);
    let (policies, notes) = case.forward();
    let stage = one::<wire::EarlyTransformation>(&policies).and_then(|it| it.stage).unwrap();
    let matcher = stage.requests[0].r#match.clone().unwrap();
    assert_eq!((matcher.headers.len(), matcher.ignore_case), (1, false));
    assert_eq!(stage.responses[0].headers[0].name, ":status");
    assert_eq!(stage.responses[0].details, "via_upstream");
    let prefix = "error route0.stagedTransformations.early.";
    let said: Vec<_> = notes.iter().map(|note| note.split(": ").next().unwrap()).collect();
    assert_eq!(
        said,
        [
            format!("{prefix}requestTransforms[1].matcher.regex"),
            format!("{prefix}responseTransforms[1].matchers[0].value"),
        ]
    );
}

#[test]
fn defaults_of_the_stages_reach_the_templates() {
    let stages =
        json!({ "escapeCharacters": true, "logRequestResponseInfo": true, "regular": requests("a") });
    let (policies, _) = Case::routes(&[json!({ "stagedTransformations": stages })]).forward();
    let stage = one::<wire::Transformation>(&policies).and_then(|it| it.stage).unwrap();
    let transform = stage.requests[0].request.clone().unwrap();
    let Some(wire::transform::Kind::Template(template)) = transform.kind else { panic!("a template") };
    assert!(transform.log && template.escape);
}
