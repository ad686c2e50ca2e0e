//! The columns that belong to one kind: what tells one resource of it from the next.
//!
//! Read from the document as the user wrote it, leniently: a wrong type is an empty cell here and an error in `STATE`.

use serde_json::{Value, json};

/// Titles of the columns of a kind.
pub fn titles(kind: &str) -> &'static [&'static str] {
    match kind {
        "Gateway" => &["ADDRESS", "SSL"],
        "MatchableHttpGateway" => &["SSL", "FROM"],
        "MatchableTcpGateway" => &["SNI", "FROM", "HOSTS"],
        "VirtualService" => &["DOMAINS", "SSL", "ROUTES"],
        "RouteTable" => &["ROUTES", "WEIGHT"],
        "Upstream" => &["TYPE", "HOSTS"],
        "UpstreamGroup" => &["DESTINATIONS"],
        _ => &[],
    }
}

/// Cells of one resource, as many as it has titles.
pub fn of(kind: &str, document: &Value) -> Vec<String> {
    // A resource that does not decode has no document: nothing is known, which is not the same as a default.
    if document.is_null() {
        return vec![String::new(); titles(kind).len()];
    }
    // Documents outside Kubernetes have no `spec` wrapper.
    let spec = document.get("spec").unwrap_or(document);
    match kind {
        "Gateway" => vec![gateway_address(spec), boolean(field(spec, "ssl"))],
        "MatchableHttpGateway" => {
            let matcher = field(spec, "matcher");
            vec![(!field(matcher, "sslConfig").is_null()).to_string(), sources(matcher)]
        }
        "MatchableTcpGateway" => {
            let matcher = field(spec, "matcher");
            let names = domains(field(field(matcher, "sslConfig"), "sniDomains"));
            vec![names, sources(matcher), length(field(field(spec, "tcpGateway"), "tcpHosts"))]
        }
        "VirtualService" => {
            let host = field(spec, "virtualHost");
            let ssl = ssl(field(spec, "sslConfig"));
            vec![domains(field(host, "domains")), ssl.to_owned(), length(field(host, "routes"))]
        }
        "RouteTable" => vec![length(field(spec, "routes")), number(field(spec, "weight"))],
        "Upstream" => upstream(spec),
        "UpstreamGroup" => vec![destinations(field(spec, "destinations"))],
        _ => vec![],
    }
}

/// A field by its camelCase or snake_case name; null when there is none.
fn field<'a>(value: &'a Value, name: &str) -> &'a Value {
    let snake: String = name
        .chars()
        .flat_map(|c| if c.is_ascii_uppercase() { vec!['_', c.to_ascii_lowercase()] } else { vec![c] })
        .collect();
    value.get(name).or_else(|| value.get(&snake)).unwrap_or(&Value::Null)
}

fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn boolean(value: &Value) -> String {
    if value.is_null() { "false".to_owned() } else { plain(value) }
}

fn number(value: &Value) -> String {
    if value.is_null() { "0".to_owned() } else { plain(value) }
}

fn length(value: &Value) -> String {
    value.as_array().map_or(0, Vec::len).to_string()
}

fn gateway_address(spec: &Value) -> String {
    let (address, port) = (plain(field(spec, "bindAddress")), plain(field(spec, "bindPort")));
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

/// "10.0.0.0/8,fd00::/8"; "*" is everywhere.
fn sources(matcher: &Value) -> String {
    let ranges = field(matcher, "sourcePrefixRanges").as_array().map(Vec::as_slice).unwrap_or_default();
    let one = |range: &Value| {
        json!(format!("{}/{}", plain(field(range, "addressPrefix")), number(field(range, "prefixLen"))))
    };
    domains(&ranges.iter().map(one).collect())
}

fn domains(value: &Value) -> String {
    let names: Vec<String> =
        value.as_array().map(|list| list.iter().map(plain).collect()).unwrap_or_default();
    match names.as_slice() {
        [] => "*".to_owned(),
        [one] if one.is_empty() => "*".to_owned(),
        [first, second, third, rest @ ..] if !rest.is_empty() => {
            format!("{first},{second},{third},+{}", rest.len())
        }
        all => all.join(","),
    }
}

fn ssl(value: &Value) -> &'static str {
    let known = [("secretRef", "secret_ref"), ("sslFiles", "ssl_files"), ("sds", "sds")];
    match known.iter().find(|(name, _)| !field(value, name).is_null()) {
        Some((_, shown)) => shown,
        None if value.is_null() => "none",
        None => "empty",
    }
}

