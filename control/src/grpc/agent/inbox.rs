//! The inbox of a person who answers: turns that wait, and conversations assigned to their folder.

use crate::{
    control::Control,
    conversation::Conversation,
    grpc::wire,
    ids::{ConversationId, TurnId},
    jid::FolderName,
    ledger::Error,
    names,
    session::Session,
    store::{Partition, Subscription},
    time::Time,
    token::Token,
    turn::{Turn, input::Input},
};
use arizuko_proto::v1;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};
use tokio::time::{Interval, interval};

/// How many turns, and how many conversations, an inbox shows, at most.
const SHOWN: u32 = 100;
/// How many characters of a message an inbox shows, at most.
const PREVIEW: usize = 200;

/// How many sessions of a folder are looked through for people, at most.
const SESSIONS: u32 = 1_000;

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

/// The ids and names that an inbox shows. The rest of it follows from these.
#[derive(PartialEq)]
struct Listed {
    /// The turns, with their places in the queue.
    waiting: Vec<(TurnId, u64)>,
    /// The conversations, with the times of their assignment.
    open: Vec<(ConversationId, u64)>,
    /// Who has the conversations.
    holders: HashMap<ConversationId, Holder>,
}

/// Who has a conversation.
#[derive(PartialEq)]
struct Holder {
    name: String,
    /// The turn that a session of the folder holds.
    turn: Option<TurnId>,
}

impl Listed {
    /// Returns the name of a conversation's holder, and the id of the turn that they hold. Each is
    /// empty if there is none.
    fn holder(&self, conversation: &ConversationId) -> (String, String) {
        let holder = self.holders.get(conversation);
        let turn = holder.and_then(|holder| holder.turn.as_ref());
        (holder.map(|holder| holder.name.clone()).unwrap_or_default(), wire::id_or_empty(turn))
    }
}

impl InboxView {
    pub(super) async fn open(control: &Control, folder: &FolderName) -> Result<Self, Error> {
        let topic = names::queue_topic(folder);
        let wakes = control.ledger.watch(control.partition(folder), &topic).await?;
        let (folder, recheck) = (folder.clone(), interval(RECHECK));
        Ok(Self { folder, sent: None, wakes, recheck })
    }

    /// Waits until the inbox may have changed. The first call returns at once.
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
        let holders = holders(control, partition, folder, &waiting, &open).await?;
        let listed = Listed { waiting, open, holders };
        if self.sent.as_ref() == Some(&listed) {
            return Ok(None);
        }
        let inbox = v1::Inbox {
            waiting: turns(control, partition, &listed).await?,
            open: conversations(control, partition, &listed).await?,
        };
        self.sent = Some(listed);
        Ok(Some(inbox))
    }
}

/// Finds out who has the conversations of an inbox.
async fn holders(
    control: &Control,
    partition: Partition,
    folder: &FolderName,
    waiting: &[(TurnId, u64)],
    open: &[(ConversationId, u64)],
) -> Result<HashMap<ConversationId, Holder>, Error> {
    let ledger = &control.ledger;
    let waiting = ledger.records::<Turn>(partition, waiting.iter().map(|(id, _)| id)).await?;
    let of_waiting = waiting.into_iter().flatten().map(|turn| turn.conversation);
    let mut ids: Vec<_> = of_waiting.chain(open.iter().map(|(id, _)| id.clone())).collect();
    ids.sort_unstable();
    ids.dedup();
    let found = ledger.records::<Conversation>(partition, &ids).await?;
    // Only the first open turn can be held.
    let first = found.iter().flatten().filter_map(|conversation| conversation.open.first());
    let first = ledger.records::<Turn>(partition, first).await?;
    let ours = first.iter().flatten().filter(|turn| turn.place.folder == *folder);
    let held = ours.filter_map(|turn| Some((&turn.conversation, (turn, turn.holder()?))));
    let held: HashMap<_, _> = held.collect();
    let people = attached_people(control, partition, folder).await?;
    let holders = found.iter().flatten().filter_map(|conversation| {
        let holder = match held.get(&conversation.id) {
            Some((turn, name)) => Holder { name: (*name).to_owned(), turn: Some(turn.id.clone()) },
            None => {
                let name = conversation.holder.clone().filter(|name| people.contains(name))?;
                Holder { name, turn: None }
            }
        };
        Some((conversation.id.clone(), holder))
    });
    Ok(holders.collect())
}

/// Returns the names of the people who are attached to the folder.
async fn attached_people(
    control: &Control,
    partition: Partition,
    folder: &FolderName,
) -> Result<HashSet<String>, Error> {
    let ledger = &control.ledger;
    let present = names::present(folder);
    let present = ledger.last_members(partition, &present, u64::MAX, SESSIONS).await?;
    let sessions = ledger.records::<Session>(partition, present.iter().map(|(id, _)| id)).await?;
    let is_here = |session: &Session| session.person && session.expires_at > ledger.now();
    let people = sessions.into_iter().flatten().filter(is_here);
    Ok(people.map(|session| session.name).collect())
}

async fn turns(
    control: &Control,
    partition: Partition,
    listed: &Listed,
) -> Result<Vec<v1::InboxTurn>, Error> {
    let ledger = &control.ledger;
    let ids = listed.waiting.iter().map(|(id, _)| id);
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
            holder: listed.holder(&turn.conversation).0,
        }
    });
    Ok(turns.collect())
}

async fn conversations(
    control: &Control,
    partition: Partition,
    listed: &Listed,
) -> Result<Vec<v1::InboxConversation>, Error> {
    let (ledger, open) = (&control.ledger, &listed.open);
    let found = ledger.records::<Conversation>(partition, open.iter().map(|(id, _)| id)).await?;
    let found: Vec<_> =
        found.into_iter().zip(open).filter_map(|(c, (_, at))| Some((c?, at))).collect();
    let tokens = found.iter().map(|(conversation, _)| &conversation.token);
    let tokens = ledger.records::<Token>(partition, tokens).await?;
    let conversations = found.into_iter().zip(tokens).filter_map(|((conversation, at), token)| {
        let (holder, held_turn_id) = listed.holder(&conversation.id);
        Some(v1::InboxConversation {
            holder,
            held_turn_id,
            conversation: conversation.id.to_string(),
            jid: token.filter(|token| token.is_live(ledger.now()))?.jid,
            assigned_at: Some(wire::timestamp(Time::from_millis(*at))),
        })
    });
    Ok(conversations.collect())
}
