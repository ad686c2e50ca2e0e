//! The command line as a person uses it.

use std::path::Path;
use std::process::Output;

use portcullis_tests::gateway::{Gateway, copy_tree, portcullis};
use tempfile::TempDir;

use crate::{forward, two_versions, virtual_service};

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn nowhere() -> std::net::SocketAddr {
    std::net::SocketAddr::from((portcullis_tests::own_address(), 1))
}

#[tokio::test]
async fn check_tells_file_line_and_what_would_be_right_and_exits_accordingly() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().to_str().unwrap();
    let good = virtual_service("good", "['g.test']", "    - directResponseAction: {status: 200}\n");
    std::fs::write(dir.path().join("good.yaml"), &good).unwrap();
    let accepted = portcullis(&["check", "-f", path], nowhere()).await;
    assert_eq!(accepted.status.code(), Some(0), "{}", text(&accepted));

    // Warnings alone are fine.
    std::fs::write(
        dir.path().join("warned.yaml"),
        virtual_service("warned", "['w.test']", &forward("/", "nowhere")),
    )
    .unwrap();
    let warned = portcullis(&["check", "-f", path], nowhere()).await;
    assert_eq!(warned.status.code(), Some(0), "{}", text(&warned));
    assert!(
        text(&warned).contains("InvalidDestinationWarning") && text(&warned).contains("nowhere"),
        "{}",
        text(&warned)
    );

    let misspelt =
        good.replace("directResponseAction", "directResponseActoin").replace("name: good", "name: misspelt");
    std::fs::write(dir.path().join("bad.yaml"), misspelt).unwrap();
    let rejected = portcullis(&["check", "-f", path], nowhere()).await;
    assert_eq!(rejected.status.code(), Some(1), "{}", text(&rejected));
    let message = text(&rejected);
    for part in ["bad.yaml:8", "directResponseActoin", "directResponseAction", "spec.virtualHost.routes[0]"] {
        assert!(message.contains(part), "{part:?} in:\n{message}");
    }
    let json = portcullis(&["check", "-f", path, "-o", "json"], nowhere()).await;
    assert_eq!(json.status.code(), Some(1));
    let _: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();

    assert_eq!(portcullis(&["check"], nowhere()).await.status.code(), Some(2));
    assert_eq!(portcullis(&["check", "-f", "/no/such/folder"], nowhere()).await.status.code(), Some(2));
}

#[tokio::test]
async fn the_examples_are_accepted() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples");
    for example in ["hello-world", "canary", "delegation", "events"] {
        let dir = TempDir::new().unwrap();
        copy_tree(&examples.join(example), dir.path());
        let checked = portcullis(&["check", "-f", dir.path().to_str().unwrap()], nowhere()).await;
        assert_eq!(checked.status.code(), Some(0), "{example}: {}", text(&checked));
    }
}

#[tokio::test]
async fn get_shows_state_and_who_serves_it() {
    let gateway = Gateway::new().workers(2);
    let _upstreams = two_versions(&gateway).await;
    gateway.write("good.yaml", &virtual_service("good", "['g.test']", &forward("/", "v1")));
    gateway.write("bad.yaml", &virtual_service("bad", "['b.test']", "    - matchers: [{prefix: /}]\n"));
    let gateway = gateway.start().await;
    let shown = portcullis_tests::wait::until("both workers serve", async || {
        let shown = text(&gateway.portcullis(&["get", "virtualservices"]).await);
        shown.contains("2/2").then_some(shown)
    })
    .await;
    let line = |name: &str| shown.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(line("good").contains("Accepted"), "{shown}");
    assert!(line("bad").contains("Rejected"), "{shown}");
    let names = gateway.portcullis(&["get", "us", "-o", "name"]).await;
    assert_eq!(String::from_utf8_lossy(&names.stdout), "upstream/v1\nupstream/v2\n", "{}", text(&names));
    let workers = text(&gateway.portcullis(&["get", "workers"]).await);
    assert!(workers.contains("worker-0") && workers.contains("worker-1"), "{workers}");
    let json = gateway.portcullis(&["get", "vs", "good", "-o", "json"]).await;
    let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(json.to_string().contains("g.test"), "{json}");
    assert_eq!(gateway.portcullis(&["get", "vs", "missing"]).await.status.code(), Some(1));

    let unreachable = portcullis(&["get", "vs"], nowhere()).await;
    assert_eq!(unreachable.status.code(), Some(1));
    assert!(text(&unreachable).contains("portcullis up"), "says what to do: {}", text(&unreachable));
}

#[tokio::test]
async fn explain_says_which_route_wins_and_why_the_earlier_ones_do_not() {
    let dir = TempDir::new().unwrap();
    let routes =
        "    - matchers: [{prefix: /cart, methods: [POST]}]\n      directResponseAction: {status: 201}\n"
            .to_owned()
            + "    - matchers: [{prefix: /cart}]\n      options: {prefixRewrite: /basket}\n      routeAction:\n        multi:\n          destinations:\n          \
           - {weight: 9, destination: {upstream: {name: v1}}}\n          - {weight: 1, destination: {upstream: {name: v2}}}\n";
    let mut file = virtual_service("shop", "['shop.test']", &routes);
    for name in ["v1", "v2"] {
        file.push_str(&portcullis_tests::backend::upstream(name, "127.0.0.1:9".parse().unwrap(), ""));
    }
    std::fs::write(dir.path().join("all.yaml"), file).unwrap();
    let path = dir.path().to_str().unwrap();
    let explained = portcullis(&["explain", "GET", "http://shop.test/cart/7", "-f", path], nowhere()).await;
    let shown = text(&explained);
    assert_eq!(explained.status.code(), Some(0), "{shown}");
    for part in ["shop", "method", "/basket/7", "90", "10", "v1", "v2"] {
        assert!(shown.contains(part), "{part:?} in:\n{shown}");
    }
}

#[tokio::test]
async fn help_teaches() {
    for command in ["up", "check", "get", "explain", "hello", "completions"] {
        let help = portcullis(&[command, "--help"], nowhere()).await;
        assert_eq!(help.status.code(), Some(0), "{command}");
        assert!(text(&help).contains("Example"), "{command} --help shows an example:\n{}", text(&help));
    }
    let completions = portcullis(&["completions", "bash"], nowhere()).await;
    assert!(text(&completions).contains("complete"));
}
