//! A real `portcullis-control` process and a worker that only speaks the protocol.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use portcullis_proto::admin::v1::admin_client::AdminClient;
use portcullis_proto::link::v1 as wire;
use portcullis_proto::link::v1::control_frame::Frame as Down;
use portcullis_proto::link::v1::link_client::LinkClient;
use portcullis_proto::link::v1::upsert::Resource;
use portcullis_proto::link::v1::worker_frame::Frame as Up;
use portcullis_proto::table::v1::{EndpointSet, Kind};
use portcullis_shared::transport::{Target, connect};
use portcullis_shared::version::{Digest, TableDigest, Version};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// Long enough for a busy machine; a test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A folder with configuration and state, and the process that runs on it.
pub struct Control {
    pub dir: tempfile::TempDir,
    pub child: Child,
    pub admin: String,
}

impl Control {
    /// Starts control on a new folder with these files.
    pub async fn start(files: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("config")).unwrap();
        for (name, text) in files {
            write(dir.path(), name, text);
        }
        let (child, admin) = spawn(dir.path()).await;
        Self { dir, child, admin }
    }

    /// `kill -9`, then a new process on the same folders.
    pub async fn crash(&mut self) {
        self.child.kill().await.unwrap();
        (self.child, self.admin) = spawn(self.dir.path()).await;
    }

    /// SIGTERM, and the exit code.
    pub async fn stop(&mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_raw(self.child.id().unwrap().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        timeout(PATIENCE, self.child.wait()).await.unwrap().unwrap().code()
    }

    /// Writes a file as editors do: beside, then moved over.
    pub fn write(&self, name: &str, text: &str) {
        write(self.dir.path(), name, text);
    }

    pub fn remove(&self, name: &str) {
        std::fs::remove_file(self.dir.path().join("config").join(name)).unwrap();
    }

    pub fn link(&self) -> PathBuf {
        self.dir.path().join("data/link.sock")
    }

    pub async fn admin(&self) -> AdminClient<Channel> {
        AdminClient::connect(format!("http://{}", self.admin)).await.unwrap()
    }

    /// GET over the admin address: status and body.
    pub async fn get(&self, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(&self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

fn write(dir: &Path, name: &str, text: &str) {
    let staged = dir.join(format!("staged-{name}"));
    std::fs::write(&staged, text).unwrap();
    std::fs::rename(staged, dir.join("config").join(name)).unwrap();
}

/// Starts the process and waits until it says where its admin address is.
async fn spawn(dir: &Path) -> (Child, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis-control"))
        .args(["--admin", "127.0.0.1:0", "--config"])
        .arg(dir.join("config"))
        .arg("--data-dir")
        .arg(dir.join("data"))
        .env("PORTCULLIS_LOG", "info,portcullis_control=debug")
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let admin = timeout(PATIENCE, async {
        while let Some(line) = lines.next_line().await.unwrap() {
            eprintln!("{line}");
            let line: serde_json::Value = serde_json::from_str(&line).unwrap_or_default();
            if line["message"] == "portcullis-control starts" {
                return line["admin"].as_str().unwrap().to_owned();
            }
        }
        panic!("control ended");
    })
    .await
    .unwrap();
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            eprintln!("{line}");
        }
    });
    (child, admin)
}

/// One transaction as it was received.
#[derive(Debug, Default)]
pub struct Transaction {
    pub reset: bool,
    /// (kind, name) in the order of the frames.
    pub upserts: Vec<(i32, String)>,
    pub removes: Vec<(i32, String)>,
    pub version: Option<Version>,
}

impl Transaction {
    /// Names of the upserts of one kind.
    pub fn upserted(&self, kind: Kind) -> Vec<&str> {
        self.upserts.iter().filter(|(k, _)| *k == kind as i32).map(|(_, name)| name.as_str()).collect()
    }
}

/// What a worker has.
pub type Held = BTreeMap<(i32, String), (Digest, Resource)>;

/// A worker without a data plane.
pub struct Worker {
    out: mpsc::Sender<wire::WorkerFrame>,
    frames: Streaming<wire::ControlFrame>,
    pub held: Held,
    pub endpoints: BTreeMap<String, EndpointSet>,
    pub synced: bool,
    pub goodbye: bool,
    pub epoch: u64,
    in_flight: Option<Version>,
}

impl Worker {
    /// Connects as soon as control accepts, says Hello and what it has, and waits for the Welcome.
    pub async fn connect(control: &Control, id: &str, held: Held) -> Self {
        timeout(PATIENCE, async {
            loop {
                if let Ok(channel) = connect(&Target::Unix(control.link())).await {
                    return Self::open(channel, id, held).await.unwrap();
                }
                sleep(Duration::from_millis(10)).await;
            }
        })
        .await
        .unwrap()
    }

    async fn open(channel: Channel, id: &str, held: Held) -> Result<Self, Status> {
        let (out, frames) = mpsc::channel(64);
        let hello = wire::Hello {
            worker_id: id.to_owned(),
            proxy_name: "gateway-proxy".to_owned(),
            build: "test".to_owned(),
            pid: 1,
            ..wire::Hello::default()
        };
        let resources = held
            .iter()
            .map(|((kind, name), (digest, _))| wire::ResourceDigest {
                kind: *kind,
                name: name.clone(),
                digest: digest.to_bytes(),
            })
            .collect();
        out.send(up(Up::Hello(hello))).await.unwrap();
        out.send(up(Up::Have(wire::Have { resources, last: true }))).await.unwrap();
        let mut client = LinkClient::new(channel).max_decoding_message_size(20 << 20);
        let mut frames = client.stream(ReceiverStream::new(frames)).await?.into_inner();
        let Some(Down::Welcome(welcome)) = frames.message().await?.and_then(|frame| frame.frame) else {
            panic!("the first frame must be Welcome");
        };
        Ok(Self {
            out,
            frames,
            held,
            endpoints: BTreeMap::new(),
            synced: false,
            goodbye: false,
            epoch: welcome.epoch,
            in_flight: None,
        })
    }

