//! A conversation as a list shows it.

use crate::{
    control::Control,
    conversation::Conversation,
    frame::{Outcome, Transcript},
    grpc::wire,
    ids::{ConversationId, TokenId, TurnId},
    jid::FolderName,
    key::Caller,
    ledger::Error,
    names,
    store::{Order, Partition},
    token::{Kind, Token},
    turn::{Turn, input::Input},
};
use arizuko_proto::{
    public_id,
    v1::{self, ConversationStatus},
};
use std::collections::HashMap;

/// How many characters an excerpt has, at most.
const EXCERPT: usize = 120;

/// A conversation with one of its turns, and with the folder, JID and kind of its link.
pub(in crate::grpc) struct Seen {
    pub(super) conversation: Conversation,
    /// The folder of its link; `None` if the link's record is gone.
    pub(super) link: Option<FolderName>,
    /// The oldest open turn, or the newest turn if none is open; `None` if no turn is kept.
    pub(super) turn: Option<Turn>,
    jid: String,
    kind: Kind,
}

/// Reads conversations, in the order of `ids`; `None` for one that is gone.
pub(in crate::grpc) async fn read(
    control: &Control,
    partition: Partition,
    ids: &[ConversationId],
) -> Result<Vec<Option<Seen>>, Error> {
    let ledger = &control.ledger;
    let found = ledger.records::<Conversation>(partition, ids).await?;
    let mut links: HashMap<TokenId, Option<Token>> = HashMap::new();
    for conversation in found.iter().flatten() {
        links.insert(conversation.token.clone(), None);
    }
    let tokens: Vec<TokenId> = links.keys().cloned().collect();
    let records = ledger.records::<Token>(partition, &tokens).await?;
    links.extend(tokens.into_iter().zip(records));

    let sets: Vec<_> = ids.iter().map(names::turns).collect();
    let newest = ledger.first_of_each(partition, &sets, Order::HighestFirst, 1).await?;
    let shown: Vec<Option<TurnId>> = found
        .iter()
        .zip(newest)
        .map(|(conversation, newest)| {
            let open = conversation.as_ref().and_then(|c| c.open.first().cloned());
            open.or_else(|| newest.into_iter().next())
        })
        .collect();
    let mut turns = ledger.records::<Turn>(partition, shown.iter().flatten()).await?.into_iter();
    let shown = shown.iter().map(|id| id.as_ref().and_then(|_| turns.next().flatten()));
    let seen = found.into_iter().zip(shown).map(|(conversation, turn)| {
        let conversation = conversation?;
        let token = links.get(&conversation.token).and_then(Option::as_ref);
        let origin = turn.as_ref().map(|turn| &turn.origin);
        let address = token.map(|token| (token.jid.clone(), token.kind));
        let address = address.or(origin.map(|origin| (origin.jid.clone(), origin.kind)));
        let (jid, kind) = address.unwrap_or((String::new(), Kind::Chat));
        let link = token.map(|token| token.folder.clone());
        Some(Seen { conversation, link, turn, jid, kind })
    });
    Ok(seen.collect())
}

impl Seen {
    pub(super) fn public_id(&self) -> String {
        public_id::conversation(self.conversation.id.as_str())
    }

    /// Returns the folder of its link or, if the link's record is gone, the folder that answered
    /// last.
    pub(super) fn folder(&self) -> FolderName {
        self.link.as_ref().unwrap_or(&self.conversation.with).clone()
    }

    /// Returns the folders that take part in the conversation: the folder of its link, the one that
    /// answered last, and the one that the conversation is assigned to.
    fn folders(&self) -> impl Iterator<Item = &FolderName> {
        let Conversation { with, assigned, .. } = &self.conversation;
        self.link.iter().chain([with]).chain(assigned)
    }

    /// Whether the caller may read the conversation.
    pub(super) fn is_reached_by(&self, caller: &Caller) -> bool {
        self.folders().any(|folder| caller.must_reach(folder).is_ok())
    }

    pub(super) fn is_within(&self, above: &FolderName) -> bool {
        self.folders().any(|folder| folder.is_within(above))
    }

    pub(super) fn has_jid(&self, jid: &str) -> bool {
        self.jid == jid
    }

    pub(super) fn has_kind(&self, kind: Kind) -> bool {
        self.kind == kind
    }

    pub(super) fn has_status(&self, status: ConversationStatus) -> bool {
        let is_open = !self.conversation.open.is_empty();
        let failed = |turn: &Turn| {
            let outcome = turn.end().map(|end| end.outcome);
            matches!(outcome, Some(Outcome::Failed | Outcome::Expired))
        };
        match status {
            ConversationStatus::Unspecified => true,
            ConversationStatus::Open => is_open,
            ConversationStatus::Waiting => {
                is_open && self.turn.as_ref().is_some_and(Turn::is_queued)
            }
            ConversationStatus::Failed => !is_open && self.turn.as_ref().is_some_and(failed),
        }
    }

    /// Reads the beginning of the newest message of its turn; empty for a webhook.
    pub(super) async fn excerpt(
        &self,
        control: &Control,
        partition: Partition,
    ) -> Result<String, Error> {
        let Some(turn) = self.turn.as_ref().filter(|turn| turn.origin.kind == Kind::Chat) else {
            return Ok(String::new());
        };
        let reply = control.ledger.record::<Transcript>(partition, &turn.id).await?;
        let last = reply.and_then(|reply| reply.messages.into_iter().last());
        if let Some(message) = last {
            return Ok(excerpt(&message.content));
        }
        let input = control.ledger.record::<Input>(partition, &turn.id).await?;
        Ok(excerpt(&input.map(|input| input.content.into_text()).unwrap_or_default()))
    }

    /// Describes the conversation to a caller, without the folders beyond the caller's reach.
    pub(in crate::grpc) fn to_wire(&self, caller: &Caller, excerpt: String) -> v1::Conversation {
        let Self { conversation, link, turn, .. } = self;
        let shown = |folder: Option<&FolderName>| {
            let reached = folder.filter(|folder| caller.must_reach(folder).is_ok());
            reached.map(ToString::to_string).unwrap_or_default()
        };
        let status = turn.as_ref().map_or(v1::TurnStatus::Unspecified, wire::status);
        v1::Conversation {
            conversation_id: self.public_id(),
            jid: self.jid.clone(),
            kind: wire::kind(self.kind).into(),
            token_id: conversation.token.to_string(),
            folder: shown(link.as_ref()),
            with: shown(Some(&conversation.with)),
            assigned: shown(conversation.assigned.as_ref()),
            created_at: Some(wire::timestamp(conversation.created_at)),
            active_at: Some(wire::timestamp(conversation.active_at)),
            status: status.into(),
            open_turns: u32::try_from(conversation.open.len()).unwrap_or(u32::MAX),
            excerpt,
            turn_id: turn.as_ref().map(|t| public_id::turn(t.id.as_str())).unwrap_or_default(),
            delivery: turn.as_ref().map(|t| t.origin.delivery.clone()).unwrap_or_default(),
            identity: conversation.identity.clone().map(wire::identity),
            title: conversation.title.clone().unwrap_or_default(),
            notes: conversation.notes.iter().cloned().map(wire::note).collect(),
        }
    }
}

/// Returns the beginning of a text, on one line.
pub(in crate::grpc) fn excerpt(text: &str) -> String {
    let mut line = String::new();
    for word in text.split_whitespace() {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.chars().count() > EXCERPT {
            let end = line.char_indices().nth(EXCERPT - 1).map_or(line.len(), |(at, _)| at);
            line.truncate(end);
            line.push('…');
            break;
        }
    }
    line
}
