//! The walk through delegation ends soon, whatever the tables are.

use std::time::{Duration, Instant};

use super::super::State;
use super::{fresh, hosts, said, snapshot, state, table, vs};
use crate::resource::Kind;

fn to(name: &str) -> String {
    format!("{{delegateAction: {{ref: {{name: {name}, namespace: gloo-system}}}}}}")
}

/// Tables that each delegate twice to the next, the last of them with `routes`.
fn doubling(tables: usize, routes: &str) -> String {
    let mut text = vec![vs("a", "a", &to("t0")), vs("b", "b", "{directResponseAction: {status: 200}}")];
    text.extend((0..tables - 1).map(|at| {
        let next = to(&format!("t{}", at + 1));
        table(&format!("t{at}"), &format!("{next}, {next}"))
    }));
    text.push(table(&format!("t{}", tables - 1), routes));
    text.join("---\n")
}

#[test]
fn ways_that_double_with_each_table_are_given_up() {
    for routes in ["", "{matchers: [{exact: x}], directResponseAction: {status: 200}}"] {
        let start = Instant::now();
        let translated = fresh(&snapshot(&doubling(40, routes)));
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
        let about = said(&translated, Kind::VirtualService, "a");
        let limit: Vec<_> = about.iter().filter(|it| it.contains("more than 200000 routes")).collect();
        assert_eq!(limit.len(), 1, "{about:?}");
        assert!(about.len() <= 2, "{about:?}");
        assert_eq!(hosts(&translated), ["gloo-system_b"]);
    }
}

#[test]
fn a_table_may_be_reached_on_many_ways() {
    let routes = "{matchers: [{prefix: /}], directResponseAction: {status: 200}}";
    let translated = fresh(&snapshot(&doubling(8, routes)));
    assert_ne!(state(&translated, Kind::VirtualService, "a"), State::Rejected);
    let host = &translated.ir.proxies["gateway-proxy"].hosts[0].host;
    assert_eq!(host.routes.len(), 128);
}
