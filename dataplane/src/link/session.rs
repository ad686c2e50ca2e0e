//! The protocol as a plain state machine: frames of control in, steps for the worker out.
//!
//! The worker reads no further frame while a transaction is being applied, so that the order of the frames is the
//! order of the effects: a Synced after a Delta counts when that Delta runs.

use std::time::Duration;

use portcullis_proto::link::v1 as pb;
use portcullis_proto::link::v1::control_frame::Frame as ControlFrame;
use portcullis_proto::link::v1::worker_frame::Frame as WorkerFrame;
use portcullis_proto::table::v1::EndpointSet;
use portcullis_shared::version::Version;

use super::stage::{Stage, Transaction};

/// Resources named in one Have frame.
const HAVE_FRAME: usize = 4096;
/// What is used when control names no interval, and the bounds on what it names.
const BEAT: (Duration, Duration, Duration) =
    (Duration::from_millis(200), Duration::from_secs(2), Duration::from_secs(60));
/// The longest that a Goodbye can keep the worker away.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// Our revision of the protocol, for control's information.
pub const PROTOCOL_MINOR: u32 = 0;

/// Control broke the protocol; the session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("control broke the protocol: {0}")]
pub struct Violation(pub &'static str);

/// What a frame asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Nothing (yet).
    Nothing,
    /// The session is open.
    Welcome {
        /// Control's name for it.
        session_id: String,
        /// How often both sides say that they are alive.
        beat: Duration,
    },
    /// Apply this, then answer with [`answer`].
    Apply(Transaction),
    /// Give an upstream these endpoints.
    Endpoints(EndpointSet),
    /// Everything that control knows is here.
    Synced,
    /// Control ends the session.
    Goodbye {
        /// For the log.
        reason: String,
        /// How long to stay away.
        retry_after: Duration,
    },
}

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It runs, but for the rejected resources.
    Applied {
        /// Resources that keep their previous form, or fail closed.
        rejected: Vec<pb::Rejected>,
    },
    /// Nothing was applied: the result would not be the table that control means.
    Mismatch,
    /// Nothing was applied, because it does not make sense. The session ends: asking again would give the same.
    Refused(String),
}

/// One connection's worth of protocol.
#[derive(Debug, Default)]
pub struct Session {
    welcomed: bool,
    stage: Stage,
}

impl Session {
    /// Takes a frame.
    ///
    /// # Errors
    /// The frame is not allowed here.
    pub fn receive(&mut self, frame: pb::ControlFrame) -> Result<Step, Violation> {
        // A frame that a newer control added: not for us.
        let Some(frame) = frame.frame else { return Ok(Step::Nothing) };
        match frame {
            ControlFrame::Goodbye(goodbye) => Ok(Step::Goodbye {
                reason: goodbye.reason,
                retry_after: Duration::from_millis(goodbye.retry_after_ms).min(LONGEST_RETRY),
            }),
            ControlFrame::Welcome(_) if self.welcomed => Err(Violation("a second Welcome")),
            ControlFrame::Welcome(welcome) => {
                self.welcomed = true;
                Ok(Step::Welcome { session_id: welcome.session_id, beat: beat(welcome.beat_interval_ms) })
            }
            _ if !self.welcomed => Err(Violation("a frame before Welcome")),
            ControlFrame::Delta(delta) => Ok(self.stage.push(delta)?.map_or(Step::Nothing, Step::Apply)),
            ControlFrame::Endpoints(set) => Ok(Step::Endpoints(set)),
            ControlFrame::Synced(_) if self.stage.is_open() => Err(Violation("Synced within a Delta")),
            ControlFrame::Synced(_) => Ok(Step::Synced),
            ControlFrame::Beat(_) => Ok(Step::Nothing),
        }
    }
}

/// The answer to a transaction.
///
/// # Errors
/// It was refused: the reason.
pub fn answer(version: Version, outcome: Outcome) -> Result<pb::WorkerFrame, String> {
    let version = Some(version.into());
    Ok(frame(match outcome {
        Outcome::Refused(reason) => {
            return Err(format!("control sent a Delta that makes no sense: {reason}"));
        }
        Outcome::Applied { rejected } if rejected.is_empty() => WorkerFrame::Ack(pb::Ack { version }),
        Outcome::Applied { rejected } => {
            WorkerFrame::Nack(pb::Nack { version, rejected, table_digest_mismatch: false })
        }
        Outcome::Mismatch => {
            WorkerFrame::Nack(pb::Nack { version, rejected: Vec::new(), table_digest_mismatch: true })
        }
    }))
}

/// The first frames of a session: who we are, and what we run.
#[must_use]
pub fn opening(hello: pb::Hello, have: Vec<pb::ResourceDigest>) -> Vec<pb::WorkerFrame> {
    let mut frames = vec![frame(WorkerFrame::Hello(hello))];
    let mut rest = have;
    loop {
        let next = rest.split_off(rest.len().min(HAVE_FRAME));
        let last = next.is_empty();
        frames.push(frame(WorkerFrame::Have(pb::Have { resources: rest, last })));
        if last {
            return frames;
        }
        rest = next;
    }
}

/// Wraps a frame's content.
#[must_use]
pub fn frame(content: WorkerFrame) -> pb::WorkerFrame {
    pb::WorkerFrame { frame: Some(content) }
}

