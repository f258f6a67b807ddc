//! The gRPC contract: what `proto/arizuko/v1/*.proto` says, as Rust types. The comments are there.

/// Package `arizuko.v1`.
#[expect(
    clippy::allow_attributes,
    clippy::large_enum_variant,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("arizuko.v1");

    /// The compiled protos, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
