//! The real program.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client::{self, Answer};
use crate::{PATIENCE, own_address, until};

/// A folder and an address of its own for one worker.
pub struct Site {
    pub folder: TempDir,
    pub address: Ipv4Addr,
}

impl Site {
    pub fn new() -> Self {
        Self { folder: TempDir::new().unwrap(), address: own_address() }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("link.sock")
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    /// Starts a worker.
    pub fn worker(&self) -> Worker {
        self.worker_with(|_| {})
    }

    pub fn worker_with(&self, change: impl FnOnce(&mut Command)) -> Worker {
        self.worker_over(|command| {
            command.arg("--link").arg(self.socket());
            change(command);
        })
    }

    /// Starts a worker that `change` tells where control is.
    pub fn worker_over(&self, change: impl FnOnce(&mut Command)) -> Worker {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-dataplane"));
        command
            .env_clear()
            .env("RUST_LOG", std::env::var("WORKER_LOG").unwrap_or_else(|_| "warn".into()))
            .arg("--data-dir")
            .arg(self.data())
            .args(["--admin", &self.at(21001).to_string(), "--threads", "2", "--drain-timeout", "20s"])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        change(&mut command);
        Worker { child: command.spawn().unwrap(), admin: self.at(21001) }
    }
}

/// A running worker; killed when dropped.
pub struct Worker {
    pub child: Child,
    pub admin: SocketAddr,
}

impl Worker {
    pub async fn admin(&self, path: &str) -> std::io::Result<Answer> {
        let mut client = client::connect(self.admin).await?;
        client.send("admin", path).await?;
        client.answer().await
    }

    /// Waits until it is ready; what it says about it.
    pub async fn ready(&self) -> String {
        until("the worker to be ready", || async {
            let answer = self.admin("/readyz?verbose").await.ok()?;
            (answer.status == 200).then_some(answer.body)
        })
        .await
    }

    /// Waits until the metrics contain `line`.
    pub async fn counts(&self, line: &str) {
        until(line, || async {
            let metrics = self.admin("/metrics").await.ok()?.body;
            metrics.contains(line).then_some(())
        })
        .await;
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub async fn exit(mut self) -> ExitStatus {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("the worker does not end").unwrap()
    }

    /// kill -9.
    pub async fn kill(self) {
        self.signal(rustix::process::Signal::KILL);
        assert_eq!(self.exit().await.signal(), Some(9));
    }
}

/// All bytes below a folder.
pub fn bytes_below(folder: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    for item in std::fs::read_dir(folder).unwrap() {
        let path = item.unwrap().path();
        if path.is_dir() {
            bytes.extend(bytes_below(&path));
        } else {
            bytes.extend(std::fs::read(path).unwrap());
        }
    }
    bytes
}
