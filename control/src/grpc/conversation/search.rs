//! Looks for words in the messages of conversations, and in what sites say of the visitors.

use super::seen::excerpt;
use crate::{
    control::Control,
    conversation::Conversation,
    frame::Transcript,
    ids::{ConversationId, TurnId},
    ledger::Error,
    names,
    refusal::Refusal,
    store::{Order, Partition},
    turn::{Turn, input::Input, texts},
};
use std::{
    cmp::Reverse,
    collections::{BTreeSet, HashMap},
};

/// About how many bytes of messages one page searches.
const BUDGET: usize = 8 << 20;
/// How many turns of a long conversation are read at a time.
const TURNS: u32 = 8;
/// How many turns a short conversation has, at most. All of them are read at once.
const SHORT: u32 = 16;
/// How many bytes the conversations that are read together may keep, at most.
const TOGETHER: u64 = 1 << 20;
/// How many characters a search has, at most.
const MAX_WORDS: usize = 200;
/// How many characters of a message come before the word in its excerpt.
const BEFORE: usize = 10;

/// Splits the text of a search into words, in lower case.
pub(super) fn words(text: &str) -> Result<Vec<String>, Refusal> {
    if text.chars().count() > MAX_WORDS {
        return Err(Refusal::invalid(format!("a search has at most {MAX_WORDS} characters")));
    }
    Ok(text.split_whitespace().map(str::to_lowercase).collect())
}

/// The result of searching a conversation.
pub(super) enum Searched {
    /// A message, or what the site says of the visitor, matches: this is the part of that text
    /// around the first word.
    Found(String),
    NotFound,
    /// Turns before this seq are left to the next page.
    NotYet(u64),
}

/// A search, while one page of the list is filled.
pub(super) struct Search<'a> {
    partition: Partition,
    words: &'a [String],
    /// The turns that may match, the newest of each conversation first, with their first seqs. `None`
    /// if the store has no index that helps: then any turn may match.
    candidates: Option<HashMap<ConversationId, Vec<(TurnId, u64)>>>,
    /// How many bytes may still be read.
    left: usize,
    /// The messages of the short conversations that were read ahead, from the newest turn to the
    /// oldest.
    ahead: HashMap<ConversationId, Vec<String>>,
}

impl<'a> Search<'a> {
    pub(super) async fn begin(
        control: &Control,
        partition: Partition,
        words: &'a [String],
    ) -> Result<Self, Error> {
        let candidates = candidates(control, partition, words).await?;
        Ok(Self { partition, words, candidates, left: BUDGET, ahead: HashMap::new() })
    }

    /// Whether only the conversations that may match are read.
    pub(super) fn has_index(&self) -> bool {
        self.candidates.is_some()
    }

    /// Searches the first conversation: what the site says of its visitor, then its turns before a
    /// seq, the newest first, or all turns if the seq is 0. The other conversations are likely to
    /// be searched next, so the short ones right after the first are read at the same time: each
    /// read of the store costs far more than a search.
    pub(super) async fn run(
        &mut self,
        control: &Control,
        conversations: &[&Conversation],
        before: u64,
    ) -> Result<Searched, Error> {
        let Some(Conversation { id, identity, .. }) = conversations.first() else {
            return Ok(Searched::NotFound);
        };
        // A visitor who never wrote their name must be found by it, too.
        let visitor = identity.as_ref().map(|it| [&*it.id, &it.name, &it.email].join(" "));
        if let Some(excerpt) = visitor.and_then(|visitor| found(&visitor, self.words)) {
            return Ok(Searched::Found(excerpt));
        }
        if before == 0 && self.left > 0 && !self.has_index() && !self.ahead.contains_key(id) {
            self.read_ahead(control, conversations).await?;
        }
        if before == 0
            && let Some(texts) = self.ahead.remove(id)
        {
            let found = texts.iter().find_map(|text| found(text, self.words));
            return Ok(found.map_or(Searched::NotFound, Searched::Found));
        }
        let mut max = before.checked_sub(1).unwrap_or(u64::MAX);
        loop {
            let turns = self.turns(control, id, max).await?;
            if self.left == 0 && !turns.is_empty() {
                return Ok(Searched::NotYet(max.saturating_add(1)));
            }
            let Some((_, lowest)) = turns.last() else { return Ok(Searched::NotFound) };
            let turns_before = lowest.checked_sub(1);
            let ids: Vec<TurnId> = turns.into_iter().map(|(id, _)| id).collect();
            let texts = self.texts(control, &ids).await?;
            if let Some(excerpt) = texts.iter().flatten().find_map(|text| found(text, self.words)) {
                return Ok(Searched::Found(excerpt));
            }
            match turns_before {
                Some(before) => max = before,
                None => return Ok(Searched::NotFound),
            }
        }
    }

