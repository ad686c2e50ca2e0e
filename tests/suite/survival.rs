//! Processes that die.

use portcullis_tests::client;
use portcullis_tests::gateway::{Gateway, send};
use portcullis_tests::wait::until;

use crate::{forward, two_versions, virtual_service};

#[tokio::test]
async fn traffic_goes_on_without_control_and_up_brings_it_back() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    let gateway = gateway.start().await;
    let before = gateway.children("portcullis-control");
    assert_eq!(before.len(), 1, "{}", gateway.log());
    send(before[0], "KILL");
    for _ in 0..20 {
        assert_eq!(gateway.get("a.test", "/").await.status, 200);
    }
    until("a new control process", async || {
        let now = gateway.children("portcullis-control");
        (now.len() == 1 && now != before).then_some(())
    })
    .await;
    gateway.ready().await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v2")));
    gateway.until_get("a.test", "/", |answer| answer.status == 200 && answer.served_by() == "v2").await;
}

#[tokio::test]
async fn a_worker_that_dies_is_replaced_and_the_other_serves_meanwhile() {
    let gateway = Gateway::new().workers(2);
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    let gateway = gateway.start().await;
    let before = gateway.children("portcullis-dataplane");
    assert_eq!(before.len(), 2, "{}", gateway.log());
    send(before[0], "KILL");
    // The kernel closes the dead worker's listener: new connections all go to the other one.
    until("both workers again", async || {
        let answer = client::request(gateway.http(), "GET", "a.test", "/", &[], "").await;
        // A connection that was already queued for the dead worker is reset by the kernel; any answer is the right one.
        if let Ok(answer) = answer {
            assert_eq!(answer.status, 200);
        }
        let now = gateway.children("portcullis-dataplane");
        (now.len() == 2 && now != before).then_some(())
    })
    .await;
    gateway.ready().await;
    for _ in 0..20 {
        assert_eq!(gateway.get("a.test", "/").await.status, 200);
    }
}

#[tokio::test]
async fn a_worker_starts_from_its_cache_while_control_is_down() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    let ca = portcullis_tests::pki::Ca::new("test");
    gateway.write("secret.yaml", &ca.issue(&["s.test"]).secret("s", None));
    let ssl = "spec:\n  sslConfig: {secretRef: {name: s, namespace: gloo-system}, sniDomains: [s.test]}\n";
    let secure = virtual_service("s", "['s.test']", &forward("/", "v1")).replace("spec:\n", ssl);
    gateway.write("s.yaml", &secure);
    let gateway = gateway.start().await;
    let tls = portcullis_tests::client::Tls::trusting(&ca);
    until("TLS", async || tls.get(gateway.https(), "s.test", "/").await.ok()).await;
    // The cache is written beside the request path.
    until("the cache", async || gateway.log().contains("the table is in the cache").then_some(())).await;
    let cache = gateway.data.path().join("state/worker-0-cache");
    // Stopped, not killed: `up` would bring a dead one back at once.
    let control = gateway.children("portcullis-control")[0];
    send(control, "STOP");
    let worker = gateway.children("portcullis-dataplane")[0];
    send(worker, "KILL");
    until("a new worker that serves from its cache", async || {
        let now = gateway.children("portcullis-dataplane");
        if now.is_empty() || now[0] == worker {
            return None;
        }
        client::request(gateway.http(), "GET", "a.test", "/", &[], "").await.ok().filter(|a| a.status == 200)
    })
    .await;
    let ready = client::get(gateway.admin(1), "/readyz?verbose").await.unwrap();
    assert_eq!(ready.status, 200);
    assert!(ready.text().contains("cache"), "{}", ready.text());
    let secure =
        until("TLS from the cache", async || tls.get(gateway.https(), "s.test", "/").await.ok()).await;
    assert_eq!(secure.status, 200, "the sealed cache holds the key");
    for entry in std::fs::read_dir(&cache).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(entry.path()).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("PRIVATE KEY"), "{}", entry.path().display());
    }

    send(control, "CONT");
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v2")));
    gateway.until_get("a.test", "/", |answer| answer.status == 200 && answer.served_by() == "v2").await;
}

#[tokio::test]
async fn signals_drain_and_exit_zero() {
    for signal in ["TERM", "INT"] {
        let mut gateway = Gateway::new();
        let _upstreams = two_versions(&gateway).await;
        gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
        gateway = gateway.start().await;
        assert_eq!(gateway.get("a.test", "/").await.status, 200);
        assert_eq!(gateway.stop(signal).await, Some(0), "SIG{signal}: {}", gateway.log());
        assert!(tokio::net::TcpStream::connect(gateway.http()).await.is_err(), "nothing is left behind");
    }
}

