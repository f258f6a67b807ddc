//! The inbox of a person who answers: turns that wait, and conversations assigned to their folder.

use crate::{
    control::Control,
    conversation::Conversation,
    grpc::wire,
    ids::{ConversationId, TurnId},
    jid::FolderName,
    ledger::Error,
    names,
    store::{Partition, Subscription},
    time::Time,
    token::Token,
    turn::{Turn, input::Input},
};
use arizuko_proto::v1;
use std::time::Duration;
use tokio::time::{Interval, interval};

/// How many turns, and how many conversations, an inbox shows, at most.
const SHOWN: u32 = 100;
/// How many characters of a message an inbox shows, at most.
const PREVIEW: usize = 200;

/// How often the inbox is read even if no wake-up comes.
const RECHECK: Duration = Duration::from_secs(10);

/// Remembers what an inbox last showed, so that it is sent only when it changes.
pub(super) struct InboxView {
    folder: FolderName,
    sent: Option<Listed>,
    /// Wake-ups about turns that wait in the folder, and about conversations assigned to it.
    wakes: Subscription,
    recheck: Interval,
}

#[derive(PartialEq)]
struct Listed {
    /// The turns, with their places in the queue.
    waiting: Vec<(TurnId, u64)>,
    /// The conversations, with the times of their assignment.
    open: Vec<(ConversationId, u64)>,
}

impl InboxView {
    pub(super) async fn open(control: &Control, folder: &FolderName) -> Result<Self, Error> {
        let topic = names::queue_topic(folder);
        let wakes = control.ledger.watch(control.partition(folder), &topic).await?;
        let (folder, recheck) = (folder.clone(), interval(RECHECK));
        Ok(Self { folder, sent: None, wakes, recheck })
    }

    /// Returns when the inbox may have changed, the first time at once.
    pub(super) async fn due(&mut self) {
        tokio::select! {
            _ = self.wakes.next() => {}
            _ = self.recheck.tick() => {}
        }
    }

    /// Returns the inbox if it differs from the one that was last sent.
    pub(super) async fn changed(&mut self, control: &Control) -> Result<Option<v1::Inbox>, Error> {
        let folder = &self.folder;
        let (ledger, partition) = (&control.ledger, control.partition(folder));
        let waiting = ledger.members(partition, &names::queue(folder), 0..=u64::MAX, SHOWN).await?;
        let assigned = names::assigned(folder);
        let mut open = ledger.last_members(partition, &assigned, u64::MAX, SHOWN).await?;
        open.reverse();
        let listed = Listed { waiting, open };
        if self.sent.as_ref() == Some(&listed) {
            return Ok(None);
        }
        let inbox = v1::Inbox {
            waiting: turns(control, partition, &listed.waiting).await?,
            open: conversations(control, partition, &listed.open).await?,
        };
        self.sent = Some(listed);
        Ok(Some(inbox))
    }
}

async fn turns(
    control: &Control,
    partition: Partition,
    waiting: &[(TurnId, u64)],
) -> Result<Vec<v1::InboxTurn>, Error> {
    let ledger = &control.ledger;
    let ids = waiting.iter().map(|(id, _)| id);
    let turns = ledger.records::<Turn>(partition, ids.clone()).await?;
    let inputs = ledger.records::<Input>(partition, ids).await?;
    let mut turns: Vec<_> =
        turns.into_iter().zip(inputs).filter_map(|(turn, input)| Some((turn?, input?))).collect();
    turns.sort_by_key(|(turn, _)| turn.origin.created_at);
    let turns = turns.into_iter().map(|(turn, input)| {
        let content = input.content.into_bytes();
        let text = String::from_utf8_lossy(&content);
        v1::InboxTurn {
            turn_id: turn.id.to_string(),
            conversation: turn.conversation.to_string(),
            jid: turn.origin.jid,
            preview: text.chars().take(PREVIEW).collect(),
            created_at: Some(wire::timestamp(turn.origin.created_at)),
            identity: input.identity.map(wire::identity),
        }
    });
    Ok(turns.collect())
}

async fn conversations(
    control: &Control,
    partition: Partition,
    open: &[(ConversationId, u64)],
) -> Result<Vec<v1::InboxConversation>, Error> {
    let ledger = &control.ledger;
    let found = ledger.records::<Conversation>(partition, open.iter().map(|(id, _)| id)).await?;
    let found: Vec<_> =
        found.into_iter().zip(open).filter_map(|(c, (_, at))| Some((c?, at))).collect();
    let tokens = found.iter().map(|(conversation, _)| &conversation.token);
    let tokens = ledger.records::<Token>(partition, tokens).await?;
    let conversations = found.into_iter().zip(tokens).filter_map(|((conversation, at), token)| {
        Some(v1::InboxConversation {
            conversation: conversation.id.to_string(),
            jid: token.filter(|token| token.is_live(ledger.now()))?.jid,
            assigned_at: Some(wire::timestamp(Time::from_millis(*at))),
        })
    });
    Ok(conversations.collect())
}
