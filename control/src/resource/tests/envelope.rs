//! Documents, kinds, names.

use super::*;

fn ids(parsed: &Parsed) -> Vec<String> {
    parsed.entries.iter().map(|entry| entry.id.to_string()).collect()
}

fn parsed_problem(text: &str) -> String {
    parsed(text).problems[0].to_string()
}

fn texts(findings: &[Finding]) -> Vec<String> {
    findings.iter().map(|finding| finding.message.clone()).collect()
}

#[test]
fn many_documents_and_lists_are_taken_apart() {
    let parsed = parsed(
        "# a comment\n%YAML 1.1\n---\nkind: Upstream\nmetadata: {name: a}\n---\n---\n# nothing\n---\nkind: List\napiVersion: v1\nitems:\n- kind: Upstream\n  metadata: {name: b, namespace: x}\n- kind: Service\n  metadata: {name: s}\n--- {kind: Gateway, metadata: {name: c}}\n...\n---\napiVersion: gateway.solo.io/v1\nkind: RouteTableList\nitems:\n- metadata: {name: d}\n  spec: {routes: []}\n",
    );
    assert_eq!(
        ids(&parsed),
        ["Upstream default.a", "Upstream x.b", "Gateway default.c", "RouteTable default.d"]
    );
    assert_eq!(texts(&parsed.notices), ["Service s is left alone: not a resource of the gateway"]);
    assert!(parsed.problems.is_empty(), "{:?}", parsed.problems);
    assert_eq!(parsed.entries[1].location.to_string(), "in.yaml:13:3");
}

#[test]
fn a_broken_document_spares_the_others_and_keeps_its_name_if_that_can_be_read() {
    let parsed = parsed(
        "kind: Upstream\nmetadata: {name: a}\n---\nkind: Upstream\nmetadata:\n  name: b\n  namespace: x\nspec:\n  static: {hosts: [\n---\nkind: Upstream\nmetadata: {name: c}\n---\n{a: [\n",
    );
    assert_eq!(ids(&parsed), ["Upstream default.a", "Upstream x.b", "Upstream default.c"]);
    let broken = &parsed.entries[1];
    assert!(broken.object.is_none());
    assert!(broken.findings[0].message.starts_with("not valid YAML: "), "{:?}", broken.findings);
    assert!(broken.findings[0].location.as_ref().unwrap().line >= 9);
    assert_eq!(parsed.problems.len(), 1);
    assert!(parsed.problems[0].location.as_ref().unwrap().line >= 14, "{:?}", parsed.problems);
}

#[test]
fn tabs_and_no_break_spaces_are_named_as_the_cause() {
    let parsed = parsed("kind: Upstream\nmetadata:\n\tname: a\n");
    assert!(parsed.problems[0].message.contains("a line is indented by a tab"), "{:?}", parsed.problems);
}

#[test]
fn without_the_wrapper_the_whole_document_is_the_message() {
    let flat = "virtualHost:\n  domains: ['*']\nmetadata: {name: a, namespace: ns}\nnamespacedStatuses: {}\n";
    let wrapped = "kind: VirtualService\nmetadata: {name: a, namespace: ns}\nspec:\n  virtualHost:\n    domains: ['*']\n";
    let (flat, wrapped) = (entry(flat).object.unwrap(), entry(wrapped).object.unwrap());
    assert_eq!(flat.digest, wrapped.digest);
    assert_eq!(flat.spec, wrapped.spec);
    assert_eq!(flat.locate("spec.virtualHost.domains").line, 2);
    let kind_without_spec = "kind: RouteTable\nmetadata: {name: a}\nroutes: []\nweight: 3\n";
    assert!(entry(kind_without_spec).findings.is_empty());
}

#[test]
fn the_folder_tells_kind_namespace_and_name() {
    let at = |path: &str, text: &str| parse(Path::new(path), text, "default");
    let parsed = at("/etc/x/virtualhostoptions/team/opts.yaml", "options: {}\n");
    assert_eq!(ids(&parsed), ["VirtualHostOption team.opts"]);
    let parsed =
        at("/etc/x/routeoptions/team/opts.yaml", "metadata: {name: other, namespace: one}\noptions: {}\n");
    assert_eq!(ids(&parsed), ["RouteOption one.other"]);
    let parsed = at("/etc/x/authconfigs/team/a.yaml", "metadata: {name: a}\nconfigs: []\n");
    assert_eq!(
        texts(&parsed.notices),
        ["AuthConfig a belongs to Gloo's Enterprise build and is not supported yet"]
    );
}

#[test]
fn the_fields_tell_the_kind_if_they_are_of_one_only() {
    let kind = |text: &str| {
        let parsed = parsed(&format!("metadata: {{name: a}}\n{text}\n"));
        match parsed.entries.first() {
            Some(entry) => entry.id.kind.to_string(),
            None => parsed.problems[0].message.clone(),
        }
    };
    assert_eq!(kind("httpGateway: {}"), "Gateway");
    assert_eq!(kind("bind_port: 80"), "Gateway");
    assert_eq!(kind("virtualHost: {}"), "VirtualService");
    assert_eq!(kind("routes: []"), "RouteTable");
    assert_eq!(kind("static: {}"), "Upstream");
    assert_eq!(kind("destinations: []"), "UpstreamGroup");
    assert_eq!(kind("tls: {certChain: x}"), "Secret");
    assert_eq!(kind("gloo: {}"), "Settings");
    assert!(kind("options: {}").starts_with("the document has no `kind`, and neither its folder"));
    assert!(kind("routes: []\nstatic: {}").contains("its fields are those of RouteTable and Upstream"));
}

