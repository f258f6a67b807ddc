//! Roles of client certificates. Over a connection with a certificate that has roles, only keys of
//! these roles are accepted.

use crate::{jid::FolderName, key::Role, refusal::Refusal};
use std::{fmt, str::FromStr};

/// Which keys a certificate with this name is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRole {
    name: String,
    keys: Keys,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Keys {
    Operator,
    Viewer,
    Gateway,
    /// Agents' keys of this folder and of the folders below it.
    Agent(FolderName),
}

impl FromStr for ClientRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            || "say NAME=gateway, NAME=operator, NAME=viewer or NAME=agent:FOLDER".to_owned();
        // A name that is a URI may contain `=`; a role doesn't.
        let (name, role) =
            text.rsplit_once('=').filter(|(name, _)| !name.is_empty()).ok_or_else(wrong)?;
        let keys = match role.split_once(':') {
            None if role == "operator" => Keys::Operator,
            None if role == "viewer" => Keys::Viewer,
            None if role == "gateway" => Keys::Gateway,
            Some(("agent", folder)) => {
                Keys::Agent(FolderName::parse(folder).map_err(|refusal| refusal.to_string())?)
            }
            _ => return Err(wrong()),
        };
        Ok(Self { name: name.to_owned(), keys })
    }
}

impl fmt::Display for ClientRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.keys {
            Keys::Operator => f.write_str("operators"),
            Keys::Viewer => f.write_str("viewers"),
            Keys::Gateway => f.write_str("gateways"),
            Keys::Agent(folder) => write!(f, "agents of {folder}"),
        }
    }
}

impl ClientRole {
    /// Whether a certificate with these names has this role.
    pub(crate) fn is_of(&self, names: &[String]) -> bool {
        names.contains(&self.name)
    }

    fn allows(&self, role: &Role) -> bool {
        match (&self.keys, role) {
            (Keys::Operator, Role::Operator)
            | (Keys::Viewer, Role::Viewer)
            | (Keys::Gateway, Role::Gateway) => true,
            (Keys::Agent(above), Role::Agent { folder, .. }) => folder.is_within(above),
            _ => false,
        }
    }
}

/// Checks a key against the roles of its connection's certificate. If the certificate has no roles,
/// every key passes.
///
/// # Errors
/// [`Refusal::NotAllowed`] for a key of another role.
pub(crate) fn check(roles: &[ClientRole], role: &Role) -> Result<(), Refusal> {
    if roles.is_empty() || roles.iter().any(|own| own.allows(role)) {
        return Ok(());
    }
    let own = roles.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
    Err(Refusal::not_allowed(format!("the certificate of this connection is for keys of {own}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_is_read_from_behind_the_name() {
        let read = |text: &str| {
            text.parse::<ClientRole>().map(|role| (role.name.clone(), role.to_string()))
        };
        let is = |name: &str, keys: &str| Ok((name.to_owned(), keys.to_owned()));
        assert_eq!(read("eu-1=gateway"), is("eu-1", "gateways"));
        assert_eq!(read("desk=viewer"), is("desk", "viewers"));
        assert_eq!(read("spiffe://a/b?c=d=operator"), is("spiffe://a/b?c=d", "operators"));
        assert_eq!(read("ci=agent:acme/eng"), is("ci", "agents of acme/eng"));
        for wrong in ["", "gateway", "=gateway", "x=", "x=nobody", "x=agent", "x=agent:a b"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