fn beat(milliseconds: u64) -> Duration {
    let (least, default, most) = BEAT;
    if milliseconds == 0 { default } else { Duration::from_millis(milliseconds).clamp(least, most) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use portcullis_proto::table::v1::{self as table, Kind};

    fn control(content: ControlFrame) -> pb::ControlFrame {
        pb::ControlFrame { frame: Some(content) }
    }

    fn welcomed() -> Session {
        let mut session = Session::default();
        let welcome = pb::Welcome { session_id: "s".into(), beat_interval_ms: 500, ..Default::default() };
        let step = session.receive(control(ControlFrame::Welcome(welcome))).unwrap();
        assert_eq!(step, Step::Welcome { session_id: "s".into(), beat: Duration::from_millis(500) });
        session
    }

    fn upsert(name: &str) -> pb::Upsert {
        let split = table::Split { name: name.into(), ..Default::default() };
        pb::Upsert {
            digest: Bytes::from_static(&[0; 16]),
            resource: Some(pb::upsert::Resource::Split(split)),
        }
    }

    fn commit() -> pb::Commit {
        pb::Commit {
            version: Some(pb::Version { epoch: 1, seq: 2 }),
            table_digest: Bytes::from_static(&[9; 16]),
        }
    }

    #[test]
    fn a_delta_of_many_frames_is_applied_at_its_commit() {
        let mut session = welcomed();
        let first = pb::Delta { upserts: vec![upsert("a")], reset: true, ..Default::default() };
        assert_eq!(session.receive(control(ControlFrame::Delta(first))).unwrap(), Step::Nothing);
        let removed = pb::ResourceId { kind: Kind::Split as i32, name: "c".into() };
        let last = pb::Delta {
            upserts: vec![upsert("b")],
            removes: vec![removed.clone()],
            commit: Some(commit()),
            ..Default::default()
        };
        let Step::Apply(transaction) = session.receive(control(ControlFrame::Delta(last))).unwrap() else {
            panic!("not complete")
        };
        assert!(transaction.reset);
        assert_eq!(transaction.upserts, [upsert("a"), upsert("b")]);
        assert_eq!(transaction.removes, [removed]);
        assert_eq!(transaction.version, Version { epoch: 1, seq: 2 });
    }

    #[test]
    fn endpoints_pass_between_the_frames_of_a_delta() {
        let mut session = welcomed();
        session.receive(control(ControlFrame::Delta(pb::Delta::default()))).unwrap();
        let set = EndpointSet { upstream: "u".into(), ..Default::default() };
        let step = session.receive(control(ControlFrame::Endpoints(set.clone()))).unwrap();
        assert_eq!(step, Step::Endpoints(set));
    }

    #[test]
    fn what_is_out_of_order_ends_the_session() {
        let mut session = Session::default();
        assert!(session.receive(control(ControlFrame::Synced(pb::Synced {}))).is_err());
        assert!(welcomed().receive(control(ControlFrame::Welcome(pb::Welcome::default()))).is_err());

        let mut session = welcomed();
        session.receive(control(ControlFrame::Delta(pb::Delta::default()))).unwrap();
        assert!(session.receive(control(ControlFrame::Synced(pb::Synced {}))).is_err());
        let reset = pb::Delta { reset: true, ..Default::default() };
        assert!(session.receive(control(ControlFrame::Delta(reset))).is_err());

        let short = pb::Commit { table_digest: Bytes::from_static(b"short"), ..commit() };
        let delta = pb::Delta { commit: Some(short), ..Default::default() };
        assert!(welcomed().receive(control(ControlFrame::Delta(delta))).is_err());
    }

    #[test]
    fn a_goodbye_is_taken_at_any_time_and_bounded() {
        let goodbye = pb::Goodbye { reason: "full".into(), retry_after_ms: u64::MAX };
        let step = Session::default().receive(control(ControlFrame::Goodbye(goodbye))).unwrap();
        assert_eq!(step, Step::Goodbye { reason: "full".into(), retry_after: LONGEST_RETRY });
    }

    #[test]
    fn frames_of_a_newer_control_are_skipped() {
        assert_eq!(Session::default().receive(pb::ControlFrame { frame: None }).unwrap(), Step::Nothing);
    }

    #[test]
    fn the_opening_names_everything_and_ends() {
        for (count, frames) in [(0, 2), (1, 2), (HAVE_FRAME, 2), (HAVE_FRAME + 1, 3)] {
            let have = (0..count).map(|n| pb::ResourceDigest { name: n.to_string(), ..Default::default() });
            let opening = opening(pb::Hello::default(), have.collect());
            assert_eq!(opening.len(), frames, "{count}");
            let mut named = 0;
            for (index, sent) in opening.iter().enumerate().skip(1) {
                let Some(WorkerFrame::Have(have)) = &sent.frame else { panic!("not a Have") };
                named += have.resources.len();
                assert_eq!(have.last, index + 1 == opening.len());
            }
            assert_eq!(named, count);
        }
    }

    #[test]
    fn the_answer_names_what_was_rejected() {
        let version = Version { epoch: 1, seq: 2 };
        let ack = answer(version, Outcome::Applied { rejected: Vec::new() }).unwrap();
        assert!(matches!(ack.frame, Some(WorkerFrame::Ack(_))));
        let rejected = vec![pb::Rejected { reason: "r".into(), ..Default::default() }];
        let Some(WorkerFrame::Nack(nack)) = answer(version, Outcome::Applied { rejected }).unwrap().frame
        else {
            panic!("not a Nack")
        };
        assert_eq!((nack.rejected.len(), nack.table_digest_mismatch), (1, false));
        let Some(WorkerFrame::Nack(nack)) = answer(version, Outcome::Mismatch).unwrap().frame else {
            panic!("not a Nack")
        };
        assert!(nack.table_digest_mismatch);
        assert!(answer(version, Outcome::Refused("r".into())).is_err());
    }
}
