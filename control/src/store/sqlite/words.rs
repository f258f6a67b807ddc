//! The index of texts, for searches.
//!
//! It is SQLite's FTS5 with every three letters in a row as a token. So it finds parts of words,
//! also in languages without spaces, and has all texts that a scan would find. It has others, too:
//! who searches must look at the texts. It keeps no text.
//!
//! A commit only notes which texts it changes: triggers do that, so that a program that doesn't
//! know the index can't make it wrong. The writer indexes what was noted when it has time.

use super::read_record;
use crate::store::Partition;
use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior, params};
use std::collections::BTreeSet;

/// Which records have texts.
#[derive(Clone, Copy)]
pub(crate) struct Texts {
    /// What the names of these records end with.
    pub(crate) endings: &'static [&'static str],
    /// Returns the text of the record with this name and body, in lower case.
    pub(crate) text: fn(&str, &str) -> String,
}

/// `indexed_text` has a row for each record in the index, and `changed_text` one for each record
/// that has changed since, with the body that the index has seen. Deleting a text takes all of its
/// tokens out of the file. `is_long` says that searches read the text: it is too long for the index,
/// or can't be indexed. In the latter case, what the index has of an earlier text stays in it.
const SCHEMA: &str = "
    CREATE TABLE indexed_text (
        id INTEGER PRIMARY KEY, partition INTEGER NOT NULL, name TEXT NOT NULL,
        is_long INTEGER NOT NULL, UNIQUE (partition, name));
    CREATE INDEX indexed_text_is_long ON indexed_text (partition) WHERE is_long;
    CREATE TABLE changed_text (
        partition INTEGER, name TEXT, indexed TEXT, PRIMARY KEY (partition, name)) WITHOUT ROWID;
    CREATE VIRTUAL TABLE word USING fts5 (
        text, content = '', columnsize = 0, detail = none, tokenize = 'trigram case_sensitive 1');
    INSERT INTO word (word, rank) VALUES ('secure-delete', 1);
";

/// How many bytes a text may have on average over a transaction: commits wait while texts are indexed.
const BYTES: usize = 4 << 10;
/// How many bytes a text in the index has, at most. A search looks at each longer one.
const LONG: usize = 64 << 10;
/// How many characters a token has.
const TOKEN: usize = 3;
/// How many records a search looks at, at most. Words that more records have are soon found without
/// an index.
const MOST: u32 = 2_000;

/// Makes the index in a store that has none yet, and notes all texts as changed.
pub(super) fn begin(connection: &mut Connection, texts: &Texts) -> rusqlite::Result<()> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE name = 'changed_text'";
    if connection.query_row(sql, [], |_| Ok(())).optional()?.is_some() {
        return Ok(());
    }
    let has_text = |name: &str| {
        let ends = |end: &&str| format!("substr({name}, -{}) = '{end}'", end.len());
        texts.endings.iter().map(ends).collect::<Vec<_>>().join(" OR ")
    };
    let noting = |event: &str, row: &str| {
        let has_text = has_text(&format!("{row}.name"));
        // INSERT OR IGNORE would not do: the conflict clause of the statement that fires a trigger
        // takes the place of the trigger's own.
        format!(
            "CREATE TRIGGER record_{event} BEFORE {event} ON record WHEN {has_text} BEGIN
                 INSERT INTO changed_text SELECT {row}.partition, {row}.name,
                     (SELECT body FROM record
                      WHERE partition = {row}.partition AND name = {row}.name)
                 WHERE NOT EXISTS (SELECT 1 FROM changed_text
                      WHERE partition = {row}.partition AND name = {row}.name);
             END;"
        )
    };
    let [inserts, deletes] = [noting("insert", "new"), noting("delete", "old")];
    let has_text = has_text("name");
    let all = format!(
        "INSERT INTO changed_text SELECT partition, name, NULL FROM record WHERE {has_text};"
    );
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(&[SCHEMA, &inserts, &deletes, &all].concat())?;
    transaction.commit()
}