    /// Digest over what it has.
    pub fn digest(&self) -> Digest {
        let mut sum = TableDigest::default();
        self.held.iter().for_each(|((kind, name), (digest, _))| sum.add(*kind, name, digest));
        sum.get()
    }

    pub async fn send(&self, frame: Up) {
        self.out.send(up(frame)).await.unwrap();
    }

    pub async fn beat(&self) {
        let beat = wire::WorkerBeat { table_digest: self.digest().to_bytes(), ..wire::WorkerBeat::default() };
        self.send(Up::Beat(beat)).await;
    }

    /// The next frame; `None` when the stream ended.
    pub async fn frame(&mut self) -> Option<Down> {
        let frame = timeout(PATIENCE, self.frames.message()).await.expect("control is silent");
        frame.unwrap().and_then(|frame| frame.frame)
    }

    /// Waits for a whole transaction and applies it. Other frames on the way are noted.
    pub async fn transaction(&mut self) -> Transaction {
        timeout(PATIENCE, self.whole_transaction()).await.expect("no transaction came")
    }

    async fn whole_transaction(&mut self) -> Transaction {
        let mut transaction = Transaction::default();
        loop {
            match self.frame().await.expect("the stream ended") {
                Down::Delta(delta) => {
                    if self.take(delta, &mut transaction) {
                        return transaction;
                    }
                }
                other => self.note(other).await,
            }
        }
    }

    /// Waits until `done`, taking frames that are no transactions.
    pub async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        timeout(PATIENCE, self.frames_until(done)).await.expect("condition never held");
    }

    async fn frames_until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) {
            match self.frame().await {
                Some(Down::Delta(delta)) => panic!("a transaction that nobody expected: {delta:?}"),
                Some(other) => self.note(other).await,
                None => panic!("the stream ended"),
            }
        }
    }

    async fn note(&mut self, frame: Down) {
        match frame {
            Down::Endpoints(set) => {
                self.endpoints.insert(set.upstream.clone(), set);
            }
            Down::Synced(_) => self.synced = true,
            Down::Goodbye(_) => self.goodbye = true,
            // As long as control beats, so do we.
            Down::Beat(_) if self.in_flight.is_none() => self.beat().await,
            _ => {}
        }
    }

    fn take(&mut self, delta: wire::Delta, transaction: &mut Transaction) -> bool {
        if delta.reset {
            transaction.reset = true;
            self.held.clear();
        }
        for id in delta.removes {
            assert!(
                self.held.remove(&(id.kind, id.name.clone())).is_some(),
                "removed what was not there: {id:?}"
            );
            transaction.removes.push((id.kind, id.name));
        }
        for upsert in delta.upserts {
            let resource = upsert.resource.unwrap();
            let (kind, name) = portcullis_shared::table::identity(&resource);
            let key = (kind.wire(), name.to_owned());
            transaction.upserts.push(key.clone());
            self.held.insert(key, (Digest::from_slice(&upsert.digest).unwrap(), resource));
        }
        let Some(commit) = delta.commit else { return false };
        assert_eq!(self.digest().as_bytes()[..], commit.table_digest[..], "table digest");
        transaction.version = commit.version.map(Version::from);
        self.in_flight = transaction.version;
        true
    }

    /// Answers the transaction: everything runs.
    pub async fn ack(&mut self) {
        let version = self.in_flight.take().map(Into::into);
        self.send(Up::Ack(wire::Ack { version })).await;
    }

    /// Answers the transaction: this resource is refused.
    pub async fn nack(&mut self, kind: Kind, name: &str, reason: &str) {
        let version = self.in_flight.take().map(Into::into);
        let resource = Some(wire::ResourceId { kind: kind as i32, name: name.to_owned() });
        let rejected = vec![wire::Rejected { resource, path: String::new(), reason: reason.to_owned() }];
        self.send(Up::Nack(wire::Nack { version, rejected, table_digest_mismatch: false })).await;
    }

    /// The status with which control ends the stream.
    pub async fn ended(&mut self) -> Status {
        loop {
            match self.frames.message().await {
                Ok(Some(_)) => {}
                Ok(None) => return Status::ok(""),
                Err(status) => return status,
            }
        }
    }

    /// Names of what it has of a kind.
    pub fn names(&self, kind: Kind) -> Vec<&str> {
        self.held.keys().filter(|(k, _)| *k == kind as i32).map(|(_, name)| name.as_str()).collect()
    }
}

fn up(frame: Up) -> wire::WorkerFrame {
    wire::WorkerFrame { frame: Some(frame) }
}

/// Waits until `probe` gives a value.
pub async fn eventually<T, F: Future<Output = Option<T>>>(mut probe: impl FnMut() -> F) -> T {
    timeout(PATIENCE, async {
        loop {
            if let Some(value) = probe().await {
                return value;
            }
            sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("condition never held")
}
