//! What `up` will run: programs, arguments, addresses and folders, decided before anything starts.
//!
//! Must not start anything; it only looks at the environment and prepares the data folder.

use super::cache_key;
use super::child::Program;
use crate::cli::Failure;
use crate::cli::args::UpArgs;
use portcullis_shared::telemetry::LogFormat;
use std::ffi::OsString;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

/// A unix socket's path has room for 108 bytes, the last of them zero.
const MAX_SOCKET_PATH: usize = 107;

/// A worker is not held below this, however many there are: it needs a part of it for itself.
const LEAST_MEMORY: u64 = 64 << 20;

/// Everything that `up` needs to know to start.
#[derive(Debug)]
pub struct Plan {
    /// Control.
    pub control: Program,
    /// The workers.
    pub workers: Vec<Program>,
    /// Where both keep their state.
    pub data_dir: PathBuf,
}

impl Plan {
    /// Decides; `Err` when a folder, a program or an address is not usable.
    pub fn new(args: &UpArgs) -> Result<Plan, Failure> {
        let config = std::fs::canonicalize(&args.config)
            .map_err(|error| Failure::Usage(format!("--config {}: {error}", args.config.display())))?;
        let number = match args.workers {
            Some(number) => usize::from(number),
            None => std::thread::available_parallelism().map_or(1, usize::from),
        };
        let data_dir = match &args.data_dir {
            Some(dir) => std::path::absolute(dir)?,
            None => default_data_dir(&config, |name| std::env::var_os(name))?,
        };
        std::fs::create_dir_all(&data_dir)
            .map_err(|error| Failure::Because(format!("cannot create {}: {error}", data_dir.display())))?;
        let admin = admin_addresses(args.admin, number + 1)?;
        let (control_admin, worker_admins) =
            admin.split_first().ok_or_else(|| Failure::Usage("no admin address".to_owned()))?;
        let link = link_path(&data_dir)?;
        let log_format = match args.log_format.unwrap_or_else(default_log_format) {
            LogFormat::Json => "json",
            LogFormat::Text => "text",
        };
        let control = Program {
            name: "control".to_owned(),
            path: find("portcullis-control", "PORTCULLIS_CONTROL_BIN")?,
            args: arguments(&[
                ("--config", config.as_os_str()),
                ("--data-dir", data_dir.join("control").as_os_str()),
                ("--admin", control_admin.to_string().as_ref()),
                ("--link", link.as_os_str()),
                ("--namespace", args.namespace.as_ref()),
                ("--log-format", log_format.as_ref()),
            ]),
            admin: *control_admin,
            after: None,
            ready_file: None,
            drain: args.drain,
        };
        let cache_key = cache_key::ensure(&data_dir)?;
        let memory = memory_of_each(number, std::env::var_os("PORTCULLIS_MAX_MEMORY"));
        let dataplane = find("portcullis-dataplane", "PORTCULLIS_DATAPLANE_BIN")?;
        let drain = args.drain;
        let worker = |(index, admin): (usize, &SocketAddr)| {
            let name = format!("worker-{index}");
            let mut args = arguments(&[
                ("--link", link.as_os_str()),
                ("--proxy-name", "gateway-proxy".as_ref()),
                ("--worker-id", name.as_ref()),
                ("--data-dir", data_dir.as_os_str()),
                ("--cache-key-file", cache_key.as_os_str()),
                ("--admin", admin.to_string().as_ref()),
                ("--threads", "1".as_ref()),
                ("--drain-timeout", format!("{}ms", args.drain.as_millis()).as_ref()),
                ("--log-format", log_format.as_ref()),
                ("--access-log", args.access_log.as_os_str()),
            ]);
            if let Some(memory) = &memory {
                args.extend([OsString::from("--max-memory"), memory.clone()]);
            }
            Program {
                ready_file: Some(data_dir.join(format!("{name}.ready"))),
                name,
                path: dataplane.clone(),
                args,
                admin: *admin,
                after: Some(link.clone()),
                drain,
            }
        };
        let workers = worker_admins.iter().enumerate().map(worker).collect();
        Ok(Plan { control, workers, data_dir })
    }

