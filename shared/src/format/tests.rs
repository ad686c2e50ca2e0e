use std::time::{Duration, UNIX_EPOCH};

use super::*;

struct Fixed;

impl Values for Fixed {
    fn fact(&self, fact: Fact) -> Option<Cow<'_, str>> {
        match fact {
            Fact::Protocol => Some("HTTP/1.1".into()),
            Fact::DownstreamRemoteAddress => Some("10.0.0.1:1234".into()),
            _ => None,
        }
    }
    fn request_header(&self, name: &str) -> Option<Cow<'_, str>> {
        match name {
            "x-a" => Some("alpha".into()),
            ":path" => Some("/p?q=1".into()),
            _ => None,
        }
    }
    fn response_header(&self, name: &str) -> Option<Cow<'_, str>> {
        (name == "server").then(|| "srv".into())
    }
    fn started(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_709_210_096_789)
    }
}

fn show(text: &str) -> String {
    Format::parse(text).expect(text).render(&Fixed, "-")
}

#[test]
fn operators_become_their_values() {
    let cases = [
        ("plain", "plain"),
        ("", ""),
        ("100%%", "100%"),
        ("%PROTOCOL%", "HTTP/1.1"),
        ("a %PROTOCOL()% b", "a HTTP/1.1 b"),
        ("%DOWNSTREAM_REMOTE_ADDRESS%!", "10.0.0.1:1234!"),
        ("%ROUTE_NAME%", "-"),
        ("%REQ(X-A)%", "alpha"),
        ("%REQ(x-b?x-a)%", "alpha"),
        ("%REQ(x-b)%", "-"),
        ("%REQ(x-a):2%", "al"),
        ("%REQ(:path)%", "/p?q=1"),
        ("%REQ_WITHOUT_QUERY(:path)%", "/p"),
        ("%RESP(server)%%RESP(server)%", "srvsrv"),
        ("%START_TIME%", "2024-02-29T12:34:56.789Z"),
        ("%START_TIME(%Y/%m/%d %s %a %j %1f)%", "2024/02/29 1709210096 Thu 060 7"),
    ];
    for (text, wanted) in cases {
        assert_eq!(show(text), wanted, "{text}");
    }
}

#[test]
fn what_is_not_an_operator_is_refused() {
    use FormatError::*;
    let cases = [
        ("50%", Unterminated(2)),
        ("%", Unterminated(0)),
        ("a%lower%", Unterminated(1)),
        ("%REQ(x%", Unterminated(0)),
        ("%PROTOCOL", Unterminated(0)),
        ("%PROTOCOL x%", Unterminated(0)),
        ("%NO_SUCH_THING%", Unknown("NO_SUCH_THING".into())),
        ("%UPSTREAM_METADATA(a)%", Unsupported("UPSTREAM_METADATA".into())),
        ("%REQ%", MissingParameter("REQ".into())),
        ("%PROTOCOL(x)%", UnexpectedParameter("PROTOCOL".into())),
        ("%REQ(x):y%", BadLength("REQ".into())),
        ("%METADATA(ns:key)%", UnexpectedParameter("METADATA".into())),
    ];
    for (text, wanted) in cases {
        assert_eq!(Format::parse(text), Err(wanted), "{text}");
    }
}

#[test]
fn a_text_without_operators_is_known_as_constant() {
    assert_eq!(Format::parse("a%%b").expect("valid").constant(), Some("a%b"));
    assert_eq!(Format::parse("%PROTOCOL%").expect("valid").constant(), None);
}

#[test]
fn dates_are_right_around_leap_days_and_years() {
    let day = |seconds: u64| {
        TimeFormat::parse("%F %j").display(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
    };
    assert_eq!(day(0), "1970-01-01 001");
    assert_eq!(day(951_782_400), "2000-02-29 060");
    assert_eq!(day(1_735_603_200), "2024-12-31 366");
    assert_eq!(day(4_107_542_400), "2100-03-01 060");
}

#[test]
fn a_value_that_stands_alone_keeps_its_type() {
    struct Known;
    impl Values for Known {
        fn fact(&self, fact: Fact) -> Option<Cow<'_, str>> {
            (fact == Fact::ResponseCode).then(|| "200".into())
        }
        fn request_header(&self, _: &str) -> Option<Cow<'_, str>> {
            None
        }
        fn response_header(&self, _: &str) -> Option<Cow<'_, str>> {
            None
        }
        fn started(&self) -> SystemTime {
            UNIX_EPOCH
        }
        fn grpc_status(&self) -> Option<u32> {
            Some(4)
        }
        fn metadata(&self, of: MetadataOf, path: &str) -> Typed<'_> {
            match (of, path) {
                (MetadataOf::Route, "ns:list") => Typed::Json("[1]".into()),
                (MetadataOf::Request, "ns:text") => Typed::Text("text".into()),
                _ => Typed::Absent,
            }
        }
    }
    let typed = |text: &str| format!("{:?}", Format::parse(text).expect("valid").typed(&Known, "-"));
    assert_eq!(typed("%RESPONSE_CODE%"), "Number(\"200\")");
    assert_eq!(typed("%RESPONSE_CODE%!"), "Text(\"200!\")");
    assert_eq!(typed("%REQ(a)%"), "Absent");
    assert_eq!(typed("%REQ(a)% "), "Text(\"- \")");
    assert_eq!(typed("%GRPC_STATUS%"), "Text(\"DeadlineExceeded\")");
    assert_eq!(typed("%GRPC_STATUS(SNAKE_STRING)%"), "Text(\"DEADLINE_EXCEEDED\")");
    assert_eq!(typed("%GRPC_STATUS_NUMBER%"), "Number(\"4\")");
    assert_eq!(typed("%METADATA(ROUTE:ns:list)%"), "Json(\"[1]\")");
    assert_eq!(typed("%METADATA(ROUTE:ns:list)%!"), "Text(\"[1]!\")");
    assert_eq!(typed("%METADATA(DYNAMIC:ns:text):2%"), "Text(\"te\")");
    assert_eq!(typed("%DYNAMIC_METADATA(ns:list)%"), "Absent");
    assert_eq!(typed("%METADATA(CLUSTER:ns:list)%"), "Absent");
}
