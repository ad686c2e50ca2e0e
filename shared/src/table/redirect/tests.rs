use super::*;

fn redirect(wire: wire::Redirect) -> Redirect {
    Redirect::try_from(wire).unwrap()
}

/// The location for `http://a.example:8080/foo/bar?x=1`, matched by the prefix `/foo`.
fn location(wire: wire::Redirect) -> String {
    redirect(wire).location("http", "a.example:8080", "/foo/bar", Some("x=1"), &PathMatcher::prefix("/foo"))
}

fn to(path: wire::redirect::PathRewrite) -> wire::Redirect {
    wire::Redirect { path_rewrite: Some(path), ..Default::default() }
}

#[test]
fn unset_parts_keep_the_requests_value() {
    assert_eq!(location(wire::Redirect::default()), "http://a.example:8080/foo/bar?x=1");
}

#[test]
fn scheme_and_default_ports() {
    let https = || wire::Redirect { https: true, ..Default::default() };
    let at = |wire, scheme, authority| {
        redirect(wire).location(scheme, authority, "/", None, &PathMatcher::prefix("/"))
    };
    assert_eq!(at(https(), "http", "a.example"), "https://a.example/");
    assert_eq!(at(https(), "http", "a.example:80"), "https://a.example/");
    assert_eq!(at(https(), "http", "a.example:8080"), "https://a.example:8080/");
    assert_eq!(at(https(), "https", "a.example:443"), "https://a.example:443/", "nothing changed");
    assert_eq!(
        at(https(), "http", "a.example:443"),
        "https://a.example:443/",
        "not the old scheme's default"
    );
    assert_eq!(at(https(), "http", "[::1]:80"), "https://[::1]/");
    assert_eq!(at(https(), "http", "[::1]"), "https://[::1]/");
    let port = || wire::Redirect { port: 8443, ..Default::default() };
    assert_eq!(at(port(), "http", "a.example:8080"), "http://a.example:8443/");
    assert_eq!(at(port(), "http", "[::1]:80"), "http://[::1]:8443/");
    assert_eq!(at(wire::Redirect { https: true, ..port() }, "http", "a.example"), "https://a.example:8443/");
}

#[test]
fn to_https_keeps_the_rest() {
    let at =
        |authority| Redirect::to_https().location("http", authority, "/a", Some("b"), &PathMatcher::Connect);
    assert_eq!(at("a.example:80"), "https://a.example/a?b");
    assert_eq!(Redirect::to_https().status, http::StatusCode::MOVED_PERMANENTLY);
}

#[test]
fn a_host_replaces_the_port_too() {
    let host = || wire::Redirect { host: "b.example".into(), ..Default::default() };
    assert_eq!(location(host()), "http://b.example/foo/bar?x=1");
    assert_eq!(location(wire::Redirect { port: 81, ..host() }), "http://b.example:81/foo/bar?x=1");
}

#[test]
fn paths() {
    use wire::redirect::PathRewrite::{Path, Prefix, Regex};
    let base = "http://a.example:8080";
    assert_eq!(location(to(Path("/new".into()))), format!("{base}/new?x=1"));
    assert_eq!(location(to(Path("/new?y=2".into()))), format!("{base}/new?y=2"));
    assert_eq!(location(to(Path(String::new()))), format!("{base}/foo/bar?x=1"));
    assert_eq!(location(to(Prefix("/new".into()))), format!("{base}/new/bar?x=1"));
    let regex = wire::RegexRewrite { pattern: "/([a-z]+)/([a-z]+)".into(), substitution: "/\\2/\\1".into() };
    assert_eq!(location(to(Regex(regex))), format!("{base}/bar/foo?x=1"));
}

#[test]
fn a_stripped_query() {
    use wire::redirect::PathRewrite::Path;
    let strip = |wire| wire::Redirect { strip_query: true, ..wire };
    assert_eq!(location(strip(wire::Redirect::default())), "http://a.example:8080/foo/bar");
    assert_eq!(location(strip(to(Path("/new".into())))), "http://a.example:8080/new");
    assert_eq!(location(strip(to(Path("/new?y=2".into())))), "http://a.example:8080/new?y=2");
}

#[test]
fn a_prefix_rewrite_replaces_what_matched() {
    let prefix = |text: &str, path, new| rewrite_prefix(path, &PathMatcher::prefix(text), new).into_owned();
    assert_eq!(prefix("/foo", "/foo/x", "/"), "//x");
    assert_eq!(prefix("/foo/", "/foo/x", "/"), "/x");
    assert_eq!(prefix("/foo", "/foo", "/"), "/");
    assert_eq!(prefix("/", "/x", "/api/"), "/api/x");
    assert_eq!(prefix("/foo", "/foo/x", ""), "/foo/x");
    let any_case = PathMatcher::Prefix { text: "/foo".into(), ignore_case: true };
    assert_eq!(rewrite_prefix("/FOO/x", &any_case, "/new"), "/new/x");
    assert_eq!(rewrite_prefix("/a/b", &PathMatcher::exact("/a/b"), "/c"), "/c");
    assert_eq!(rewrite_prefix("/a/b", &PathMatcher::regex("/a/.").unwrap(), "/c"), "/c");
}

#[test]
fn every_code_is_converted() {
    use wire::RedirectCode::*;
    let codes = [MovedPermanently, Found, SeeOther, TemporaryRedirect, PermanentRedirect];
    let status = |code: wire::RedirectCode| {
        redirect(wire::Redirect { code: code as i32, ..Default::default() }).status
    };
    assert_eq!(codes.map(|code| status(code).as_u16()), [301, 302, 303, 307, 308]);
}

#[test]
fn errors_name_the_field() {
    use wire::redirect::PathRewrite::{Path, Prefix, Regex};
    let refused = |wire: wire::Redirect| Redirect::try_from(wire).unwrap_err().path;
    assert_eq!(refused(wire::Redirect { host: "a\r\nb".into(), ..Default::default() }), "host");
    assert_eq!(refused(wire::Redirect { port: 65_536, ..Default::default() }), "port");
    assert_eq!(refused(wire::Redirect { code: 5, ..Default::default() }), "code");
    assert_eq!(refused(to(Path("/\n".into()))), "path");
    assert_eq!(refused(to(Prefix("/\n".into()))), "prefix");
    let regex = wire::RegexRewrite { pattern: "(".into(), substitution: String::new() };
    assert_eq!(refused(to(Regex(regex))), "regex.pattern");
}
