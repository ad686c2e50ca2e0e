//! The key that seals private keys in the workers' caches, so that HTTPS also starts without control.
//!
//! It lies beside the caches, readable by this user only: whoever can read it can read the memory of the workers too.
//! Services that want it apart from the state give workers a systemd credential instead (`cache-key`).

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::cli::Failure;

const LENGTH: usize = 32;

/// The key file of this data folder; made when there is none. A file that others can read is refused.
pub fn ensure(data_dir: &Path) -> Result<PathBuf, Failure> {
    let path = data_dir.join("cache.key");
    let failed = |error: std::io::Error| Failure::Because(format!("{}: {error}", path.display()));
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let mut key = [0_u8; LENGTH];
            File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).map_err(failed)?;
            file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)?;
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let found = std::fs::metadata(&path).map_err(failed)?;
            if found.mode() & 0o077 != 0 {
                return Err(Failure::Because(format!(
                    "{} can be read by others: chmod 600 it, or remove it (the caches' private keys are then lost, and \
                     come back from control)",
                    path.display()
                )));
            }
            // Cut short by a crash while it was made: nothing is sealed with it.
            if found.len() != LENGTH as u64 {
                std::fs::remove_file(&path).map_err(failed)?;
                return ensure(data_dir);
            }
        }
        Err(error) => return Err(failed(error)),
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_key_is_made_once_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = ensure(dir.path()).unwrap();
        let key = std::fs::read(&path).unwrap();
        assert_eq!(key.len(), LENGTH);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read(ensure(dir.path()).unwrap()).unwrap(), key);

        std::fs::write(&path, "short").unwrap();
        assert_eq!(std::fs::read(ensure(dir.path()).unwrap()).unwrap().len(), LENGTH);

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(ensure(dir.path()), Err(Failure::Because(reason)) if reason.contains("chmod 600")));
    }
}
