//! One child process: started, watched, restarted with backoff, drained, killed.
//!
//! The child gets the reading end of a pipe as stdin and `PORTCULLIS_SUPERVISED=1`: when `up` is gone the pipe ends, and
//! the child drains by itself. It runs in a process group of its own, so that Ctrl-C on the terminal reaches `up` only,
//! which then decides the order.

use super::ready;
use crate::cli::console::{Console, Paint};
use futures::FutureExt;
use futures::future::BoxFuture;
use rustix::process::Signal;
use std::ffi::OsString;
use std::future::pending;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LAST_PAUSE: Duration = Duration::from_secs(5);
/// A child that lived this long starts again with the first pause.
const STEADY: Duration = Duration::from_secs(10);
/// This often may a child end without ever having been ready; then its arguments or its machine are at fault.
const HOPELESS: u32 = 5;

/// A worker can start without control; it only is quieter the other way round.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a successor may take to serve.
const SUCCESSOR: Duration = Duration::from_secs(60);
/// Between two looks whether it does.
const LOOK: Duration = Duration::from_millis(20);
/// Names the file by which a worker says that it serves.
const READY_FILE: &str = "PORTCULLIS_READY_FILE";

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
    /// Where a successor says that it serves. Without one it is stopped before it is started again.
    pub ready_file: Option<PathBuf>,
    /// How long it may take to finish what it does.
    pub drain: Duration,
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

/// An order to put a new process in the place of the present one; answered when that is done, or could not be.
pub type Replace = oneshot::Sender<Result<(), String>>;

/// A process with what belongs to it.
struct Running {
    child: Child,
    /// Held until the child has ended: its end of the pipe is how it knows that we live.
    lifeline: Option<ChildStdin>,
    log: Option<JoinHandle<()>>,
    started: Instant,
}

impl Running {
    fn start(program: &Program, successor: bool, console: Console) -> std::io::Result<Self> {
        let mut child = spawn(program, successor)?;
        let lifeline = child.stdin.take();
        let log =
            child.stderr.take().map(|stderr| tokio::spawn(pass_on(program.name.clone(), stderr, console)));
        Ok(Self { child, lifeline, log, started: Instant::now() })
    }

    /// After its end.
    async fn last_words(self) {
        drop(self.lifeline);
        if let Some(log) = self.log {
            // A grandchild could hold the pipe open; its words are not worth waiting for.
            let _ = tokio::time::timeout(Duration::from_millis(200), log).await;
        }
    }
}

/// What came of a successor.
enum Next {
    Ready(Running, Replace),
    Failed(Replace, String),
}