#[test]
fn kinds_that_are_not_ours_are_notices_and_lookalikes_are_problems() {
    let parsed = parsed(
        "apiVersion: enterprise.gloo.solo.io/v1\nkind: AuthConfig\nmetadata: {name: a, namespace: ns}\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: b}\n---\napiVersion: gateway.solo.io/v1\nkind: VirtualSerivce\nmetadata: {name: c}\n---\napiVersion: gloo.solo.io/v1\nkind: VirtualService\nmetadata: {name: d}\n",
    );
    assert_eq!(
        texts(&parsed.notices),
        [
            "AuthConfig ns.a belongs to Gloo's Enterprise build and is not supported yet",
            "VirtualService b is left alone: not a resource of the gateway",
        ]
    );
    assert_eq!(
        texts(&parsed.problems),
        [
            "VirtualSerivce c: unknown kind `VirtualSerivce`; did you mean `VirtualService`?",
            "VirtualService d: VirtualService belongs to apiVersion `gateway.solo.io/v1`, not to `gloo.solo.io/v1`",
        ]
    );
}

#[test]
fn a_document_needs_a_name_and_a_mapping() {
    let parsed = parsed("kind: Gateway\nmetadata: {}\n---\n- a\n---\njust text\n");
    assert_eq!(
        texts(&parsed.problems),
        [
            "Gateway without a name: `metadata.name` is needed",
            "a document must be a mapping with `kind`, `metadata` and `spec`",
            "a document must be a mapping with `kind`, `metadata` and `spec`",
        ]
    );
    let number = parsed_problem("kind: Gateway\nmetadata: {name: 007}\n");
    assert_eq!(number, "metadata.name: needs a text (in quotes: \"007\"), found the number `007`");
    let slash = said("kind: Gateway\nmetadata: {name: a/b}\n");
    assert!(slash[0].contains("cannot be part of a name"), "{slash:?}");
}

#[test]
fn a_missing_namespace_is_the_default_one() {
    let parsed = parse(Path::new("a.yaml"), "kind: Gateway\nmetadata: {name: a}\n", "mine");
    assert_eq!(ids(&parsed), ["Gateway mine.a"]);
}

#[test]
fn of_one_resource_twice_in_a_file_the_first_counts() {
    let parsed = parsed(
        "kind: Upstream\nmetadata: {name: a}\nspec: {static: {}}\n---\nkind: Upstream\nmetadata: {name: a}\n",
    );
    assert_eq!(parsed.entries.len(), 1);
    assert_eq!(parsed.entries[0].location.line, 1);
    assert_eq!(
        texts(&parsed.problems),
        [
            "Upstream default.a is defined twice: at in.yaml:1:1, which counts, and at in.yaml:5:1, which is left out"
        ]
    );
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC{0,200}") {
        parsed(&text);
    }

    #[test]
    fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
        parsed(&String::from_utf8_lossy(&bytes));
    }

    /// Damage to a document that is right comes closer to the decoder than noise does.
    #[test]
    fn no_damage_makes_the_parser_panic(
        edits in proptest::collection::vec((0_usize..2000, "[-\\[\\]{}:,&*<!|>'\"#%@` \\n\\ta-z0-9~]{0,6}"), 1..12)
    ) {
        let mut text = one_route(
            "matchers:\n- &m {prefix: /a, headers: [{name: x, value: y, regex: true}]}\n- *m\noptions:\n  timeout: 5s\n  retries: {numRetries: 3}\n  headerManipulation:\n    requestHeadersToAdd:\n    - header: {key: a, value: b}\nrouteAction:\n  multi:\n    destinations:\n    - destination: {upstream: {name: a}}\n      weight: 5",
        );
        for (at, insert) in edits {
            let at = at % (text.len() + 1);
            let end = (at + insert.len()).min(text.len());
            text.replace_range(at..end, &insert);
        }
        let parsed = parsed(&text);
        for entry in &parsed.entries {
            if let Some(object) = &entry.object {
                let again = decode_document(object.id.kind, &object.document).unwrap();
                proptest::prop_assert_eq!(again.digest, object.digest);
                proptest::prop_assert_eq!(again.spec, object.spec.clone());
            }
        }
    }
}

#[test]
fn misspelt_fields_of_the_envelope_are_told_with_what_is_meant() {
    let found = entry(
        "kind: RouteTable\nmetadata:\n  name: a\n  namesapce: b\n  lables: {}\n  uid: x\n  managedFields: [{a: b}]\n  generation: 2\n  creationTimestamp: null\n  ownerReferences: [{kind: A}]\nspec:\n  routes: []\nspce: {}\n",
    );
    assert!(found.object.is_none());
    assert_eq!(
        texts(&found.findings),
        [
            "unknown field `namesapce`; did you mean `namespace`?",
            "unknown field `lables`; did you mean `labels`?",
            "unknown field `spce`; did you mean `spec`?",
        ]
    );
    assert_eq!(found.findings[0].path, "metadata.namesapce");
    let found = entry("kind: RouteTable\nmetadata: {name: a}\nspecs:\n  routes: []\n");
    assert_eq!(texts(&found.findings), ["unknown field `specs`; did you mean `spec`?"]);
    for text in ["metdta: {name: a}\nspec: {routes: []}\n", "metdta: {name: a}\nroutes: []\n"] {
        let parsed = parsed(&format!("kind: RouteTable\n{text}"));
        assert_eq!(texts(&parsed.problems), ["RouteTable: unknown field `metdta`; did you mean `metadata`?"]);
    }
}
