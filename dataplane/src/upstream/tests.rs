use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use portcullis_shared::table::{self, EndpointSet, LoadBalancer};

use super::*;

fn address(n: u16) -> table::Place {
    SocketAddr::from(([10, 0, 0, 1], n)).into()
}

fn endpoint((port, weight): (u16, u32)) -> table::Endpoint {
    table::Endpoint { address: address(port), weight, hostname: None, sni: None, labels: Arc::default() }
}

fn config(load_balancer: LoadBalancer, endpoints: &[(u16, u32)]) -> table::Upstream {
    table::Upstream {
        name: "u".into(),
        origin: table::Origin::default(),
        endpoints: endpoints.iter().copied().map(endpoint).collect(),
        dynamic_endpoints: false,
        tls: None,
        http2: false,
        connect_timeout: Duration::from_secs(5),
        max_requests_per_connection: None,
        load_balancer,
        circuit_breakers: table::CircuitBreakers::default(),
        health_check: None,
        outlier_detection: None,
        healthy_panic_threshold: 50.0,
        slow_start: None,
        hash_by_hostname: false,
        close_connections_on_host_set_change: false,
        update_merge_window: Duration::ZERO,
        subsets: None,
        ignore_health_on_host_removal: false,
        connections: table::Connections::default(),
        http: table::UpstreamHttp::default(),
        policies: vec![],
    }
}

fn dynamic() -> table::Upstream {
    table::Upstream { dynamic_endpoints: true, ..config(LoadBalancer::RoundRobin, &[]) }
}

fn set(sequence: u64, ports: &[u16]) -> EndpointSet {
    let endpoints = ports.iter().map(|port| endpoint((*port, 1))).collect();
    EndpointSet { upstream: "u".into(), sequence, endpoints }
}

fn ports(upstream: &Upstream) -> Vec<u16> {
    upstream.endpoints().list().iter().map(|endpoint| endpoint.address.port()).collect()
}

fn count(upstream: &Upstream, picks: usize) -> BTreeMap<u16, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..picks {
        *counts.entry(upstream.pick(&[]).expect("an endpoint").endpoint.address.port()).or_default() += 1;
    }
    counts
}

const LEAST: LoadBalancer = LoadBalancer::LeastRequest { choice_count: 2 };

#[test]
fn round_robin_visits_every_endpoint_in_turn() {
    let upstream = Upstream::build(&config(LoadBalancer::RoundRobin, &[(1, 5), (2, 5), (3, 5)]), None, None);
    assert_eq!(count(&upstream, 30), BTreeMap::from([(1, 10), (2, 10), (3, 10)]));
}

#[test]
fn round_robin_follows_weights_exactly_and_smoothly() {
    let upstream = Upstream::build(&config(LoadBalancer::RoundRobin, &[(1, 5), (2, 1), (3, 1)]), None, None);
    assert_eq!(count(&upstream, 70), BTreeMap::from([(1, 50), (2, 10), (3, 10)]));
    let order: Vec<_> = (0..14).map(|_| upstream.pick(&[]).expect("one").endpoint.address.port()).collect();
    let longest_run = order.chunk_by(|a, b| a == b).map(<[u16]>::len).max();
    assert!(longest_run <= Some(4), "spread out, not in blocks: {order:?}");
}

#[test]
fn weights_too_fine_for_a_list_are_followed_in_the_mean() {
    let upstream =
        Upstream::build(&config(LoadBalancer::RoundRobin, &[(1, 100_000), (2, 300_001)]), None, None);
    let counts = count(&upstream, 4000);
    assert!((980..=1020).contains(&counts[&1]), "{counts:?}");
}

#[test]
fn random_choices_follow_weights_in_the_mean() {
    fastrand::seed(1);
    let upstream = Upstream::build(&config(LoadBalancer::Random, &[(1, 1), (2, 3)]), None, None);
    let counts = count(&upstream, 4000);
    assert!((850..=1150).contains(&counts[&1]), "{counts:?}");
}

#[test]
fn least_request_avoids_the_busy_endpoint() {
    fastrand::seed(1);
    let upstream = Upstream::build(&config(LEAST, &[(1, 1), (2, 1)]), None, None);
    let held: Vec<_> = std::iter::repeat_with(|| upstream.pick(&[]).expect("one")).take(40).collect();
    let busy = held.iter().filter(|picked| picked.endpoint.address.port() == 1).count();
    assert!((15..=25).contains(&busy), "running requests even out: {busy}");
    drop(held);
    assert!(upstream.endpoints().list().iter().all(|endpoint| endpoint.active() == 0));
}

