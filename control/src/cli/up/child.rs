//! One child process: started, watched, restarted with backoff, drained, killed.
//!
//! The child gets the reading end of a pipe as stdin and `PORTCULLIS_SUPERVISED=1`: when `up` is gone the pipe ends, and
//! the child drains by itself. It runs in a process group of its own, so that Ctrl-C on the terminal reaches `up` only,
//! which then decides the order.

use super::ready;
use crate::cli::console::{Console, Paint};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// A child that lived this long starts again with the first pause.
const STEADY: Duration = Duration::from_secs(10);
/// This often may a child end without ever having been ready; then its arguments or its machine are at fault.
const HOPELESS: u32 = 5;

/// A worker can start without control; it only is quieter the other way round.
const PATIENCE: Duration = Duration::from_secs(2);

/// What to run.
#[derive(Clone, Debug)]
pub struct Program {
    /// "control", "worker-0".
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Where it answers `/readyz`.
    pub admin: SocketAddr,
    /// It starts once somebody accepts connections on this unix socket, or [`PATIENCE`] later.
    pub after: Option<PathBuf>,
}

/// What the supervisor wants of a child. Only ever grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It runs; when it ends it is started again.
    Run,
    /// SIGTERM: it finishes open requests and ends.
    Drain,
    /// SIGKILL.
    Kill,
}

/// How supervision ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was asked to.
    Stopped,
    /// The program cannot run.
    GaveUp(String),
}

/// Keeps `program` running until `phase` says otherwise. Adds one to `ready` when it is ready for the first time.
pub async fn supervise(
    program: Program,
    mut phase: watch::Receiver<Phase>,
    ready: watch::Sender<usize>,
    console: Console,
) -> Outcome {
    let mut pause = FIRST_PAUSE;
    let mut ever_ready = false;
    let mut failures = 0;
    if let Some(socket) = &program.after {
        tokio::select! {
            _ = tokio::time::timeout(PATIENCE, accepts(socket)) => {}
            _ = phase.changed() => return Outcome::Stopped,
        }
    }
    loop {
        let mut child = match spawn(&program) {
            Ok(child) => child,
            Err(error) => {
                return Outcome::GaveUp(format!("cannot start {}: {error}", program.path.display()));
            }
        };
        let started = Instant::now();
        // Held until the child has ended: its end of the pipe is how it knows that we live.
        let lifeline = child.stdin.take();
        let log =
            child.stderr.take().map(|stderr| tokio::spawn(pass_on(program.name.clone(), stderr, console)));
        let mut is_ready = false;
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                () = ready::wait(program.admin), if !is_ready => {
                    is_ready = true;
                    if ever_ready {
                        console.note(Paint::Good, "portcullis:", &format!("{} is ready again", program.name));
                    } else {
                        ever_ready = true;
                        ready.send_modify(|number| *number += 1);
                    }
                }
                changed = phase.changed() => {
                    // A supervisor that is gone wants nothing any more.
                    let wanted = if changed.is_ok() { *phase.borrow_and_update() } else { Phase::Kill };
                    obey(&mut child, wanted);
                }
            }
        };
        drop(lifeline);
        if let Some(log) = log {
            // A grandchild could hold the pipe open; its words are not worth waiting for.
            let _ = tokio::time::timeout(Duration::from_millis(200), log).await;
        }
        if *phase.borrow() != Phase::Run {
            return Outcome::Stopped;
        }
        let how = status.map_or_else(|error| error.to_string(), describe);
        failures = if is_ready { 0 } else { failures + 1 };
        if !ever_ready && failures >= HOPELESS {
            return Outcome::GaveUp(format!(
                "{} ended {failures} times before it was ready: {how}",
                program.name
            ));
        }
        if started.elapsed() >= STEADY {
            pause = FIRST_PAUSE;
        }
        console.note(
            Paint::Warn,
            "portcullis:",
            &format!("{} ended ({how}), starts again in {}", program.name, humantime::format_duration(pause)),
        );
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = phase.changed() => return Outcome::Stopped,
        }
        pause = (pause * 2).min(LAST_PAUSE);
    }
}

