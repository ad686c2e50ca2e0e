//! Prints JSON values as YAML, in block style, for `-o yaml`.
//!
//! Strings that YAML 1.1 or 1.2 readers could take for something else are quoted as in JSON, which YAML includes.

use serde_json::Value;

/// One YAML document without a leading `---`.
pub fn print(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => object(map, 0, false, &mut out),
        Value::Array(items) if !items.is_empty() => array(items, 0, &mut out),
        leaf => {
            out.push_str(&scalar(leaf));
            out.push('\n');
        }
    }
    out
}

/// `inline_first`: the first key continues a line that already has its indentation (after `- `).
fn object(map: &serde_json::Map<String, Value>, depth: usize, inline_first: bool, out: &mut String) {
    for (index, (key, value)) in map.iter().enumerate() {
        if index > 0 || !inline_first {
            indent(depth, out);
        }
        out.push_str(&text(key));
        out.push(':');
        match value {
            Value::Object(inner) if !inner.is_empty() => {
                out.push('\n');
                object(inner, depth + 1, false, out);
            }
            Value::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                array(inner, depth, out);
            }
            leaf => {
                out.push(' ');
                out.push_str(&scalar(leaf));
                out.push('\n');
            }
        }
    }
}

fn array(items: &[Value], depth: usize, out: &mut String) {
    for item in items {
        indent(depth, out);
        out.push_str("- ");
        match item {
            Value::Object(inner) if !inner.is_empty() => object(inner, depth + 1, true, out),
            Value::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                array(inner, depth + 1, out);
            }
            leaf => {
                out.push_str(&scalar(leaf));
                out.push('\n');
            }
        }
    }
}

fn indent(depth: usize, out: &mut String) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(string) => text(string),
        other => other.to_string(),
    }
}

fn text(string: &str) -> String {
    if is_plain(string) { string.to_owned() } else { Value::String(string.to_owned()).to_string() }
}

/// Conservative: anything not obviously a word, name or path is quoted.
fn is_plain(string: &str) -> bool {
    let reserved = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];
    let starts_well = string.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let inner_ok = string.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+ ".contains(c));
    starts_well
        && inner_ok
        && !string.ends_with(' ')
        && !reserved.contains(&string.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn prints_nested_values_as_a_person_would() {
        let value = json!({
            "kind": "VirtualService",
            "metadata": {"labels": {}, "name": "shop"},
            "spec": {"domains": ["*", "shop.example.com"], "routes": [{"matchers": [{"prefix": "/"}], "no": 1}, []]},
        });
        let expected = "kind: VirtualService\nmetadata:\n  labels: {}\n  name: shop\nspec:\n  domains:\n  - \"*\"\n  \
                        - shop.example.com\n  routes:\n  - matchers:\n    - prefix: /\n    \"no\": 1\n  - []\n";
        assert_eq!(print(&value), expected);
    }

    #[test]
    fn quotes_what_a_reader_could_take_for_something_else() {
        for string in ["yes", "No", "null", "12", "1.5s", "", "a: b", "# x", "*", "a\nb", " a", "-", "@x"] {
            let printed = print(&json!(string));
            assert!(printed.starts_with('"'), "{string:?} printed as {printed}");
        }
        for string in ["/cart", "shop.example.com", "two words", "a-b_c"] {
            assert_eq!(print(&json!(string)), format!("{string}\n"));
        }
    }
}