#[tokio::test]
async fn without_control_and_without_a_cache_nothing_is_bound_and_nobody_is_ready() {
    let mut gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    // A control that never comes up.
    let nobody = gateway.data.path().join("nobody");
    std::fs::write(&nobody, "#!/bin/sh\nexec sleep 600\n").unwrap();
    std::fs::set_permissions(&nobody, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    gateway.spawn(&[("PORTCULLIS_CONTROL_BIN", nobody.display().to_string())]);
    let ready = until("the worker's admin server", async || {
        client::get(gateway.admin(1), "/readyz?verbose")
            .await
            .ok()
            .filter(|a| a.text().contains("not connected for"))
    })
    .await;
    assert_eq!(ready.status, 503);
    assert!(ready.text().starts_with("not ready: no table yet"), "{}", ready.text());
    assert!(tokio::net::TcpStream::connect(gateway.http()).await.is_err());
}

/// What happens to a folder while nobody runs.
type Damage = fn(&std::path::Path);

/// Truncated, overwritten in the middle, and gone: of each file of a database.
const DAMAGES: [(&str, Damage); 4] = [
    ("gone", |folder| std::fs::remove_dir_all(folder).unwrap()),
    ("truncated", |folder| {
        each_file(folder, |file| {
            let bytes = std::fs::read(file).unwrap();
            std::fs::write(file, &bytes[..bytes.len() / 3]).unwrap();
        });
    }),
    ("overwritten", |folder| {
        each_file(folder, |file| {
            let mut bytes = std::fs::read(file).unwrap();
            for (n, byte) in bytes.iter_mut().enumerate() {
                if n % 97 < 40 {
                    *byte = byte.wrapping_mul(31).wrapping_add(7);
                }
            }
            std::fs::write(file, bytes).unwrap();
        });
    }),
    ("nonsense", |folder| each_file(folder, |file| std::fs::write(file, "nonsense").unwrap())),
];

fn each_file(folder: &std::path::Path, work: impl Fn(&std::path::Path)) {
    for entry in std::fs::read_dir(folder).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        work(&entry.path());
    }
}

#[tokio::test]
async fn damaged_state_is_set_aside_and_made_again() {
    let mut gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    gateway = gateway.start().await;
    let folders =
        ["control/control-store", "worker-0-cache"].map(|name| gateway.data.path().join("state").join(name));
    for (name, damage) in DAMAGES {
        until("the cache", async || gateway.log().contains("the table is in the cache").then_some(())).await;
        let cached = gateway.log().matches("the table is in the cache").count();
        assert_eq!(gateway.stop("TERM").await, Some(0), "{name}");
        folders.iter().for_each(|folder| damage(folder));
        gateway.start_again(&[]).await;
        assert_eq!(gateway.get("a.test", "/").await.served_by(), "v1", "{name}");
        let aside = gateway.log().matches("it was set aside").count();
        assert!(name == "gone" || aside > 0, "{name}: {}", gateway.log());
        // What is made again serves its purpose: a worker that starts now needs nobody.
        let known = cached + 1;
        until("a new cache", async || {
            (gateway.log().matches("the table is in the cache").count() >= known).then_some(())
        })
        .await;
        assert!(folders.iter().all(|folder| folder.is_dir()), "{name}");
    }
}

#[tokio::test]
async fn state_that_is_removed_under_running_processes_costs_nothing() {
    let gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    let gateway = gateway.start().await;
    for folder in ["control/control-store", "worker-0-cache"] {
        std::fs::remove_dir_all(gateway.data.path().join("state").join(folder)).unwrap();
    }
    for name in ["v2", "v1", "v2"] {
        gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", name)));
        gateway.until_get("a.test", "/", |answer| answer.status == 200 && answer.served_by() == name).await;
    }
    let worker = gateway.children("portcullis-dataplane")[0];
    send(worker, "KILL");
    until("another worker", async || {
        let now = gateway.children("portcullis-dataplane");
        (now.len() == 1 && now[0] != worker).then_some(())
    })
    .await;
    gateway.until_get("a.test", "/", |answer| answer.status == 200 && answer.served_by() == "v2").await;
}

/// A small file system of its own, unmounted when dropped.
struct Small(std::path::PathBuf);

