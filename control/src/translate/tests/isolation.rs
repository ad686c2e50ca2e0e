//! One broken resource touches nothing but what depends on it.

use super::super::{Memo, State, translate};
use super::{accept, fresh, hosts, put, snapshot, state, vs};
use crate::resource::Kind;

const FINE: &str = "{directResponseAction: {status: 200}}";
const BROKEN: &str = "{directResponseAction: {status: 1}}";

#[test]
fn a_broken_virtual_service_leaves_the_others_alone() {
    let mut snapshot = snapshot(&(vs("a", "a", FINE) + "---\n" + &vs("b", "b", BROKEN)));
    let translated = fresh(&snapshot);
    assert_eq!(hosts(&translated), ["gloo-system_a"]);
    assert_eq!(state(&translated, Kind::VirtualService, "a"), State::Accepted);
    assert_eq!(state(&translated, Kind::VirtualService, "b"), State::Rejected);

    put(&mut snapshot, &vs("b", "b", FINE));
    assert_eq!(hosts(&fresh(&snapshot)), ["gloo-system_a", "gloo-system_b"]);
}

#[test]
fn the_accepted_form_stays_until_the_next_good_one() {
    let mut memo = Memo::default();
    let mut snapshot = snapshot(&vs("a", "first", FINE));
    let translated = translate(&snapshot, &mut memo);
    accept(&mut snapshot, &translated);

    let domains = |translated: &super::super::Translated| {
        translated.ir.proxies["gateway-proxy"].hosts[0].host.domains[0].to_string()
    };
    put(&mut snapshot, &vs("a", "second", BROKEN));
    let translated = translate(&snapshot, &mut memo);
    accept(&mut snapshot, &translated);
    assert_eq!(domains(&translated), "first");
    let report = translated.report.objects.values().next();
    assert!(report.is_some_and(|it| it.using_last_accepted && it.state() == State::Rejected));

    put(&mut snapshot, &vs("a", "third", FINE));
    let translated = translate(&snapshot, &mut memo);
    assert_eq!(domains(&translated), "third");
    assert!(translated.report.objects.values().all(|it| !it.using_last_accepted));
}

#[test]
fn a_deleted_virtual_service_goes_although_it_was_accepted() {
    let mut snapshot = snapshot(&(vs("a", "a", FINE) + "---\n" + &vs("b", "b", FINE)));
    let translated = fresh(&snapshot);
    accept(&mut snapshot, &translated);
    let id = crate::resource::ObjectRef::new(Kind::VirtualService, "gloo-system", "a");
    snapshot.entries.remove(&id);
    assert_eq!(hosts(&fresh(&snapshot)), ["gloo-system_b"]);
}

#[test]
fn the_domain_goes_to_the_other_when_its_holder_leaves() {
    let mut memo = Memo::default();
    let mut snapshot = snapshot(&vs("z", "d", FINE));
    let translated = translate(&snapshot, &mut memo);
    accept(&mut snapshot, &translated);
    put(&mut snapshot, &vs("a", "d", FINE));
    let translated = translate(&snapshot, &mut memo);
    assert_eq!(hosts(&translated), ["gloo-system_z"]);
    assert_eq!(state(&translated, Kind::VirtualService, "z"), State::Warning);
    assert_eq!(state(&translated, Kind::VirtualService, "a"), State::Rejected);

    let id = crate::resource::ObjectRef::new(Kind::VirtualService, "gloo-system", "z");
    snapshot.entries.remove(&id);
    let translated = translate(&snapshot, &mut memo);
    assert_eq!(hosts(&translated), ["gloo-system_a"]);
    assert_eq!(state(&translated, Kind::VirtualService, "a"), State::Accepted);
}

#[test]
fn a_table_that_two_use_is_reported_once() {
    let delegate = "{delegateAction: {ref: {name: t, namespace: gloo-system}}}";
    let table = "apiVersion: gateway.solo.io/v1\nkind: RouteTable\nmetadata: {name: t, namespace: gloo-system}\n\
                 spec: {routes: [{directResponseAction: {status: 1}}]}\n";
    let text = [vs("a", "a", delegate), vs("b", "b", delegate), table.to_owned()].join("---\n");
    let translated = fresh(&snapshot(&text));
    assert!(hosts(&translated).is_empty());
    let id = crate::resource::ObjectRef::new(Kind::RouteTable, "gloo-system", "t");
    assert_eq!(translated.report.objects.get(&id).map(|it| it.findings.len()), Some(1));
    assert_eq!(state(&translated, Kind::VirtualService, "b"), State::Rejected);
}