fn upstream(spec: &Value) -> Vec<String> {
    let types = ["static", "kube", "consul", "pipe", "aws", "awsEc2", "azure", "gcp", "ai"];
    let Some(kind) = types.iter().find(|name| !field(spec, name).is_null()) else {
        return vec![String::new(), String::new()];
    };
    let hosts = field(field(spec, "static"), "hosts");
    let host = |host: &Value| format!("{}:{}", plain(field(host, "addr")), plain(field(host, "port")));
    let shown = match hosts.as_array().map(Vec::as_slice) {
        Some([first, second, rest @ ..]) if !rest.is_empty() => {
            format!("{},{},+{}", host(first), host(second), rest.len())
        }
        Some(list) => list.iter().map(host).collect::<Vec<_>>().join(","),
        None => String::new(),
    };
    vec![(*kind).to_owned(), shown]
}

/// "blue 90%, green 10%".
fn destinations(value: &Value) -> String {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let weight = |one: &Value| match field(one, "weight") {
        Value::Number(number) => number.as_f64().unwrap_or(0.0),
        Value::String(text) => text.parse().unwrap_or(0.0),
        _ => 0.0,
    };
    let total: f64 = list.iter().map(weight).sum();
    let one = |one: &Value| {
        let name = plain(field(field(field(one, "destination"), "upstream"), "name"));
        let share = if total > 0.0 { weight(one) * 100.0 / total } else { 0.0 };
        format!("{name} {}%", (share * 10.0).round() / 10.0)
    };
    list.iter().map(one).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_shows_what_tells_it_apart() {
        let cases = [
            (
                "Gateway",
                json!({"spec": {"bindAddress": "::", "bindPort": 8443, "ssl": true}}),
                vec!["[::]:8443", "true"],
            ),
            ("Gateway", json!({"bindAddress": "0.0.0.0", "bind_port": 80}), vec!["0.0.0.0:80", "false"]),
            (
                "MatchableHttpGateway",
                json!({"spec": {"matcher": {"sslConfig": {}, "sourcePrefixRanges": [
                    {"addressPrefix": "10.0.0.0", "prefixLen": 8}]}, "httpGateway": {}}}),
                vec!["true", "10.0.0.0/8"],
            ),
            ("MatchableHttpGateway", json!({"matcher": {}, "http_gateway": {}}), vec!["false", "*"]),
            (
                "MatchableTcpGateway",
                json!({"spec": {"matcher": {"sslConfig": {"sniDomains": ["a"]}}, "tcpGateway": {"tcpHosts": [{}]}}}),
                vec!["a", "*", "1"],
            ),
            (
                "VirtualService",
                json!({"spec": {"virtualHost": {"domains": ["a", "b", "c", "d", "e"], "routes": [{}, {}]},
                       "sslConfig": {"secretRef": {}}}}),
                vec!["a,b,c,+2", "secret_ref", "2"],
            ),
            ("VirtualService", json!({"virtualHost": {}}), vec!["*", "none", "0"]),
            ("RouteTable", json!({"spec": {"routes": [{}], "weight": -3}}), vec!["1", "-3"]),
            (
                "Upstream",
                json!({"spec": {"static": {"hosts": [{"addr": "a", "port": 1}, {"addr": "b", "port": 2}]}}}),
                vec!["static", "a:1,b:2"],
            ),
            ("Upstream", json!({"spec": {"kube": {}}}), vec!["kube", ""]),
            (
                "UpstreamGroup",
                json!({"spec": {"destinations": [
                    {"destination": {"upstream": {"name": "blue"}}, "weight": 9},
                    {"destination": {"upstream": {"name": "green"}}, "weight": "1"}]}}),
                vec!["blue 90%, green 10%"],
            ),
        ];
        for (kind, document, expected) in cases {
            let cells = of(kind, &document);
            assert_eq!(cells, expected, "{kind} {document}");
            assert_eq!(cells.len(), titles(kind).len(), "{kind}");
        }
    }

    #[test]
    fn nonsense_is_empty_cells() {
        for kind in
            ["Gateway", "MatchableTcpGateway", "VirtualService", "RouteTable", "Upstream", "UpstreamGroup"]
        {
            assert_eq!(of(kind, &json!({"spec": 7})).len(), titles(kind).len());
            assert!(of(kind, &Value::Null).iter().all(String::is_empty), "{kind}");
        }
    }
}
