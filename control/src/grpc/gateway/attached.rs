//! Looks for an agent in the folder that most likely answers, while the rest of a call is under
//! way, so that the caller doesn't wait for two round trips to the store.

use crate::{control::Control, jid::FolderName, route, store::Partition, token::Token};

/// Whether an agent was found in the folder that most likely answers.
pub(super) struct Likely<'a> {
    control: &'a Control,
    /// `None` if nothing is remembered of the token.
    folder: Option<FolderName>,
    attached: bool,
}

/// Does `work`, and meanwhile looks for an agent that answers the token's messages. `hint` is the
/// token as this control remembers it.
pub(super) async fn meanwhile<'a, T>(
    control: &'a Control,
    partition: Partition,
    hint: Option<&Token>,
    work: impl Future<Output = T>,
) -> (T, Likely<'a>) {
    let folder = hint.map(|token| {
        let target =
            route::likely_target(&token.jid, |prefix| control.ledger.hint(partition, prefix));
        target.unwrap_or_else(|| token.folder.clone())
    });
    let looking = async {
        match &folder {
            Some(folder) => control.agent_attached(folder).await,
            None => false,
        }
    };
    let (done, attached) = tokio::join!(work, looking);
    (done, Likely { control, folder, attached })
}

impl Likely<'_> {
    /// Whether an agent of the folder is attached. Asks the store only if this isn't the folder that
    /// was looked up early.
    pub(super) async fn is_attached_to(&self, folder: &FolderName) -> bool {
        match &self.folder {
            Some(likely) if likely == folder => self.attached,
            _ => self.control.agent_attached(folder).await,
        }
    }
}