    /// Keeps a second `up` away from the same state, for as long as the returned file is open.
    pub fn lock(&self) -> Result<File, Failure> {
        let path = self.data_dir.join("up.lock");
        let file = File::create(&path)
            .map_err(|error| Failure::Because(format!("cannot create {}: {error}", path.display())))?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Failure::Because(format!(
                "another `portcullis up` uses {}; stop it or give this one another --data-dir",
                self.data_dir.display()
            ))
        })?;
        Ok(file)
    }
}

/// What each worker may use, unless the user says it: they share the machine, or the control group.
fn memory_of_each(workers: usize, said: Option<OsString>) -> Option<OsString> {
    if said.is_some_and(|said| !said.is_empty()) {
        return None;
    }
    let all = portcullis_shared::memory::limit()?;
    let each = all / u64::try_from(workers).ok()?.max(1);
    Some(each.max(LEAST_MEMORY).to_string().into())
}

/// A person at a terminal reads text.
fn default_log_format() -> LogFormat {
    if std::io::IsTerminal::is_terminal(&std::io::stderr()) { LogFormat::Text } else { LogFormat::Json }
}

fn arguments(pairs: &[(&str, &std::ffi::OsStr)]) -> Vec<OsString> {
    pairs.iter().flat_map(|(flag, value)| [OsString::from(flag), value.to_os_string()]).collect()
}

/// One folder for each configuration folder: the last good state of one must never stand in for another.
/// Under systemd the state directory already belongs to one service.
fn default_data_dir(config: &Path, env: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Failure> {
    let set = |name| env(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(dir) = set("STATE_DIRECTORY") {
        return Ok(dir);
    }
    let base =
        set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state"))).ok_or_else(
            || Failure::Usage("neither XDG_STATE_HOME nor HOME is set: give --data-dir".to_owned()),
        )?;
    let name = config.file_name().map_or_else(|| "config".into(), |name| name.to_string_lossy());
    let hash = blake3::hash(config.as_os_str().as_encoded_bytes()).to_hex();
    let short: String = hash.chars().take(8).collect();
    Ok(base.join("portcullis").join(format!("{name}-{short}")))
}

/// Consecutive ports from the given one; port 0 looks for a free range.
fn admin_addresses(first: SocketAddr, number: usize) -> Result<Vec<SocketAddr>, Failure> {
    let range = |port: u16| -> Option<Vec<SocketAddr>> {
        (0..number)
            .map(|index| {
                let port = u16::try_from(index).ok().and_then(|index| port.checked_add(index))?;
                Some(SocketAddr::new(first.ip(), port))
            })
            .collect()
    };
    if first.port() != 0 {
        let addresses = range(first.port())
            .ok_or_else(|| Failure::Usage("--admin: too few ports above this one".to_owned()))?;
        return match addresses
            .iter()
            .find_map(|address| TcpListener::bind(address).err().map(|e| (address, e)))
        {
            None => Ok(addresses),
            Some((address, error)) => Err(Failure::Because(format!(
                "admin address {address}: {error}; --admin names another first port, 0 takes a free range"
            ))),
        };
    }
    for _ in 0..100 {
        let port = TcpListener::bind(first)?.local_addr()?.port();
        let free = |addresses: &Vec<SocketAddr>| addresses.iter().all(|one| TcpListener::bind(one).is_ok());
        if let Some(addresses) = range(port).filter(free) {
            return Ok(addresses);
        }
    }
    Err(Failure::Because("found no free range of admin ports".to_owned()))
}

/// In the data folder, or in the temporary folder when that path is too long for a socket.
fn link_path(data_dir: &Path) -> Result<PathBuf, Failure> {
    let path = data_dir.join("link.sock");
    if path.as_os_str().len() <= MAX_SOCKET_PATH {
        return Ok(path);
    }
    let hash = blake3::hash(data_dir.as_os_str().as_encoded_bytes()).to_hex();
    let short: String = hash.chars().take(16).collect();
    let dir = std::env::temp_dir().join(format!("portcullis-{short}"));
    private_dir(&dir)?;
    Ok(dir.join("link.sock"))
}

/// A folder that only this user can enter: the temporary folder is shared with everybody.
fn private_dir(dir: &Path) -> Result<(), Failure> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt};
    let failed =
        |error: std::io::Error| Failure::Because(format!("cannot create {}: {error}", dir.display()));
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            let found = std::fs::symlink_metadata(dir).map_err(failed)?;
            let ours = found.is_dir() && found.uid() == rustix::process::getuid().as_raw();
            if ours && found.mode() & 0o077 == 0 {
                Ok(())
            } else {
                Err(Failure::Because(format!(
                    "{} belongs to somebody else: give a shorter --data-dir",
                    dir.display()
                )))
            }
        }
        Err(error) => Err(failed(error)),
    }
}

