//! Events out: posts what happens in a tenant's folders to the tenant's own systems.
//!
//! A [`Subscription`] says where the events of a folder go. The commit in which something happens
//! also writes an [`Event`] for each subscription that wants it, and adds the event to a [`Lane`]:
//! the events of one conversation for one subscription, which are sent in order. The [`sender`]
//! takes lanes that are due, posts their first events, and deletes those that were delivered. An
//! event that can't be delivered for three days is parked: it is kept for a while, and sent again
//! if somebody replays it.
//!
//! An event has ids and no texts, so that erasing a conversation has nothing to erase here.

mod event;
mod index;
mod lane;
mod outbox;
mod parking;
pub(crate) mod sender;
mod subscription;
pub(crate) mod target;
mod wire;

pub(crate) use event::{Event, Happened, Kind};
pub(crate) use lane::Lane;
pub(crate) use outbox::add;
pub(crate) use parking::{expire, replay};
pub(crate) use subscription::{NewSubscription, Subscription, clean_up, create, delete, resume};
pub(crate) use wire::secret;
