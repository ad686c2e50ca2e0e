use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Endpoints;
use super::lookup::{Answer, Known, Life, Rhythm};
use super::resolver::Resolver;
use super::sets::{compose, names};
use crate::translate::{DnsHost, DynamicUpstream, Pace};

const A: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const B: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn addresses(list: &[Ipv4Addr]) -> Option<Known> {
    Some(Known { addresses: list.to_vec() })
}

fn rhythm(refresh: u64, respects_ttl: bool) -> Rhythm {
    Rhythm::of(Pace { refresh: secs(refresh), respects_ttl })
}

/// That of upstreams that say nothing.
fn usual() -> Rhythm {
    rhythm(5, false)
}

#[test]
fn the_quickest_of_those_who_have_a_name_decides_when_it_is_looked_up() {
    let again = |rhythm: Rhythm, ttl: u64| {
        let answer = Answer::Addresses(vec![A], secs(ttl));
        Life::new("a.example".into()).answered(answer, rhythm, Instant::now()).again.as_secs()
    };
    assert_eq!([again(usual(), 1), again(usual(), 300), again(usual(), 0)], [5, 5, 5]);
    let ttl = rhythm(7, true);
    assert_eq!([again(ttl, 1), again(ttl, 300), again(ttl, 0)], [1, 300, 7]);
    let both = ttl.and(rhythm(60, false));
    assert_eq!([again(both, 1), again(both, 300)], [1, 60]);
    assert_eq!(again(rhythm(20, false).and(rhythm(3, false)), 9), 3);
}

#[test]
fn the_order_of_an_answer_is_no_news() {
    let mut life = Life::new("a.example".into());
    assert_eq!(
        life.answered(Answer::Addresses(vec![B, A], secs(5)), usual(), Instant::now()).news,
        addresses(&[A, B])
    );
    assert_eq!(life.answered(Answer::Addresses(vec![A, B, A], secs(5)), usual(), Instant::now()).news, None);
}

#[test]
fn a_failure_keeps_the_last_answer_and_backs_off() {
    let mut life = Life::new("a.example".into());
    let now = Instant::now();
    life.answered(Answer::Addresses(vec![A], secs(5)), usual(), now);
    let mut waits = Vec::new();
    for n in 0..7 {
        let outcome = life.answered(Answer::Failed("timeout".into()), usual(), now + secs(100 * n));
        assert_eq!(outcome.news, None);
        waits.push(outcome.again.as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 5, 5, 5, 5], "no less often than a name that is there");
}

#[test]
fn a_name_that_ends_keeps_its_addresses_for_a_grace() {
    let mut life = Life::new("a.example".into());
    let now = Instant::now();
    life.answered(Answer::Addresses(vec![A], secs(5)), usual(), now);
    assert_eq!(life.answered(Answer::Absent("nx".into()), usual(), now).news, None);
    assert_eq!(life.answered(Answer::Absent("nx".into()), usual(), now + secs(29)).news, None);
    assert_eq!(life.answered(Answer::Absent("nx".into()), usual(), now + secs(30)).news, addresses(&[]));
    assert_eq!(
        life.answered(Answer::Addresses(vec![B], secs(5)), usual(), now + secs(31)).news,
        addresses(&[B])
    );
}

#[test]
fn the_first_outcome_is_told_even_if_it_is_a_failure() {
    let mut life = Life::new("a.example".into());
    assert_eq!(life.answered(Answer::Failed("timeout".into()), usual(), Instant::now()).news, addresses(&[]));
}

fn host(name: &str, port: u16) -> DnsHost {
    DnsHost { host: name.into(), port, weight: 1, sni: None, labels: Default::default() }
}

fn upstream(hosts: Vec<DnsHost>) -> Vec<DynamicUpstream> {
    vec![DynamicUpstream { name: "u".into(), hosts, pace: Pace { refresh: secs(5), respects_ttl: false } }]
}

#[test]
fn a_set_appears_when_every_name_had_an_outcome_and_mixes_names_with_addresses() {
    let upstreams = upstream(vec![host("a.example", 80), host("192.0.2.9", 81), host("b.example", 82)]);
    assert_eq!(names(&upstreams).len(), 2);
    let mut known = BTreeMap::from([(Arc::from("a.example"), Known { addresses: vec![A, B] })]);
    assert!(compose(&upstreams, &known, &Endpoints::default(), 1).sets.is_empty());
    known.insert("b.example".into(), Known { addresses: vec![] });
    let sets = compose(&upstreams, &known, &Endpoints::default(), 1).sets;
    let set = &sets["u"];
    let list: Vec<String> =
        set.endpoints.iter().map(|e| format!("{}:{} {}", e.address, e.port, e.hostname)).collect();
    assert_eq!(list, ["192.0.2.1:80 a.example", "192.0.2.2:80 a.example", "192.0.2.9:81 "]);
}

#[test]
fn sequences_grow_with_changes_only_and_a_new_name_does_not_empty_the_set() {
    let known = BTreeMap::from([(Arc::from("a.example"), Known { addresses: vec![A] })]);
    let first = compose(&upstream(vec![host("a.example", 80)]), &known, &Endpoints::default(), 1);
    let same = compose(&upstream(vec![host("a.example", 80)]), &known, &first, 2);
    assert!(Arc::ptr_eq(&first.sets["u"], &same.sets["u"]));
    let waiting = compose(&upstream(vec![host("a.example", 80), host("new.example", 80)]), &known, &same, 3);
    assert!(Arc::ptr_eq(&first.sets["u"], &waiting.sets["u"]));
    let moved = compose(&upstream(vec![host("a.example", 8080)]), &known, &same, 4);
    assert_eq!(moved.sets["u"].sequence, 4);
}

#[tokio::test]
async fn localhost_is_known_without_asking_anybody() {
    let Answer::Addresses(addresses, _) = Resolver::system().look_up("localhost").await else {
        panic!("localhost must resolve");
    };
    assert!(addresses.contains(&Ipv4Addr::LOCALHOST));
}
