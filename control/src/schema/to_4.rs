//! Schema 4: conversations are in the set by which operators list them.

use super::{Change, Step};
use crate::names;
use serde_json::{Error, Value, from_str};

pub(super) const STEP: Step = Step { from: 3, kinds: &["conversation"], upgrade, obsolete: &[] };

fn upgrade(name: &str, body: &str) -> Result<Option<Vec<Change>>, Error> {
    // Only conversations are in the set, not their parts.
    if name.contains('#') {
        return Ok(None);
    }
    let record: Value = from_str(body)?;
    let root = record["with"].as_str().and_then(|with| with.split('/').next());
    let listed = root.zip(record["id"].as_str()).zip(record["active_at"].as_u64());
    Ok(listed.map(|((root, id), score)| {
        vec![Change::Add { set: names::conversations(root).name, member: id.to_owned(), score }]
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversations_are_added_and_their_parts_are_not() {
        let body = r#"{"id":"c","with":"acme/eng","active_at":7}"#;
        let added = upgrade("conversation:c", body).expect("it is JSON").expect("there is one");
        let set = "conversations:acme".to_owned();
        assert_eq!(added, [Change::Add { set, member: "c".to_owned(), score: 7 }]);
        assert_eq!(upgrade("conversation:c#head", "{}").expect("it is JSON"), None);
    }
}
