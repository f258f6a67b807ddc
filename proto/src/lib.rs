//! The gRPC contract of arizuko as Rust types, generated from `proto/arizuko/v1/*.proto`, whose
//! comments document it. The features add code that arizuko's own programs share.

#[cfg(feature = "server")]
mod allocator;
#[cfg(feature = "client")]
pub mod client;
#[cfg(feature = "server")]
pub mod connections;
#[cfg(feature = "duration")]
pub mod duration;
mod error;
#[cfg(feature = "json")]
pub mod json;
#[cfg(feature = "telemetry")]
pub mod private;
#[cfg(feature = "telemetry")]
pub mod public_id;
#[cfg(feature = "telemetry")]
pub mod service;
#[cfg(feature = "telemetry")]
pub mod signals;
#[cfg(feature = "telemetry")]
pub mod supervisor;
#[cfg(feature = "client")]
pub mod target;
#[cfg(feature = "telemetry")]
pub mod telemetry;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "telemetry")]
pub mod variables;

/// Package `arizuko.v1`.
#[expect(clippy::allow_attributes, clippy::large_enum_variant, reason = "generated code")]
pub mod v1 {
    use prost::Message as _;

    tonic::include_proto!("arizuko.v1");

    impl Frame {
        /// Returns how much of a subscription's `credit` the frame costs: 1 for each started KiB,
        /// so that the bytes that wait for a slow reader are bounded.
        pub fn credit(&self) -> u32 {
            let kibibytes = self.encoded_len().div_ceil(1024);
            u32::try_from(kibibytes).unwrap_or(u32::MAX).max(1)
        }
    }

    /// The compiled protos, for gRPC reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
}
