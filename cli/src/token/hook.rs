//! The flags of `arizuko token issue … hook`.

use arizuko_proto::v1::{HookOptions, hook_options::Dedupe};
use clap::ValueEnum;

#[derive(clap::Args)]
pub(super) struct HookArgs {
    /// How deliveries that came before are recognised, for 72 hours [default: by the headers in which
    /// known senders name them]
    #[arg(long, value_name = "HOW", conflicts_with = "dedupe_header")]
    dedupe: Option<DedupeBy>,
    /// Header that names each delivery, for example X-Event-Id
    #[arg(long, value_name = "NAME")]
    dedupe_header: Option<String>,
}

#[derive(Clone, Copy, ValueEnum)]
enum DedupeBy {
    /// The same method, path, query and body are the same delivery
    Body,
}

impl HookArgs {
    /// Returns what only a webhook can carry, if anything is set.
    pub(super) fn into_request(self) -> Option<HookOptions> {
        let by_header = self.dedupe_header.map(Dedupe::DedupeHeader);
        let dedupe = by_header.or(self.dedupe.map(|DedupeBy::Body| Dedupe::DedupeBody(true)));
        dedupe.map(|dedupe| HookOptions { dedupe: Some(dedupe) })
    }
}
