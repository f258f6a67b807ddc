//! The gRPC contract: what `proto/arizuko/v1/*.proto` says, as Rust types. The comments are there.
//! Beside it, for our own programs, what all of them do alike: `telemetry` and `tls`.

#[cfg(feature = "telemetry")]
pub mod telemetry;
#[cfg(feature = "tls")]
pub mod tls;

/// Package `arizuko.v1`.
#[expect(clippy::allow_attributes, clippy::large_enum_variant, reason = "generated code")]
pub mod v1 {
    use prost::Message as _;

    tonic::include_proto!("arizuko.v1");

    impl Frame {
        /// What it costs of a subscription's `credit`: a large frame counts as many, so that what
        /// waits for a reader who doesn't read is bounded in bytes.
        pub fn credit(&self) -> u32 {
            let kibibytes = self.encoded_len().div_ceil(1024);
            u32::try_from(kibibytes).unwrap_or(u32::MAX).max(1)
        }
    }

    /// The compiled protos, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
