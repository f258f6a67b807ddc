//! `--watch`: shows what a command lists again and again.

use crate::{console::Console, pager};
use std::{
    io::{self, IsTerminal as _},
    time::Duration,
};
use tokio::time::sleep;

/// How long to wait before the next look.
const PAUSE: Duration = Duration::from_secs(2);

#[derive(clap::Args, Clone, Copy)]
pub(crate) struct Watch {
    /// Show it again every 2 s
    #[arg(long)]
    watch: bool,
}

impl Watch {
    /// Shows what `look` returns. With `--watch`, shows it again and again until the command is
    /// ended; at a terminal, clears the screen first, unless it shows JSON.
    pub(crate) async fn show<T, E: Into<anyhow::Error>>(
        self,
        json: bool,
        console: &mut Console<'_>,
        look: impl AsyncFn() -> Result<T, E>,
        show: impl Fn(T, &mut Console<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        if !self.watch {
            return show(look().await.map_err(Into::into)?, console);
        }
        pager::allow(false);
        loop {
            let seen = look().await.map_err(Into::into)?;
            match io::stdout().is_terminal() && !json {
                true => console.screen(|console| show(seen, console))?,
                false => show(seen, console)?,
            }
            sleep(PAUSE).await;
        }
    }
}