/// Indexes texts that have changed, `most` at most. Returns whether there may be more.
pub(super) fn index(connection: &mut Connection, texts: &Texts, most: usize) -> bool {
    let indexed = match index_some(connection, texts, most) {
        Err(error) if is_of_the_machine(&error) => Err(error),
        // One text may be at fault. Taken one by one, the others needn't wait for it.
        Err(_) if most > 1 => return (0..most).all(|_| index(connection, texts, 1)),
        Err(error) => {
            tracing::warn!(%error, "cannot index a text: every search will read it");
            leave_out(connection)
        }
        indexed => indexed,
    };
    indexed.unwrap_or_else(|error| {
        tracing::warn!(%error, "cannot index texts for searches, trying again with the next commit");
        false
    })
}

/// Whether an error says nothing about the texts, and may be over soon.
fn is_of_the_machine(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    let code = error.sqlite_error_code();
    matches!(code, Some(Code::DatabaseBusy | Code::DatabaseLocked | Code::OutOfMemory))
        || matches!(code, Some(Code::CannotOpen | Code::ReadOnly))
        || matches!(code, Some(Code::DiskFull | Code::SystemIoFailure))
}

fn index_some(connection: &mut Connection, texts: &Texts, most: usize) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached("SELECT * FROM changed_text LIMIT ?1")?;
    let changed =
        statement.query_map([most as i64], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let changed: Vec<(Partition, String, Option<String>)> = changed.collect::<Result<_, _>>()?;
    drop(statement);
    if changed.is_empty() {
        return Ok(false);
    }
    let mut is_more = changed.len() == most;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut bytes = 0;
    for (p, name, indexed) in changed {
        bytes += index_one(&transaction, texts, (p, &name), indexed.as_deref())?;
        let sql = "DELETE FROM changed_text WHERE partition = ?1 AND name = ?2";
        transaction.prepare_cached(sql)?.execute(params![p, name])?;
        if bytes >= BYTES * most {
            is_more = true;
            break;
        }
    }
    transaction.commit()?;
    Ok(is_more)
}

/// Notes the first text that has changed as one that isn't in the index, if its record still exists.
fn leave_out(connection: &mut Connection) -> rusqlite::Result<bool> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let first = "(SELECT partition, name FROM changed_text LIMIT 1)";
    let sql = format!(
        "INSERT OR REPLACE INTO indexed_text (partition, name, is_long)
             SELECT partition, name, 1 FROM record WHERE (partition, name) IN {first};
         DELETE FROM changed_text WHERE (partition, name) IN {first};"
    );
    transaction.execute_batch(&sql)?;
    transaction.commit()?;
    Ok(true)
}

/// Brings the index up to date with one record, whose body was `indexed` before. Returns how many
/// bytes of text it has looked at.
fn index_one(
    connection: &Connection,
    texts: &Texts,
    (p, name): (Partition, &str),
    indexed: Option<&str>,
) -> rusqlite::Result<usize> {
    let sql = "SELECT id, is_long FROM indexed_text WHERE partition = ?1 AND name = ?2";
    let mut statement = connection.prepare_cached(sql)?;
    let before = statement.query_row(params![p, name], |row| Ok((row.get(0)?, row.get(1)?)));
    let before: Option<(i64, bool)> = before.optional()?;
    let mut bytes = 0;
    if let Some((id, is_long)) = before {
        if let Some(indexed) = indexed.filter(|_| !is_long) {
            let text = marked(p, &(texts.text)(name, indexed));
            bytes += text.len();
            let sql = "INSERT INTO word (word, rowid, text) VALUES ('delete', ?1, ?2)";
            connection.prepare_cached(sql)?.execute(params![id, text])?;
        }
        let sql = "DELETE FROM indexed_text WHERE id = ?1";
        connection.prepare_cached(sql)?.execute([id])?;
    }
    let text = read_record(connection, p, name)?.map(|record| (texts.text)(name, &record.body));
    // A text without a token can't be found by a query, which has one.
    if let Some(text) = text.filter(|text| text.chars().nth(TOKEN - 1).is_some()) {
        let text = marked(p, &text);
        bytes += text.len();
        let is_long = text.len() > LONG;
        let sql = "INSERT INTO indexed_text (partition, name, is_long) VALUES (?1, ?2, ?3)";
        connection.prepare_cached(sql)?.execute(params![p, name, is_long])?;
        if !is_long {
            let sql = "INSERT INTO word (rowid, text) VALUES (?1, ?2)";
            let id = connection.last_insert_rowid();
            connection.prepare_cached(sql)?.execute(params![id, text])?;
        }
    }
    Ok(bytes)
}

