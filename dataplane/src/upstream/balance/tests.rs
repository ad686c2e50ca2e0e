//! What rings and tables promise: equal requests go to one endpoint, shares follow weights, and a change of endpoints
//! moves little.

use std::collections::HashMap;

use portcullis_shared::table;
use proptest::prelude::*;

use super::*;

fn endpoints(weights: &[u32]) -> Vec<Arc<Endpoint>> {
    let endpoint = |(port, weight): (u16, &u32)| {
        let config = table::Endpoint {
            address: std::net::SocketAddr::from(([10, 0, 0, 1], port)).into(),
            weight: *weight,
            hostname: None,
            sni: None,
            labels: Arc::default(),
        };
        Arc::new(Endpoint::new(&config, None, false))
    };
    (1..).zip(weights).map(endpoint).collect()
}

fn choices(list: &[Arc<Endpoint>], balancer: LoadBalancer) -> Choices {
    let rules = Rules { balancer, panic_threshold: 50.0, ..Rules::default() };
    Choices::new(list, &rules, Instant::now())
}

fn port(choices: &Choices, hash: u64) -> u16 {
    let wish = Wish { hash: Some(hash), ..Wish::default() };
    Balancer::Hash.pick(choices, &wish).expect("one").address.port()
}

/// Evenly spread, as hashes are.
fn hashes(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|n| xxhash_rust::xxh64::xxh64(&n.to_le_bytes(), 7))
}

const RING: LoadBalancer = LoadBalancer::RingHash { minimum: 4096, maximum: 8 * 1024 * 1024 };

