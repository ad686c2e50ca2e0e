//! An explanation for people.

use super::answer::{Effect, Explanation, Outcome, Passed};
use crate::cli::console::{Console, Paint};
use std::fmt::Write;

/// Long lists of routes that failed are cut in the middle of their beginning; the JSON form has all.
const MOST_ROUTES: usize = 50;

/// The whole text.
pub fn text(explanation: &Explanation, console: &Console) -> String {
    let mut out = String::new();
    let title = |word: &str| console.paint(Paint::Bold, &format!("{word:<13}"));
    let request = &explanation.request;
    let query = request.query.as_ref().map(|query| format!("?{query}")).unwrap_or_default();
    if request.scheme == "tcp" {
        let _ = writeln!(out, "{} a connection", title("request"));
    } else {
        let _ = writeln!(out, "{} {} {}{query}", title("request"), request.method, request.path);
    }
    let sni = request.sni.as_ref().map(|sni| format!(", SNI {sni}")).unwrap_or_default();
    let client = request.client.as_ref().map(|client| format!(", from {client}")).unwrap_or_default();
    let _ = writeln!(out, "{} {}{sni}{client}", title("host"), request.host);
    if let Some(listener) = &explanation.listener {
        let certificate = match &listener.certificate {
            Some(name) => format!(", certificate {name}"),
            None => String::new(),
        };
        let _ = writeln!(out, "{} {} ({}){certificate}", title("listener"), listener.address, listener.from);
        if let Some(part) = &listener.part {
            let _ = writeln!(out, "{} {part}", title("  part"));
        }
        for (word, texts) in [
            ("  takes", &listener.takes),
            ("  settings", &listener.settings),
            ("  policies", &listener.policies),
        ] {
            if !texts.is_empty() {
                let _ = writeln!(out, "{} {}", title(word), texts.join("; "));
            }
        }
    }
    if let Some(host) = &explanation.virtual_host {
        let _ = writeln!(out, "{} {}, domain {}", title("virtual host"), host.from, host.domain);
    }
    let routes = explanation.passed_over.len();
    for (index, passed) in explanation.passed_over.iter().enumerate() {
        if routes > MOST_ROUTES && index == MOST_ROUTES {
            let _ = writeln!(out, "{} ... and {} more", title(""), routes - MOST_ROUTES);
            break;
        }
        let word = if index == 0 { "passed over" } else { "" };
        let _ = writeln!(out, "{} {}. {}: {}", title(word), index + 1, passed.route.matcher, passed.because);
        let place = format!("{} {}", passed.route.from, passed.route.field);
        let _ = writeln!(out, "{:<13}    {}", "", console.paint(Paint::Dim, &place));
    }
    if let Some(route) = &explanation.route {
        let _ = writeln!(
            out,
            "{} {}. {}",
            title("route"),
            routes + 1,
            console.paint(Paint::Good, &route.matcher)
        );
        let place = format!("{} {}", route.from, route.field);
        let _ = writeln!(out, "{:<13}    {}", "", console.paint(Paint::Dim, &place));
    }
    outcome(&explanation.outcome, &title, console, &mut out);
    out
}

