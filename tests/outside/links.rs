//! Links: minted, told apart, and ended.

mod issue;
mod revoke;
