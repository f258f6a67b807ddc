//! Links: issuing, options, and revocation.

mod hours;
mod issue;
mod looks;
mod options;
mod pause;
mod revoke;
mod stats;
