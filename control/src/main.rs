//! `portcullis-control`: reads the settings, sets up logging, and runs the root until a signal.

use anyhow::Context;
use clap::Parser;
use portcullis_control::root;
use portcullis_control::settings::Settings;
use portcullis_shared::telemetry::Telemetry;
use tokio::signal::unix::{SignalKind, signal};

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    if !settings.allow_core_dumps {
        portcullis_shared::sensitive::keep_out_of_dumps();
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 4))
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let outcome = runtime.block_on(run(settings));
    // A build that is under way has nothing to say any more.
    runtime.shutdown_timeout(std::time::Duration::from_millis(500));
    outcome
}

async fn run(settings: Settings) -> anyhow::Result<()> {
    let _telemetry = Telemetry::init("portcullis-control", settings.log_format)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        let signal = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = parent_gone() => "parent gone",
        };
        tracing::info!(signal, "stopping");
    };
    root::run(settings, stop).await?;
    Ok(())
}

/// Completes when the parent that started us is gone, if it asked for that: `portcullis up` holds the other end of our
/// standard input, so that not even a `kill -9` of it leaves us behind.
async fn parent_gone() {
    if std::env::var_os("PORTCULLIS_SUPERVISED").is_none_or(|value| value != "1") {
        std::future::pending::<()>().await;
    }
    let (gone, ended) = tokio::sync::oneshot::channel();
    // A thread, because a read of standard input cannot be given up and would keep the runtime from ending.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = gone.send(());
    });
    let _ = ended.await;
}
