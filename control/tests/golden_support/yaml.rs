//! Data as YAML, in one way only.

use serde_json::Value;

/// The text of a value.
pub fn text(value: &Value) -> String {
    let mut out = String::new();
    write(value, 0, &mut out);
    out
}

fn write(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                out.push_str(&format!("{indent}{}:", scalar(&Value::String(key.clone()))));
                inside(value, depth + 1, out);
            }
        }
        Value::Array(list) => {
            for value in list {
                let mut block = String::new();
                write(value, depth + 1, &mut block);
                out.push_str(&format!("{indent}- {}", block.trim_start()));
            }
        }
        plain => out.push_str(&format!("{indent}{}\n", scalar(plain))),
    }
}

fn inside(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            write(value, depth, out);
        }
        Value::Array(list) if !list.is_empty() => {
            if list.iter().all(|it| !it.is_object() && !it.is_array()) {
                let items: Vec<String> = list.iter().map(scalar).collect();
                out.push_str(&format!(" [{}]\n", items.join(", ")));
            } else {
                out.push('\n');
                write(value, depth, out);
            }
        }
        plain => out.push_str(&format!(" {}\n", scalar(plain))),
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => {
            let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./ ".contains(c))
                && text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/')
                && !text.ends_with(' ')
                && !["true", "false", "null", "yes", "no", "on", "off"].contains(&text.as_str());
            if plain { text.clone() } else { serde_json::to_string(text).unwrap() }
        }
        other => other.to_string(),
    }
}
