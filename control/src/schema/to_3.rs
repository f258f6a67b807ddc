//! Schema 3. The data that each frame changes is in records of its own. A turn's message and reply
//! are parts of the turn (`turn:ID#input`). Each state of a turn has only its own fields.

use super::{Change, Step};
use serde_json::{Error, Value, from_str, json};

pub(super) const STEP: Step = Step {
    from: 2,
    kinds: &["turn", "input", "reply", "conversation", "observed"],
    upgrade,
    obsolete: &[],
};

fn upgrade(name: &str, body: &str) -> Result<Option<Vec<Change>>, Error> {
    // Parts exist only since schema 3, so they are already in the new form.
    if name.contains('#') {
        return Ok(None);
    }
    let (kind, id) = name.split_once(':').unwrap_or_default();
    let old: Value = from_str(body)?;
    Ok(match kind {
        "turn" => (old["state"].is_null()).then(|| turn(name, &old)),
        "conversation" => (!old["head"].is_null()).then(|| conversation(name, &old)),
        "input" => Some(vec![put(format!("turn:{id}#input"), &input(&old)), delete(name)]),
        "reply" => Some(vec![put(format!("turn:{id}#reply"), &reply(&old)), delete(name)]),
        "observed" => {
            let is_old = old.as_array().is_some_and(|all| all.iter().any(Value::is_array));
            is_old.then(|| vec![put(name.to_owned(), &observed(&old))])
        }
        _ => None,
    })
}

fn put(name: String, body: &Value) -> Change {
    Change::Put { name, body: body.to_string() }
}

fn delete(name: &str) -> Change {
    Change::Delete { name: name.to_owned() }
}

fn turn(name: &str, old: &Value) -> Vec<Change> {
    let state = match old["status"].as_str() {
        Some("queued") => json!("queued"),
        Some("running") => json!({ "running": {
            "session": old["session"],
            "person": old["person"],
            "accept_by": old["accept_by"],
        }}),
        _ => {
            let by = json!({ "session": old["session"], "next_seq": old["next_seq"] });
            json!({ "ended": {
                "outcome": old["status"],
                "at": old["ended_at"],
                "detail": old["detail"],
                "finished_by": if old["finished"] == true { by } else { Value::Null },
                "last_seq": old["last_seq"],
            }})
        }
    };
    let new = json!({
        "id": old["id"],
        "conversation": old["conversation"],
        "origin": {
            "token": old["token"],
            "kind": old["kind"],
            "jid": old["jid"],
            "sender": old["sender"],
            "traceparent": old["traceparent"],
            "unasked": old["unasked"],
            "created_at": old["created_at"],
        },
        "place": {
            "folder": old["folder"],
            "home": old["home"],
            "handoff": handoff(&old["handed"]),
            "moves": old["passes"],
            "spoke": old["spoke"],
        },
        "escalation": {
            "step": old["step"],
            "silence": old["silence"],
            "silent_until": old["silent_until"],
            "unfinished_until": old["unfinished_until"],
        },
        "deadline": old["deadline"],
        "attempt": old["attempt"],
        "strikes": old["strikes"],
        "keep": old["keep"],
        "first_seq": old["first_seq"],
        "state": state,
    });
    let mut changes = vec![put(name.to_owned(), &new)];
    if matches!(old["status"].as_str(), Some("queued" | "running")) {
        let progress = json!({
            "n": old["n"],
            "bytes": old["bytes"],
            "next_seq": old["next_seq"],
            "last_seq": old["last_seq"],
        });
        changes.push(put(format!("{name}#progress"), &progress));
    }
    changes
}

fn conversation(name: &str, old: &Value) -> Vec<Change> {
    let new = json!({
        "id": old["id"],
        "token": old["token"],
        "created_at": old["created_at"],
        "active_at": old["active_at"],
        "trimmed": old["trimmed"],
        "clean_up_at": old["clean_up_at"],
        "open": old["open"],
        "with": old["with"],
        "assigned": old["assigned"],
        "handoff": handoff(&old["handed"]),
        "observed": observed(&old["observed"]),
    });
    let head = json!({ "seq": old["head"], "tag": old["tag"] });
    vec![put(name.to_owned(), &new), put(format!("{name}#head"), &head)]
}

fn input(old: &Value) -> Value {
    let headers = old["headers"].as_array().into_iter().flatten();
    let headers: Vec<_> =
        headers.map(|header| json!({ "name": header[0], "value": header[1] })).collect();
    let context = &old["context"];
    json!({
        "content": old["content"],
        "headers": headers,
        "plan": old["route"],
        "context": {
            "conversation": observed(&context["conversation"]),
            "folder": observed(&context["folder"]),
        },
    })
}

fn reply(old: &Value) -> Value {
    let end = &old["end"];
    let done = json!({ "status": end[0], "error": end[1] });
    let mut new = old.clone();
    new["end"] = if end.is_null() { Value::Null } else { done };
    new
}

fn handoff(old: &Value) -> Value {
    match old {
        Value::Null => Value::Null,
        old => json!({ "from": old["folder"], "note": old["note"], "escalated": old["escalated"] }),
    }
}

