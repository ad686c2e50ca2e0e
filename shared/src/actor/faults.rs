//! Kills actors on purpose, so that tests can see what goes on without each of them. In debug builds only: a release
//! build does not have this module.
//!
//! A file named like an actor (with `+` for `/`) in the folder that `PORTCULLIS_FAULTS` names kills that actor once; its
//! supervisor removes the file.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ractor::ActorRef;

use super::supervisor::SupervisorMsg;

const FOLDER: &str = "PORTCULLIS_FAULTS";
const LOOK: Duration = Duration::from_millis(20);

fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

/// Passes on to a supervisor what the folder says, for as long as the supervisor lives.
pub(super) fn follow(supervisor: ActorRef<SupervisorMsg>) {
    let Some(folder) = folder() else { return };
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(LOOK).await;
            for file in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
                let name: Arc<str> = file.file_name().to_string_lossy().replace('+', "/").into();
                if supervisor.send_message(SupervisorMsg::Kill(name)).is_err() {
                    return;
                }
            }
        }
    });
}

/// The actor of this name is killed.
pub(super) fn done(name: &str) {
    tracing::warn!(actor = name, "killed on purpose");
    if let Some(folder) = folder() {
        // Another process may have been quicker.
        let _ = std::fs::remove_file(folder.join(name.replace('/', "+")));
    }
}
