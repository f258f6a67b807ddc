//! `arizuko key rotate`: gives a key another secret, and later ends one of its two secrets.

use crate::{
    console::{Console, note},
    control::Control,
    time,
};
use arizuko_proto::v1::{FinishRotationRequest, RotateKeyRequest};
use prost_types::Duration;

#[derive(clap::Args)]
pub(crate) struct Rotate {
    /// Id of the key
    #[arg(value_name = "key_…")]
    key_id: String,
    /// How long the old secret still works [default: 24h]
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    overlap: Option<Duration>,
    /// How long the key lives from now on [default: as before]
    #[arg(long, value_name = "DURATION", value_parser = time::parse)]
    expires: Option<Duration>,
    /// End the old secret now
    #[arg(long, conflicts_with_all = ["overlap", "expires"])]
    finish: bool,
    /// End the new secret now, and keep the old one
    #[arg(long, conflicts_with_all = ["overlap", "expires", "finish"])]
    undo: bool,
}

impl Rotate {
    /// Rotates the key, or ends one of its two secrets. `flags` go into the suggested command, so
    /// that it calls the same control.
    pub(super) async fn run(
        self,
        control: &Control,
        flags: &str,
        json: bool,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        if self.finish || self.undo {
            return self.end(control, json, console).await;
        }
        let Self { key_id, overlap, expires: lifetime, .. } = self;
        let request = RotateKeyRequest { key_id: key_id.clone(), overlap, lifetime };
        let rotated = control.answer(control.keys().await?.rotate_key(request).await)?;
        if json {
            return console.message(&rotated);
        }
        console.line(&rotated.key)?;
        let ends_at = rotated.rotated.and_then(|key| key.old_secret_ends_at);
        if ends_at.is_none() {
            note(&format!("the new secret of {key_id}, shown this once. The old one has ended"));
            return Ok(());
        }
        let finish = console.command(&format!("key rotate {key_id} --finish{flags}"));
        note(&format!(
            "the new secret of {key_id}, shown this once. The old one works until {}. \
             When nobody needs it any more: {finish}",
            time::brief(ends_at)
        ));
        Ok(())
    }

    async fn end(
        self,
        control: &Control,
        json: bool,
        console: &mut Console<'_>,
    ) -> anyhow::Result<()> {
        let Self { key_id, undo, .. } = self;
        let request = FinishRotationRequest { key_id: key_id.clone(), undo };
        let ended = control.answer(control.keys().await?.finish_rotation(request).await)?;
        if json {
            return console.message(&ended);
        }
        if ended.finished.is_none() {
            // No error: an earlier call may have ended the secret.
            note(&format!("{key_id} has only one secret: nothing to end"));
            return Ok(());
        }
        let which = if undo { "new" } else { "old" };
        console.line(&format!("ended the {which} secret of {key_id}"))
    }
}
