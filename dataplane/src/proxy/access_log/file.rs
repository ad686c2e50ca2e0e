//! Log files: one writer for each path, whoever asks for it, and a new file where the old one was moved away.
//!
//! Owns the list of paths that are written to in this process. A file that cannot be opened costs its lines, never
//! traffic; it is tried again with every write.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};

use super::{AccessLog, PIPE_BUF, Sender};

/// Writers by path.
static FILES: LazyLock<Mutex<BTreeMap<Arc<str>, Weak<Sender>>>> = LazyLock::new(Mutex::default);
/// Grows with every request to open all files anew.
static ROUND: AtomicU64 = AtomicU64::new(0);
/// How often a file is looked for under its name.
const LOOK: Duration = Duration::from_secs(1);

/// The one writer of a path.
pub(super) fn shared(path: &str) -> io::Result<AccessLog> {
    let mut files = FILES.lock();
    files.retain(|_, sender| sender.strong_count() > 0);
    if let Some(sender) = files.get(path).and_then(Weak::upgrade) {
        return Ok(AccessLog(sender));
    }
    let log = match path {
        "/dev/stdout" => AccessLog::start(Box::new(io::stdout()), PIPE_BUF),
        "/dev/stderr" => AccessLog::start(Box::new(io::stderr()), PIPE_BUF),
        path => AccessLog::start(Box::new(LogFile::new(path)), usize::MAX),
    }?;
    files.insert(path.into(), Arc::downgrade(&log.0));
    Ok(log)
}

/// Opens a file for appending.
pub(super) fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(path)
}

/// Waits until everything that is queued for any file is written, but no longer than `patience` for each.
pub fn finish_all(patience: Duration) {
    let logs: Vec<AccessLog> = FILES.lock().values().filter_map(Weak::upgrade).map(AccessLog).collect();
    for log in logs {
        log.finish(patience);
    }
}

/// Opens all files anew at SIGHUP and SIGUSR1, as programs that rotate logs expect it.
///
/// # Errors
/// The system does not let us handle signals.
pub fn reopen_on_signals() -> io::Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut user = signal(SignalKind::user_defined1())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = hangup.recv() => {}
                _ = user.recv() => {}
            }
            ROUND.fetch_add(1, Ordering::Relaxed);
            tracing::info!("access logs are opened anew");
        }
    });
    Ok(())
}

/// A file that is appended to, and opened anew when it is no more the one of its name.
struct LogFile {
    path: Box<str>,
    file: Option<File>,
    round: u64,
    looked: Instant,
    /// It was said that the file cannot be opened.
    said: bool,
}

impl LogFile {
    fn new(path: &str) -> Self {
        let mut log = Self { path: path.into(), file: None, round: 0, looked: Instant::now(), said: false };
        log.reopen();
        log
    }

    fn reopen(&mut self) {
        match open(&self.path) {
            Ok(file) => {
                self.file = Some(file);
                self.said = false;
            }
            Err(error) => {
                self.file = None;
                if !std::mem::replace(&mut self.said, true) {
                    tracing::error!(path = &*self.path, %error, "cannot open the access log; its lines are lost");
                }
            }
        }
    }

    /// Whether the open file still has its name.
    fn is_in_place(&self) -> bool {
        let of = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
        let open = self.file.as_ref().and_then(|file| file.metadata().ok()).map(of);
        let named = std::fs::metadata(&*self.path).ok().map(of);
        open.is_some() && open == named
    }
}

impl Write for LogFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let round = ROUND.load(Ordering::Relaxed);
        let told = std::mem::replace(&mut self.round, round) != round;
        let look = self.looked.elapsed() >= LOOK;
        if look {
            self.looked = Instant::now();
        }
        if self.file.is_none() || ((told || look) && !self.is_in_place()) {
            self.reopen();
        }
        match &mut self.file {
            Some(file) => file.write(bytes),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let text = path.to_str().unwrap();
        let mut log = LogFile::new(text);
        log.write_all(b"1").unwrap();
        std::fs::rename(&path, folder.path().join("old")).unwrap();
        log.write_all(b"2").unwrap();
        log.round = log.round.wrapping_sub(1);
        log.write_all(b"3").unwrap();
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!((read("old"), read("log")), ("12".into(), "3".into()));
    }

    #[test]
    fn a_path_has_one_writer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let one = shared(path.to_str().unwrap()).unwrap();
        let two = shared(path.to_str().unwrap()).unwrap();
        assert!(Arc::ptr_eq(&one.0, &two.0));
    }
}
