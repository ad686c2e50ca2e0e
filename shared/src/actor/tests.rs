use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::*;

fn stop_signal() -> (watch::Sender<bool>, impl Future<Output = ()>) {
    let (tx, mut rx) = watch::channel(false);
    (tx, async move {
        let _ = rx.wait_for(|stop| *stop).await;
    })
}

#[tokio::test(start_paused = true)]
async fn a_failing_child_is_started_again_and_its_sibling_is_left_alone() {
    let (starts, mut started) = mpsc::unbounded_channel::<&'static str>();
    let (sibling, failing) = (starts.clone(), starts);
    let runs = Arc::new(AtomicUsize::new(0));
    let children = vec![
        ChildSpec::body("sibling", move || {
            let tx = sibling.clone();
            async move {
                tx.send("sibling")?;
                std::future::pending().await
            }
        }),
        ChildSpec::body("failing", move || {
            let (tx, run) = (failing.clone(), runs.fetch_add(1, Ordering::SeqCst));
            async move {
                tx.send("failing")?;
                match run {
                    0 => Err("first run fails".into()),
                    1 => panic!("second run panics"),
                    _ => std::future::pending().await,
                }
            }
        }),
    ];
    let restarts = Restarts::default();
    let (stop, stopped) = stop_signal();
    let root = tokio::spawn(run_root("test", restarts.clone(), children, stopped));
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(started.recv().await.unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, ["failing", "failing", "failing", "sibling"]);
    assert_eq!(restarts.snapshot().get("failing"), Some(&2));
    stop.send(true).unwrap();
    root.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_child_that_keeps_failing_takes_the_root_down() {
    let children = vec![ChildSpec::body("hopeless", || async { Err("always".into()) })];
    let error = run_root("test", Restarts::default(), children, std::future::pending())
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("gave up"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_supervisor_that_gives_up_is_restarted_by_its_own_supervisor() {
    let starts = Arc::new(AtomicUsize::new(0));
    let (tx, mut rx) = mpsc::unbounded_channel();
    let restarts = Restarts::default();
    let inner_restarts = restarts.clone();
    let child = ChildSpec::supervisor("inner", Budget::default(), inner_restarts, move || {
        let (starts, tx) = (Arc::clone(&starts), tx.clone());
        vec![ChildSpec::body("leaf", move || {
            let (n, tx) = (starts.fetch_add(1, Ordering::SeqCst), tx.clone());
            async move {
                // The first six runs spend the budget of the inner supervisor.
                if n < 6 {
                    return Err("fails".into());
                }
                tx.send(n)?;
                std::future::pending().await
            }
        })]
    });
    let (stop, stopped) = stop_signal();
    let root = tokio::spawn(run_root("test", restarts.clone(), vec![child], stopped));
    assert_eq!(rx.recv().await, Some(6));
    assert_eq!(restarts.snapshot().get("inner"), Some(&1));
    stop.send(true).unwrap();
    root.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn dropping_the_tree_aborts_the_bodies() {
    struct Gone(mpsc::UnboundedSender<()>);
    impl Drop for Gone {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }
    let (tx, mut rx) = mpsc::unbounded_channel();
    let (up, mut is_up) = mpsc::unbounded_channel();
    let children = vec![ChildSpec::body("body", move || {
        let (gone, up) = (Gone(tx.clone()), up.clone());
        async move {
            up.send(())?;
            std::future::pending::<()>().await;
            drop(gone);
            Ok(())
        }
    })];
    let (stop, stopped) = stop_signal();
    let root = tokio::spawn(run_root("test", Restarts::default(), children, stopped));
    is_up.recv().await.unwrap();
    stop.send(true).unwrap();
    root.await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(5), rx.recv()).await.unwrap().unwrap();
}

#[test]
fn backoff_doubles_up_to_its_limit() {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
    let waits: Vec<u128> = (0..4).map(|_| backoff.next().as_millis()).collect();
    assert_eq!(waits, [100, 200, 350, 350]);
    backoff.reset();
    assert_eq!(backoff.next().as_millis(), 100);
}
