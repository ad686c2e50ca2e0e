//! The soak: random deaths and changes under load for some time, every answer checked, memory before and after.
//!
//! `make soak SECONDS=600` is the long form; without a word it takes a few seconds, so that it runs with all other tests.
//! `SEED` repeats a run, as far as time lets it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "tests fail loudly, and a long one says what it does"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use portcullis_tests::client;
use portcullis_tests::gateway::{Gateway, holdings, send};
use portcullis_tests::load::Load;
use portcullis_tests::scene::Scene;
use portcullis_tests::wait::until;

/// Growth of a process that is more than what its allocator keeps, in KiB.
const GROWTH: u64 = 64 * 1024;

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Event {
    KillControl,
    HangControl,
    KillWorker,
    Replace,
    Route,
    Weights,
    Certificate,
    Listener,
    Actor(&'static str),
    Broken,
}

/// Changes are more frequent than deaths, as in life.
const EVENTS: [Event; 20] = [
    Event::Route,
    Event::Weights,
    Event::Certificate,
    Event::Listener,
    Event::Broken,
    Event::Route,
    Event::KillControl,
    Event::Route,
    Event::Certificate,
    Event::KillWorker,
    Event::Route,
    Event::HangControl,
    Event::Weights,
    Event::Replace,
    Event::Route,
    Event::Actor("config"),
    Event::Actor("link"),
    Event::Actor("source/file"),
    Event::Actor("loader"),
    Event::Actor("link-server"),
];

/// SplitMix64: enough to choose by, and the same everywhere.
struct Dice(u64, BTreeMap<&'static str, Instant>);

impl Dice {
    /// Whether an actor may be killed now: a supervisor gives up over one that dies again and again, which ends its
    /// process, and that is another event.
    fn may_die(&mut self, actor: &'static str) -> bool {
        let now = Instant::now();
        if self.1.get(actor).is_some_and(|last| now - *last < Duration::from_secs(30)) {
            return false;
        }
        self.1.insert(actor, now);
        true
    }

    fn next(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % below as u64) as usize
    }
}

fn number(name: &str, or: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(or)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gateway_serves_through_everything() {
    let seconds = number("SECONDS", 8);
    let seed = number("SEED", u64::from(std::process::id()));
    println!("{seconds} s, SEED={seed}");
    let mut dice = Dice(seed, BTreeMap::new());
    let faults = tempfile::TempDir::new().unwrap();
    let mut scene = Scene::new(Gateway::new().workers(2)).await;
    scene.start(&[("PORTCULLIS_FAULTS", faults.path().display().to_string())]).await;
    let mut load = Load::start(scene.asks());
    load.tunnel(scene.gateway.http(), "still.test");
    load.answers(300).await;
    let before = memory(&scene);
    let (start, mut happened) = (Instant::now(), 0);
    while start.elapsed() < Duration::from_secs(seconds) {
        let event = EVENTS[dice.next(EVENTS.len())];
        happen(event, &scene, &load, faults.path(), &mut dice).await;
        happened += 1;
        assert!(load.is_clean(), "{event:?}, SEED={seed}: {:#?}", load.end().await);
    }
    // Everything comes to rest, and is as if nothing had happened.
    scene.moving.set(&["v1", "v2"]);
    scene.route("v1");
    scene.gateway.ready().await;
    scene.settled("v1").await;
    load.answers(300).await;
    let after = memory(&scene);
    let outcome = load.end().await;
    println!("{happened} events; {outcome:?}; before {before:?}, after {after:?}");
    outcome.assert_clean();
    for (before, after) in before.iter().zip(&after) {
        assert!(after.0 < before.0 + GROWTH, "{before:?} KiB and files, then {after:?}, SEED={seed}");
    }
}

/// KiB and open files of control and the workers.
fn memory(scene: &Scene) -> Vec<(u64, usize)> {
    let gateway = &scene.gateway;
    let pids = [gateway.children("portcullis-control"), gateway.children("portcullis-dataplane")].concat();
    pids.into_iter().map(holdings).collect()
}

async fn happen(event: Event, scene: &Scene, load: &Load, faults: &std::path::Path, dice: &mut Dice) {
    let gateway = &scene.gateway;
    match event {
        Event::KillControl => {
            let before = gateway.children("portcullis-control");
            before.iter().for_each(|pid| send(*pid, "KILL"));
            load.answers(50).await;
            replaced(scene, "portcullis-control", &before).await;
        }
        Event::HangControl => {
            let control = gateway.children("portcullis-control");
            control.iter().for_each(|pid| send(*pid, "STOP"));
            load.answers(200).await;
            control.iter().for_each(|pid| send(*pid, "CONT"));
        }
        Event::KillWorker => {
            // Its connections break, and those that the kernel had accepted for it: nobody can help that.
            load.pardon(true);
            let before = gateway.children("portcullis-dataplane");
            let one = before[dice.next(before.len())];
            send(one, "KILL");
            replaced(scene, "portcullis-dataplane", &[one]).await;
            gateway.ready().await;
            // A request that broke may be noticed a moment later.
            load.answers(100).await;
            load.pardon(false);
        }
        Event::Replace => {
            // Tunnels are cut when the drain is over; no request is.
            load.pardon_tunnels(true);
            let before = gateway.log().matches("all are replaced").count();
            gateway.tell("HUP");
            until("new processes", async || {
                (gateway.log().matches("all are replaced").count() > before).then_some(())
            })
            .await;
            load.pardon_tunnels(false);
        }
        Event::Route => {
            let name = if dice.next(2) == 0 { "v1" } else { "v2" };
            scene.moving.set(&["v1", "v2"]);
            scene.route(name);
        }
        Event::Weights => {
            scene.moving.set(&["v1", "v2"]);
            scene.weigh([1 + u32::try_from(dice.next(9)).unwrap(), 5]);
        }
        Event::Certificate => scene.certificate().await,
        Event::Listener => {
            let there = client::get(scene.third(), "/").await.is_ok();
            scene.with_third(!there).await;
        }
        Event::Actor(name) if dice.may_die(name) => {
            let file = faults.join(name.replace('/', "+"));
            std::fs::write(&file, "").unwrap();
            until(name, async || (!file.exists()).then_some(())).await;
        }
        Event::Actor(_) => {}
        Event::Broken => {
            // What is broken keeps its last form, which is this one.
            let text = std::fs::read_to_string(gateway.config.path().join("still.yaml")).unwrap();
            gateway.write("still.yaml", &text.replace("routes:", "routess:"));
            load.answers(50).await;
            gateway.write("still.yaml", &text);
        }
    }
    load.answers(20).await;
}

/// Waits until there are as many processes as before, and none of `gone`.
async fn replaced(scene: &Scene, program: &str, gone: &[u32]) {
    let number = if program == "portcullis-control" { 1 } else { usize::from(scene.gateway.workers) };
    until(program, async || {
        let now = scene.gateway.children(program);
        (now.len() == number && now.iter().all(|pid| !gone.contains(pid))).then_some(())
    })
    .await;
}