/// Returns the names of the partition's records whose texts may have all of `words`, which are in
/// lower case. `None` if the index doesn't help: the words are too short, or common.
pub(super) fn candidates(
    connection: &Connection,
    p: Partition,
    words: &[String],
) -> rusqlite::Result<Option<Vec<String>>> {
    let Some(query) = query(p, words) else { return Ok(None) };
    let sql = "
        SELECT name FROM indexed_text
        WHERE id IN (SELECT rowid FROM word WHERE word MATCH ?2 LIMIT ?3)
        UNION ALL SELECT name FROM indexed_text WHERE partition = ?1 AND is_long
        UNION ALL SELECT name FROM changed_text WHERE partition = ?1
        LIMIT ?3";
    let mut statement = connection.prepare_cached(sql)?;
    let names = statement.query_map(params![p, query, MOST + 1], |row| row.get(0))?;
    let names: Vec<String> = names.collect::<Result<_, _>>()?;
    Ok((names.len() <= MOST as usize).then_some(names))
}

/// Returns the query for texts of the partition that have all tokens of the words.
fn query(p: Partition, words: &[String]) -> Option<String> {
    let tokens = |word: &String| {
        let letters: Vec<char> = word.chars().collect();
        letters.windows(TOKEN).map(String::from_iter).collect::<Vec<_>>()
    };
    let tokens: BTreeSet<String> = words.iter().flat_map(tokens).collect();
    // The tokenizer ends at a NUL.
    if tokens.is_empty() || words.iter().any(|word| word.contains('\0')) {
        return None;
    }
    let tokens = tokens.into_iter().chain([mark(p)]);
    let quoted = tokens.map(|token| format!("\"{}\"", token.replace('"', "\"\"")));
    Some(quoted.collect::<Vec<_>>().join(" AND "))
}

/// Returns a text as it is indexed: with the mark of its partition.
fn marked(p: Partition, text: &str) -> String {
    format!("{}{}", mark(p), text.replace('\0', " "))
}

