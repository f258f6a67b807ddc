//! The items that most tests use.

pub use crate::{
    BOTH, Browser, Instance,
    Instance::{A, B},
    Kind, Language,
    Part::{Control, Gateway},
    Stack,
    agent::{Agent, script},
    apply, assert_fields,
    attach::{Held, Session, delta, handoff, hello, message, person, respond, response, status},
    certificates::{Authority, Certificate},
    cli::{Outcome, run},
    clients::{Client, Library},
    cluster,
    collector::Collector,
    embedded, embedded_and_one_redis, embedded_and_pair,
    endpoint::Endpoint,
    every_stack,
    folder::{Folder, write_secret},
    http::{Posted, Visitor, is_id, send, try_send},
    metrics::SERVED,
    on_redis, one_redis,
    operator::{Channel, FROM_SETTINGS, Link, connect, reason},
    pair,
    person::{Person, Seat},
    process::{Process, command, program},
    proxy::Proxy,
    redis::Redis,
    routes::{escalation, give_up, mode, observe_for_visitors, route},
    sentinel, sentinel_and_cluster,
    sse::{
        Cursor, Event, ids, names, raw, read_to_the_end, rendered, stalled, text, transcript,
        unread,
    },
    stack::free_port,
    tools::{curl, found, python, random_id},
    until, within,
};
pub use arizuko_proto::public_id;
pub use arizuko_proto::v1::{
    self, ErrorReason, Hello, KeyKind, KeyReach, LinkOptions, Route, RouteMode,
    attach_request::Message as Said, attach_response::Message as Heard,
};
pub use http::Method;
pub use nix::sys::signal::Signal;
pub use serde_json::{Value, json};
pub use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
pub use tokio::time::sleep;
