//! What a caller can make the service hold is bounded.

mod connections;
mod owners;
