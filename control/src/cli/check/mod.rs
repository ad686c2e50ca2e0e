//! `portcullis check`: is this folder valid?
//!
//! Owns how the verdict is printed, and the exit code. The verdict itself comes from `offline`, which is what control
//! would say.

mod render;
#[cfg(test)]
mod tests;

use super::Failure;
use super::args::{CheckArgs, TextOrJson};
use super::console::{Console, Paint};
use super::offline::{self, Checked};

/// Runs the command. `Err(Silent)` when something is rejected or unreadable: the output has said what.
pub fn run(args: &CheckArgs, console: &Console) -> Result<(), Failure> {
    let checked = offline::check(&args.folder, &args.namespace)?;
    match args.output {
        TextOrJson::Text => console.data(&render::text(&checked, console))?,
        TextOrJson::Json => console.data(&format!("{:#}\n", render::json(&checked)))?,
    }
    if checked.entries.is_empty() && checked.problems.is_empty() {
        console.note(Paint::Warn, "warning:", &format!("no resources in {}", args.folder.display()));
    }
    if accepted(&checked) { Ok(()) } else { Err(Failure::Silent) }
}

/// Warnings and notices are allowed.
fn accepted(checked: &Checked) -> bool {
    checked.problems.is_empty() && checked.defects.is_empty() && checked.rejected().next().is_none()
}
