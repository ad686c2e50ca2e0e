//! Starts a worker.

use anyhow::Context as _;
use clap::Parser as _;
use portcullis_dataplane::{root, settings::Settings};

// Requests allocate and free small buffers at a high rate on few threads; measured against the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<()> {
    // The allocator asks for no huge pages (Cargo.toml); this is for hosts that give them unasked. Without it there is
    // more memory in use, nothing else.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
    let settings = Settings::parse();
    if !settings.allow_core_dumps {
        portcullis_shared::sensitive::keep_out_of_dumps();
    }
    root::run(settings).context("portcullis-dataplane")
}
