//! A running gateway: `portcullis up` on a folder that the test writes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::client::{self, Answer};
use crate::wait::until;
use crate::{own_address, program};

/// Ports that [`Gateway::listeners`] binds on the test's own address.
pub const HTTP: u16 = 8080;
/// The TLS port.
pub const HTTPS: u16 = 8443;

/// The folder, the processes and where to reach them.
pub struct Gateway {
    /// The test's own address.
    pub ip: Ipv4Addr,
    /// Configuration folder.
    pub config: TempDir,
    /// State of control and workers.
    pub data: TempDir,
    /// Number of workers.
    pub workers: u16,
    up: Option<Child>,
}

impl Gateway {
    /// A folder with the two usual listeners on an address of its own, not started yet.
    #[must_use]
    pub fn new() -> Self {
        let gateway = Self {
            ip: own_address(),
            config: TempDir::new().unwrap(),
            data: TempDir::new().unwrap(),
            workers: 1,
            up: None,
        };
        gateway.write("gateways.yaml", &gateway.listeners());
        gateway
    }

    /// How many worker processes to start.
    #[must_use]
    pub fn workers(mut self, workers: u16) -> Self {
        self.workers = workers;
        self
    }

    /// The default Gateways of an installation, bound to this test's address.
    #[must_use]
    pub fn listeners(&self) -> String {
        let gateway = |name: &str, port: u16, ssl: bool| {
            format!(
                "apiVersion: gateway.solo.io/v1\nkind: Gateway\nmetadata: {{name: {name}, namespace: gloo-system}}\n\
                 spec:\n  bindAddress: {}\n  bindPort: {port}\n  ssl: {ssl}\n  httpGateway: {{}}\n",
                self.ip
            )
        };
        format!("{}---\n{}", gateway("gateway-proxy", HTTP, false), gateway("gateway-proxy-ssl", HTTPS, true))
    }

    /// Writes a file of the configuration folder the way an editor or a deploy tool does: aside, then renamed.
    pub fn write(&self, file: &str, text: &str) {
        let target = self.config.path().join(file);
        std::fs::create_dir_all(target.parent().unwrap()).unwrap();
        let aside = self.data.path().join("aside");
        std::fs::write(&aside, text).unwrap();
        std::fs::rename(aside, target).unwrap();
    }

    /// Removes a file of the configuration folder.
    pub fn remove(&self, file: &str) {
        std::fs::remove_file(self.config.path().join(file)).unwrap();
    }

    /// Starts `portcullis up` and waits until control and every worker are ready.
    pub async fn start(mut self) -> Self {
        self.start_again(&[]).await;
        self
    }

    /// Starts `portcullis up` again, with further environment variables.
    pub async fn start_again(&mut self, env: &[(&str, String)]) {
        self.spawn(env);
        self.ready().await;
    }

    /// Starts `portcullis up` without waiting.
    pub fn spawn(&mut self, env: &[(&str, String)]) {
        let log = std::fs::File::options().create(true).append(true).open(self.log_path()).unwrap();
        let mut command = Command::new(program("portcullis"));
        command
            .args(["up", "--workers", &self.workers.to_string()])
            .arg("--config")
            .arg(self.config.path())
            .arg("--data-dir")
            .arg(self.data.path().join("state"))
            .args(["--admin", &self.admin(0).to_string(), "--drain", "3s"])
            .env_remove("OTEL_EXPORTER_OTLP_ENDPOINT")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .kill_on_drop(true);
        for (name, value) in env {
            command.env(name, value);
        }
        self.up = Some(command.spawn().unwrap());
    }

    /// Where the processes' output goes.
    #[must_use]
    pub fn log_path(&self) -> PathBuf {
        self.data.path().join("up.log")
    }

    /// What the processes have printed.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// Control's admin address (0) or a worker's (1 and up).
    #[must_use]
    pub fn admin(&self, index: u16) -> SocketAddr {
        SocketAddr::from((self.ip, 19000 + index))
    }