/// Keeps `program` running until `phase` says otherwise. Adds one to `ready` when it is ready for the first time.
pub async fn supervise(
    program: Program,
    mut phase: watch::Receiver<Phase>,
    ready: watch::Sender<usize>,
    mut orders: mpsc::Receiver<Replace>,
    console: Console,
) -> Outcome {
    let mut pause = FIRST_PAUSE;
    let mut ever_ready = false;
    let mut failures = 0;
    // Predecessors that drain; killed when this ends.
    let mut retired: JoinSet<()> = JoinSet::new();
    // Who waits for a restart without overlap.
    let mut restarts: Option<Replace> = None;
    if let Some(socket) = &program.after {
        tokio::select! {
            _ = tokio::time::timeout(PATIENCE, accepts(socket)) => {}
            _ = phase.changed() => return Outcome::Stopped,
        }
    }
    loop {
        let mut running = match Running::start(&program, false, console) {
            Ok(running) => running,
            Err(error) => {
                return Outcome::GaveUp(format!("cannot start {}: {error}", program.path.display()));
            }
        };
        let mut is_ready = false;
        let mut next: Option<BoxFuture<'static, Next>> = None;
        let status = loop {
            tokio::select! {
                status = running.child.wait() => break status,
                () = ready::wait(program.admin), if !is_ready => {
                    is_ready = true;
                    if let Some(answer) = restarts.take() {
                        let _ = answer.send(Ok(()));
                    } else if ever_ready {
                        console.note(Paint::Good, "portcullis:", &format!("{} is ready again", program.name));
                    }
                    if !std::mem::replace(&mut ever_ready, true) {
                        ready.send_modify(|number| *number += 1);
                    }
                }
                Some(answer) = orders.recv(), if next.is_none() && restarts.is_none() => {
                    if program.ready_file.is_some() {
                        next = Some(successor(program.clone(), answer, console).boxed());
                    } else {
                        restarts = Some(answer);
                        signal(&running.child, Signal::TERM);
                    }
                }
                outcome = async { match &mut next { Some(next) => next.await, None => pending().await } } => {
                    next = None;
                    match outcome {
                        Next::Failed(answer, reason) => { let _ = answer.send(Err(reason)); }
                        Next::Ready(successor, answer) => {
                            is_ready = true;
                            pause = FIRST_PAUSE;
                            let former = std::mem::replace(&mut running, successor);
                            retired.spawn(retire(former, program.drain, answer));
                        }
                    }
                }
                Some(_) = retired.join_next() => {}
                changed = phase.changed() => {
                    // A supervisor that is gone wants nothing any more.
                    let wanted = if changed.is_ok() { *phase.borrow_and_update() } else { Phase::Kill };
                    // A successor that is not ready is not needed any more.
                    next = None;
                    obey(&mut running.child, wanted);
                    if wanted == Phase::Kill {
                        retired.abort_all();
                    }
                }
            }
        };
        let lived = running.started.elapsed();
        running.last_words().await;
        if *phase.borrow() != Phase::Run {
            while *phase.borrow() != Phase::Kill && !retired.is_empty() {
                tokio::select! { _ = retired.join_next() => {}, _ = phase.changed() => {} }
            }
            return Outcome::Stopped;
        }
        if restarts.is_some() {
            continue;
        }
        let how = status.map_or_else(|error| error.to_string(), describe);
        failures = if is_ready { 0 } else { failures + 1 };
        if !ever_ready && failures >= HOPELESS {
            return Outcome::GaveUp(format!(
                "{} ended {failures} times before it was ready: {how}",
                program.name
            ));
        }
        if lived >= STEADY {
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

/// Starts a successor beside the present process and waits until it serves.
async fn successor(program: Program, answer: Replace, console: Console) -> Next {
    let Some(ready_file) = program.ready_file.clone() else {
        return Next::Failed(answer, "it cannot run twice".to_owned());
    };
    let _ = tokio::fs::remove_file(&ready_file).await;
    let mut next = match Running::start(&program, true, console) {
        Ok(next) => next,
        Err(error) => {
            return Next::Failed(answer, format!("cannot start {}: {error}", program.path.display()));
        }
    };
    let pid = next.child.id().unwrap_or_default().to_string();
    let serves = async {
        while tokio::fs::read_to_string(&ready_file).await.ok().as_ref() != Some(&pid) {
            tokio::time::sleep(LOOK).await;
        }
    };
    let outcome = tokio::select! {
        () = serves => Ok(()),
        status = next.child.wait() => Err(format!(
            "the new process ended ({}) before it was ready",
            status.map_or_else(|error| error.to_string(), describe)
        )),
        () = tokio::time::sleep(SUCCESSOR) => Err(format!(
            "the new process was not ready within {}",
            humantime::format_duration(SUCCESSOR)
        )),
    };
    let _ = tokio::fs::remove_file(&ready_file).await;
    match outcome {
        Ok(()) => Next::Ready(next, answer),
        Err(reason) => Next::Failed(answer, reason),
    }
}

/// Tells a process that its successor serves, and waits until it has drained.
async fn retire(mut former: Running, drain: Duration, answer: Replace) {
    signal(&former.child, Signal::USR2);
    let outcome = match tokio::time::timeout(drain + super::GRACE, former.child.wait()).await {
        Ok(_) => Ok(()),
        Err(_) => {
            let _ = former.child.start_kill();
            let _ = former.child.wait().await;
            Err("the former process did not end in time and was killed".to_owned())
        }
    };
    former.last_words().await;
    let _ = answer.send(outcome);
}

async fn accepts(socket: &Path) {
    while tokio::net::UnixStream::connect(socket).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn spawn(program: &Program, successor: bool) -> std::io::Result<Child> {
    let mut command = Command::new(&program.path);
    command
        .args(&program.args)
        .env("PORTCULLIS_SUPERVISED", "1")
        // What systemd wants to hear, it wants to hear from `up`.
        .env_remove("NOTIFY_SOCKET")
        .env_remove("WATCHDOG_USEC")
        .env_remove(READY_FILE)
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    if let Some(ready_file) = program.ready_file.as_ref().filter(|_| successor) {
        command.env(READY_FILE, ready_file);
    }
    command.spawn()
}

fn obey(child: &mut Child, wanted: Phase) {
    match wanted {
        Phase::Run => {}
        Phase::Drain => signal(child, Signal::TERM),
        Phase::Kill => {
            let _ = child.start_kill();
        }
    }
}

fn signal(child: &Child, signal: Signal) {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, signal);
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
            ready_file: None,
            drain: Duration::from_secs(5),
        }
    }

    /// Orders that never come.
    fn none() -> mpsc::Receiver<Replace> {
        mpsc::channel(1).1
    }

    #[tokio::test]
    async fn a_program_that_never_gets_ready_is_given_up() {
        let (_phase, phase) = watch::channel(Phase::Run);
        let (ready, _) = watch::channel(0);
        let outcome = supervise(shell("exit 3"), phase, ready, none(), Console::plain()).await;
        let Outcome::GaveUp(reason) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("exit status 3"), "{reason}");
    }

    #[tokio::test]
    async fn a_program_that_does_not_exist_is_given_up_at_once() {
        let (_phase, phase) = watch::channel(Phase::Run);
        let (ready, _) = watch::channel(0);
        let program = Program { path: "/nonexistent/portcullis-control".into(), ..shell("") };
        let outcome = supervise(program, phase, ready, none(), Console::plain()).await;
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
            let task = tokio::spawn(supervise(shell(script), receiver, ready, none(), Console::plain()));
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
        let task = tokio::spawn(supervise(program, receiver, ready, none(), Console::plain()));
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
        let mut child = spawn(&shell(&script), false).unwrap();
        let lifeline = child.stdin.take();
        while !started.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(!gone.exists());
        drop(lifeline);
        assert!(child.wait().await.unwrap().success());
        assert!(gone.exists());
    }

    /// A shell that says it is ready when it is a successor, and ends at SIGUSR2 with a word in `told`.
    fn worker(dir: &Path) -> Program {
        let told = dir.join("told");
        let script = format!(
            "trap 'echo relieved >> {}; exit' USR2; test -n \"$PORTCULLIS_READY_FILE\" && printf $$ > \"$PORTCULLIS_READY_FILE\"; \
             echo $$ >> {}; while :; do sleep 0.05; done",
            told.display(),
            dir.join("started").display()
        );
        Program { ready_file: Some(dir.join("ready")), ..shell(&script) }
    }

    fn lines(file: &Path) -> usize {
        std::fs::read_to_string(file).unwrap_or_default().lines().count()
    }

    #[tokio::test]
    async fn a_successor_serves_before_its_predecessor_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (phase, receiver) = watch::channel(Phase::Run);
        let (ready, _) = watch::channel(0);
        let (orders, received) = mpsc::channel(1);
        let task = tokio::spawn(supervise(worker(dir.path()), receiver, ready, received, Console::plain()));
        while lines(&dir.path().join("started")) == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (answer, done) = oneshot::channel();
        orders.send(answer).await.unwrap();
        assert_eq!(done.await.unwrap(), Ok(()));
        assert_eq!(lines(&dir.path().join("started")), 2);
        assert_eq!(lines(&dir.path().join("told")), 1);
        phase.send(Phase::Kill).unwrap();
        assert_eq!(task.await.unwrap(), Outcome::Stopped);
    }

    #[tokio::test]
    async fn a_successor_that_does_not_start_leaves_everything_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let (phase, receiver) = watch::channel(Phase::Run);
        let (ready, _) = watch::channel(0);
        let (orders, received) = mpsc::channel(1);
        let script = format!(
            "test -n \"$PORTCULLIS_READY_FILE\" && exit 7; touch {}; exec sleep 600",
            dir.path().join("up").display()
        );
        let program = Program { ready_file: Some(dir.path().join("ready")), ..shell(&script) };
        let task = tokio::spawn(supervise(program, receiver, ready, received, Console::plain()));
        while !dir.path().join("up").exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (answer, done) = oneshot::channel();
        orders.send(answer).await.unwrap();
        let reason = done.await.unwrap().unwrap_err();
        assert!(reason.contains("exit status 7"), "{reason}");
        assert!(!task.is_finished());
        phase.send(Phase::Kill).unwrap();
        assert_eq!(task.await.unwrap(), Outcome::Stopped);
    }
}
