//! A worker's end that is another one's beginning: a successor of the same name starts beside it, shares its ports, and
//! takes over when it is ready. Told by SIGUSR2.
//!
//! Under `portcullis up` that parent has started the successor already, and the signal only means that we are relieved.
//! Elsewhere (systemd's `ExecReload=`) the worker starts it itself and tells systemd whom to watch from now on. A successor
//! that does not get ready changes nothing.

use std::ffi::OsString;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use portcullis_shared::systemd;
use sd_notify::NotifyState;
use tokio::process::{Child, Command};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Instant, sleep};

use crate::drain::{Drain, is_supervised};
use crate::notify::READY_FILE;

/// How long a successor may take to serve.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at its file.
const LOOK: Duration = Duration::from_millis(20);

/// Where a successor of `worker_id` says that it is ready.
#[must_use]
pub fn ready_file(data_dir: Option<&PathBuf>, worker_id: &str) -> PathBuf {
    let folder = data_dir.cloned().unwrap_or_else(std::env::temp_dir);
    folder.join(format!("{worker_id}-{}.ready", std::process::id()))
}

/// Begins to listen for the signal.
///
/// # Errors
/// The system does not let us handle signals.
pub fn on_signal(drain: Drain, ready_file: PathBuf) -> io::Result<()> {
    let signals = signal(SignalKind::user_defined2())?;
    tokio::spawn(follow(signals, drain, ready_file));
    Ok(())
}

async fn follow(mut signals: Signal, drain: Drain, ready_file: PathBuf) {
    while signals.recv().await.is_some() {
        if drain.is_begun() {
            continue;
        }
        if is_supervised() {
            drain.relieve("a successor serves");
            return;
        }
        systemd::reloading();
        match successor(&drain, &ready_file).await {
            Ok(pid) => {
                tracing::info!(successor = pid, "handed over");
                drain.relieve("a successor serves");
                systemd::tell(&[NotifyState::MainPid(pid), NotifyState::Ready]);
                return;
            }
            Err(error) => {
                tracing::error!(%error, "no successor; this worker goes on");
                systemd::tell(&[NotifyState::Ready, NotifyState::Status("serving; the last reload failed")]);
            }
        }
    }
}

/// Starts a successor and waits until it serves.
async fn successor(drain: &Drain, ready_file: &PathBuf) -> io::Result<u32> {
    // Of an earlier process with our number.
    match std::fs::remove_file(ready_file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut child = Command::new(program()?)
        .args(std::env::args_os().skip(1))
        .env(READY_FILE, ready_file)
        // That is ours; the successor is watched as well.
        .env_remove("WATCHDOG_PID")
        .stdin(Stdio::null())
        .spawn()?;
    let outcome = wait(&mut child, drain, ready_file).await;
    let _ = std::fs::remove_file(ready_file);
    if outcome.is_err() {
        let _ = child.start_kill();
    }
    outcome
}

async fn wait(child: &mut Child, drain: &Drain, ready_file: &PathBuf) -> io::Result<u32> {
    let pid = child.id().ok_or_else(|| io::Error::other("it has ended"))?;
    let until = Instant::now() + PATIENCE;
    while Instant::now() < until {
        tokio::select! {
            status = child.wait() => {
                return Err(io::Error::other(format!("it ended before it was ready: {}", status?)));
            }
            () = drain.begun() => return Err(io::Error::other("this worker was told to end meanwhile")),
            () = sleep(LOOK) => {}
        }
        if std::fs::read_to_string(ready_file).is_ok_and(|text| text == pid.to_string()) {
            return Ok(pid);
        }
    }
    Err(io::Error::other(format!("it was not ready within {} s", PATIENCE.as_secs())))
}

/// What to run: the file that we were started from, as it is now. An upgrade has replaced it, and the kernel says so
/// behind its name.
fn program() -> io::Result<PathBuf> {
    use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
    let path = std::env::current_exe()?;
    let bytes = path.as_os_str().as_bytes();
    let kept = bytes.strip_suffix(b" (deleted)").unwrap_or(bytes);
    Ok(OsString::from_vec(kept.to_vec()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_generations_do_not_share_a_file() {
        let file = ready_file(Some(&"/d".into()), "worker-1");
        assert_eq!(file, PathBuf::from(format!("/d/worker-1-{}.ready", std::process::id())));
    }
}
