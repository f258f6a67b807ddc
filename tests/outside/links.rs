//! Links: issuing, options, and revocation.

mod issue;
mod looks;
mod options;
mod pause;
mod revoke;
