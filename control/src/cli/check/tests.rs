use super::*;
use serde_json::Value;
use std::fs;

const GOOD: &str = "\
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: good, namespace: gloo-system}
spec:
  virtualHost:
    domains: [good.example.com]
    routes:
    - matchers: [{prefix: /}]
      directResponseAction: {status: 200, body: good}
";

const BAD: &str = "\
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: bad, namespace: gloo-system}
spec:
  virtualHost:
    domains: [bad.example.com]
    routes:
    - matchers: [{prefixx: /}]
      directResponseAction: {status: 200, body: bad}
";

const WARNED: &str = "\
apiVersion: gateway.solo.io/v1
kind: VirtualService
metadata: {name: warned, namespace: gloo-system}
spec:
  virtualHost:
    domains: [warned.example.com]
    routes:
    - matchers: [{prefix: /}]
      routeAction: {single: {upstream: {name: nobody, namespace: gloo-system}}}
";

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(dir.path().join(name), text).unwrap();
    }
    dir
}

fn check(dir: &tempfile::TempDir) -> Checked {
    offline::check(dir.path(), "gloo-system").unwrap()
}

fn run_in(dir: &tempfile::TempDir, output: TextOrJson) -> Result<(), Failure> {
    let args = CheckArgs { folder: dir.path().to_owned(), output, namespace: "gloo-system".into() };
    run(&args, &Console::plain())
}

#[test]
fn a_good_folder_is_accepted_in_silence() {
    let dir = folder(&[("good.yaml", GOOD)]);
    assert_eq!(render::text(&check(&dir), &Console::plain()), "1 resource: 1 accepted\n");
    assert!(run_in(&dir, TextOrJson::Text).is_ok());
}

#[test]
fn an_error_has_its_place_and_rejects() {
    let dir = folder(&[("good.yaml", GOOD), ("bad.yaml", BAD)]);
    let text = render::text(&check(&dir), &Console::plain());
    let place = format!("{}:8:", dir.path().join("bad.yaml").display());
    let message = text.lines().find(|line| line.starts_with(&place)).unwrap_or_else(|| panic!("{text}"));
    assert!(message.contains(": error: spec.virtualHost.routes[0].matchers[0]"), "{message}");
    assert!(message.contains("prefix"), "the nearest spelling is named: {message}");
    assert!(text.contains("VirtualService gloo-system.bad: Rejected\n"), "{text}");
    assert!(text.ends_with("2 resources: 1 accepted, 1 rejected\n"), "{text}");
    assert!(matches!(run_in(&dir, TextOrJson::Text), Err(Failure::Silent)));
}

#[test]
fn a_warning_is_told_and_accepted() {
    let dir = folder(&[("warned.yaml", WARNED)]);
    let text = render::text(&check(&dir), &Console::plain());
    assert!(text.contains(": warning: "), "{text}");
    assert!(text.ends_with("1 resource: 0 accepted, 1 with warnings\n"), "{text}");
    assert!(run_in(&dir, TextOrJson::Json).is_ok());
}

#[test]
fn unreadable_yaml_rejects_and_the_rest_is_still_checked() {
    let dir = folder(&[("good.yaml", GOOD), ("torn.yaml", "a: [1, 2\nb: }")]);
    let text = render::text(&check(&dir), &Console::plain());
    assert!(text.ends_with("1 resource: 1 accepted; 1 document unusable\n"), "{text}");
    assert!(text.contains("torn.yaml:"), "{text}");
    assert!(matches!(run_in(&dir, TextOrJson::Text), Err(Failure::Silent)));
}

#[test]
fn a_folder_that_is_not_there_is_a_usage_error() {
    let gone = std::path::Path::new("/nonexistent/portcullis");
    assert!(
        matches!(offline::check(gone, "gloo-system"), Err(Failure::Usage(reason)) if reason.contains("nonexistent"))
    );
}

#[test]
fn json_has_the_documented_form() {
    let dir = folder(&[
        ("bad.yaml", BAD),
        ("good.yaml", GOOD),
        ("other.yaml", "kind: ConfigMap\nmetadata: {name: x}\n"),
    ]);
    let json = render::json(&check(&dir));
    assert_eq!(json["accepted"], false);
    assert_eq!(json["summary"]["resources"], 2);
    assert_eq!(json["summary"]["rejected"], 1);
    let resources = json["resources"].as_array().unwrap();
    assert_eq!(resources[0]["name"], "bad");
    assert_eq!(resources[0]["kind"], "VirtualService");
    assert_eq!(resources[0]["state"], "Rejected");
    assert_eq!(resources[0]["findings"][0]["level"], "error");
    assert_eq!(resources[0]["findings"][0]["line"], 8);
    assert_eq!(resources[1]["state"], "Accepted");
    assert_eq!(resources[1]["reason"], "");
    for list in ["problems", "notices"] {
        assert!(matches!(&json[list], Value::Array(_)), "{list}");
    }
}
