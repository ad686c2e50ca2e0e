//! The rules of the decoder that published manifests rely on, one by one.

use super::*;

#[test]
fn camel_case_and_snake_case_name_one_field_and_camel_case_wins() {
    let camel = route(&one_route("options:\n  prefixRewrite: /x\n  hostRewritePathRegex: {substitution: s}"));
    let snake =
        route(&one_route("options:\n  prefix_rewrite: /x\n  host_rewrite_path_regex: {substitution: s}"));
    assert_eq!(camel, snake);
    let both = route(&one_route("options:\n  prefixRewrite: /camel\n  prefix_rewrite: /snake"));
    assert_eq!(both.options.unwrap().prefix_rewrite.as_deref(), Some("/camel"));
    let both = route(&one_route("options:\n  prefix_rewrite: /snake\n  prefixRewrite: /camel"));
    assert_eq!(both.options.unwrap().prefix_rewrite.as_deref(), Some("/camel"));
}

#[test]
fn field_names_are_case_sensitive() {
    let said = said(&one_route("Options: {}"));
    assert_eq!(
        said,
        ["error 9:7 spec.virtualHost.routes[0].Options: unknown field `Options`; did you mean `options`?"]
    );
}

#[test]
fn null_is_as_if_absent_and_an_empty_message_in_a_list() {
    let route = route(&one_route("matchers: [null]\noptions: null\nname:\nrouteAction: ~"));
    assert_eq!(route.matchers, [Matcher::default()]);
    assert_eq!(route.options, None);
    assert_eq!(route.name, "");
    assert_eq!(route.action(), None);
}

#[test]
fn durations_are_those_of_go() {
    let route = route(&one_route("options:\n  timeout: 1m2s\n  retries:\n    perTryTimeout: 300ms"));
    let options = route.options.unwrap();
    assert_eq!(options.timeout, Some(GoDuration(62_000_000_000)));
    assert_eq!(options.retries.unwrap().per_try_timeout, Some(GoDuration(300_000_000)));
    for (written, why) in [
        ("1d", "unknown unit `d` in a duration: use ns, us, ms, s, m or h (a day is `24h`)"),
        ("10", "a duration needs a unit: write `10s` for seconds or `10ms` for milliseconds"),
        ("''", "a duration is needed, such as `300ms`, `1.5s` or `1m30s`; `0s` means zero"),
        ("soon", "not a duration: write for example `300ms`, `1.5s` or `1m30s`"),
    ] {
        let said = said(&one_route(&format!("options:\n  timeout: {written}")));
        assert_eq!(
            said,
            [format!("error 10:18 spec.virtualHost.routes[0].options.timeout: {why}")],
            "{written}"
        );
    }
}

#[test]
fn wrappers_are_the_bare_value() {
    let said = said(&one_route("options:\n  prefixRewrite: {value: /x}"));
    assert_eq!(
        said,
        [
            "error 10:24 spec.virtualHost.routes[0].options.prefixRewrite: needs a text, found a mapping (`value: ..`); \
          write the value itself, without `value:`"
        ]
    );
    let route = route(&one_route("options:\n  prefixRewrite: ''\n  autoHostRewrite: false"));
    let options = route.options.unwrap();
    assert_eq!((options.prefix_rewrite.as_deref(), options.auto_host_rewrite), (Some(""), Some(false)));
}

#[test]
fn whole_numbers_may_be_quoted_and_must_fit() {
    let port =
        |written: &str| match &entry(&upstream(&format!("static:\n  hosts:\n  - port: {written}"))).object {
            Some(object) => match &object.spec {
                Spec::Upstream(upstream) => Some(upstream.static_hosts.as_ref().unwrap().hosts[0].port),
                other => panic!("{other:?}"),
            },
            None => None,
        };
    for (written, number) in
        [("80", 80), ("'80'", 80), ("80.0", 80), ("0x50", 80), ("0", 0), ("4294967295", u32::MAX)]
    {
        assert_eq!(port(written), Some(number), "{written}");
    }
    for written in ["80.5", "'80.0'", "-1", "4294967296", "eighty", "true", "[80]", "1e100"] {
        assert_eq!(port(written), None, "{written}");
    }
}

