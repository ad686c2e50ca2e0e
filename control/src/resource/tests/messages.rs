//! What is said about wrong fields and values, with the place.

use super::*;

#[test]
fn every_error_of_a_document_is_told_at_once() {
    let text = virtual_service(
        "virtualHost:\n  domains: example.com\n  routes:\n  - matchers:\n    - prefix: [a]\n    optoins: {}\n    routeAction:\n      single:\n        upstream: us\n  - matchers: {prefix: /}\n    options:\n      timeout: 5\n      autoHostRewrite: 'true'\n      retries:\n        numRetries: -1\ndisplayName: 7",
    );
    let expected = [
        "error 8:14 spec.virtualHost.domains: needs a list (`[example.com]` or lines that begin with `- `), found the text `example.com`",
        "error 11:17 spec.virtualHost.routes[0].matchers[0].prefix: needs a text, found a list",
        "error 12:7 spec.virtualHost.routes[0].optoins: unknown field `optoins`; did you mean `options`?",
        "error 15:21 spec.virtualHost.routes[0].routeAction.single.upstream: needs a mapping such as `name: ..`, found the text `us`",
        "error 16:17 spec.virtualHost.routes[1].matchers: needs a list (begin each item with `- `), found a mapping (`prefix: ..`)",
        "error 18:18 spec.virtualHost.routes[1].options.timeout: a duration needs a unit: write `5s` for seconds or `5ms` for milliseconds",
        "error 19:26 spec.virtualHost.routes[1].options.autoHostRewrite: needs true or false without quotes, found the text `true`",
        "error 21:23 spec.virtualHost.routes[1].options.retries.numRetries: needs a whole number from 0 to 4294967295, found the number `-1`",
        "error 22:16 spec.displayName: needs a text (in quotes: \"7\"), found the number `7`",
    ];
    assert_eq!(said(&text), expected);
    assert!(entry(&text).object.is_none());
}

#[test]
fn fields_that_are_not_served_yet_are_named() {
    let text = one_route(
        "options:\n  extensions: {}\n  waf: {}\n  timeout: 1s\nrouteAction:\n  single:\n    destinationSpec: {}",
    );
    assert_eq!(
        said(&text),
        [
            "warning 10:9 spec.virtualHost.routes[0].options.extensions: `extensions` is not supported yet and is left out",
            "error 11:9 spec.virtualHost.routes[0].options.waf: `waf` belongs to Gloo's Enterprise build and is not supported",
            "error 15:11 spec.virtualHost.routes[0].routeAction.single.destinationSpec: `destinationSpec` is not supported yet",
        ]
    );
    let warned = entry(&one_route("options:\n  extensions: {}"));
    assert!(warned.object.is_some() && warned.findings.len() == 1, "{:?}", warned.findings);
}

#[test]
fn misplaced_and_renamed_fields_are_told_where_they_belong() {
    let cases = [
        (
            "routeAction:\n  single:\n    upstream: {name: a}\n    options: {}",
            "it belongs to `spec.virtualHost.routes[0]`: check the indentation",
        ),
        ("options: {}\nsslConfig: {}", "it belongs to `spec`: check the indentation"),
        ("prefix: /", "it belongs under `matchers`"),
        ("timeout: 5s", "it belongs under `options`"),
        ("routeAction:\n  upstream: {name: a}", "it belongs under `single`"),
        ("routePlugins: {}", "it is called `options` since Gloo 1.0"),
        ("matcher: {prefix: /}", "write a list, `matchers:`"),
        ("routeActoin: {}", "did you mean `routeAction`?"),
        (
            "\u{a0}\u{a0}name: x\n\u{a0}b: y",
            "unknown field `name`: this line and 1 more contain no-break spaces or the like; use ordinary spaces",
        ),
        (
            "\u{a0}\u{a0}name: x",
            "unknown field `name`: this line contains no-break spaces or the like; use ordinary spaces",
        ),
        ("routeAction:\n  single:\n    upstream: {name: a, colour: red}", "there are `name`, `namespace`"),
    ];
    for (text, hint) in cases {
        let said = said(&one_route(text));
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].ends_with(hint), "{said:?}\nfor {text}");
    }
}