fn outcome(outcome: &Outcome, title: &impl Fn(&str) -> String, console: &Console, out: &mut String) {
    match outcome {
        Outcome::Forward { split, destinations } => {
            if let Some(split) = split {
                let _ = writeln!(out, "{} weights of {split}", title("split"));
            }
            forward(destinations, title, console, out);
        }
        Outcome::PassOn { tcp_host, split, destinations, connect_attempts, idle_timeout } => {
            let name = if tcp_host.is_empty() { String::new() } else { format!(" of TCP host {tcp_host}") };
            let _ = writeln!(out, "{} bytes as they are{name}", title("passes on"));
            if let Some(split) = split {
                let _ = writeln!(out, "{} weights of {split}", title("split"));
            }
            for to in destinations {
                pass_on(to, title, console, out);
            }
            let idle = idle_timeout.as_deref().unwrap_or("none");
            let _ = writeln!(out, "{} idle timeout {idle}, tries {connect_attempts}", title("limits"));
        }
        Outcome::Redirect { status, location } => {
            let _ = writeln!(out, "{} {status} to {location}", title("redirect"));
        }
        Outcome::DirectResponse { status, body } => {
            let _ = writeln!(out, "{} {status} {body:?}", title("answer"));
        }
        Outcome::NotServed { status, reason, why, nearest } => {
            let answer = status.map(|status| format!("{status} ")).unwrap_or_default();
            let _ = writeln!(
                out,
                "{} {}",
                title("not served"),
                console.paint(Paint::Bad, &format!("{answer}{reason}"))
            );
            let _ = writeln!(out, "{} {why}", title("why"));
            for (index, one) in nearest.iter().enumerate() {
                let _ = writeln!(out, "{} {one}", title(if index == 0 { "nearest" } else { "" }));
            }
        }
    }
}

fn pass_on(to: &Passed, title: &impl Fn(&str) -> String, console: &Console, out: &mut String) {
    let share = console.paint(Paint::Bold, &format!("{:>6}", format!("{}%", to.percent)));
    let tls = if to.over_tls { "over TLS, " } else { "" };
    let place = match (&to.from, to.resolved_at_run_time) {
        (None, _) => console.paint(Paint::Bad, "there is no such upstream: closed, no_cluster"),
        (Some(_), true) => format!("{tls}addresses are resolved at run time"),
        (Some(_), false) => format!("{tls}{}", to.endpoints.join(", ")),
    };
    let _ = writeln!(out, "{} {share} {} ({place})", title("destination"), to.upstream);
}

fn forward(destinations: &[Effect], title: &impl Fn(&str) -> String, console: &Console, out: &mut String) {
    for to in destinations {
        let share = console.paint(Paint::Bold, &format!("{:>6}", format!("{}%", to.percent)));
        if let Some(answer) = &to.answer {
            // The upstream, if there is one at all, does not see the request.
            let _ = writeln!(
                out,
                "{} {share} the gateway answers {} {:?}",
                title("destination"),
                answer.status,
                answer.body
            );
            continue;
        }
        let place = match (&to.from, to.resolved_at_run_time) {
            (None, _) => console.paint(Paint::Bad, "there is no such upstream: 503 no_cluster"),
            (Some(_), true) => format!("{}, addresses are resolved at run time", to.protocol),
            (Some(_), false) => format!("{}, {}", to.protocol, to.endpoints.join(", ")),
        };
        let _ = writeln!(out, "{} {share} {} ({place})", title("destination"), to.upstream);
        let _ = writeln!(
            out,
            "{}        {} {}, Host {}",
            title("  gets"),
            to.request.method,
            to.request.path,
            to.request.host
        );
        for change in &to.request.headers {
            let _ = writeln!(out, "{}        {change}", title(""));
        }
        for (index, change) in to.response_headers.iter().enumerate() {
            let word = if index == 0 { "  answer" } else { "" };
            let _ = writeln!(out, "{}        {change}", title(word));
        }
        let timeout = to.timeout.as_deref().unwrap_or("none");
        let retries = to.retries.as_deref().unwrap_or("none");
        let _ = writeln!(out, "{}        timeout {timeout}, retries {retries}", title("  limits"));
        for (index, text) in to.behaviour.iter().enumerate() {
            let word = if index == 0 { "  also" } else { "" };
            let _ = writeln!(out, "{}        {text}", title(word));
        }
        if !to.care.is_empty() {
            let _ = writeln!(out, "{}        {}", title("  endpoints"), to.care.join("; "));
        }
        if !to.other_policies.is_empty() {
            let _ = writeln!(out, "{}        {}", title("  policies"), to.other_policies.join(", "));
        }
    }
}