/// The variable, else beside this program, else in PATH.
fn find(name: &str, variable: &str) -> Result<PathBuf, Failure> {
    if let Some(path) = std::env::var_os(variable).filter(|path| !path.is_empty()) {
        return Ok(PathBuf::from(path));
    }
    let beside = std::env::current_exe().ok().and_then(|exe| exe.parent().map(|dir| dir.join(name)));
    if let Some(path) = beside.filter(|path| path.is_file()) {
        return Ok(path);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| path.is_file()).ok_or_else(|| {
        Failure::Because(format!(
            "{name} is neither beside this program nor in PATH; {variable} can name it (in the repository: \
             cargo build --workspace)"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_what_memory_there_is_unless_the_user_says_how_much() {
        let bytes = |text: Option<OsString>| text.unwrap().to_string_lossy().parse::<u64>().unwrap();
        let (one, four) = (memory_of_each(1, None), memory_of_each(4, None));
        assert_eq!((bytes(one) / 4).max(LEAST_MEMORY), bytes(four));
        assert_eq!(memory_of_each(1, Some("1GiB".into())), None);
    }

    #[test]
    fn each_configuration_folder_has_its_own_state() {
        let env = |name: &str| (name == "HOME").then(|| OsString::from("/home/ann"));
        let one = default_data_dir(Path::new("/srv/a/config"), env).unwrap();
        let two = default_data_dir(Path::new("/srv/b/config"), env).unwrap();
        assert!(one.starts_with("/home/ann/.local/state/portcullis"), "{}", one.display());
        assert_ne!(one, two);
    }

    #[test]
    fn the_environment_chooses_the_state_folder() {
        let config = Path::new("/srv/config");
        let env = |name: &str| Some(OsString::from(format!("/{name}")));
        assert_eq!(default_data_dir(config, env).unwrap(), PathBuf::from("/STATE_DIRECTORY"));
        let env = |name: &str| (name == "XDG_STATE_HOME").then(|| OsString::from("/state"));
        assert!(default_data_dir(config, env).unwrap().starts_with("/state/portcullis"));
        assert!(matches!(default_data_dir(config, |_| None), Err(Failure::Usage(_))));
    }

    #[test]
    fn port_zero_takes_a_free_range() {
        let addresses = admin_addresses("127.0.0.1:0".parse().unwrap(), 4).unwrap();
        let first = addresses[0].port();
        assert_eq!(
            addresses.iter().map(SocketAddr::port).collect::<Vec<_>>(),
            (first..first + 4).collect::<Vec<_>>()
        );
    }

    #[test]
    fn a_taken_admin_port_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let Err(Failure::Because(reason)) = admin_addresses(address, 1) else { panic!("it was free") };
        assert!(reason.contains(&address.to_string()) && reason.contains("--admin"), "{reason}");
    }

    #[test]
    fn a_long_data_folder_gets_a_short_socket() {
        let dir = PathBuf::from("/").join("d".repeat(120));
        assert!(link_path(&dir).unwrap().as_os_str().len() <= MAX_SOCKET_PATH);
        assert_eq!(link_path(Path::new("/var/lib/p")).unwrap(), PathBuf::from("/var/lib/p/link.sock"));
    }

    #[test]
    fn a_second_up_is_kept_away() {
        let dir = tempfile::tempdir().unwrap();
        let program = Program {
            name: String::new(),
            path: "/bin/true".into(),
            args: vec![],
            admin: ([127, 0, 0, 1], 1).into(),
            after: None,
            ready_file: None,
            drain: std::time::Duration::ZERO,
        };
        let plan = Plan { control: program, workers: vec![], data_dir: dir.path().to_owned() };
        let first = plan.lock().unwrap();
        assert!(matches!(plan.lock(), Err(Failure::Because(reason)) if reason.contains("another")));
        drop(first);
        plan.lock().unwrap();
    }
}
