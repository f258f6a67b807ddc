//! The settings of a tenant: how long its messages and frames are kept.

use crate::{
    audit::{self, Change},
    jid::FolderName,
    key::Caller,
    limits::{LONGEST_KEPT, Limits},
    names::{self, Due},
    refusal::Refusal,
    time::{Time, stored},
    transaction::{Decision, Record, Tx},
};
use arizuko_proto::duration;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The shortest time that can be set. A shorter one would only be a mistake.
const SHORTEST_KEPT: Duration = Duration::from_secs(1);
/// How many conversations one commit makes due, at most.
const BATCH: u32 = 500;

/// The settings of a tenant. A tenant without a record has the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FolderSettings {
    /// How long messages are kept after the end of their turn.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "stored::option")]
    pub(crate) keep_messages: Option<Duration>,
    /// How long frames are kept after the end of their turn.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "stored::option")]
    pub(crate) keep_frames: Option<Duration>,
    /// While changed settings are being applied to what is kept: how far that has come. It has
    /// reached the conversations that were last active up to this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applied_to: Option<Time>,
}

impl Record for FolderSettings {
    /// The tenant.
    type Id = str;

    fn name(root: &str) -> String {
        names::folder_settings(root)
    }
}

/// How long something is kept after the end of its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// At least as long as frames.
    pub(crate) messages: Duration,
    pub(crate) frames: Duration,
}

impl FolderSettings {
    pub(crate) fn new(keep_messages: Option<Duration>, keep_frames: Option<Duration>) -> Self {
        Self { keep_messages, keep_frames, applied_to: None }
    }

    /// Returns how long the tenant's messages and frames are kept at a control with these limits.
    pub(crate) fn kept(&self, limits: &Limits) -> Kept {
        let frames = self.keep_frames.unwrap_or(limits.keep_frames);
        match self.keep_messages {
            // Frames hold the text of messages.
            Some(messages) => Kept { messages, frames: frames.min(messages) },
            None => Kept { messages: limits.keep_messages.max(frames), frames },
        }
    }

    fn check(&self) -> Result<(), Refusal> {
        let bounds = SHORTEST_KEPT..=LONGEST_KEPT;
        for (name, set) in [("messages", self.keep_messages), ("frames", self.keep_frames)] {
            if set.is_some_and(|kept| !bounds.contains(&kept)) {
                let [least, most] = [SHORTEST_KEPT, LONGEST_KEPT].map(duration::print);
                return Err(Refusal::invalid(format!(
                    "a tenant's {name} are kept for at least {least} and at most {most}"
                )));
            }
        }
        match (self.keep_messages, self.keep_frames) {
            (Some(messages), Some(frames)) if frames > messages => Err(Refusal::invalid(format!(
                "frames can't be kept for {}: they have the text of messages, which are kept for {}",
                duration::print(frames),
                duration::print(messages)
            ))),
            _ => Ok(()),
        }
    }

    /// Describes what is set, for the audit log.
    fn describe(&self) -> String {
        let said = |set: Option<Duration>| set.map_or("default".to_owned(), duration::print);
        let (messages, frames) = (said(self.keep_messages), said(self.keep_frames));
        format!("keep_messages {messages}, keep_frames {frames}")
    }

    /// Stores the settings; deletes their record if all are defaults.
    fn store(&self, tx: &mut Tx<'_>, root: &str) -> Decision<()> {
        if *self == Self::default() {
            tx.delete::<Self>(root);
            return Ok(());
        }
        tx.put(root, self)
    }
}

/// Returns how long the messages and frames of the folder's tenant are kept.
pub(crate) fn kept(tx: &mut Tx<'_>, folder: &FolderName) -> Decision<Kept> {
    let settings = tx.get_unlikely::<FolderSettings>(folder.root())?.unwrap_or_default();
    Ok(settings.kept(tx.limits))
}

/// A setting, as update masks name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    KeepMessages,
    KeepFrames,
}

impl Field {
    pub(crate) const ALL: [Self; 2] = [Self::KeepMessages, Self::KeepFrames];

    pub(crate) fn parse(name: &str) -> Result<Self, Refusal> {
        match name {
            "keep_messages" => Ok(Self::KeepMessages),
            "keep_frames" => Ok(Self::KeepFrames),
            _ => Err(Refusal::invalid(format!("a folder has no setting {name:?}"))),
        }
    }
}

/// Sets some of a tenant's settings to those in `wanted`, and begins to apply them to what is kept
/// already. Returns all settings.
///
/// # Errors
/// [`Refusal::NotAllowed`] unless the caller is an operator, [`Refusal::Invalid`] for values out of
/// their range.
pub(crate) fn set(
    tx: &mut Tx<'_>,
    caller: &Caller,
    root: &FolderName,
    wanted: &FolderSettings,
    fields: &[Field],
) -> Decision<FolderSettings> {
    caller.must_be_operator()?;
    let before = tx.get::<FolderSettings>(root.as_str())?.unwrap_or_default();
    let mut settings = before.clone();
    for field in fields {
        match field {
            Field::KeepMessages => settings.keep_messages = wanted.keep_messages,
            Field::KeepFrames => settings.keep_frames = wanted.keep_frames,
        }
    }
    settings.check()?;
    if settings == before {
        return Ok(settings);
    }
    settings.applied_to = Some(Time::default());
    settings.store(tx, root.as_str())?;
    tx.schedule(&Due::Folder(root.to_string()), tx.now);
    let change = Change {
        actor: caller.key_id.as_str(),
        action: "folder.set",
        folder: root.as_str(),
        subject: root.as_str(),
        detail: &settings.describe(),
    };
    audit::note(tx, &change)?;
    Ok(settings)
}

