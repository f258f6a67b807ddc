//! Schema 4: conversations and turns are in the sets by which operators find them.

use super::{Change, Step};
use crate::names::{self, Named};
use serde_json::{Error, Value, from_str};

pub(super) const STEP: Step = Step { from: 3, kinds: &["turn", "conversation"], upgrade };

fn upgrade(name: &str, body: &str) -> Result<Option<Vec<Change>>, Error> {
    // Only records are in the sets, not their parts.
    let Some((kind, id)) = name.split_once(':').filter(|_| !name.contains('#')) else {
        return Ok(None);
    };
    if kind == "turn" {
        return Ok(Some(vec![public_id(&Named::Turn(id.to_owned().into()))]));
    }
    let record: Value = from_str(body)?;
    let root = record["with"].as_str().and_then(|with| with.split('/').next());
    let listed = root.zip(record["active_at"].as_u64()).map(|(root, score)| Change::Add {
        set: names::conversations(root).name,
        member: id.to_owned(),
        score,
    });
    let public_id = public_id(&Named::Conversation(id.to_owned().into()));
    Ok(Some([public_id].into_iter().chain(listed).collect()))
}

fn public_id(named: &Named) -> Change {
    let (set, member) = (names::public_ids().name, named.to_string());
    Change::Add { set, member, score: named.place() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_and_turns_are_added_and_their_parts_are_not() {
        let body = r#"{"with":"acme/eng","active_at":7}"#;
        let added = upgrade("conversation:c", body).expect("it is JSON").expect("there is one");
        let in_sets: Vec<_> = added
            .iter()
            .map(|change| match change {
                Change::Add { set, member, score } => (set.as_str(), member.as_str(), *score),
                other => panic!("{other:?}"),
            })
            .collect();
        let place = Named::Conversation("c".to_owned().into()).place();
        assert_eq!(in_sets, [("public", "conversation:c", place), ("conversations:acme", "c", 7)]);
        assert_eq!(upgrade("turn:t", "{}").expect("it is JSON").map(|added| added.len()), Some(1));
        for part in ["turn:t#input", "conversation:c#head"] {
            assert_eq!(upgrade(part, "{}").expect("it is JSON"), None);
        }
    }
}