fn hashing() -> impl Strategy<Value = LoadBalancer> {
    prop_oneof![Just(RING), Just(LoadBalancer::Maglev)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn equal_requests_stay_together(balancer in hashing(), count in 1usize..20, hash in any::<u64>()) {
        let list = endpoints(&vec![1; count]);
        prop_assert_eq!(port(&choices(&list, balancer), hash), port(&choices(&list, balancer), hash));
    }

    #[test]
    fn shares_follow_weights(balancer in hashing(), weights in prop::collection::vec(1u32..6, 2..8)) {
        let list = endpoints(&weights);
        let choices = choices(&list, balancer);
        let mut counts: HashMap<u16, f64> = HashMap::new();
        const REQUESTS: u64 = 20_000;
        hashes(REQUESTS).for_each(|hash| *counts.entry(port(&choices, hash)).or_default() += 1.0);
        let total: u32 = weights.iter().sum();
        for (endpoint, weight) in list.iter().zip(&weights) {
            let share = counts.get(&endpoint.address.port()).copied().unwrap_or(0.0) / REQUESTS as f64;
            let wanted = f64::from(*weight) / f64::from(total);
            // A ring is only as even as its places fall; a table nearly exact.
            let off = if balancer == LoadBalancer::Maglev { 0.02 } else { 0.12 };
            prop_assert!((share - wanted).abs() < off, "{} has {share}, not {wanted}", endpoint.address);
        }
    }

    #[test]
    fn the_end_of_an_endpoint_moves_little_else(balancer in hashing(), count in 3usize..12, gone in 0usize..3) {
        let list = endpoints(&vec![1; count]);
        let fewer: Vec<_> = list.iter().enumerate().filter(|(at, _)| *at != gone).map(|(_, one)| one.clone()).collect();
        let lost = list[gone].address.port();
        let (before, after) = (choices(&list, balancer), choices(&fewer, balancer));
        let stayed: Vec<u64> = hashes(5000).filter(|hash| port(&before, *hash) != lost).collect();
        let moved = stayed.iter().filter(|hash| port(&before, **hash) != port(&after, **hash)).count();
        // The number of places of each follows from the number of endpoints, and a table is filled anew: a little more
        // moves than has to.
        let most = stayed.len() / 5;
        prop_assert!(moved <= most, "{moved} of {} moved", stayed.len());
    }

    #[test]
    fn a_retry_goes_elsewhere(balancer in hashing(), count in 2usize..8, hash in any::<u64>()) {
        let list = endpoints(&vec![1; count]);
        let choices = choices(&list, balancer);
        let first = [Balancer::Hash.pick(&choices, &Wish { hash: Some(hash), ..Wish::default() }).expect("one").address.clone()];
        let wish = Wish { hash: Some(hash), tried: &first, ..Wish::default() };
        prop_assert_ne!(&Balancer::Hash.pick(&choices, &wish).expect("one").address, &first[0]);
    }
}

#[test]
fn without_endpoints_there_is_no_choice() {
    for balancer in [RING, LoadBalancer::Maglev] {
        let choices = choices(&[], balancer);
        assert!(Balancer::Hash.pick(&choices, &Wish { hash: Some(1), ..Wish::default() }).is_none());
    }
}

fn ports(choices: &Choices) -> Vec<u16> {
    choices.list.iter().map(|endpoint| endpoint.address.port()).collect()
}

#[test]
fn unhealthy_ones_are_left_out_until_too_few_are_left() {
    use std::sync::atomic::Ordering::Relaxed;
    let list = endpoints(&[1, 1, 1, 1]);
    let fail = |at: usize| list[at].state().failed.store(true, Relaxed);
    fail(0);
    assert_eq!(ports(&choices(&list, LoadBalancer::Random)), [2, 3, 4]);
    list[1].state().ejected.store(true, Relaxed);
    assert_eq!(ports(&choices(&list, LoadBalancer::Random)), [3, 4], "half is enough");
    fail(2);
    assert_eq!(ports(&choices(&list, LoadBalancer::Random)), [1, 2, 3, 4], "panic");
    fail(3);
    let never = Rules { panic_threshold: 0.0, ..Rules::default() };
    assert!(ports(&Choices::new(&list, &never, Instant::now())).is_empty());
}

#[test]
fn subsets_are_found_by_all_their_labels() {
    use portcullis_shared::table::{SubsetFallback, SubsetRules, SubsetSelector};
    let labels = |list: &[(&str, &str)]| -> table::Labels {
        list.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect()
    };
    let endpoint = |port: u16, own: &[(&str, &str)]| {
        let config = table::Endpoint {
            address: std::net::SocketAddr::from(([10, 0, 0, 1], port)).into(),
            weight: 1,
            hostname: None,
            sni: None,
            labels: labels(own),
        };
        Arc::new(Endpoint::new(&config, None, false))
    };
    let list = [
        endpoint(1, &[("stage", "prod"), ("version", "1")]),
        endpoint(2, &[("stage", "prod"), ("version", "2")]),
        endpoint(3, &[("stage", "dev"), ("version", "2")]),
    ];
    let selector = |keys: &[&str], single_host| SubsetSelector {
        keys: keys.iter().map(|key| (*key).into()).collect(),
        single_host,
    };
    let rules = Rules { panic_threshold: 50.0, ..Rules::default() };
    let find = |fallback: SubsetFallback, wanted: &[(&str, &str)]| {
        let wish = SubsetRules {
            selectors: vec![
                selector(&["version"], false),
                selector(&["stage", "version"], false),
                selector(&["stage"], true),
            ],
            fallback,
        };
        let all = choices(&list, LoadBalancer::Random);
        let subsets = Subsets::new(&list, &wish, &rules, Instant::now());
        subsets.find(&labels(wanted), &all).map(ports)
    };
    assert_eq!(find(SubsetFallback::None, &[("version", "2")]), Some(vec![2, 3]));
    assert_eq!(find(SubsetFallback::None, &[("stage", "prod"), ("version", "2")]), Some(vec![2]));
    assert_eq!(find(SubsetFallback::None, &[("stage", "prod")]), Some(vec![1]), "one host each");
    assert_eq!(find(SubsetFallback::None, &[("version", "9")]), None);
    assert_eq!(find(SubsetFallback::None, &[]), None);
    assert_eq!(find(SubsetFallback::Any, &[("version", "9")]), Some(vec![1, 2, 3]));
    let default = SubsetFallback::Default(labels(&[("stage", "dev")]));
    assert_eq!(find(default.clone(), &[("version", "9")]), Some(vec![3]));
    assert_eq!(find(default, &[]), Some(vec![3]));
}
