//! Links: issuing, options, and revocation.

mod issue;
mod options;
mod revoke;
