use proptest::{collection::vec, prelude::*};

use super::*;

fn index(domains: &[&str]) -> DomainIndex<usize> {
    DomainIndex::build(domains.iter().enumerate().map(|(i, text)| (Domain::parse(text).unwrap(), i)))
}

#[test]
fn kinds_are_told_by_the_star() {
    let parsed = |text| Domain::parse(text).unwrap();
    assert_eq!(parsed("Example.COM:8080"), Domain::Exact("example.com:8080".into()));
    assert_eq!(parsed("*.example.com"), Domain::Suffix(".example.com".into()));
    assert_eq!(parsed("*-x.example.com"), Domain::Suffix("-x.example.com".into()));
    assert_eq!(parsed("example.*"), Domain::Prefix("example.".into()));
    assert_eq!(parsed("*"), Domain::Any);
    for text in ["*.a", "a.*", "*", "a"] {
        assert_eq!(parsed(text).to_string(), text);
    }
    for bad in ["", "a*b", "*a*", "**"] {
        assert!(Domain::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn exact_then_suffix_then_prefix_then_any() {
    let index = index(&["*", "a.*", "a.b.*", "*.example.com", "*.b.example.com", "a.b.example.com"]);
    let found = |host| index.find(host).copied();
    assert_eq!(found("a.b.example.com"), Some(5));
    assert_eq!(found("A.B.Example.Com"), Some(5));
    assert_eq!(found("x.b.example.com"), Some(4));
    assert_eq!(found("b.example.com"), Some(3));
    assert_eq!(found("example.com"), Some(0));
    assert_eq!(found(".example.com"), Some(0));
    assert_eq!(found("a.b.x"), Some(2));
    assert_eq!(found("a.c"), Some(1));
    assert_eq!(found("a."), Some(0));
    assert_eq!(found(""), Some(0));
}

#[test]
fn the_port_belongs_to_the_host() {
    let index = index(&["example.com", "*.example.com:8080"]);
    assert_eq!(index.find("example.com:8080"), None);
    assert_eq!(index.find("a.example.com:8080"), Some(&1));
    assert_eq!(index.find("a.example.com"), None);
}

#[test]
fn long_hosts_in_upper_case() {
    let long = "A".repeat(1000);
    assert_eq!(index(&["*a"]).find(&long), Some(&0));
}

fn scan(domains: &[Domain], host: &str) -> Option<usize> {
    let rank = |domain: &Domain| match domain {
        Domain::Exact(_) => (3, 0),
        Domain::Suffix(text) => (2, text.len()),
        Domain::Prefix(text) => (1, text.len()),
        Domain::Any => (0, 0),
    };
    let host = host.to_ascii_lowercase();
    let fitting = domains.iter().enumerate().filter(|(_, domain)| domain.matches(&host));
    // Of equal ranks the first.
    fitting.min_by_key(|(_, domain)| std::cmp::Reverse(rank(domain))).map(|(i, _)| i)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn as_a_scan(texts in vec("\\*|\\*?[ab.]{1,4}|[ab.]{1,4}\\*?", 0..20), host in "[abAB.]{0,6}(:80)?") {
        let domains: Vec<Domain> = texts.iter().map(|text| Domain::parse(text).unwrap()).collect();
        let index = DomainIndex::build(domains.iter().cloned().zip(0..));
        prop_assert_eq!(index.find(&host).copied(), scan(&domains, &host));
    }
}
