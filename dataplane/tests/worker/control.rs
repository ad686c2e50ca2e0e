//! A control that does what the test says: a Link server on a unix socket.

use std::path::Path;
use std::pin::Pin;

use futures::Stream;
use portcullis_proto::link::v1::control_frame::Frame as ControlFrame;
use portcullis_proto::link::v1::link_server::{Link, LinkServer};
use portcullis_proto::link::v1::worker_frame::Frame as WorkerFrame;
use portcullis_proto::link::v1::{self as pb};
use portcullis_proto::table::v1::EndpointSet;
use portcullis_shared::transport::{Bind, listen};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::PATIENCE;
use crate::table::Table;

type Frames = Pin<Box<dyn Stream<Item = Result<pb::ControlFrame, Status>> + Send>>;

struct Server(mpsc::Sender<Session>);

#[tonic::async_trait]
impl Link for Server {
    type StreamStream = Frames;

    async fn stream(&self, request: Request<Streaming<pb::WorkerFrame>>) -> Result<Response<Frames>, Status> {
        let (to_worker, frames) = mpsc::channel(64);
        let session = Session {
            from_worker: request.into_inner(),
            to_worker,
            hello: pb::Hello::default(),
            have: Vec::new(),
            seq: 0,
        };
        self.0.send(session).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Box::pin(ReceiverStream::new(frames))))
    }
}

/// A running control. It is gone when dropped.
pub struct Control {
    sessions: mpsc::Receiver<Session>,
    serving: JoinHandle<()>,
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Control {
    pub async fn start(socket: &Path) -> Self {
        Self::start_on(Bind::Unix(socket.to_owned())).await
    }

    pub async fn start_on(bind: Bind) -> Self {
        let (found, sessions) = mpsc::channel(4);
        let incoming = listen(&bind).await.unwrap();
        let server = LinkServer::new(Server(found)).max_decoding_message_size(20 << 20);
        let serving = tokio::spawn(async move {
            tonic::transport::Server::builder()
                .add_service(server)
                .serve_with_incoming(incoming)
                .await
                .unwrap();
        });
        Self { sessions, serving }
    }

    /// The next session, after Hello, Have and Welcome.
    pub async fn session(&mut self) -> Session {
        let next = tokio::time::timeout(PATIENCE, self.sessions.recv()).await;
        let mut session = next.expect("no worker connects").unwrap();
        let Some(WorkerFrame::Hello(hello)) = session.receive().await else { panic!("no Hello") };
        session.hello = hello;
        loop {
            let Some(WorkerFrame::Have(have)) = session.receive().await else { panic!("no Have") };
            session.have.extend(have.resources);
            if have.last {
                break;
            }
        }
        let welcome =
            pb::Welcome { session_id: "test".into(), epoch: 1, beat_interval_ms: 200, protocol_minor: 0 };
        session.send(ControlFrame::Welcome(welcome)).await;
        session
    }
}

/// One worker's stream.
pub struct Session {
    from_worker: Streaming<pb::WorkerFrame>,
    to_worker: mpsc::Sender<Result<pb::ControlFrame, Status>>,
    pub hello: pb::Hello,
    pub have: Vec<pb::ResourceDigest>,
    seq: u64,
}

impl Session {
    pub async fn send(&self, frame: ControlFrame) {
        self.to_worker.send(Ok(pb::ControlFrame { frame: Some(frame) })).await.unwrap();
    }

    async fn receive(&mut self) -> Option<WorkerFrame> {
        let frame = tokio::time::timeout(PATIENCE, self.from_worker.message()).await;
        frame.expect("the worker is silent").ok()??.frame
    }

    /// The next frame that is no beat.
    pub async fn answer(&mut self) -> WorkerFrame {
        loop {
            match self.receive().await.expect("the worker ended the link") {
                WorkerFrame::Beat(_) => {}
                other => return other,
            }
        }
    }

    /// The next beat that `wanted` accepts.
    pub async fn beat(&mut self, wanted: impl Fn(&pb::WorkerBeat) -> bool) -> pb::WorkerBeat {
        loop {
            // A control that hears nothing from the test is declared dead by the worker.
            self.send(ControlFrame::Beat(pb::ControlBeat::default())).await;
            match self.receive().await.expect("the worker ended the link") {
                WorkerFrame::Beat(beat) if wanted(&beat) => return beat,
                _ => {}
            }
        }
    }

    /// Sends what the worker lacks of `table` as one Delta, in frames of one resource.
    pub async fn send_delta(&mut self, table: &Table, wrong_digest: bool) {
        self.seq += 1;
        let delta = table.delta(&self.have);
        let (mut upserts, removes) = (delta.upserts, delta.removes);
        let last = upserts.pop();
        for upsert in upserts {
            self.send(ControlFrame::Delta(pb::Delta { upserts: vec![upsert], ..Default::default() })).await;
        }
        let mut table_digest = table.digest();
        if wrong_digest {
            table_digest = bytes::Bytes::from_static(&[1; 16]);
        }
        let commit = pb::Commit { version: Some(pb::Version { epoch: 1, seq: self.seq }), table_digest };
        let last =
            pb::Delta { upserts: last.into_iter().collect(), removes, reset: false, commit: Some(commit) };
        self.send(ControlFrame::Delta(last)).await;
    }

    /// Makes `table` the worker's. Returns what it rejected.
    pub async fn put(&mut self, table: &Table) -> Vec<pb::Rejected> {
        self.send_delta(table, false).await;
        let rejected = match self.answer().await {
            WorkerFrame::Ack(_) => Vec::new(),
            WorkerFrame::Nack(nack) if !nack.table_digest_mismatch => nack.rejected,
            other => panic!("{other:?}"),
        };
        self.have = table.resources();
        self.send(ControlFrame::Synced(pb::Synced {})).await;
        rejected
    }

    pub async fn endpoints(&self, set: EndpointSet) {
        self.send(ControlFrame::Endpoints(set)).await;
    }

    /// Waits until the worker ends the stream.
    pub async fn ended(mut self) {
        while self.receive().await.is_some() {}
    }
}
