//! The names of agents' folders.

/// Reads the name of a folder.
///
/// # Errors
///
/// A sentence that shows what a folder looks like.
pub fn parse(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let fits = |segment: &str| (1..=63).contains(&segment.len()) && segment.chars().all(is_plain);
    let segments: Vec<_> = text.split('/').collect();
    match segments.len() <= 8 && segments.into_iter().all(fits) {
        true => Ok(text.into()),
        false => Err("a folder looks like acme or acme/people".into()),
    }
}

/// Checks that a handoff stays inside the root folder. If an agent's handoff leaves the root
/// folder, control ends the agent's session.
///
/// # Errors
///
/// A sentence that says why the handoff can't go to `to`.
pub fn check_handoff(from: &str, to: &str) -> Result<(), String> {
    let root = |folder: &str| folder.split('/').next().map(String::from);
    parse(to)?;
    match root(from) == root(to) {
        true => Ok(()),
        false => Err(format!("{to} is outside the root folder of {from}: a handoff stays inside")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handoff_stays_in_its_root_folder() {
        assert_eq!(check_handoff("acme/people", "acme"), Ok(()));
        for wrong in ["", "other", "acme//x", "acme/Zoë", "acme/people and a note"] {
            assert!(check_handoff("acme", wrong).is_err(), "{wrong}");
        }
    }
}
