use std::borrow::Cow;

use serde_json::json;

use super::*;

#[derive(Default)]
struct Fake {
    headers: Vec<(&'static str, &'static str)>,
    request: Vec<(&'static str, &'static str)>,
    body: Option<&'static str>,
    metadata: Value,
}

fn find<'a>(list: &[(&'static str, &'a str)], name: &str) -> Option<Cow<'a, str>> {
    list.iter().find(|(known, _)| *known == name).map(|(_, value)| Cow::Borrowed(*value))
}

impl Message for Fake {
    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        find(&self.headers, name)
    }
    fn request_header(&self, name: &str) -> Option<Cow<'_, str>> {
        find(&self.request, name)
    }
    fn extraction(&self, name: &str) -> Option<&str> {
        (name == "token").then_some("abc")
    }
    fn body(&self) -> Option<&str> {
        self.body
    }
    fn dynamic_metadata(&self, namespace: &str, key: &str) -> Option<&Value> {
        self.metadata.get(namespace)?.get(key)
    }
    fn random(&self, pattern: &str) -> String {
        format!("<random for {pattern}>")
    }
}

fn compile(text: &str) -> Result<Template, Error> {
    Template::compile(text, Notation::Dot, false, |name| name == "extracted")
}

fn with(text: &str, context: Value) -> Result<String, String> {
    let message = Fake {
        headers: vec![(":status", "401"), ("x-one", "1")],
        request: vec![(":path", "/p")],
        body: Some("raw body"),
        metadata: json!({
            "io.solo.transformation": {"a": {"b": [1, 2]}, "text": "t", "flag": true, "n": 1.5},
            "other": {"k": "v"},
        }),
    };
    compile(text).and_then(|it| it.render(&context, &message)).map_err(|error| error.to_string())
}

/// Rendered over `{"a": {"b": [10, 20]}, "name": "Ann", "n": 5, "f": 1.5, "t": true, "none": null}`.
fn rendered(text: &str) -> String {
    let context = json!({ "a": {"b": [10, 20]}, "name": "Ann", "n": 5, "f": 1.5, "t": true, "none": null });
    with(text, context).unwrap_or_else(|error| format!("ERROR {error}"))
}

/// (template, result) pairs.
fn check(cases: &[(&str, &str)]) {
    for (template, wanted) in cases {
        assert_eq!(rendered(template), *wanted, "{template}");
    }
}

#[test]
fn text_and_tags() {
    check(&[
        ("", ""),
        ("plain {text} # %}", "plain {text} # %}"),
        ("a{# comment }} #}b", "ab"),
        ("<{{ name }}>", "<Ann>"),
        ("a\n  {{- name }}", "a\nAnn"),
        ("a  {{- name }}", "a  Ann"),
        ("{{ name -}}  \n  b", "Ann  b"),
        ("## if t\nyes\n## endif\nend", "yes\nend"),
        ("x ## no", "x ## no"),
        ("{{ name }}}", "Ann}"),
        ("{ {{ name }} }", "{ Ann }"),
    ]);
}