#[test]
fn fields_beside_the_wrapper_are_told() {
    let text = "kind: VirtualService\nmetadata: {name: a}\nspec: {}\nvirtualHost: {}\n";
    assert_eq!(
        said(text),
        [
            "error 4:1 virtualHost: unknown field `virtualHost` beside `spec`; it belongs under `spec`: check the indentation"
        ]
    );
}

#[test]
fn a_field_that_is_given_twice_is_an_error() {
    assert_eq!(
        said(&one_route("name: a\nname: b")),
        [
            "error 10:7 spec.virtualHost.routes[0].name: `name` is given twice, first in line 9; keep one of them"
        ]
    );
    let labels = "kind: Gateway\nmetadata:\n  name: a\n  labels:\n    x: a\n    x: b\n";
    assert_eq!(
        said(labels),
        ["error 6:5 metadata.labels.x: `x` is given twice, first in line 5; keep one of them"]
    );
}

#[test]
fn labels_must_be_texts() {
    let text = "kind: Gateway\nmetadata:\n  name: a\n  labels: {team: 7, ok: x}\n";
    assert_eq!(
        said(text),
        ["error 4:18 metadata.labels[team]: needs a text (in quotes: \"7\"), found the number `7`"]
    );
}

#[test]
fn settings_warn_of_what_is_left_out_and_keep_what_works() {
    let text = "kind: Settings\nmetadata: {name: default}\nspec:\n  linkerd: true\n  gateway:\n    readGatewaysFromAllNamespaces: true\n    isolateVirtualHostsBySslConfig: true\n    virtualServiceOptions: {oneWayTls: true}\n    validation: {alwaysAccept: true}\n  gloo:\n    invalidConfigPolicy: {replaceInvalidRoutes: true}\n";
    let entry = entry(text);
    assert_eq!(
        entry.findings.iter().map(|f| f.path.as_str()).collect::<Vec<_>>(),
        ["spec.linkerd", "spec.gateway.validation"]
    );
    match &entry.object.unwrap().spec {
        Spec::Settings(settings) => {
            let gateway = settings.gateway.as_ref().unwrap();
            assert!(gateway.read_gateways_from_all_namespaces);
            assert_eq!(gateway.isolate_virtual_hosts_by_ssl_config, Some(true));
            assert_eq!(gateway.virtual_service_options.as_ref().unwrap().one_way_tls, Some(true));
            assert!(
                settings
                    .gloo
                    .as_ref()
                    .unwrap()
                    .invalid_config_policy
                    .as_ref()
                    .unwrap()
                    .replace_invalid_routes
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn positions_are_found_by_path() {
    let entry = entry(&one_route(
        "matchers:\n- prefix: /a\n- exact: /b\nroute_action:\n  single:\n    upstream: {name: a}",
    ));
    let object = entry.object.unwrap();
    let at = |path: &str| {
        let location = object.locate(path);
        (location.line, location.column)
    };
    assert_eq!(at("spec.virtualHost.routes[0].matchers[1].exact"), (11, 9));
    assert_eq!(at("virtualHost.routes[0].matchers[1]"), (11, 9));
    assert_eq!(at("spec.virtualHost.routes[0].matchers[1].methods"), (11, 9));
    assert_eq!(at("spec.virtualHost.routes[0].routeAction.single.upstream.namespace"), (14, 11));
    assert_eq!(at("spec.virtualHost.domains"), (7, 3));
    assert_eq!(at("spec.sslConfig"), (1, 1));
    assert_eq!(at("metadata.name"), (4, 3));
}

#[test]
fn of_very_many_mistakes_and_of_very_long_ones_the_start_is_told() {
    let fields: String = (0..5_000).map(|n| format!("field{n}: 1\n")).collect();
    let findings = entry(&virtual_service(&fields)).findings;
    assert!(findings.len() < 1_100, "{}", findings.len());
    assert!(findings.iter().any(|finding| finding.message.starts_with("there is more wrong")));
    let long =
        virtual_service(&format!("displayName: [{}]\nxyz{}: 1", "a, ".repeat(100), "z".repeat(100_000)));
    for finding in entry(&long).findings {
        assert!(finding.message.len() < 5_000, "{} bytes", finding.message.len());
    }
}
