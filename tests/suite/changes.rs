//! Changes and deaths under load: no failed request, no wrong destination, and no connection closed that need not be.

use portcullis_tests::client;
use portcullis_tests::gateway::{Gateway, holdings, send};
use portcullis_tests::load::Load;
use portcullis_tests::scene::Scene;
use portcullis_tests::wait::until;

/// How many changes: few for every run of the tests, a thousand for `make soak`.
fn changes() -> usize {
    std::env::var("PORTCULLIS_CHANGES").ok().and_then(|n| n.parse().ok()).unwrap_or(120)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_under_load_lose_nothing_and_close_nothing() {
    let mut scene = Scene::new(Gateway::new()).await;
    scene.start(&[]).await;
    let mut load = Load::start(scene.asks());
    load.tunnel(scene.gateway.http(), "still.test");
    load.answers(200).await;
    let control = scene.gateway.children("portcullis-control")[0];
    let worker = scene.gateway.children("portcullis-dataplane")[0];
    let before = (holdings(control), holdings(worker));
    for n in 0..changes() {
        match n % 10 {
            0 | 2 | 4 | 6 => {
                let name = if n % 4 == 0 { "v2" } else { "v1" };
                scene.moving.set(&["v1", "v2"]);
                scene.route(name);
                scene.settled(name).await;
            }
            1 | 3 | 5 => {
                scene.moving.set(&["v1", "v2"]);
                scene.weigh([1 + u32::try_from(n % 7).unwrap(), 3]);
            }
            7 => scene.certificate().await,
            8 => scene.with_third(true).await,
            _ => scene.with_third(false).await,
        }
        assert!(load.is_clean(), "change {n}: {:#?}", load.end().await);
    }
    load.answers(200).await;
    let after = (holdings(control), holdings(worker));
    let outcome = load.end().await;
    outcome.assert_clean();
    assert_eq!(outcome.reconnects, 0, "{outcome:#?}");
    // Generous, and far below what a leak of tables or sockets would show after a thousand changes.
    for (name, before, after) in [("control", before.0, after.0), ("worker", before.1, after.1)] {
        assert!(after.0 < before.0 + 64 * 1024, "{name}: {} KiB, then {} KiB", before.0, after.0);
        assert!(after.1 < before.1 + 40, "{name}: {} files, then {}", before.1, after.1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn up_replaces_all_processes_at_sighup_and_no_request_is_lost() {
    let mut scene = Scene::new(Gateway::new().workers(2)).await;
    scene.start(&[]).await;
    let load = Load::start(scene.asks());
    load.answers(100).await;
    let pids = || {
        let gateway = &scene.gateway;
        [gateway.children("portcullis-control"), gateway.children("portcullis-dataplane")].concat()
    };
    let before = pids();
    scene.gateway.tell("HUP");
    until("new processes", async || {
        (scene.gateway.log().matches("all are replaced").count() == 1).then_some(())
    })
    .await;
    let after = pids();
    assert_eq!((before.len(), after.len()), (3, 3), "{before:?} {after:?}");
    assert!(after.iter().all(|pid| !before.contains(pid)), "{before:?} {after:?}");
    // The new ones take changes and say that they are ready.
    scene.gateway.ready().await;
    scene.moving.set(&["v1", "v2"]);
    scene.route("v2");
    load.answers(100).await;
    scene.settled("v2").await;
    let outcome = load.end().await;
    outcome.assert_clean();
    // Kept connections had to move, once for each worker at most.
    assert!(outcome.reconnects > 0 && outcome.reconnects <= 6 * 3, "{outcome:#?}");
    // What they keep for a start without control is theirs again.
    until("the caches", async || {
        (scene.gateway.log().matches("the table is in the cache").count() >= 4).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_that_is_hung_or_killed_under_changes_costs_no_request() {
    let mut scene = Scene::new(Gateway::new()).await;
    scene.start(&[]).await;
    let mut load = Load::start(scene.asks());
    load.tunnel(scene.gateway.http(), "still.test");
    for (n, name) in ["v2", "v1", "v2"].into_iter().enumerate() {
        let control = scene.gateway.children("portcullis-control")[0];
        send(control, "STOP");
        scene.moving.set(&["v1", "v2"]);
        scene.route(name);
        load.answers(100).await;
        if n == 1 {
            send(control, "KILL");
        } else {
            // Long enough that the worker gives it up, and so has to find it again.
            until("the worker to notice", async || {
                let ready = client::get(scene.gateway.admin(1), "/readyz?verbose").await.ok()?;
                assert_eq!(ready.status, 200);
                ready.text().contains("not connected").then_some(())
            })
            .await;
            send(control, "CONT");
        }
        scene.settled(name).await;
    }
    let outcome = load.end().await;
    outcome.assert_clean();
    assert_eq!(outcome.reconnects, 0, "{outcome:#?}");
}

/// Every actor of both supervision trees, by its name.
const ACTORS: [&str; 15] = [
    "status",
    "discovery",
    "keyring",
    "config",
    "source/file",
    "sources",
    "admin-server",
    "link-server",
    "reload",
    // Of the worker.
    "loader",
    "link",
    "cache",
    "care",
    "notify",
    "admin",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_actor_may_die_while_configuration_changes() {
    let mut scene = Scene::new(Gateway::new()).await;
    let faults = tempfile::TempDir::new().unwrap();
    let env = [("PORTCULLIS_FAULTS", faults.path().display().to_string())];
    scene.start(&env).await;
    let mut load = Load::start(scene.asks());
    load.tunnel(scene.gateway.http(), "still.test");
    for (n, actor) in ACTORS.iter().enumerate() {
        let file = faults.path().join(actor.replace('/', "+"));
        std::fs::write(&file, "").unwrap();
        // The change and the kill meet in any order.
        let name = if n % 2 == 0 { "v2" } else { "v1" };
        scene.moving.set(&["v1", "v2"]);
        scene.route(name);
        until(actor, async || (!file.exists()).then_some(())).await;
        scene.settled(name).await;
        assert!(load.is_clean(), "{actor}: {:#?}", load.end().await);
    }
    scene.gateway.ready().await;
    let shown = scene.gateway.portcullis(&["get", "vs"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert_eq!(shown.matches("Accepted").count(), 3, "{shown}");
    let outcome = load.end().await;
    outcome.assert_clean();
    assert_eq!(outcome.reconnects, 0, "{outcome:#?}");
}
