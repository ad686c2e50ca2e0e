//! Golden cases: `tests/golden/<case>/in.yaml` is the whole input, `table.yaml` and `report.yaml` are what comes of it.
//! `accepted.yaml`, where there is one, holds forms that were accepted before. `make golden` rewrites the results.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test, helpers included"
)]

mod golden_support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use golden_support::{case, print_report, print_tables, yaml};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/golden")
}

#[test]
fn every_case_gives_its_table_and_report() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut differences = String::new();
    let mut cases: Vec<PathBuf> = std::fs::read_dir(root())
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|it| it.is_dir())
        .collect();
    cases.sort();
    assert!(cases.len() >= 12, "golden cases are missing");
    for dir in cases {
        let (snapshot, problems) = case::read(&dir);
        let (tables, translated) = case::run(&snapshot);
        for (name, text) in [
            ("table.yaml", yaml::text(&print_tables::tables(&tables, &translated))),
            ("report.yaml", yaml::text(&print_report::report(&translated.report, &problems))),
        ] {
            let file = dir.join(name);
            if update {
                std::fs::write(&file, &text).unwrap();
                continue;
            }
            let wanted = std::fs::read_to_string(&file).unwrap_or_default();
            if wanted != text {
                let line = wanted.lines().zip(text.lines()).position(|(a, b)| a != b);
                let line = line.unwrap_or_else(|| wanted.lines().count().min(text.lines().count()));
                let show = |text: &str| text.lines().nth(line).unwrap_or("(end)").to_owned();
                let (was, is) = (show(&wanted), show(&text));
                writeln!(differences, "{}:{}\n  golden: {was}\n  now:    {is}", file.display(), line + 1)
                    .unwrap();
            }
        }
    }
    assert!(differences.is_empty(), "run `make golden` and look at the difference:\n{differences}");
}
