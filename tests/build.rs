//! Compiles the service that the tests of the transcoder call.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = "../shared/src/transcoding/testdata";
    println!("cargo:rerun-if-changed={folder}");
    let mut compiler = protox::Compiler::new([folder])?;
    compiler.include_imports(true).open_file("shop.proto")?;
    let out = std::env::var("OUT_DIR")?;
    // With the annotations, which the types of `prost` have no place for.
    std::fs::write(Path::new(&out).join("shop.bin"), compiler.encode_file_descriptor_set())?;
    tonic_prost_build::configure().compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