    /// Returns the next turns to read of a conversation, with their first seqs: those up to the seq
    /// `max`, the newest first.
    async fn turns(
        &self,
        control: &Control,
        id: &ConversationId,
        max: u64,
    ) -> Result<Vec<(TurnId, u64)>, Error> {
        let Some(candidates) = &self.candidates else {
            let set = names::turns(id);
            return control.ledger.last_members(self.partition, &set, max, TURNS).await;
        };
        let of_this = candidates.get(id).into_iter().flatten();
        let up_to = of_this.filter(|(_, first_seq)| *first_seq <= max);
        Ok(up_to.take(TURNS as usize).cloned().collect())
    }

    /// Reads these conversations in their order, and stops before the first that is long or that
    /// there is no room for.
    async fn read_ahead(
        &mut self,
        control: &Control,
        conversations: &[&Conversation],
    ) -> Result<(), Error> {
        let mut bytes = 0;
        let fits = |conversation: &&&Conversation| {
            bytes += conversation.kept;
            bytes <= TOGETHER
        };
        let ids = conversations.iter().take_while(fits).map(|conversation| conversation.id.clone());
        let ids: Vec<_> = ids.collect();
        let sets: Vec<_> = ids.iter().map(names::turns).collect();
        let ledger = &control.ledger;
        let newest =
            ledger.first_of_each(self.partition, &sets, Order::HighestFirst, SHORT + 1).await?;
        let read = ids.into_iter().zip(newest);
        let short: Vec<(_, Vec<TurnId>)> =
            read.take_while(|(_, turns)| turns.len() <= SHORT as usize).collect();
        let turns: Vec<_> = short.iter().flat_map(|(_, turns)| turns).cloned().collect();
        let mut texts = self.texts(control, &turns).await?.into_iter();
        for (id, turns) in short {
            self.ahead.insert(id, texts.by_ref().take(turns.len()).flatten().collect());
        }
        Ok(())
    }

    /// Reads the messages of turns: each turn's own message, and those of its reply.
    async fn texts(
        &mut self,
        control: &Control,
        turns: &[TurnId],
    ) -> Result<Vec<Vec<String>>, Error> {
        let _permit = control.texts.acquire().await;
        let inputs = control.ledger.records::<Input>(self.partition, turns).await?;
        let replies = control.ledger.records::<Transcript>(self.partition, turns).await?;
        let texts = inputs.into_iter().zip(replies).map(|(input, reply)| texts::of(input, reply));
        let texts: Vec<Vec<String>> = texts.collect();
        // Each turn costs work besides its text: that work counts as 256 bytes.
        let read: usize = texts.iter().flatten().map(String::len).sum();
        self.left = self.left.saturating_sub(read + turns.len() * 256);
        Ok(texts)
    }
}

/// Asks the store's index for the turns that may match.
async fn candidates(
    control: &Control,
    partition: Partition,
    words: &[String],
) -> Result<Option<HashMap<ConversationId, Vec<(TurnId, u64)>>>, Error> {
    if words.is_empty() {
        return Ok(None);
    }
    let ledger = &control.ledger;
    let Some(names) = ledger.candidates(partition, words).await? else { return Ok(None) };
    let turn = |name: &String| name.split('#').next().unwrap_or_default().to_owned();
    let turns: BTreeSet<String> = names.iter().map(turn).collect();
    let turns = ledger.records_named::<Turn>(partition, turns.into_iter().collect()).await?;
    let mut candidates = HashMap::<_, Vec<_>>::new();
    for turn in turns.into_iter().flatten() {
        candidates.entry(turn.conversation).or_default().push((turn.id, turn.first_seq));
    }
    for turns in candidates.values_mut() {
        turns.sort_by_key(|(_, first_seq)| Reverse(*first_seq));
    }
    Ok(Some(candidates))
}

/// Returns the part of a text around the first word, if the text has all words.
fn found(text: &str, words: &[String]) -> Option<String> {
    let lower = text.to_lowercase();
    if !words.iter().all(|word| lower.contains(word)) {
        return None;
    }
    let at = words.first().and_then(|word| lower.find(word))?;
    // Few letters change their number of characters in lower case, so the place is about right.
    let from = lower[..at].chars().count().saturating_sub(BEFORE);
    let begin = text.char_indices().nth(from).map_or(0, |(at, _)| at);
    let dots = if begin > 0 { "…" } else { "" };
    Some(format!("{dots}{}", excerpt(&text[begin..])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_all_words_in_any_case_and_order() {
        let words = words("Refund  éTÉ").expect("it is short");
        assert_eq!(words, ["refund", "été"]);
        assert_eq!(found("No ÉTÉ, no\nrefunds!", &words).as_deref(), Some("…o ÉTÉ, no refunds!"));
        assert_eq!(found("a refund", &words), None);
        let long = format!("{}REFUND été", "x ".repeat(50));
        let excerpt = found(&long, &words).expect("it is there");
        assert!(excerpt.starts_with('…') && excerpt.contains("REFUND"), "{excerpt}");
        assert!(super::words(&"x".repeat(201)).is_err());
    }
}