/// Returns the token that all texts of a partition have. Its character is one for private use, which
/// texts hardly have.
fn mark(p: Partition) -> String {
    let letter = char::from_u32(0xF_0000 + u32::from(p)).unwrap_or(char::MAX);
    String::from_iter([letter; TOKEN])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: Texts = Texts { endings: &["#text"], text: |_, body| body.to_lowercase() };

    fn open() -> Connection {
        let mut connection = Connection::open_in_memory().expect("opens");
        connection.execute_batch(super::super::SCHEMA).expect("has tables");
        put(&connection, 7, "old#text", "From before");
        begin(&mut connection, &TEXTS).expect("makes the index");
        begin(&mut connection, &TEXTS).expect("has the index");
        connection
    }

    fn put(connection: &Connection, p: Partition, name: &str, body: &str) {
        let sql = "INSERT OR REPLACE INTO record VALUES (?1, ?2, 1, ?3, NULL)";
        connection.execute(sql, params![p, name, body]).expect("puts");
    }

    fn find(connection: &mut Connection, p: Partition, words: &str) -> Option<Vec<String>> {
        while index(connection, &TEXTS, 16) {}
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        candidates(connection, p, &words).expect("searches").map(|mut names| {
            names.sort();
            names
        })
    }

    fn tokens(connection: &Connection) -> i64 {
        let sql = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.token USING fts5vocab(main, word, row)";
        connection.execute_batch(sql).expect("shows tokens");
        connection.query_row("SELECT count(*) FROM token", [], |row| row.get(0)).expect("counts")
    }

    #[test]
    fn texts_are_found_by_parts_of_words() {
        let mut connection = open();
        put(&connection, 7, "a#text", "No REFUNDS\0, \"never\"");
        put(&connection, 7, "b#text", "返金をお願いします refund");
        put(&connection, 7, "c#other", "refund");
        put(&connection, 7, "short#text", "no");
        put(&connection, 8, "d#text", "refund");
        let mut found = |words| find(&mut connection, 7, words).expect("the index helps");
        assert_eq!(found("efun"), ["a#text", "b#text"]);
        assert_eq!(found("refunds"), ["a#text"]);
        assert_eq!(found("\"never\" no"), ["a#text"]);
        assert_eq!(found("返金を"), ["b#text"]);
        assert_eq!(found("before"), ["old#text"]);
        assert!(found("nothing").is_empty());
        for words in ["no", "re fu", "ref\0und"] {
            assert_eq!(find(&mut connection, 7, words), None, "{words:?}");
        }
    }

    #[test]
    fn texts_that_are_not_indexed_yet_or_too_long_are_candidates() {
        let mut connection = open();
        let long = "y".repeat(LONG + 1);
        put(&connection, 7, "long#text", &long);
        assert_eq!(find(&mut connection, 7, "refund"), Some(vec!["long#text".to_owned()]));
        put(&connection, 7, "new#text", "something else");
        let names = candidates(&connection, 7, &["refund".to_owned()]).expect("searches");
        let names = names.expect("the index helps");
        assert!(names.len() == 2 && names.contains(&"new#text".to_owned()), "{names:?}");
        put(&connection, 7, "long#text", "short now");
        assert_eq!(find(&mut connection, 7, "refund"), Some(vec![]));
        assert_eq!(find(&mut connection, 7, "short"), Some(vec!["long#text".to_owned()]));
    }

    #[test]
    fn a_text_that_cannot_be_indexed_is_a_candidate_and_holds_up_no_other() {
        let mut connection = open();
        // A body that is no text can't be read.
        let sql = "INSERT INTO record VALUES (7, 'broken#text', 1, x'ff', NULL)";
        connection.execute(sql, []).expect("puts");
        put(&connection, 7, "later#text", "a refund");
        let found = find(&mut connection, 7, "refund").expect("the index helps");
        assert_eq!(found, ["broken#text", "later#text"]);
    }

    #[test]
    fn a_text_that_was_changed_or_deleted_leaves_no_token() {
        let mut connection = open();
        put(&connection, 7, "a#text", "a secret");
        put(&connection, 7, "old#text", "another");
        assert_eq!(find(&mut connection, 7, "secret"), Some(vec!["a#text".to_owned()]));
        assert_eq!(find(&mut connection, 7, "before"), Some(vec![]));
        put(&connection, 7, "a#text", "public");
        put(&connection, 7, "a#text", "more public");
        assert_eq!(find(&mut connection, 7, "secret"), Some(vec![]));
        assert_eq!(find(&mut connection, 7, "more public"), Some(vec!["a#text".to_owned()]));
        assert!(tokens(&connection) > 0);
        connection.execute("DELETE FROM record", []).expect("deletes");
        assert_eq!(find(&mut connection, 7, "public"), Some(vec![]));
        assert_eq!(tokens(&connection), 0);
    }

    #[test]
    fn words_that_many_texts_have_are_searched_without_the_index() {
        let mut connection = open();
        for number in 0..=MOST {
            put(&connection, 7, &format!("{number}#text"), "hello");
        }
        assert_eq!(find(&mut connection, 7, "hello"), None);
        assert_eq!(find(&mut connection, 8, "hello"), Some(vec![]));
    }
}
