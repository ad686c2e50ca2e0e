//! Honest clients during an attack, and the worker's memory before and after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use portcullis_tests::client;
use portcullis_tests::wait::PATIENCE;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use super::Target;

/// What a worker may keep of an attack: the allocator's rest, and what a larger number of connections once needed.
const KEPT: u64 = 24 << 20;

/// Honest clients, from the start of an attack until [`Honest::end`].
pub struct Honest {
    before: u64,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<(u64, Duration), String>>>,
}

impl Honest {
    /// One client that connects anew for each request, and one that keeps its connection.
    pub async fn begin(target: &Target) -> Self {
        warm_up(target).await;
        let stop = Arc::new(AtomicBool::new(false));
        let address = target.gateway.http();
        let anew = {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let (mut served, mut slowest) = (0, Duration::ZERO);
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let answer = client::request(address, "GET", "a.test", "/", &[], "");
                    let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| "no answer")?;
                    let answer = answer.map_err(|error| format!("a new connection: {error}"))?;
                    if answer.status != 200 {
                        return Err(format!("status {}", answer.status));
                    }
                    (served, slowest) = (served + 1, slowest.max(begun.elapsed()));
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok((served, slowest))
            })
        };
        let kept = {
            let stop = Arc::clone(&stop);
            tokio::spawn(async move {
                let (mut served, mut slowest) = (0, Duration::ZERO);
                let io = TokioIo::new(TcpStream::connect(address).await.map_err(|e| e.to_string())?);
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(io).await.map_err(|e| e.to_string())?;
                tokio::spawn(connection);
                while !stop.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    let request = Request::get("/").header("host", "a.test");
                    let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
                    let answer = async {
                        let answer = sender.send_request(request).await?;
                        let status = answer.status();
                        answer.into_body().collect().await.map(|_| status)
                    };
                    let answer = tokio::time::timeout(PATIENCE, answer).await.map_err(|_| "no answer")?;
                    let status = answer.map_err(|error| format!("a kept connection: {error}"))?;
                    if status != 200 {
                        return Err(format!("status {status}"));
                    }
                    (served, slowest) = (served + 1, slowest.max(begun.elapsed()));
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                Ok((served, slowest))
            })
        };
        Self { before: memory(target.worker()), stop, clients: vec![anew, kept] }
    }

    /// All of them were served, and the worker gives back what the attack took.
    pub async fn end(self, target: &Target, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            match client.await.unwrap() {
                Ok((served, slowest)) => {
                    assert!(served > 0, "{what}: nothing was asked for");
                    assert!(slowest < Duration::from_secs(10), "{what}: one waited {slowest:?}");
                }
                Err(error) => panic!("{what}: an honest request failed: {error}"),
            }
        }
        // The allocator gives pages back while it is used.
        let begun = Instant::now();
        loop {
            warm_up(target).await;
            let after = memory(target.worker());
            if after <= self.before + KEPT {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{what}: {} bytes before, {after} after", self.before);
        }
    }
}

/// Some honest traffic.
async fn warm_up(target: &Target) {
    let address = target.gateway.http();
    for _ in 0..200 {
        assert_eq!(client::request(address, "GET", "a.test", "/", &[], "").await.unwrap().status, 200);
    }
}

/// Bytes of memory that this process alone needs, files that are mapped left out: what a worker holds against its limit.
pub fn resident(pid: u32) -> u64 {
    1024 * figure(pid, "status", "RssAnon:").unwrap()
}

fn figure(pid: u32, file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Bytes of memory that are this process's share, or that it uses where the share is not shown to us.
pub fn memory(pid: u32) -> u64 {
    1024 * figure(pid, "smaps_rollup", "Pss:").or_else(|| figure(pid, "status", "VmRSS:")).unwrap()
}
