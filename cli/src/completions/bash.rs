//! Completion in bash. The script of clap's own adapter passes words as readline splits them.
//! Readline also splits at colons, which JIDs have.

use clap_complete::{engine, env::EnvCompleter};
use std::{ffi::OsString, io, path::Path};

/// Passes whole words, the last one up to the cursor. From each completion it removes the part that
/// readline keeps on the line.
const SCRIPT: &str = r#"_arizuko() {
    local rest=${COMP_LINE:0:$COMP_POINT} words=() piece blank word kept
    for piece in "${COMP_WORDS[@]:0:$((COMP_CWORD + 1))}"; do
        blank=${rest%%[![:space:]]*}
        rest=${rest#"$blank"}
        [[ $rest == "$piece"* ]] || piece=$rest
        rest=${rest#"$piece"}
        if [[ -n $blank || ${#words[@]} -eq 0 ]]; then
            words+=("$piece")
        else
            words[${#words[@]}-1]+=$piece
        fi
    done
    word=${words[${#words[@]}-1]}
    [[ $piece == *[!:=]* ]] || piece=
    kept=${word%"$piece"}
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("${word#"$kept"}")
    done < <(VARIABLE=bash PROGRAM -- "${words[@]}" 2> /dev/null)
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=/:] ]]; then
        compopt -o nospace 2> /dev/null
    fi
}
complete -F _arizuko NAME
"#;

pub(super) struct Bash;

impl EnvCompleter for Bash {
    fn name(&self) -> &'static str {
        "bash"
    }

    fn is(&self, name: &str) -> bool {
        name == self.name()
    }

    fn write_registration(
        &self,
        variable: &str,
        _identifier: &str,
        name: &str,
        program: &str,
        script: &mut dyn io::Write,
    ) -> io::Result<()> {
        let program = crate::console::quoted(program);
        let written = SCRIPT.replace("VARIABLE", variable).replace("NAME", name);
        script.write_all(written.replace("PROGRAM", &program).as_bytes())
    }

    fn write_complete(
        &self,
        command: &mut clap::Command,
        words: Vec<OsString>,
        folder: Option<&Path>,
        out: &mut dyn io::Write,
    ) -> io::Result<()> {
        let at = words.len().saturating_sub(1);
        let is_empty = words.last().is_none_or(|word| word.is_empty());
        let found = engine::complete(command, words, at, folder)?;
        let is_flag = |word: &str| word.starts_with('-');
        let found: Vec<_> = found.iter().map(|found| found.get_value().to_string_lossy()).collect();
        // Bash would list flags among the other words. So they are offered only when one is begun,
        // or if there is nothing else.
        let hides_flags = is_empty && !found.iter().all(|word| is_flag(word));
        for word in found.iter().filter(|word| !(hides_flags && is_flag(word))) {
            writeln!(out, "{word}")?;
        }
        Ok(())
    }
}
