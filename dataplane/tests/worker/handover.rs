//! A worker's successor, and what systemd is told.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::client::{connect, get};
use crate::control::Control;
use crate::process::Site;
use crate::table::{Table, answering, dynamic_upstream, endpoints, forwarding, listener};
use crate::until;

/// systemd's end of the notification socket.
struct Systemd(UnixDatagram);

impl Systemd {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self(socket)
    }

    /// Waits for a message with this line, and gives what was in the line after it.
    async fn hears(&self, begin: &str) -> String {
        until(begin, || async {
            let mut bytes = [0; 4096];
            while let Ok(length) = self.0.recv(&mut bytes) {
                let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
                if let Some(rest) = text.lines().find_map(|line| line.strip_prefix(begin)) {
                    return Some(rest.to_owned());
                }
            }
            None
        })
        .await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_is_told_of_readiness_life_and_the_end() {
    let site = Site::new();
    let systemd = Systemd::listen(&site.folder.path().join("notify"));
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker_with(|command| {
        command.env("NOTIFY_SOCKET", site.folder.path().join("notify")).env("WATCHDOG_USEC", "300000");
    });
    systemd.hears("STATUS=waiting for control").await;
    let mut session = control.session().await;
    session
        .put(&Table::default().with(listener(site.address, 21080)).with(answering("a", "a.test", "x")))
        .await;
    systemd.hears("READY=1").await;
    for _ in 0..5 {
        systemd.hears("WATCHDOG=1").await;
    }
    worker.signal(Signal::TERM);
    systemd.hears("STOPPING=1").await;
    assert!(worker.exit().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_successor_takes_over_at_sigusr2_and_no_request_is_lost() {
    let site = Site::new();
    let notify = site.folder.path().join("notify");
    let systemd = Systemd::listen(&notify);
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker_with(|command| {
        command.env("NOTIFY_SOCKET", &notify);
    });
    let table = Table::default().with(listener(site.address, 21080)).with(answering("a", "a.test", "x"));
    let mut session = control.session().await;
    session.put(&table).await;
    systemd.hears("READY=1").await;

    // Kept connections and new ones, all the time.
    let (over, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|n| {
            let (over, asked, at) = (Arc::clone(&over), Arc::clone(&asked), site.at(21080));
            tokio::spawn(async move {
                let mut kept = None;
                while !over.load(Ordering::Relaxed) {
                    let mut client = match kept.take() {
                        Some(client) => client,
                        None => connect(at).await.unwrap(),
                    };
                    let answer = client.get("a.test").await.unwrap();
                    assert_eq!((answer.status, answer.body.as_str()), (200, "x"));
                    if n % 2 == 0 && answer.header("connection") != Some("close") {
                        kept = Some(client);
                    }
                    asked.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();

    worker.signal(Signal::USR2);
    systemd.hears("RELOADING=1").await;
    // The successor starts without the cache, which its predecessor has, and asks control.
    let mut second = control.session().await;
    assert!(second.have.is_empty());
    second.put(&table).await;
    let pid: i32 = systemd.hears("MAINPID=").await.parse().unwrap();
    assert!(worker.exit().await.success());
    let before = asked.load(Ordering::Relaxed);
    until("further answers", || async { (asked.load(Ordering::Relaxed) > before + 50).then_some(()) }).await;
    over.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    // The admin address and the cache are its own now.
    let other = crate::process::Worker { child: idle(), admin: site.at(21001) };
    let ready = other.ready().await;
    assert!(ready.contains("table: version 1.1"), "{ready}");
    kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
    until("its end", || async { get(site.at(21080), "a.test").await.err() }).await;
    until("the cache of the successor", || async {
        crate::process::bytes_below(&site.data()).windows(6).any(|w| w == b"a.test").then_some(())
    })
    .await;
}

/// A process that stands for one that is not ours to wait for.
fn idle() -> tokio::process::Child {
    tokio::process::Command::new("sleep").arg("600").kill_on_drop(true).spawn().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tunnels_have_a_shorter_time_than_requests_and_a_line_each() {
    let site = Site::new();
    let backend = tokio::net::TcpListener::bind(site.at(21900)).await.unwrap();
    let mut control = Control::start(&site.socket()).await;
    let log = site.folder.path().join("access.log");
    let worker = site.worker_with(|command| {
        command.arg("--access-log").arg(&log).args(["--drain-streams", "300ms"]);
    });
    let mut session = control.session().await;
    let table = Table::default()
        .with(listener(site.address, 21080))
        .with(dynamic_upstream("u"))
        .with(forwarding("u", "u.test", "u"));
    session.endpoints(endpoints("u", 1, site.at(21900))).await;
    session.put(&table).await;

    let mut tunnel = connect(site.at(21080)).await.unwrap();
    let upgrade = "GET /ws HTTP/1.1\r\nhost: u.test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    tunnel.stream.write_all(upgrade.as_bytes()).await.unwrap();
    let (mut far, _) = backend.accept().await.unwrap();
    assert!(far.read(&mut [0; 4096]).await.unwrap() > 0);
    let agreed = "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
    far.write_all(agreed.as_bytes()).await.unwrap();
    assert_eq!(tunnel.answer().await.unwrap().status, 101);
    let mut busy = connect(site.at(21080)).await.unwrap();
    busy.send("u.test", "/slow").await.unwrap();
    let (mut slow, _) = backend.accept().await.unwrap();
    assert!(slow.read(&mut [0; 4096]).await.unwrap() > 0);

    worker.signal(Signal::TERM);
    session.beat(|beat| beat.draining).await;
    // The tunnel goes on for a moment, then it is cut; the request is waited for.
    far.write_all(b"bye").await.unwrap();
    let mut word = [0; 3];
    tunnel.stream.read_exact(&mut word).await.unwrap();
    tunnel.closed().await;
    slow.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone").await.unwrap();
    assert_eq!(busy.answer().await.unwrap().body, "done");
    assert!(worker.exit().await.success());
    let log = std::fs::read_to_string(log).unwrap();
    let cut: Vec<&str> = log.lines().filter(|line| line.contains("\"drained\"")).collect();
    assert!(cut.len() == 1 && cut[0].contains("/ws"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_file_descriptors_a_worker_waits_and_goes_on() {
    use rustix::process::{Resource, Rlimit, prlimit};
    let site = Site::new();
    let mut control = Control::start(&site.socket()).await;
    let worker = site.worker();
    let mut session = control.session().await;
    session
        .put(&Table::default().with(listener(site.address, 21080)).with(answering("a", "a.test", "x")))
        .await;
    let mut kept = connect(site.at(21080)).await.unwrap();
    assert_eq!(kept.get("a.test").await.unwrap().body, "x");
    let pid = Pid::from_raw(worker.child.id().unwrap().cast_signed());
    let fds = std::fs::read_dir(format!("/proc/{}/fd", worker.child.id().unwrap())).unwrap().count() as u64;
    let limit = |current| Rlimit { current: Some(current), maximum: Some(4096.max(fds)) };
    prlimit(pid, Resource::Nofile, limit(3)).unwrap();
    // The kernel takes it; the worker cannot.
    let mut waiting = connect(site.at(21080)).await.unwrap();
    waiting.send("a.test", "/").await.unwrap();
    assert_eq!(kept.get("a.test").await.unwrap().body, "x");
    for _ in 0..200 {
        assert_eq!(kept.get("a.test").await.unwrap().body, "x");
    }
    prlimit(pid, Resource::Nofile, limit(1024)).unwrap();
    assert_eq!(waiting.answer().await.unwrap().body, "x");
    let metrics = worker.admin("/metrics").await.unwrap().body;
    let line = metrics
        .lines()
        .find(|line| line.starts_with("portcullis_downstream_accept_errors_total"))
        .unwrap_or_default();
    assert!(!line.is_empty() && !line.ends_with(" 0"), "{line:?}");
}
