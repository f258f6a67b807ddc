//! The inbox of a person who answers: turns that wait, and conversations assigned to their folder.

use crate::{
    control::Control,
    conversation::{self, Conversation},
    grpc::wire,
    jid::Folder,
    ledger::Error,
    store::{Member, Partition},
    token::{self, Token},
    turn::{self, Input, Turn},
};
use arizuko_proto::v1;

/// Turns that an inbox shows, and conversations.
const SHOWN: u32 = 100;
/// Characters of a message that it shows.
const PREVIEW: usize = 200;

/// Remembers what an inbox last showed, so that it is sent only when it changes.
#[derive(Default)]
pub(super) struct InboxView {
    sent: Option<Listed>,
}

#[derive(PartialEq)]
struct Listed {
    waiting: Vec<Member>,
    open: Vec<Member>,
}

impl InboxView {
    /// Returns the inbox if it differs from the last one.
    pub(super) async fn changed(
        &mut self,
        control: &Control,
        folder: &Folder,
    ) -> Result<Option<v1::Inbox>, Error> {
        let (ledger, partition) = (&control.ledger, control.partition(folder));
        let waiting =
            ledger.members(partition, turn::ready(folder), (0, ledger.now()), SHOWN).await?;
        let assigned = conversation::assigned(folder);
        let mut open = ledger.last_members(partition, assigned, u64::MAX, SHOWN).await?;
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
    waiting: &[Member],
) -> Result<Vec<v1::InboxTurn>, Error> {
    let ledger = &control.ledger;
    let records = waiting.iter().map(|member| turn::record(&member.name));
    let records = ledger.records::<Turn>(partition, records).await?;
    let inputs = waiting.iter().map(|member| turn::input(&member.name));
    let inputs = ledger.records::<Input>(partition, inputs).await?;
    let found = records.into_iter().zip(inputs);
    let turns = found.filter_map(|(turn, input)| {
        let (turn, input) = (turn?, input?);
        let content = input.content.into_bytes();
        let text = String::from_utf8_lossy(&content);
        Some(v1::InboxTurn {
            turn_id: turn.id,
            conversation: turn.conversation,
            jid: turn.jid,
            preview: text.chars().take(PREVIEW).collect(),
            created_at: Some(wire::timestamp(turn.created_at)),
        })
    });
    Ok(turns.collect())
}

async fn conversations(
    control: &Control,
    partition: Partition,
    open: &[Member],
) -> Result<Vec<v1::InboxConversation>, Error> {
    let ledger = &control.ledger;
    let records = open.iter().map(|member| conversation::record(&member.name));
    let records = ledger.records::<Conversation>(partition, records).await?;
    let tokens = records.iter().map(|record| {
        let token = record.as_ref().map(|record| record.token.as_str());
        token::record(token.unwrap_or_default())
    });
    let tokens = ledger.records::<Token>(partition, tokens).await?;
    let found = open.iter().zip(records).zip(tokens);
    let conversations = found.filter_map(|((member, record), token)| {
        Some(v1::InboxConversation {
            conversation: record?.id,
            jid: token.filter(|token| token.is_live(ledger.now()))?.jid,
            assigned_at: Some(wire::timestamp(member.score)),
        })
    });
    Ok(conversations.collect())
}