#[test]
fn enums_go_by_exact_name_or_number() {
    let code = |written: &str| {
        let entry = entry(&one_route(&format!("redirectAction:\n  responseCode: {written}")));
        let object = entry.object.ok_or_else(|| entry.findings[0].message.clone())?;
        match &object.spec {
            Spec::VirtualService(vs) => {
                let route = &vs.virtual_host.as_ref().unwrap().routes[0];
                Ok::<_, String>(route.redirect_action.as_ref().unwrap().response_code)
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(code("SEE_OTHER"), Ok(RedirectCode::SeeOther));
    assert_eq!(code("2"), Ok(RedirectCode::SeeOther));
    let all = "MOVED_PERMANENTLY, FOUND, SEE_OTHER, TEMPORARY_REDIRECT, PERMANENT_REDIRECT";
    assert_eq!(
        code("see_other"),
        Err(format!("needs one of {all}, found the text `see_other`; did you mean `SEE_OTHER`?"))
    );
    assert_eq!(code("303"), Err(format!("needs one of {all}, found the number `303`")));
}

#[test]
fn presence_alone_sets_an_empty_message() {
    let route = route(&one_route("matchers:\n- connectMatcher: {}"));
    assert_eq!(route.matchers[0].path(), Some(PathSpecifier::Connect));
}

#[test]
fn of_a_oneof_the_last_declared_member_counts_and_the_others_are_told() {
    let cases = [
        ("matchers:\n- {regex: r, exact: /e, prefix: /p}", "prefix exact", "regex"),
        ("matchers:\n- {connectMatcher: {}, regex: r}", "regex", "connectMatcher"),
        (
            "delegateAction: {}\ndirectResponseAction: {}\nredirectAction: {}\nrouteAction: {}",
            "routeAction redirectAction directResponseAction",
            "delegateAction",
        ),
        (
            "routeAction:\n  clusterHeader: x\n  upstreamGroup: {}\n  multi: {}\n  single: {}",
            "single multi upstreamGroup",
            "clusterHeader",
        ),
        (
            "options:\n  hostRewriteHeader: x\n  hostRewritePathRegex: {}\n  autoHostRewrite: true\n  hostRewrite: x",
            "hostRewrite autoHostRewrite hostRewritePathRegex",
            "hostRewriteHeader",
        ),
    ];
    for (text, losers, winner) in cases {
        let entry = entry(&one_route(text));
        assert!(entry.object.is_some(), "{text}");
        let mut told: Vec<String> = Vec::new();
        for finding in &entry.findings {
            assert_eq!(finding.level, Level::Warning);
            assert!(finding.message.contains(&format!("`{winner}` counts")), "{}", finding.message);
            told.push(finding.path.rsplit('.').next().unwrap().to_owned());
        }
        let mut losers: Vec<&str> = losers.split(' ').collect();
        losers.sort_unstable();
        told.sort_unstable();
        assert_eq!(told, losers, "{text}");
    }
    let ssl = entry(&virtual_service("sslConfig:\n  sslFiles: {tlsCert: c}\n  secretRef: {name: s}"));
    match &ssl.object.unwrap().spec {
        Spec::VirtualService(vs) => {
            let ssl = vs.ssl_config.as_ref().unwrap();
            assert!(ssl.secret_ref.is_none() && ssl.ssl_files.is_some());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_member_that_is_not_served_yet_loses_or_wins_like_any_other() {
    let loses = entry(&upstream("kube: {serviceName: x}\nstatic: {}"));
    assert!(loses.object.is_some());
    assert!(loses.findings[0].message.contains("`static` counts"), "{:?}", loses.findings);
    let wins = said(&upstream("static: {}\nconsul: {serviceName: x}"));
    assert_eq!(wins.len(), 2, "{wins:?}");
    assert!(
        wins[0].starts_with("warning 7:3 spec.static: `static` and `consul` exclude each other"),
        "{wins:?}"
    );
    assert!(wins[1].starts_with("error 8:3 spec.consul: `consul` is not supported yet"), "{wins:?}");
}

#[test]
fn yaml_1_1_booleans_and_plain_keys_with_colons() {
    let gateway = entry(
        "kind: Gateway\nmetadata: {name: gw}\nspec:\n  ssl: yes\n  httpGateway:\n    virtualServiceSelector: {:path: a}\n",
    );
    match &gateway.object.unwrap().spec {
        Spec::Gateway(gateway) => {
            assert!(gateway.ssl);
            assert!(gateway.http_gateway.as_ref().unwrap().virtual_service_selector.contains_key(":path"));
        }
        other => panic!("{other:?}"),
    }
    let said = said(&one_route("name: on"));
    assert_eq!(
        said,
        [
            "error 9:13 spec.virtualHost.routes[0].name: needs a text (in quotes: \"on\"), found `on`, which YAML reads \
          as the boolean true"
        ]
    );
}

#[test]
fn merge_keys_and_aliases_are_expanded() {
    let route = route(&one_route(
        "matchers:\n- &m {prefix: /a, methods: [GET]}\n- <<: *m\n  prefix: /b\n- *m\n- <<: [{caseSensitive: false}, *m]",
    ));
    let prefixes: Vec<_> = route.matchers.iter().map(|m| m.prefix.as_deref().unwrap()).collect();
    assert_eq!(prefixes, ["/a", "/b", "/a", "/a"]);
    assert!(route.matchers.iter().all(|m| m.methods == ["GET"]));
    assert_eq!(route.matchers[3].case_sensitive, Some(false));
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut text = String::from(
        "kind: VirtualService\nmetadata: {name: a}\nspec:\n  a: &a [x, x, x, x, x, x, x, x, x]\n",
    );
    for (name, of) in [("b", "a"), ("c", "b"), ("d", "c"), ("e", "d"), ("f", "e"), ("g", "f"), ("h", "g")] {
        text.push_str(&format!(
            "  {name}: &{name} [*{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}, *{of}]\n"
        ));
    }
    let said = said(&text);
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("aliases expand to more than 100000 values"), "{said:?}");
}

#[test]
fn nesting_has_a_bound() {
    let text = format!("kind: VirtualService\nmetadata: {{name: a}}\nspec: {}", "[".repeat(100));
    let said = said(&text);
    assert!(said[0].contains("nested more than 64 levels deep"), "{said:?}");
}

#[test]
fn json_is_read_like_yaml() {
    let text = "{\n\t\"kind\": \"Upstream\",\n\t\"metadata\": {\"name\": \"a\"},\n\t\"spec\": {\"static\": {\"hosts\": [{\"addr\": \"h\\u0031\", \"port\": 80}]}}\n}\n";
    let entry = entry(text);
    assert!(entry.findings.is_empty(), "{:?}", entry.findings);
    match &entry.object.unwrap().spec {
        Spec::Upstream(upstream) => assert_eq!(upstream.static_hosts.as_ref().unwrap().hosts[0].addr, "h1"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_digest_follows_the_meaning_and_the_document_makes_the_object_again() {
    let object = |text: &str| Object::clone(entry(text).object.as_ref().unwrap());
    let plain = object(&one_route("options:\n  prefixRewrite: /x\n  timeout: 5s\nname: r"));
    let same = [
        one_route("# a comment\nname: \"r\"\noptions: {timeout: 5s, prefix_rewrite: /x, retries: null}"),
        one_route("options:\n  prefixRewrite: /x\n  timeout: 5s\nname: r").replace("  name: vs", "  name: vs\n  resourceVersion: '7'\n  managedFields: [{}]\n  annotations: {kubectl.kubernetes.io/last-applied-configuration: x}"),
        one_route("options:\n  prefixRewrite: /x\n  timeout: 5s\nname: r") + "status: {state: Accepted}\n",
        one_route("options:\n  prefixRewrite: /x\n  timeout: 5s\n  extensions: {}\nname: r"),
        one_route("options:\n  hostRewrite: lost\n  prefixRewrite: /x\n  timeout: 5s\nname: r").replace("hostRewrite: lost\n", "\n"),
    ];
    for text in same {
        assert_eq!(object(&text).digest, plain.digest, "{text}");
    }
    for text in [
        one_route("options:\n  prefixRewrite: /y\n  timeout: 5s\nname: r"),
        one_route("options:\n  prefixRewrite: /x\nname: r"),
        one_route("options:\n  prefixRewrite: /x\n  timeout: 5s\nname: r")
            .replace("  name: vs", "  name: vs\n  labels: {a: b}"),
    ] {
        assert_ne!(object(&text).digest, plain.digest, "{text}");
    }
    let again = decode_document(Kind::VirtualService, &plain.document).unwrap();
    assert_eq!((again.id, again.spec, again.digest), (plain.id.clone(), plain.spec, plain.digest));
    assert_eq!(again.document, plain.document);
    assert_eq!(
        decode_document(Kind::Upstream, &plain.document).unwrap_err(),
        DocumentError::Kind(Kind::VirtualService)
    );
    assert!(matches!(decode_document(Kind::Secret, "{}"), Err(DocumentError::Secret)));
    assert!(matches!(decode_document(Kind::Gateway, "{"), Err(DocumentError::Invalid(_))));
}