fn observed(old: &Value) -> Value {
    let messages = old.as_array().into_iter().flatten();
    messages.map(|message| json!({ "turn": message[0], "bytes": message[1] })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        conversation::{Conversation, Head},
        frame::Transcript,
        turn::{State, Turn, frames::Progress, input::Input, observe::FolderObserved},
    };
    use serde::de::DeserializeOwned;

    /// Returns the upgraded record of this name.
    fn upgraded<T: DeserializeOwned>(old: (&str, &Value), name: &str) -> T {
        let changes = upgrade(old.0, &old.1.to_string()).expect("it is JSON").expect("it is old");
        let body = changes.iter().find_map(|change| match change {
            Change::Put { name: put, body } if put == name => Some(body),
            _ => None,
        });
        from_str(body.expect("it is put")).expect("it has the new form")
    }

    fn old_turn(status: &str) -> Value {
        json!({
            "id": "t", "conversation": "c", "token": "tok_x", "kind": "chat", "jid": "web:acme",
            "folder": "acme", "home": "acme", "unasked": false, "sender": "visitor",
            "traceparent": "", "created_at": 1, "deadline": 9, "status": status, "attempt": 2,
            "session": "s", "person": null, "spoke": true,
            "handed": {"folder": "acme/bot", "note": "n", "escalated": true}, "step": 1,
            "passes": 3, "silence": 5, "silent_until": 6, "unfinished_until": null, "keep": true,
            "accept_by": null, "next_seq": 4, "n": 7, "bytes": 8, "first_seq": 10,
            "last_seq": 20, "strikes": 1, "ended_at": 30, "finished": true, "error": "",
            "detail": "why",
        })
    }

    #[test]
    fn an_open_turn_is_parted_from_its_progress() {
        let old = old_turn("running");
        let turn: Turn = upgraded(("turn:t", &old), "turn:t");
        assert_eq!(turn.hold().map(|hold| hold.session.as_str()), Some("s"));
        assert_eq!((turn.attempt, turn.place.moves, turn.first_seq), (2, 3, 10));
        assert!(turn.place.handoff.is_some_and(|handoff| handoff.from.as_str() == "acme/bot"));
        let progress: Progress = upgraded(("turn:t", &old), "turn:t#progress");
        assert_eq!(
            progress,
            Progress { n: 7, bytes: 8, next_seq: 4, last_seq: 20, response_bytes: 0 }
        );
        let queued: Turn = upgraded(("turn:t", &old_turn("queued")), "turn:t");
        assert_eq!(queued.state, State::Queued);
    }

    #[test]
    fn an_ended_turn_remembers_who_finished_it() {
        let turn: Turn = upgraded(("turn:t", &old_turn("failed")), "turn:t");
        let end = turn.end().expect("it has ended");
        assert_eq!((end.last_seq, end.detail.as_str()), (20, "why"));
        assert_eq!(end.finished_by.as_ref().map(|by| by.next_seq), Some(4));
    }

    #[test]
    fn a_conversation_is_parted_from_its_head() {
        let old = json!({
            "id": "c", "token": "tok_x", "created_at": 1, "active_at": 2, "head": 12, "tag": 34,
            "trimmed": 5, "clean_up_at": null, "open": ["t"], "with": "acme", "assigned": null,
            "handed": null, "observed": [["o", 3]],
        });
        let conversation: Conversation = upgraded(("conversation:c", &old), "conversation:c");
        assert_eq!(
            conversation.observed.turns().map(ToString::to_string).collect::<Vec<_>>(),
            ["o"]
        );
        let head: Head = upgraded(("conversation:c", &old), "conversation:c#head");
        assert_eq!(head, Head { seq: 12, tag: 34 });
    }

    #[test]
    fn a_message_and_a_reply_become_parts_of_their_turn() {
        let old = json!({
            "content": {"text": "hi"}, "headers": [["a", {"text": "b"}]],
            "route": {"persona": "p", "topic": "", "steps": [], "give_up_say": ""},
            "context": {"conversation": [["o", 3]], "folder": []},
        });
        let input: Input = upgraded(("input:t", &old), "turn:t#input");
        assert_eq!((input.plan.persona.as_str(), input.headers[0].name.as_str()), ("p", "a"));
        let old = json!({
            "messages": [{"id": "m", "content": "x", "at": 1}], "kept": 0, "n": 2,
            "status_text": "", "end": ["done", ""],
        });
        let reply: Transcript = upgraded(("reply:t", &old), "turn:t#reply");
        assert!(reply.end.is_some_and(|end| end.outcome.word() == "done"));
        let webhooks = json!([["o", 3]]);
        let _: FolderObserved = upgraded(("observed:acme", &webhooks), "observed:acme");
    }

    #[test]
    fn a_record_in_the_new_form_stays() {
        let changes = upgrade("turn:t", &old_turn("queued").to_string()).expect("it is JSON");
        for change in changes.expect("it is old") {
            let Change::Put { name, body } = change else { continue };
            assert_eq!(upgrade(&name, &body).expect("it is JSON"), None, "{name}");
        }
    }
}
