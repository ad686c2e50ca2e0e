use super::*;

fn fits(pattern: &str, text: &str) -> bool {
    full(pattern).unwrap().is_match(text)
}

#[test]
fn the_whole_text_must_fit() {
    assert!(fits("/a/[0-9]+", "/a/12"));
    assert!(!fits("/a/[0-9]+", "/a/12/"));
    assert!(!fits("a|b", "ab"));
    assert!(fits("(?i)/ABC", "/abc"));
    assert!(fits("^/a$", "/a"));
}

#[test]
fn errors_are_one_line() {
    for bad in ["(", "a)(b", "[", "(?=x)", "\\1", "a{9999999}"] {
        let error = full(bad).unwrap_err();
        assert!(!error.contains('\n') && !error.is_empty(), "{error}");
    }
    assert!(full("(\\pL{1000}){1000}").unwrap_err().contains("larger than"));
}

#[test]
fn perl_classes_are_ascii() {
    assert!(fits("\\d+\\w\\s", "12x "));
    for pattern in ["\\d", "[\\d]", "\\w", "[\\w-]"] {
        assert!(!fits(pattern, "٣"), "{pattern}");
    }
    assert!(fits("\\D\\W\\S", "éé٣"));
    assert!(fits("[\\D][\\W][\\S]", "éé٣"));
    assert!(fits("[\\s][\\d\\w]", "\t_"));
    assert!(search("\\bb\\b").unwrap().is_match("éb"));
    assert!(search("a\\Bb").unwrap().is_match("ab"));
}

#[test]
fn corners_of_re2_syntax() {
    assert!(fits("\\Qa.b*\\E+", "a.b**"));
    assert!(fits("\\Qa.b", "a.b"));
    assert!(!fits("\\Qa.b", "axb"));
    assert!(fits("\\<a\\>", "<a>"));
    assert!(fits("/{id}/a{2}b{1,}c{1,2}", "/{id}/aabbc"));
    assert!(fits("a{,2}", "a{,2}"));
    assert!(fits("[[]", "["));
    assert!(fits("[a&&b]+", "a&b"));
    assert!(fits("[]a]+", "]a"));
    assert!(fits("[^]a]", "b"));
    assert!(fits("[+--]+", "+,-"));
    assert!(fits("[--/]+", "-./"));
    assert!(fits("[a~~b]+", "a~b"));
    assert!(fits("[[:alpha:]\\-_]+", "ab-_"));
    assert!(fits("[[:^alpha:]]", "1"));
    assert!(fits("[\\]]", "]"));
    assert!(fits("[a-]+", "a-"));
    assert!(fits("[[:x]+", "[:x"));
    assert!(fits("[\\w-.]+", "a-b.c"));
    assert!(!fits("[\\s-_]", "A"));
    assert!(fits("[\\w-z]+", "a-z"));
    assert!(fits("\\p{L}+[\\p{Greek}]", "éα"));
    assert!(fits("\\pL\\PL", "é1"));
    assert!(fits("\\x{1F600}\\x41[\\x{42}]", "😀AB"));
    assert!(fits("\\012[\\101]\\0", "\nA\0"));
}

#[test]
fn beginnings_hold_for_every_match() {
    let texts = |pattern| {
        beginnings(pattern).iter().map(|b| String::from_utf8_lossy(b).into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts("/users/[0-9]+/name"), ["/users/"]);
    assert_eq!(texts("/(a|b)/.*"), ["/a/", "/b/"]);
    assert_eq!(texts("^/api/v1"), ["/api/v1"]);
    assert_eq!(texts(".*/x"), [""]);
    assert_eq!(texts("(/a)?/b"), ["/a/b", "/b"]);
    assert_eq!(texts("("), [""]);
    assert_eq!(texts("\\Q/a.b\\E.*"), ["/a.b"]);
}
