//! Compiles the pinner's API with protox, so that protoc need not be installed.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=../proto/pinner.proto");
    let descriptors = protox::compile(["pinner.proto"], ["../proto"])?;
    tonic_prost_build::configure().build_transport(false).compile_fds(descriptors)?;
    Ok(())
}
