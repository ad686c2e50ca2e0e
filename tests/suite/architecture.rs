//! The one-way rule between packages and between control's two rings, read off `cargo metadata` and the sources.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, MetadataCommand};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Normal dependencies of each package of the workspace.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".into()])
        .exec()
        .unwrap();
    metadata
        .packages
        .iter()
        .map(|package| {
            let names = package
                .dependencies
                .iter()
                .filter(|d| d.kind == DependencyKind::Normal)
                .map(|d| d.name.clone());
            (package.name.to_string(), names.collect())
        })
        .collect()
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn packages_depend_one_way() {
    let dependencies = dependencies();
    let has = |package: &str, prefix: &str| dependencies[package].iter().any(|name| name.starts_with(prefix));
    assert!(!has("portcullis-control", "portcullis-dataplane"), "control must not know the data plane");
    assert!(!has("portcullis-dataplane", "portcullis-control"), "the data plane must not know control");
    assert!(!has("portcullis-proto", "portcullis-"), "proto knows nobody");
    for package in ["portcullis-control", "portcullis-shared", "portcullis-proto"] {
        assert!(!has(package, "pingora"), "{package} must not name pingora");
    }
    for package in ["portcullis-dataplane", "portcullis-shared", "portcullis-proto"] {
        for client in ["kube", "k8s-openapi", "vaultrs", "notify"] {
            assert!(!has(package, client), "{package} must not name {client}");
        }
    }
    // Control looks up upstreams, a worker the hosts that requests name: both through `shared::dns`.
    for package in ["portcullis-dataplane", "portcullis-control", "portcullis-proto"] {
        assert!(!has(package, "hickory-resolver"), "{package} must not name hickory-resolver");
    }
    assert!(!has("portcullis-dataplane", "pingora-proxy"), "the request engine is ours");
}

/// Whether `name` stands in `line`, not merely as the end of a longer one.
fn names(line: &str, name: &str) -> bool {
    let inside = |at: usize| line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
    line.match_indices(name).any(|(at, _)| !inside(at))
}

#[test]
fn controls_core_does_no_io_and_never_imports_the_shell() {
    const CORE: &[&str] =
        &["resource", "ir", "translate", "policy", "upstream", "function", "compile", "ordered"];
    const SHELL: &[&str] = &[
        "source",
        "keyring",
        "discovery",
        "config",
        "publish",
        "status",
        "admin",
        "store",
        "cli",
        "topics",
        "root",
        "settings",
    ];
    const FORBIDDEN: &[&str] =
        &["tokio::", "ractor::", "std::fs", "std::net::Tcp", "std::net::Udp", "sled::", "tonic::"];
    let src = root().join("control/src");
    for ring in CORE {
        let dir = src.join(ring);
        if !dir.exists() {
            continue;
        }
        let mut files = Vec::new();
        sources(&dir, &mut files);
        for file in files.iter().filter(|file| {
            !file.ends_with("tests.rs") && !file.components().any(|c| c.as_os_str() == "tests")
        }) {
            let text = std::fs::read_to_string(file).unwrap();
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for (number, line) in
                code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//"))
            {
                let place = || format!("{}:{}: {}", file.display(), number + 1, line.trim());
                for name in FORBIDDEN {
                    assert!(!names(line, name), "the core names {name}: {}", place());
                }
                for name in SHELL {
                    assert!(
                        !line.contains(&format!("crate::{name}::")),
                        "the core imports the shell: {}",
                        place()
                    );
                }
            }
        }
    }
    // The Ir knows neither users' field names nor the wire.
    let mut files = Vec::new();
    let ir = src.join("ir");
    if ir.exists() {
        sources(&ir, &mut files);
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for name in ["crate::resource", "portcullis_proto"] {
            let used = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(name));
            assert!(!used, "{} names {name}", file.display());
        }
    }
}

#[test]
fn the_runtime_does_not_know_protobuf() {
    let mut files = Vec::new();
    let runtime = root().join("dataplane/src/runtime");
    if runtime.exists() {
        sources(&runtime, &mut files);
    }
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        let used = code
            .lines()
            .any(|line| !line.trim_start().starts_with("//") && line.contains("portcullis_proto"));
        assert!(!used || file.ends_with("tests.rs"), "{} names the wire schema", file.display());
    }
}

#[test]
fn the_core_crates_keep_to_a_readable_size() {
    let mut long = Vec::new();
    for package in ["proto", "shared", "control", "dataplane"] {
        let mut files = Vec::new();
        sources(&root().join(package).join("src"), &mut files);
        for file in files {
            let lines = std::fs::read_to_string(&file).unwrap().lines().count();
            if lines > 1000 {
                long.push(format!("{}: {lines} lines", file.display()));
            }
        }
    }
    assert!(long.is_empty(), "look for the second concept in: {long:#?}");
}
