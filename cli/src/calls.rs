//! The frame of a command that calls control and has commands below it.

use crate::{connect, console::Format};
use clap::Subcommand;

#[derive(clap::Args)]
pub(crate) struct Calls<C: Subcommand> {
    #[command(flatten)]
    pub(crate) connection: connect::Options,
    #[command(flatten)]
    pub(crate) format: Format,
    #[command(subcommand)]
    pub(crate) command: C,
}