async fn accepts(socket: &Path) {
    while tokio::net::UnixStream::connect(socket).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn spawn(program: &Program) -> std::io::Result<Child> {
    Command::new(&program.path)
        .args(&program.args)
        .env("PORTCULLIS_SUPERVISED", "1")
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
}

fn obey(child: &mut Child, wanted: Phase) {
    match wanted {
        Phase::Run => {}
        Phase::Drain => {
            let pid =
                child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
        }
        Phase::Kill => {
            let _ = child.start_kill();
        }
    }
}

/// Copies the child's messages to stderr, each line with its name in front.
async fn pass_on(name: String, stderr: impl AsyncRead + Unpin, console: Console) {
    let mut lines = BufReader::new(stderr);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
        console.note(Paint::Dim, &format!("{name} |"), String::from_utf8_lossy(&line).trim_end());
        line.clear();
    }
}

/// "exit status 1", "killed by signal 9".
fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(signal)) => format!("killed by signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Program {
        Program {
            name: "child".into(),
            path: "/bin/sh".into(),
            args: vec!["-c".into(), script.into()],
            // Nobody answers on the discard port: the child is never ready.
            admin: "127.0.0.1:9".parse().unwrap(),
            after: None,
        }
    }

    #[tokio::test]
    async fn a_program_that_never_gets_ready_is_given_up() {
        let (_phase, phase) = watch::channel(Phase::Run);
        let (ready, _) = watch::channel(0);
        let outcome = supervise(shell("exit 3"), phase, ready, Console::plain()).await;
        let Outcome::GaveUp(reason) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("exit status 3"), "{reason}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_given_up_at_once() {
        let (_phase, phase) = watch::channel(Phase::Run);
        let (ready, _) = watch::channel(0);
        let program = Program { path: "/nonexistent/portcullis-control".into(), ..shell("") };
        let outcome = supervise(program, phase, ready, Console::plain()).await;
        assert!(
            matches!(outcome, Outcome::GaveUp(reason) if reason.contains("/nonexistent/portcullis-control"))
        );
    }

    #[tokio::test]
    async fn drain_is_sigterm_and_kill_is_not_negotiable() {
        for (script, wanted) in
            [("exec sleep 600", Phase::Drain), ("trap '' TERM; while :; do sleep 1; done", Phase::Kill)]
        {
            let (phase, receiver) = watch::channel(Phase::Run);
            let (ready, _) = watch::channel(0);
            let task = tokio::spawn(supervise(shell(script), receiver, ready, Console::plain()));
            tokio::task::yield_now().await;
            phase.send(wanted).unwrap();
            assert_eq!(task.await.unwrap(), Outcome::Stopped);
        }
    }

    #[tokio::test]
    async fn a_worker_waits_for_the_socket_of_control() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, started) = (dir.path().join("link.sock"), dir.path().join("started"));
        let script = format!("test -S {} && touch {}; exec sleep 600", socket.display(), started.display());
        let program = Program { after: Some(socket.clone()), ..shell(&script) };
        let (phase, receiver) = watch::channel(Phase::Run);
        let (ready, _) = watch::channel(0);
        let task = tokio::spawn(supervise(program, receiver, ready, Console::plain()));
        tokio::task::yield_now().await;
        let _listener = tokio::net::UnixListener::bind(&socket).unwrap();
        while !started.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        phase.send(Phase::Kill).unwrap();
        assert_eq!(task.await.unwrap(), Outcome::Stopped);
    }

    #[tokio::test]
    async fn the_lifeline_ends_with_the_supervisor() {
        let dir = tempfile::tempdir().unwrap();
        let (started, gone) = (dir.path().join("started"), dir.path().join("gone"));
        // `cat` reads the lifeline until it ends; only then does the file appear.
        let script = format!("touch {}; cat; touch {}", started.display(), gone.display());
        let mut child = spawn(&shell(&script)).unwrap();
        let lifeline = child.stdin.take();
        while !started.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!gone.exists());
        drop(lifeline);
        assert!(child.wait().await.unwrap().success());
        assert!(gone.exists());
    }
}
