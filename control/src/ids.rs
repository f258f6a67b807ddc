//! The ids of records: a type for each, so that two can't be swapped.

use crate::{
    refusal::Refusal,
    secret::{ID_BYTES, Secret, id_in_partition, partition_of_id},
    store::Partition,
};
use arizuko_proto::public_id::{self, Timed};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(String);

        impl $name {
            pub(crate) fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        /// Takes an id without checking it, such as one that was stored; [`Self::parse`] checks one
        /// that a caller wrote.
        impl From<String> for $name {
            fn from(stored: String) -> Self {
                Self(stored)
            }
        }
    )*};
}

ids! {
    /// A conversation's id. Whoever knows it and the link may read and write the conversation.
    ConversationId;
    /// A turn's id.
    TurnId;
    /// A session's id. It is a secret of the session's agent.
    SessionId;
    /// A token's public id, `tok_…`.
    TokenId;
    /// A key's public id, `key_…`.
    KeyId;
    /// A subscription's id, `sub_…`.
    SubscriptionId;
    /// An event's id, `evt_…`.
    EventId;
}

macro_rules! random_ids {
    ($($name:ident: $bytes:ty, $what:literal;)*) => {$(
        impl $name {
            /// Makes an id of these bytes, in base64url.
            pub(crate) fn new(bytes: $bytes) -> Self {
                Self(BASE64.encode(bytes))
            }

            /// Reads an id that a caller wrote.
            ///
            #[doc = concat!("# Errors\n[`Refusal::Invalid`] for what can't be ", $what, "'s id.")]
            pub(crate) fn parse(text: &str) -> Result<Self, Refusal> {
                let refusal = || Refusal::invalid(concat!("that is not ", $what, "'s id"));
                public_id::is_own(text).then(|| Self(text.to_owned())).ok_or_else(refusal)
            }
        }
    )*};
}

random_ids! {
    ConversationId: Timed, "a conversation";
    TurnId: Timed, "a turn";
    SessionId: [u8; 16], "a session";
}

macro_rules! partitioned_ids {
    ($($name:ident: $prefix:literal, $what:literal;)*) => {$(
        impl $name {
            /// Reads an id. Returns it with the partition of its record.
            ///
            #[doc = concat!("# Errors\n[`Refusal::Invalid`] for what can't be ", $what, "'s id.")]
            pub(crate) fn parse(
                text: &str,
                partitions: Partition,
            ) -> Result<(Self, Partition), Refusal> {
                let id = Self(text.to_owned());
                let why = concat!("that is not ", $what, "'s id, such as ", $prefix, "…");
                let partition = id.partition(partitions).ok_or_else(|| Refusal::invalid(why))?;
                Ok((id, partition))
            }

            /// Returns the partition of the id's record; `None` for what can't be an id.
            pub(crate) fn partition(&self, partitions: Partition) -> Option<Partition> {
                partition_of_id($prefix, &self.0, partitions)
            }
        }
    )*};
}

/// The beginning of a key's secret, by which people and scanners recognise it.
pub(crate) const KEY_PREFIX: &str = "azk_";

impl KeyId {
    /// Returns the id of the key that a secret opens.
    pub(crate) fn of(secret: &Secret) -> Self {
        Self(secret.id("key_"))
    }

    /// Mints another secret of the key.
    ///
    /// # Errors
    /// [`Refusal::Invalid`] if this can't be a key's id.
    pub(crate) fn another_secret(&self, random: [u8; 32]) -> Result<Secret, Refusal> {
        let secret = Secret::mint_another(KEY_PREFIX, "key_", &self.0, random);
        secret.ok_or_else(|| Refusal::invalid("that is not a key's id, such as key_…"))
    }
}

partitioned_ids! {
    TokenId: "tok_", "a token";
    KeyId: "key_", "a key";
    SubscriptionId: "sub_", "a subscription";
    EventId: "evt_", "an event";
}

impl TokenId {
    /// Returns the id of the token that a secret opens.
    pub(crate) fn of(secret: &Secret) -> Self {
        Self(secret.id("tok_"))
    }
}

impl SubscriptionId {
    /// Makes an id of a subscription in a partition.
    pub(crate) fn new(partition: Partition, random: [u8; ID_BYTES]) -> Self {
        Self(id_in_partition("sub_", partition, &random))
    }

    /// Makes an id of an event of the subscription; `None` if this can't be a subscription's id.
    pub(crate) fn event(&self, random: [u8; ID_BYTES]) -> Option<EventId> {
        let partition = self.partition(Partition::MAX)?;
        Some(EventId(id_in_partition("evt_", partition, &random)))
    }
}
