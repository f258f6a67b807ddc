//! Generates the Rust types and services with protox, so that no protoc is needed.

use prost::Message as _;
use std::{env, error::Error, fs, path::PathBuf};

const FILES: [&str; 18] = [
    "arizuko/v1/admin.proto",
    "arizuko/v1/agent.proto",
    "arizuko/v1/conversation.proto",
    "arizuko/v1/conversations.proto",
    "arizuko/v1/error.proto",
    "arizuko/v1/event.proto",
    "arizuko/v1/folder.proto",
    "arizuko/v1/gateway.proto",
    "arizuko/v1/hook.proto",
    "arizuko/v1/key.proto",
    "arizuko/v1/looks.proto",
    "arizuko/v1/rating.proto",
    "arizuko/v1/route.proto",
    "arizuko/v1/speech.proto",
    "arizuko/v1/token.proto",
    "arizuko/v1/turn.proto",
    "arizuko/v1/visitor.proto",
    "arizuko/v1/watch.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=arizuko");
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    // `json.rs` looks up the descriptor of a message by its type's name.
    config.enable_type_names();
    tonic_prost_build::configure()
        .bytes(".arizuko.v1")
        .compile_fds_with_config(descriptors, config)?;
    Ok(())
}
