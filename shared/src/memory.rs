//! How much memory this process uses, and how much there is for it: what its control group allows, else the machine's.
//! Linux only; elsewhere nothing is known. Owns nothing.

use std::path::{Component, Path, PathBuf};

/// Bytes of memory that this process uses now and that the system cannot take back: files that are mapped do not count.
#[must_use]
pub fn used() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    kilobytes(&status, "RssAnon:").or_else(|| kilobytes(&status, "VmRSS:"))
}

/// Bytes that a process which is alone in its control group, or on its machine, should stay below: nine tenths of what
/// the group allows (the kernel counts socket buffers and files in it too), else three quarters of the memory.
#[must_use]
pub fn limit() -> Option<u64> {
    if let Some(limit) = group_limit(Path::new("/")) {
        return Some(limit / 10 * 9);
    }
    kilobytes(&std::fs::read_to_string("/proc/meminfo").ok()?, "MemTotal:").map(|total| total / 4 * 3)
}

/// A size such as `512MiB`, `2Gi`, `1000000`; `off` is none.
///
/// # Errors
/// It is no size.
pub fn parse_size(text: &str) -> Result<Size, String> {
    if text == "off" {
        return Ok(Size(None));
    }
    let wrong = || format!("`{text}` is no size: write bytes, `512MiB`, `2GiB`, or `off`");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match text.get(digits.len()..).unwrap_or_default() {
        "" | "B" => 1,
        "Ki" | "KiB" => 1 << 10,
        "Mi" | "MiB" => 1 << 20,
        "Gi" | "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    number.checked_mul(factor).filter(|size| *size > 0).map(|size| Size(Some(size))).ok_or_else(wrong)
}

/// What [`parse_size`] gives: bytes, or no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size(pub Option<u64>);

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The lowest limit from this process's group up to the root of groups.
fn group_limit(root: &Path) -> Option<u64> {
    let groups = std::fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    groups.lines().filter_map(|line| limit_of_group(root, line)).min()
}

fn limit_of_group(root: &Path, line: &str) -> Option<u64> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, group) = (parts.next()?, parts.next()?, parts.next()?);
    let (mount, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        _ if controllers.split(',').any(|one| one == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return None,
    };
    let mount = root.join(mount);
    // A group of another namespace begins with `..`: its path says nothing here.
    let within: PathBuf =
        Path::new(group).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let limits = within.ancestors().filter_map(|ancestor| {
        let text = std::fs::read_to_string(mount.join(ancestor).join(file)).ok()?;
        text.trim().parse::<u64>().ok()
    });
    // Version 1 writes a number near 2^63 for none.
    limits.filter(|limit| *limit < 1 << 60).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_mistakes_told() {
        assert_eq!(parse_size("512MiB"), Ok(Size(Some(512 << 20))));
        assert_eq!(parse_size("2Gi"), Ok(Size(Some(2 << 30))));
        assert_eq!(parse_size("1000000"), Ok(Size(Some(1_000_000))));
        assert_eq!(parse_size("off"), Ok(Size(None)));
        for wrong in ["", "0", "x", "12Q", "-1", "99999999999999Gi"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_lowest_limit_of_the_groups_above_holds() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("proc/self/cgroup", "0::/a/b\n5:devices:/x\n");
        assert_eq!(group_limit(root.path()), None);
        write("sys/fs/cgroup/a/b/memory.max", "max\n");
        assert_eq!(group_limit(root.path()), None);
        write("sys/fs/cgroup/a/memory.max", "1048576\n");
        assert_eq!(group_limit(root.path()), Some(1 << 20));
        write("proc/self/cgroup", "4:cpu,memory:/c\n");
        write("sys/fs/cgroup/memory/c/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(group_limit(root.path()), None, "that is how version 1 says none");
        write("sys/fs/cgroup/memory/memory.limit_in_bytes", "2097152\n");
        assert_eq!(group_limit(root.path()), Some(2 << 20));
    }

    #[test]
    fn this_process_uses_memory_and_there_is_some() {
        assert!(used().is_some_and(|used| used > 100_000));
        assert!(limit().is_some_and(|limit| limit > 10_000_000));
    }
}