/// Schedules the clean-up of some of the tenant's conversations for now, beginning with those that
/// were inactive for longest. A clean-up goes by the settings that are stored when it runs. If
/// conversations remain, another commit continues with them.
pub(crate) fn apply(tx: &mut Tx<'_>, root: &str) -> Decision<()> {
    let item = Due::Folder(root.to_owned());
    let settings = tx.get::<FolderSettings>(root)?;
    let unfinished = settings.and_then(|settings| settings.applied_to.map(|from| (settings, from)));
    let Some((mut settings, from)) = unfinished else {
        tx.unschedule(&item);
        return Ok(());
    };
    let set = names::conversations(root);
    let mut limit = BATCH;
    let (members, reached) = loop {
        let members = tx.members(&set, from.as_millis()..=u64::MAX, limit)?;
        let last = members.last().map(|(_, active_at)| *active_at);
        let last = last.filter(|_| members.len() == limit as usize);
        // Members of one millisecond can't be told apart by their score: read past them.
        if last != Some(from.as_millis()) {
            break (members, last.map(Time::from_millis));
        }
        limit = limit.saturating_mul(2);
    };
    for (conversation, _) in members {
        tx.schedule(&Due::Conversation(conversation), tx.now);
    }
    settings.applied_to = reached;
    match reached {
        Some(_) => tx.schedule(&item, tx.now),
        None => tx.unschedule(&item),
    }
    settings.store(tx, root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::{self, Found, Member, Order, Read, Write},
        transaction::{Known, Stop},
    };

    fn settings(messages: Option<u64>, frames: Option<u64>) -> FolderSettings {
        let hours = |hours: u64| Duration::from_secs(hours * 3_600);
        FolderSettings::new(messages.map(hours), frames.map(hours))
    }

    #[test]
    fn frames_are_never_kept_longer_than_messages() {
        // By default messages are kept for 30 days and frames for 24 hours.
        for (messages, frames, kept) in [
            (None, None, (30 * 24, 24)),
            (Some(1), None, (1, 1)),
            (Some(100 * 24), None, (100 * 24, 24)),
            (None, Some(1), (30 * 24, 1)),
            (None, Some(40 * 24), (40 * 24, 40 * 24)),
            (Some(48), Some(36), (48, 36)),
        ] {
            let found = settings(messages, frames).kept(&Limits::defaults());
            let hours = |kept: Duration| kept.as_secs() / 3_600;
            assert_eq!((hours(found.messages), hours(found.frames)), kept);
        }
    }

    #[test]
    fn settings_have_a_range() {
        for (messages, frames, fits) in [
            (Some(3_650 * 24), None, true),
            (Some(3_650 * 24 + 1), None, false),
            (None, Some(0), false),
            (Some(2), Some(2), true),
            (Some(1), Some(2), false),
        ] {
            assert_eq!(settings(messages, frames).check().is_ok(), fits, "{messages:?} {frames:?}");
        }
    }

    /// Applies settings to a tenant with conversations that were last active at these times.
    /// Returns how many are made due, and how far that has come.
    fn applied(from: u64, scores: &[u64]) -> (usize, Option<Time>) {
        let (limits, mut known) = (Limits::defaults(), Known::default());
        let mut stored = settings(Some(1), None);
        stored.applied_to = Some(Time::from_millis(from));
        let body = serde_json::to_string(&stored).expect("it is JSON").into();
        let record = Found::Record(Some(store::Record { version: 1, body }));
        known.insert(Read::Record(FolderSettings::name("acme")), record);
        for _ in 0..10 {
            let mut tx = Tx::new(&known, &limits, Time::from_millis(9), [0; 32]);
            let read = match apply(&mut tx, "acme") {
                Err(Stop::Missing(mut reads)) => reads.remove(0),
                decided => {
                    decided.expect("nothing refuses this");
                    let effects = tx.into_effects(0, 2);
                    let due = |write: &&Write| matches!(write, Write::Add { member, score: 9, .. } if member == "conversation:c");
                    let puts = effects.hints.into_iter().find_map(|(_, body)| body);
                    let stored: FolderSettings =
                        serde_json::from_str(&puts.expect("it is stored")).expect("it is JSON");
                    return (effects.batch.writes.iter().filter(due).count(), stored.applied_to);
                }
            };
            let Read::Set { min, limit, order: Order::LowestFirst, .. } = &read else {
                panic!("unexpected: {read:?}")
            };
            let found = scores.iter().filter(|score| *score >= min).take(*limit as usize);
            let member = |score: &u64| Member { name: "c".to_owned(), score: *score };
            let found = Found::Set(found.map(member).collect());
            known.insert(read, found);
        }
        panic!("it reads on and on")
    }

    #[test]
    fn settings_are_applied_in_batches_also_within_one_millisecond() {
        assert_eq!(applied(0, &[]), (0, None));
        assert_eq!(applied(0, &[5; 3]), (3, None));
        let spread: Vec<u64> = (1..=1_200).collect();
        assert_eq!(applied(0, &spread), (500, Some(Time::from_millis(500))));
        assert_eq!(applied(1_000, &spread), (201, None));
        let dense = [vec![5; 1_600], vec![6]].concat();
        assert_eq!(applied(0, &dense), (500, Some(Time::from_millis(5))));
        assert_eq!(applied(5, &dense), (1_601, None));
    }
}