#[test]
fn variables_and_literals() {
    check(&[
        ("{{ a.b.1 }} {{ a/b/0 }}", "20 10"),
        ("{{ a }}", r#"{"b":[10,20]}"#),
        ("{{ f }} {{ t }} {{ none }}|", "1.5 true |"),
        (
            r#"{{ "q\"\u00e9" }} {{ [1, "x"] }} {{ {"k": [2]} }} {{ -3 }} {{ 1e2 }}"#,
            "q\"\u{e9} [1,\"x\"] {\"k\":[2]} -3 100.0",
        ),
        ("{{ body }} {{ body() }}", "raw body raw body"),
        ("{{ context().name }}", "Ann"),
        ("{{ missing }}", "ERROR variable 'missing' not found (line 1, column 4 of the template)"),
    ]);
    assert_eq!(with("{{ default(x, \"-\") }}{{ context() }}", json!([1])).unwrap(), "-[1]");
}

#[test]
fn advanced_templates_take_pointers() {
    let message = Fake::default();
    let template = Template::compile("{{ a.b/c }}", Notation::Pointer, false, |_| false).unwrap();
    assert_eq!(template.render(&json!({ "a.b": {"c": 1} }), &message).unwrap(), "1");
}

#[test]
fn operators_bind_as_inja_has_them() {
    check(&[
        ("{{ 1 + 2 * 3 }} {{ (1 + 2) * 3 }} {{ 7 % 4 }} {{ 2 ^ 3 ^ 2 }}", "7 9 3 512"),
        ("{{ 10 / 4 }} {{ 10 / 5 }} {{ n - 1 }} {{ n -1 }}", "2.5 2.0 4 4"),
        ("{{ 1 / 0 }}", "ERROR division by zero (line 1, column 4 of the template)"),
        ("{{ \"a\" + \"b\" }} {{ 1 + 0.5 }}", "ab 1.5"),
        ("{{ 9223372036854775807 + 1 }}", "ERROR the result is too large (line 1, column 4 of the template)"),
        (
            "{{ 1 == 1.0 }} {{ \"1\" == 1 }} {{ 2 > 1 and 1 >= 1 }} {{ \"a\" < \"b\" }}",
            "true false true true",
        ),
        (
            "{{ 10 in a.b }} {{ \"x\" in [\"x\"] }} {{ \"x\" in \"xy\" }} {{ 1 in {\"k\": 1} }}",
            "true true false true",
        ),
        // `or` and `and` are alike, from left to right; `not` binds before `==`.
        ("{{ true or false and false }} {{ not 1 == false }} {{ not not t }}", "false true true"),
        ("{{ missing and true }}", "ERROR variable 'missing' not found (line 1, column 4 of the template)"),
        ("{{ false and missing }}", "false"),
        (
            "{{ name + 1 }}",
            "ERROR cannot calculate with a text and a number (line 1, column 4 of the template)",
        ),
    ]);
}

#[test]
fn statements() {
    check(&[
        ("{% if n == 4 %}a{% else if n == 5 %}b{% else %}c{% endif %}", "b"),
        ("{% if none %}a{% else %}b{% endif %}", "b"),
        (
            "{% for x in a.b %}{{ loop.index1 }}:{{ x }}{% if not loop.is_last %},{% endif %}{% endfor %}",
            "1:10,2:20",
        ),
        (
            "{% for k, v in context() %}{% if loop.is_first %}{{ k }}={{ v }}{% endif %}{% endfor %}",
            "a={\"b\":[10,20]}",
        ),
        (
            "{% for x in range(2) %}{% for y in range(2) %}{{ loop.parent.index }}{{ at(loop, \"index\") }} {% endfor %}{% endfor %}",
            "00 01 10 11 ",
        ),
        // What a loop sets stays set; its own variable is empty after it.
        ("{% set s = 0 %}{% for x in a.b %}{% set s = s + x %}{% endfor %}{{ s }} {{ x }}", "30 0"),
        ("{% set o.p.q = 1 %}{{ o.p.q }} {{ o }}", "1 {\"p\":{\"q\":1}}"),
        ("{% set name = \"Bob\" %}{{ name }}", "Bob"),
        (
            "{% for x in name %}{% endfor %}",
            "ERROR `for value in` needs a list, found a text (line 1, column 13 of the template)",
        ),
    ]);
}

#[test]
fn functions_of_the_message() {
    check(&[
        ("{{ header(\":status\") }} {{ header(\"X-One\") }} {{ header(\"none\") }}|", "401 1 |"),
        ("{{ request_header(\":path\") }} {{ extraction(\"token\") }} {{ extraction(\"x\") }}|", "/p abc |"),
        (
            "{{ dynamic_metadata(\"text\") }} {{ dynamic_metadata(\"a:b\") }} {{ dynamic_metadata(\"k\", \"other\") }}",
            "t [1,2] v",
        ),
        (
            "{{ dynamic_metadata(\"flag\") }} {{ dynamic_metadata(\"n\") }} {{ dynamic_metadata(\"x\") }}|",
            "true 1.5 |",
        ),
        ("{{ cluster_metadata(\"k\") }}{{ clusterMetadata(\"k\") }}{{ host_metadata(\"k\", \"ns\") }}|", "|"),
        ("{{ env(\"PORTCULLIS_NOT_SET\") }}|{% if length(env(\"PATH\")) > 0 %}path{% endif %}", "|path"),
    ]);
}

#[test]
fn functions_on_texts() {
    check(&[
        (
            "{{ base64_encode(\"a?>\") }} {{ base64_decode(\"YT8+\") }} {{ base64_decode(\"%\") }}|",
            "YT8+ a?> |",
        ),
        ("{{ base64url_encode(\"a?>b\") }} {{ base64url_decode(\"YT8-Yg\") }}", "YT8-Yg a?>b"),
        (
            "{{ substring(\"hello\", 1) }} {{ substring(\"hello\", 1, 3) }} {{ substring(\"hello\", 1, 9) }}",
            "ello ell ello",
        ),
        ("{{ substring(\"hello\", -1) }}{{ substring(\"hello\", 5) }}{{ substring(\"hello\", 1.5) }}|", "|"),
        (
            "{{ substring(\"hello\", 3, 0) }} {{ substring(\"hello\", 3, -1) }} {{ substring(\"hello\", 3, \"x\") }}|",
            "lo lo |",
        ),
        ("[{{ trim(\"  a b \") }}]", "[a b]"),
        ("{{ replace_with_random(\"a-b-c\", \"-\") }}", "a<random for ->b<random for ->c"),
        ("{{ raw_string(\"a\\\"b\\n\") }}", "a\\\"b\\n"),
        (
            "{{ word_count(\" a b  c \") }} {{ word_count([\"a b\", {\"k\": 1}]) }} {{ word_count(\"\") }}",
            "3 4 0",
        ),
        ("{{ upper(\"aB\") }} {{ lower(\"aB\") }} {{ capitalize(\"aB c\") }}", "AB ab Ab c"),
        ("{{ replace(\"aXbX\", \"X\", \"--\") }} {{ length(\"abc\") }}", "a--b-- 3"),
        ("{{ upper(1) }}", "ERROR `upper` needs a text, found a number (line 1, column 4 of the template)"),
    ]);
}

#[test]
fn functions_on_values() {
    check(&[
        ("{{ first(a.b) }} {{ last(a.b) }} {{ length(a.b) }} {{ length(a) }}", "10 20 2 1"),
        ("{{ sort([3, 1, 2]) }} {{ join([1, \"b\"], \", \") }} {{ range(3) }}", "[1,2,3] 1, b [0,1,2]"),
        (
            "{{ max([1, 3, 2]) }} {{ min([2, 1.5]) }} {{ max([]) }}",
            "ERROR `max` of an empty list (line 1, column 45 of the template)",
        ),
        ("{{ round(1.25, 1) }} {{ round(2.5, 0) }} {{ int(\"42x\") }} {{ float(\"1.5\") }}", "1.3 3 42 1.5"),
        (
            "{{ odd(3) }} {{ even(3) }} {{ divisibleBy(9, 3) }} {{ divisibleBy(9, 0) }}",
            "true false true false",
        ),
        (
            "{{ at(a.b, 1) }} {{ at(a, \"b\") }} {{ exists(\"a.b\") }} {{ exists(\"a.c\") }}",
            "20 [10,20] true false",
        ),
        (
            "{{ existsIn(a, \"b\") }} {{ existsIn(a, \"c\") }} {{ default(missing, 1) }} {{ default(n, 1) }}",
            "true false 1 5",
        ),
        ("{{ default(none, 1) }}|", "|"),
        (
            "{{ isString(name) }}{{ isNumber(n) }}{{ isInteger(f) }}{{ isFloat(f) }}{{ isBoolean(t) }}",
            "truetruefalsetruetrue",
        ),
        ("{{ isArray(a.b) }}{{ isObject(a) }}{{ isObject(a.b) }}", "truetruefalse"),
        ("{{ at(a, \"x\") }}", "ERROR there is no `x` in an object (line 1, column 4 of the template)"),
        ("{{ first([]) }}", "ERROR there is no `0` in a list (line 1, column 4 of the template)"),
    ]);
}

#[test]
fn a_range_takes_what_a_division_gives() {
    check(&[(
        "{% for i in range(length(\"abcd\") / 2) %}{{ substring(\"abcd\", i * 2, 2) }};{% endfor %}",
        "ab;cd;",
    )]);
}

#[test]
fn escaping_is_that_of_json_texts() {
    let message = Fake { body: Some("a\"b\\"), ..Fake::default() };
    let escaped = Template::compile("\"{{ body() }}\"", Notation::Dot, true, |_| false).unwrap();
    assert_eq!(escaped.render(&Value::Null, &message).unwrap(), r#""a\"b\\""#);
    let plain = compile("\"{{ body() }}\"").unwrap();
    assert_eq!(plain.render(&Value::Null, &message).unwrap(), "\"a\"b\\\"");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let cases = [
        ("{{ a", "this tag is not closed by `}}` (line 1, column 1 of the template)"),
        ("{{ }}", "expected a value, found the end of the tag (line 1, column 4 of the template)"),
        ("a\nb {{ upper() }}", "`upper` takes 1 argument, found 0 (line 2, column 6 of the template)"),
        ("{{ nope(1) }}", "there is no function `nope` (line 1, column 4 of the template)"),
        (
            "{{ substring(\"a\") }}",
            "`substring` takes 2 to 3 arguments, found 1 (line 1, column 4 of the template)",
        ),
        ("{% if t %}a", "`if` without `endif` (line 1, column 4 of the template)"),
        ("{% for x in a %}{% endif %}", "`for` without `endfor` (line 1, column 4 of the template)"),
        ("{% endif %}", "`endif` without `if` (line 1, column 4 of the template)"),
        (
            "{% if a %}{% else %}{% else %}{% endif %}",
            "after `else` this `if` needs its `endif` (line 1, column 4 of the template)",
        ),
        ("{% elif %}", "write `else if` (line 1, column 4 of the template)"),
        (
            "{% include \"x\" %}",
            "`include` is not possible in transformations (line 1, column 4 of the template)",
        ),
        ("{{ 'a' }}", "texts stand in double quotes (line 1, column 4 of the template)"),
        ("{{ [1, }}", "this JSON value is not closed (line 1, column 4 of the template)"),
        ("{{ a b }}", "expected `}}`, found `b` (line 1, column 6 of the template)"),
        ("{{ \"a }}", "this text is not closed by `\"` (line 1, column 4 of the template)"),
        (
            "{% if default(data.error.message, \"\") != %}400{% else ",
            "this tag is not closed by `%}` (line 1, column 47 of the template)",
        ),
        (
            "{% if a != %}b{% endif %}",
            "expected a value, found the end of the tag (line 1, column 12 of the template)",
        ),
        (
            "{{ data_source(\"x\") }}",
            "`data_source` is not possible: there are no named data sources (line 1, column 4 of the template)",
        ),
    ];
    for (template, wanted) in cases {
        assert_eq!(compile(template).map(|_| ()).unwrap_err().to_string(), wanted, "{template}");
    }
    let deep = format!("{{{{ {}1{} }}}}", "(".repeat(200), ")".repeat(200));
    assert!(compile(&deep).unwrap_err().message.contains("nested more than 64 levels"));
    let deep = "{% if t %}".repeat(200);
    assert!(compile(&deep).unwrap_err().message.contains("nested more than 64 levels"));
}

#[test]
fn a_template_cannot_run_for_ever() {
    let long = "{% for a in range(1000) %}{% for b in range(1000) %}{% for c in range(1000) %}{{ c }}{% endfor %}{% endfor %}{% endfor %}";
    assert!(with(long, json!({})).unwrap_err().starts_with("the template takes too many steps"));
    let doubling = "{% set x = \"ab\" %}{% for a in range(100) %}{% set x = x + x %}{% endfor %}{{ x }}";
    let error = with(doubling, json!({})).unwrap_err();
    assert!(error.contains("bytes") || error.contains("steps"), "{error}");
    let printing = "{% for a in range(100000) %}{{ body() }}0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789{% endfor %}";
    assert!(with(printing, json!({})).unwrap_err().starts_with("the result has more than"));
    let huge = "{% set x = \"aaaaaaaaaaaaaaaa\" %}{% for a in range(14) %}{% set x = x + x %}{% endfor %}{{ replace(x, \"a\", x) }}";
    assert!(with(huge, json!({})).unwrap_err().contains("a text would have more than"));
    assert!(with("{{ range(99999999999) }}", json!({})).unwrap_err().contains("too many steps"));
    let nesting = "{% for i in range(100) %}{% set x.a = default(x, 1) %}{% endfor %}";
    assert!(with(nesting, json!({})).is_err());
}

#[test]
fn a_template_knows_whether_it_looks_into_the_body() {
    let looks = |text: &str| compile(text).unwrap().needs_body();
    for template in [
        "constant",
        "{{ header(\"x\") }}{{ request_header(\"y\") }}",
        "{{ extracted }} {{ extracted.inner }} {{ extraction(\"token\") }}",
        "{% set a = false %}{% for x in range(3) %}{{ x }}{{ loop.index }}{% set b = x %}{{ b }}{% endfor %}{{ a }}",
        "{% if header(\"x\") == \"1\" %}a{% endif %}",
    ] {
        assert!(!looks(template), "{template}");
    }
    for template in [
        "{{ body() }}",
        "{{ body }}",
        "{{ default(name, \"\") }}",
        "{{ context() }}",
        "{{ exists(\"a\") }}",
        "{% for x in list %}{% endfor %}",
        "{% if t %}{% set a = 1 %}{% endif %}{{ a }}",
        "{{ a }}{% set a = 1 %}",
    ] {
        assert!(looks(template), "{template}");
    }
}

#[test]
fn a_published_template_renders() {
    let template = r#"{% if existsIn(context(), "video")%}{"video":{% set media="default" %}{% set page = at(context(), "video") %}{ {% for key, value in page %} {% if at(loop, "is_first") and key != "mediaId" %}{% set first_key=key %}{% set first_value=value %}{% endif %}{% if key == "mediaId" and substring(value, 0, 3) == "abc" %}"mediaId":"live",{% endif %}{% endfor %}"{{first_key}}":{% if not isNumber(first_value) %}"{% endif %}{{first_value}}{% if not isNumber(first_value) %}"{% endif %} }} {% else %}{{ context() }}{% endif %}"#;
    let out = with(template, json!({ "video": {"id": 7, "mediaId": "abcdef"} })).unwrap();
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value, json!({ "video": {"mediaId": "live", "id": 7} }));
    assert_eq!(with(template, json!({ "x": 1 })).unwrap(), r#"{"x":1}"#);
}

fn extract(regex: &str, subgroup: u32, mode: Mode, text: &str) -> String {
    Extractor::new(regex, subgroup, mode).unwrap().apply(text).unwrap()
}

#[test]
fn extractors_match_the_whole_text() {
    assert_eq!(extract(".*id_token=([^;]*).*", 1, Mode::Extract, "a=b; id_token=xyz; c=d"), "xyz");
    assert_eq!(extract("b", 0, Mode::Extract, "abc"), "");
    assert_eq!(extract("(a)|(b)", 2, Mode::Extract, "a"), "");
    assert_eq!(extract(r#".*?"id.{3}(\w*[-_\w*]*).*"#, 1, Mode::Extract, r#"{"id":"ab-c"}"#), "ab-c");
    assert_eq!(extract("", 0, Mode::Extract, "abc"), "");
}

#[test]
fn extractors_replace_one_group_or_every_match() {
    let single = || Mode::SingleReplace("X".into());
    assert_eq!(extract("a(.*)c", 1, single(), "abbc"), "aXc");
    assert_eq!(extract("a(.*)c", 0, single(), "abbc"), "X");
    assert_eq!(extract("b", 0, single(), "abc"), "abc");
    let all = |new: &str| Mode::ReplaceAll(new.into());
    assert_eq!(extract("b", 0, all("X"), "abcb"), "aXcX");
    assert_eq!(extract("(b)(c)", 0, all("[$2$1 $& $$ $9 $x]"), "abcd"), "a[cb bc $  $x]d");
    assert_eq!(extract("x*", 0, all("-"), "axxb"), "a-b");
}

#[test]
fn extractors_that_cannot_be_are_refused_by_field() {
    let refused =
        |regex: &str, subgroup, mode| Extractor::new(regex, subgroup, mode).map(|_| ()).unwrap_err();
    assert_eq!(
        refused(".*", 1, Mode::Extract),
        ("subgroup", "group 1 requested for regex with only 0 sub groups".to_owned())
    );
    assert_eq!(refused("(a)", 1, Mode::ReplaceAll("x".into())).0, "subgroup");
    assert_eq!(refused("(", 0, Mode::Extract).0, "regex");
    assert!(refused("(?=a)b", 0, Mode::Extract).1.contains("look-around"));
    assert_eq!(refused("(?:a{1000}){1000}", 0, Mode::Extract).0, "regex");
}
