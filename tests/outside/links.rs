//! Links: minted, told apart, and ended.

mod issue;
mod options;
mod revoke;