#[test]
fn a_retry_goes_elsewhere_while_there_is_an_elsewhere() {
    for kind in [LoadBalancer::RoundRobin, LEAST, LoadBalancer::Random] {
        let upstream = Upstream::build(&config(kind, &[(1, 1000), (2, 1), (3, 1)]), None, None);
        for _ in 0..50 {
            let picked = upstream.pick(&[address(1), address(3)]).expect("one");
            assert_eq!(picked.endpoint.address.port(), 2, "{kind:?}");
        }
        assert!(upstream.pick(&[address(1), address(2), address(3)]).is_some(), "else any one, {kind:?}");
        let none = Upstream::build(&config(kind, &[]), None, None);
        assert!(none.pick(&[]).is_none());
    }
}

#[test]
fn endpoint_sets_are_taken_in_order_of_their_sequence() {
    let upstream = Upstream::build(&dynamic(), None, None);
    assert!(!upstream.is_ready());
    assert!(upstream.set_endpoints(&set(5, &[1, 2])));
    assert!(!upstream.set_endpoints(&set(4, &[3])), "an older set changes nothing");
    assert_eq!(ports(&upstream), [1, 2]);
    upstream.begin_session();
    assert_eq!(ports(&upstream), [1, 2], "a new session does not empty anything");
    assert!(upstream.set_endpoints(&set(1, &[3])));
    assert_eq!(ports(&upstream), [3]);
    let fixed = Upstream::build(&config(LoadBalancer::RoundRobin, &[(9, 1)]), None, None);
    assert!(!fixed.set_endpoints(&set(1, &[3])));
    assert_eq!(ports(&fixed), [9]);
}

#[test]
fn endpoints_counts_and_turns_survive_a_new_form() {
    let first = Upstream::build(&dynamic(), None, None);
    first.set_endpoints(&set(1, &[1, 2]));
    let running = first.pick(&[]).expect("one");
    first.stats.requests.inc();

    let slower = table::Upstream { connect_timeout: Duration::from_secs(9), ..dynamic() };
    let second = Upstream::build(&slower, None, Some(&first));
    assert_eq!(ports(&second), [1, 2]);
    assert_eq!(second.stats.requests.get(), 1);
    let at = |upstream: &Upstream| upstream.endpoints().list().iter().map(|e| e.active()).sum::<usize>();
    assert_eq!(at(&second), 1, "the request that runs still counts");
    assert_ne!(second.pick(&[]).expect("one").endpoint.address, running.endpoint.address, "the turn goes on");

    let fixed =
        Upstream::build(&config(LoadBalancer::RoundRobin, &[(1, 1), (2, 1), (7, 1)]), None, Some(&second));
    assert_eq!(at(&fixed), 1);
    drop(running);
    assert_eq!(at(&fixed), 0);
    let again = Upstream::build(&dynamic(), None, Some(&fixed));
    assert_eq!(ports(&again), [1, 2, 7], "until the first set comes");
    assert!(again.set_endpoints(&set(1, &[8])));
    assert_eq!((ports(&again), ports(&fixed)), (vec![8], vec![1, 2, 7]));
}

#[tokio::test(start_paused = true)]
async fn waiting_for_endpoints_ends_with_the_first_set_or_the_connect_timeout() {
    let upstream = Arc::new(Upstream::build(&dynamic(), None, None));
    assert!(!upstream.wait_ready().await);
    let waiter = tokio::spawn({
        let upstream = Arc::clone(&upstream);
        async move { upstream.wait_ready().await }
    });
    tokio::task::yield_now().await;
    // An empty set is an answer too: there are no endpoints.
    assert!(upstream.set_endpoints(&set(1, &[])));
    assert!(waiter.await.expect("joined"));
    assert!(upstream.pick(&[]).is_none());
}

#[test]
fn a_healthy_endpoint_stays_without_its_name_unless_health_is_not_looked_at() {
    let check = table::HealthCheck {
        timeout: Duration::from_secs(1),
        interval: Duration::from_secs(60),
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        initial_jitter: Duration::ZERO,
        interval_jitter: Duration::ZERO,
        interval_jitter_percent: 0,
        reuse_connection: true,
        no_traffic_interval: Duration::from_secs(60),
        unhealthy_interval: Duration::from_secs(60),
        unhealthy_edge_interval: Duration::from_secs(60),
        healthy_edge_interval: Duration::from_secs(60),
        event_log: None,
        always_log_failures: false,
        checker: table::Checker::Tcp(table::TcpCheck { send: "".into(), receive: Vec::new() }),
    };
    for (ignore, left) in [(false, vec![2, 1]), (true, vec![2])] {
        let config = table::Upstream {
            health_check: Some(check.clone()),
            ignore_health_on_host_removal: ignore,
            ..dynamic()
        };
        let upstream = Upstream::build(&config, None, None);
        upstream.set_endpoints(&set(1, &[1, 2]));
        upstream.set_endpoints(&set(2, &[2]));
        assert_eq!(ports(&upstream), left, "ignoring health: {ignore}");
    }
}
