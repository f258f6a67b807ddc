//! Reads all turns of some conversations, a few at a time, and at the reader's pace.

use super::{list::Wanted, seen, turn};
use crate::{
    control::Control, grpc::key_watch::KeyWatch, ids::ConversationId, key::Caller, ledger::Error,
    names, refusal::Refusal,
};
use arizuko_proto::v1;
use std::{collections::HashSet, sync::Arc};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument as _;

/// How many conversations are read at a time.
const CONVERSATIONS: u32 = 50;
/// How many turns are read at a time.
const TURNS: usize = 50;
/// How many turns may wait for the reader. While that many wait, the export waits.
const WAITING: usize = 16;

type Line = Result<v1::ExportConversationsResponse, Status>;

/// Starts to export the wanted conversations. The stream ends with an error if the export is not
/// complete.
pub(super) async fn start(
    control: &Arc<Control>,
    caller: &Caller,
    wanted: Wanted,
) -> Result<ReceiverStream<Line>, Error> {
    let key = KeyWatch::start(control, caller).await?;
    let (lines, stream) = mpsc::channel(WAITING);
    let control = control.clone();
    let exporting = async move {
        let ended = tokio::select! {
            ended = run(&control, &wanted, &lines) => ended,
            () = lines.closed() => Ok(()),
            () = key.revoked() => Err(Refusal::KeyInvalid.into()),
            () = control.draining.cancelled() => Err(Refusal::SessionOver.into()),
        };
        if let Err(error) = ended {
            // This fails if nobody reads; then nobody misses the error.
            let _ = lines.send(Err(error.into())).await;
        }
    };
    tokio::spawn(exporting.in_current_span());
    Ok(ReceiverStream::new(stream))
}

/// Sends the turns of the wanted conversations. The conversations that were inactive for longest
/// come first; one that is active meanwhile comes again at the end, so that nothing is missed.
async fn run(control: &Control, wanted: &Wanted, lines: &mpsc::Sender<Line>) -> Result<(), Error> {
    let mut walk =
        Walk { at: wanted.since.unwrap_or_default().as_millis(), passed: HashSet::new() };
    loop {
        let ids = walk.next(control, wanted).await?;
        if ids.is_empty() {
            return Ok(());
        }
        for seen in seen::read(control, wanted.partition, &ids).await?.into_iter().flatten() {
            if wanted.is_met_by(&seen) && export(control, wanted, &seen, lines).await?.is_none() {
                return Ok(());
            }
        }
    }
}

/// Sends a conversation's turns; `None` once nobody reads.
async fn export(
    control: &Control,
    wanted: &Wanted,
    seen: &seen::Seen,
    lines: &mpsc::Sender<Line>,
) -> Result<Option<()>, Error> {
    let since = wanted.since.unwrap_or_default();
    let whole = turn::Wanted { caller: &wanted.caller, since, cut: usize::MAX, headers: true };
    let conversation = seen.to_wire(&wanted.caller, String::new());
    let (id, mut next) = (&seen.conversation.id, Some(0));
    while let Some(after) = next {
        let turns;
        (turns, next) = turn::page(control, wanted.partition, id, after, TURNS, &whole).await?;
        for turn in turns {
            let (conversation, turn) = (Some(conversation.clone()), Some(turn));
            let line = v1::ExportConversationsResponse { conversation, turn };
            if lines.send(Ok(line)).await.is_err() {
                return Ok(None);
            }
        }
    }
    Ok(Some(()))
}

/// A walk through a tenant's conversations. Those that were inactive for longest come first.
struct Walk {
    /// How far the walk has come: the last activity of the conversation that it returned last, in
    /// milliseconds since 1970. At first the start of the selection.
    at: u64,
    /// The conversations that were last active in that millisecond and have been passed.
    passed: HashSet<ConversationId>,
}

impl Walk {
    /// Returns the next conversations; none at the end.
    async fn next(
        &mut self,
        control: &Control,
        wanted: &Wanted,
    ) -> Result<Vec<ConversationId>, Error> {
        let set = names::conversations(wanted.folder.root());
        // The store reads whole milliseconds, so the conversations in `passed` come again.
        let limit =
            CONVERSATIONS.saturating_add(u32::try_from(self.passed.len()).unwrap_or(u32::MAX));
        let range = self.at..=u64::MAX;
        let mut found = control.ledger.members(wanted.partition, &set, range, limit).await?;
        found.retain(|(id, _)| !self.passed.contains(id));
        if let Some((_, last)) = found.last()
            && *last > self.at
        {
            self.at = *last;
            self.passed.clear();
        }
        let at = self.at;
        self.passed.extend(found.iter().filter(|(_, last)| *last == at).map(|(id, _)| id.clone()));
        Ok(found.into_iter().map(|(id, _)| id).collect())
    }
}
