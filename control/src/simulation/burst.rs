//! Many frames in a short time, while the replica is far away: the WAITs for it must keep up.

use super::{
    held::{Held, hold},
    history::History,
    world::World,
};
use arizuko_proto::v1::{
    AgentDelta, AgentFrame, Append, AttachRequest, WatchEvent, WatchRequest,
    agent_frame::Body,
    attach_request::Message as Said,
    frame,
    watch_event::Event,
    watch_request::{Message as Asked, Subscribe, subscribe::Target},
};
use fastrand::Rng;
use std::time::Duration;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;

/// How long a message takes to the replica, or back.
const DISTANCE: Duration = Duration::from_millis(10);
const FRAMES: usize = 300;
const EVERY: Duration = Duration::from_millis(3);
/// How late a frame may be at its reader. Its commit waits for the one before it, and each of the
/// two may just miss a WAIT. That makes four round trips to the replica, plus the time that
/// messages take between the other hosts.
const LAG: Duration = Duration::from_millis(150);
/// How long the reader waits for a frame that is late.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends frames faster than WAIT returns, and checks that the lag at their reader doesn't grow.
pub(super) async fn check(world: &World, history: &History, rng: &mut Rng) {
    world.servers.set_distance(DISTANCE);
    history.say(&format!("{FRAMES} frames, one each {EVERY:?}, {DISTANCE:?} from the replica"));
    let gateway = world.gateway();
    let held = hold(&world.operator(), &gateway, rng, "burst").await;
    let Held { access, conversation, turn, requests, mut responses } = held;
    tokio::spawn(async move { while let Ok(Some(_)) = responses.message().await {} });
    let subscribe = Subscribe {
        subscription: 1,
        access: Some(access),
        target: Some(Target::Conversation(conversation)),
        after: None,
        credit: 2 * FRAMES as u32,
    };
    let (asks, asked) = mpsc::channel(1);
    let _ = asks.send(WatchRequest { message: Some(Asked::Subscribe(subscribe)) }).await;
    let watched = gateway.gateway(rng).watch(ReceiverStream::new(asked)).await;
    let mut watched = watched.expect("control lets a gateway watch").into_inner();
    // With the message's frame, the reader has caught up.
    let is_frame = |event: &WatchEvent| matches!(event.event, Some(Event::Frame(_)));
    while let Ok(Some(response)) = watched.message().await
        && !response.events.iter().any(is_frame)
    {}
    let (sender, mut sent) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for seq in 1..=FRAMES as u64 {
            let delta = AgentDelta { id: "a".to_owned(), text: "x".to_owned() };
            let frames = vec![AgentFrame { body: Some(Body::Delta(delta)) }];
            let append = Append { turn_id: turn.clone(), attempt: 1, seq, frames };
            let _ = sender.send(Instant::now());
            let _ = requests.send(AttachRequest { message: Some(Said::Append(append)) }).await;
            sleep(EVERY).await;
        }
        // Dropping `requests` would end the stream, and with it the session.
        sender.closed().await;
    });
    let (mut read, mut worst) = (0, Duration::ZERO);
    let reading = async {
        while read < FRAMES
            && let Ok(Some(response)) = watched.message().await
        {
            for event in response.events.into_iter().filter_map(|event| event.event) {
                if let Event::Frame(frame) = event
                    && matches!(frame.body, Some(frame::Body::Delta(_)))
                    && let Some(sent) = sent.recv().await
                {
                    read += 1;
                    worst = worst.max(sent.elapsed());
                }
            }
        }
    };
    let _ = timeout(PATIENCE, reading).await;
    history.say(&format!("{read} frames are read, at most {worst:?} late"));
    if read < FRAMES || worst > LAG {
        history.breach(&format!("of {FRAMES} frames {read} are read, some {worst:?} late"));
    }
}