impl Small {
    /// `None` where that is not permitted.
    fn mount(at: std::path::PathBuf, kib: u32) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={kib}k"), "tmpfs"])
            .arg(&at)
            .output();
        mounted.is_ok_and(|output| output.status.success()).then_some(Self(at))
    }

    /// Takes all the room that is left.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.join("filler")).unwrap();
        while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Lazily: processes of the test may still have files in it.
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[tokio::test]
async fn a_full_disk_costs_what_is_remembered_and_nothing_else() {
    let mut gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let state = gateway.data.path().join("state");
    let Some(disk) = Small::mount(state, 8 * 1024) else {
        eprintln!("skipped: mounting a small file system is not permitted");
        return;
    };
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v1")));
    gateway.start_again(&[]).await;
    disk.fill();
    // Large enough that it cannot be written.
    let large = |name: &str| {
        let comment = format!("metadata: {{annotations: {{x: '{}'}}, ", "y".repeat(200_000));
        virtual_service("a", "['a.test']", &forward("/", name)).replace("metadata: {", &comment)
    };
    for name in ["v2", "v1", "v2"] {
        gateway.write("a.yaml", &large(name));
        gateway.until_get("a.test", "/", |answer| answer.status == 200 && answer.served_by() == name).await;
    }
    // Both start again on the full disk.
    for program in ["portcullis-control", "portcullis-dataplane"] {
        let before = gateway.children(program)[0];
        send(before, "KILL");
        until(program, async || {
            let now = gateway.children(program);
            (now.len() == 1 && now[0] != before).then_some(())
        })
        .await;
        gateway.until_get("a.test", "/", |answer| answer.status == 200 && answer.served_by() == "v2").await;
    }
    gateway.write("a.yaml", &large("v1"));
    gateway.until_get("a.test", "/", |answer| answer.status == 200 && answer.served_by() == "v1").await;
    // And with room again, everything is remembered.
    std::fs::remove_file(disk.0.join("filler")).unwrap();
    gateway.write("a.yaml", &virtual_service("a", "['a.test']", &forward("/", "v2")));
    gateway.until_get("a.test", "/", |answer| answer.status == 200 && answer.served_by() == "v2").await;
    gateway.ready().await;
    assert_eq!(gateway.stop("TERM").await, Some(0));
}

#[tokio::test]
async fn a_restart_with_broken_resources_among_thousands_brings_all_others_back() {
    const MANY: usize = 2000;
    let mut gateway = Gateway::new();
    let _upstreams = two_versions(&gateway).await;
    let host = |n: usize| virtual_service(&format!("vs{n}"), &format!("['h{n}.test']"), &forward("/", "v1"));
    let all = |broken: bool| {
        let mut text = String::new();
        for n in 0..MANY {
            let one = host(n);
            let one = if broken && n == 777 { one.replace("routeAction", "routeActionn") } else { one };
            text += &format!("---\n{one}");
        }
        text
    };
    gateway.write("many.yaml", &all(false));
    let ca = portcullis_tests::pki::Ca::new("test");
    let secret = ca.issue(&["s.test"]).secret("s", None);
    gateway.write("secret.yaml", &secret);
    let ssl = "spec:\n  sslConfig: {secretRef: {name: s, namespace: gloo-system}, sniDomains: [s.test]}\n";
    gateway.write("s.yaml", &virtual_service("s", "['s.test']", &forward("/", "v2")).replace("spec:\n", ssl));
    gateway.write("t.yaml", &virtual_service("t", "['t.test']", &forward("/", "third")));
    let third = std::net::SocketAddr::from((gateway.ip, 9002));
    gateway.write("third.yaml", &portcullis_tests::backend::upstream("third", third, ""));
    gateway.start_again(&[]).await;
    let tls = portcullis_tests::client::Tls::trusting(&ca);
    until("TLS", async || tls.get(gateway.https(), "s.test", "/").await.ok()).await;
    gateway.until_get("h777.test", "/", |answer| answer.status == 200).await;
    let cached = gateway.log().matches("the table is in the cache").count();
    until("the cache", async || {
        (cached > 0 || gateway.log().contains("the table is in the cache")).then_some(())
    })
    .await;

    gateway.write("many.yaml", &all(true));
    gateway.write("secret.yaml", &secret.replace("BEGIN", "BEGUN"));
    gateway.write(
        "third.yaml",
        &portcullis_tests::backend::upstream("third", third, "").replace("port:", "portt:"),
    );
    for _ in 0..2 {
        assert_eq!(gateway.stop("TERM").await, Some(0));
        gateway.start_again(&[]).await;
        // Control has looked at everything when it shows what is broken.
        let shown = until("the broken ones", async || {
            let shown = gateway.portcullis(&["get", "vs", "vs777"]).await;
            let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
            shown.contains("Rejected").then_some(shown)
        })
        .await;
        assert!(shown.contains("last accepted form"), "{shown}");
        for n in [0, 1, 776, 777, 778, 1234, MANY - 1] {
            let answer = gateway.get(&format!("h{n}.test"), "/").await;
            assert_eq!((answer.status, answer.served_by().as_str()), (200, "v1"), "h{n}.test");
        }
        assert_eq!(gateway.get("t.test", "/").await.served_by(), "v2");
    }
}