    /// Waits until control and every worker say that they are ready.
    pub async fn ready(&self) {
        for index in 0..=self.workers {
            let address = self.admin(index);
            let what = format!("readiness of {address}; log:\n{}", self.log());
            until(&what, async || client::get(address, "/readyz").await.ok().filter(|a| a.status == 200))
                .await;
        }
    }

    /// The plain listener.
    #[must_use]
    pub fn http(&self) -> SocketAddr {
        SocketAddr::from((self.ip, HTTP))
    }

    /// The TLS listener.
    #[must_use]
    pub fn https(&self) -> SocketAddr {
        SocketAddr::from((self.ip, HTTPS))
    }

    /// A GET through the plain listener with this Host.
    ///
    /// # Panics
    /// No answer came.
    pub async fn get(&self, host: &str, path: &str) -> Answer {
        client::request(self.http(), "GET", host, path, &[], "")
            .await
            .unwrap_or_else(|e| panic!("GET {host}{path}: {e}; log:\n{}", self.log()))
    }

    /// Waits until a GET is answered as `accept` wants it.
    pub async fn until_get(&self, host: &str, path: &str, accept: impl Fn(&Answer) -> bool) -> Answer {
        until(&format!("an answer to {host}{path} that fits"), async || {
            client::request(self.http(), "GET", host, path, &[], "").await.ok().filter(&accept)
        })
        .await
    }

    /// Runs the command line against this gateway.
    pub async fn portcullis(&self, args: &[&str]) -> Output {
        portcullis(args, self.admin(0)).await
    }

    /// Process ids of the children of `up`, by program name.
    #[must_use]
    pub fn children(&self, program: &str) -> Vec<u32> {
        let up = self.up.as_ref().and_then(Child::id).unwrap();
        let listed = std::fs::read_to_string(format!("/proc/{up}/task/{up}/children")).unwrap_or_default();
        // `up` may start children from any of its threads.
        let mut pids: Vec<u32> = listed.split_whitespace().map(|pid| pid.parse().unwrap()).collect();
        if let Ok(tasks) = std::fs::read_dir(format!("/proc/{up}/task")) {
            for task in tasks.flatten() {
                let listed = std::fs::read_to_string(task.path().join("children")).unwrap_or_default();
                pids.extend(listed.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
        }
        pids.sort_unstable();
        pids.dedup();
        pids.retain(|pid| {
            std::fs::read_to_string(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line.split('\0').next().is_some_and(|arg| arg.ends_with(program)))
        });
        pids
    }

    /// Sends a signal to `up` that it survives.
    pub fn tell(&self, signal: &str) {
        send(self.up.as_ref().and_then(Child::id).unwrap(), signal);
    }

    /// Sends a signal to `up` and gives its exit code.
    pub async fn stop(&mut self, signal: &str) -> Option<i32> {
        let mut up = self.up.take().unwrap();
        send(up.id().unwrap(), signal);
        tokio::time::timeout(crate::wait::PATIENCE, up.wait()).await.expect("up ends").unwrap().code()
    }
}

impl Default for Gateway {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            #[expect(clippy::print_stderr, reason = "a failed test shows what its gateway said")]
            {
                eprintln!("--- output of the gateway's processes ---\n{}", self.log());
            }
        }
    }
}

/// Sends a signal ("KILL", "TERM", "STOP" ...) to a process.
pub fn send(pid: u32, signal: &str) {
    let status =
        std::process::Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success(), "kill -{signal} {pid}");
}

/// Memory that a process has to itself, in KiB, and files that it has open.
#[must_use]
pub fn holdings(pid: u32) -> (u64, usize) {
    let rollup = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let of = |name: &str| -> u64 {
        let line = rollup.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1))
            .and_then(|kib| kib.parse().ok())
            .unwrap_or_default()
    };
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    (of("Private_Dirty:") + of("Private_Clean:"), files)
}

/// Runs the command line.
pub async fn portcullis(args: &[&str], admin: SocketAddr) -> Output {
    Command::new(program("portcullis"))
        .args(args)
        .env("PORTCULLIS_ADMIN", admin.to_string())
        .env("NO_COLOR", "1")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap()
}

/// Copies a folder of examples into a gateway's configuration folder.
pub fn copy_tree(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir_all(&target).unwrap();
            copy_tree(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
