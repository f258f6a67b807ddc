//! Schema 5: the records of conversations and turns are named by their public ids, so that the set
//! `public` is not needed; `queues` names the folders for which turns wait, in place of the set
//! `waiting` of those turns. (Logs are lists on Redis, and no longer streams.)

use super::{Change, Step};
use crate::names;
use arizuko_proto::public_id;
use serde_json::{Error, Value, from_str};

pub(super) const STEP: Step =
    Step { from: 4, kinds: &["turn", "conversation"], upgrade, obsolete: &["public", "waiting"] };

fn upgrade(name: &str, body: &str) -> Result<Option<Vec<Change>>, Error> {
    let (kind, rest) = name.split_once(':').unwrap_or_default();
    let (id, part) = rest.split_once('#').map_or((rest, None), |(id, part)| (id, Some(part)));
    // Public ids are shorter: a record that is named by one has the new name already.
    if !public_id::is_own(id) {
        return Ok(None);
    }
    let part = part.map(|part| format!("#{part}")).unwrap_or_default();
    let renamed = format!("{kind}:{}{part}", public_id::short(id));
    let mut changes = vec![
        Change::Put { name: renamed, body: body.to_owned() },
        Change::Delete { name: name.to_owned() },
    ];
    let record: Value = from_str(body)?;
    if let (Some(folder), "queued") = (record["place"]["folder"].as_str(), text(&record["state"])) {
        let (set, member) = (names::queues().name, folder.to_owned());
        changes.push(Change::Add { set, member, score: 0 });
    }
    Ok(Some(changes))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn records_and_their_parts_are_renamed_once() {
        let short = public_id::short(ID);
        for (old, new) in [
            (format!("turn:{ID}"), format!("turn:{short}")),
            (format!("turn:{ID}#input"), format!("turn:{short}#input")),
            (format!("conversation:{ID}#head"), format!("conversation:{short}#head")),
        ] {
            let renamed = upgrade(&old, "{}").expect("it is JSON").expect("it is old");
            let put = Change::Put { name: new.clone(), body: "{}".to_owned() };
            assert_eq!(renamed, [put, Change::Delete { name: old }]);
            assert_eq!(upgrade(&new, "{}").expect("it is JSON"), None);
        }
    }

    #[test]
    fn the_folder_of_a_turn_that_waits_is_noted() {
        let body = r#"{"place":{"folder":"acme/eng"},"state":"queued"}"#;
        let changes = upgrade(&format!("turn:{ID}"), body).expect("it is JSON").expect("it is old");
        let (set, member) = ("queues".to_owned(), "acme/eng".to_owned());
        assert_eq!(changes.last(), Some(&Change::Add { set, member, score: 0 }));
    }
}
