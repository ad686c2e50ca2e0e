use super::*;
use clap::Parser;

fn args(line: &[&str]) -> GetArgs {
    let words = ["portcullis", "get"].iter().chain(line);
    match crate::cli::Cli::try_parse_from(words).unwrap().command {
        crate::cli::args::Command::Get(args) => args,
        other => panic!("{other:?}"),
    }
}

fn found() -> Found {
    let shop = ResourceStatus {
        kind: "VirtualService".into(),
        namespace: "gloo-system".into(),
        name: "shop".into(),
        state: "Accepted".into(),
        age_seconds: 300,
        workers_serving: 2,
        workers_total: 2,
        file: "shop.yaml".into(),
        line: 1,
        document: r#"{"apiVersion":"gateway.solo.io/v1","kind":"VirtualService","metadata":{"name":"shop"},
            "spec":{"virtualHost":{"domains":["shop.example.com"],"routes":[{}]}}}"#
            .into(),
        ..Default::default()
    };
    let blog = ResourceStatus {
        name: "blog".into(),
        state: "Rejected".into(),
        reason: "1 error occurred:\n\t* route must specify an action".into(),
        findings: vec![portcullis_proto::admin::v1::Finding {
            error: true,
            path: "spec.virtualHost.routes[0]".into(),
            message: "route must specify an action, one of routeAction, redirectAction, directResponseAction"
                .into(),
            ..Default::default()
        }],
        last_accepted_form: true,
        workers_serving: 1,
        document: String::new(),
        ..shop.clone()
    };
    let worker = Worker {
        id: "worker-0".into(),
        proxy_name: "gateway-proxy".into(),
        state: "synced".into(),
        version: "3.7".into(),
        connected_seconds: 5,
        pid: 42,
        ..Default::default()
    };
    Found { resources: vec![shop, blog], workers: vec![worker] }
}

#[test]
fn a_table_has_state_reason_age_and_served() {
    let found = Found { workers: vec![], ..found() };
    let printed = render(&args(&["vs"]), &found, &Console::plain());
    let expected = "\
NAMESPACE     NAME   DOMAINS            SSL    ROUTES   STATE      AGE   SERVED        REASON
gloo-system   shop   shop.example.com   none   1        Accepted   5m    2/2 workers
gloo-system   blog                                      Rejected   5m    1/2 workers   [last accepted form in use] spec.virtualHost.routes[0]: route must specify an action, one of rout...
";
    assert_eq!(printed, expected);
}

#[test]
fn wide_shows_the_source_and_the_whole_reason() {
    let printed = render(&args(&["all", "-o", "wide"]), &found(), &Console::plain());
    assert!(printed.contains("shop.yaml:1"), "{printed}");
    assert!(
        printed.contains(
            "route must specify an action, one of routeAction, redirectAction, directResponseAction"
        ),
        "{printed}"
    );
    assert!(printed.contains("virtualservice/shop"), "{printed}");
    assert!(printed.contains("worker/worker-0"), "{printed}");
}

#[test]
fn names_are_kind_and_name() {
    let printed = render(&args(&["all", "-o", "name"]), &found(), &Console::plain());
    assert_eq!(printed, "virtualservice/shop\nvirtualservice/blog\nworker/worker-0\n");
}

#[test]
fn one_by_name_is_a_document_and_many_are_a_list() {
    let one = Found { resources: found().resources.drain(..1).collect(), workers: vec![] };
    let document = value(&args(&["vs", "shop", "-o", "json"]), &one);
    assert_eq!(document["kind"], "VirtualService");
    assert_eq!(document["spec"]["virtualHost"]["domains"][0], "shop.example.com");
    assert_eq!(document["status"]["state"], "Accepted");
    let list = value(&args(&["vs", "-o", "json"]), &found());
    assert_eq!(list["kind"], "List");
    assert_eq!(list["items"].as_array().unwrap().len(), 3);
    assert_eq!(list["items"][1]["status"]["usesLastAcceptedForm"], true);
    assert_eq!(list["items"][1]["metadata"]["name"], "blog");
}

#[test]
fn every_alias_means_its_kind() {
    let kinds = [
        (GetKind::Gateways, vec!["gateways", "gateway", "gw"]),
        (GetKind::HttpGateways, vec!["httpgateways", "httpgateway", "hgw", "ghgw"]),
        (GetKind::TcpGateways, vec!["tcpgateways", "tcpgateway", "tgw", "gtgw"]),
        (GetKind::VirtualServices, vec!["virtualservices", "virtualservice", "vs"]),
        (GetKind::RouteTables, vec!["routetables", "routetable", "rt"]),
        (GetKind::Upstreams, vec!["upstreams", "upstream", "us"]),
        (GetKind::UpstreamGroups, vec!["upstreamgroups", "upstreamgroup", "ug"]),
        (GetKind::Workers, vec!["workers", "worker"]),
        (GetKind::All, vec!["all"]),
    ];
    for (kind, words) in kinds {
        for word in words {
            assert_eq!(args(&[word]).kind, kind, "{word}");
        }
    }
}

#[test]
fn ages_are_short() {
    for (seconds, shown) in [(0, "0s"), (119, "119s"), (600, "10m"), (7_200, "2h"), (172_800, "2d")] {
        assert_eq!(table::age(seconds), shown);
    }
}
