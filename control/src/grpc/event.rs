//! EventService.

use super::{Service, access, pages, wire};
use crate::{
    events::{self, Event, Kind, Lane, NewSubscription, Subscription, target::Targets},
    ids::{EventId, SubscriptionId},
    ledger::{Error, random},
    names::events::{self as names, LaneId},
    refusal::Refusal,
    store::Partition,
    transaction::Tx,
};
use arizuko_proto::v1;
use std::collections::BTreeMap;
use tonic::{Request, Response, Status};

/// How many events one commit replays, at most. One call may name as many.
const REPLAYED_AT_ONCE: usize = 100;

#[tonic::async_trait]
impl v1::event_service_server::EventService for Service {
    async fn create_subscription(
        &self,
        request: Request<v1::CreateSubscriptionRequest>,
    ) -> Result<Response<v1::CreateSubscriptionResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let folder = caller.folder(&request.folder)?;
        let control = &self.control;
        control.check_host(&folder)?;
        let kinds = request.kinds.iter().map(|word| Kind::parse(word));
        let mut kinds = kinds.collect::<Result<Vec<_>, _>>()?;
        if kinds.is_empty() {
            kinds = Kind::ALL.to_vec();
        }
        let private = control.limits.events.private_event_targets;
        Targets { private }.check(&request.url).await?;
        let partition = control.partition(&folder);
        let id = SubscriptionId::new(partition, random()?);
        let secret = events::secret(random()?);
        let sealed_secret = control.seal_event_secret(&secret, &id, random()?)?;
        let new = NewSubscription { id, folder, url: request.url, kinds, sealed_secret };
        let creating = |tx: &mut Tx<'_>| events::create(tx, &caller, &new);
        let created = control.ledger.transact(partition, &[], creating).await?;
        let subscription = Some(wire_subscription(created));
        Ok(Response::new(v1::CreateSubscriptionResponse { subscription, secret }))
    }

    async fn list_subscriptions(
        &self,
        request: Request<v1::ListSubscriptionsRequest>,
    ) -> Result<Response<v1::ListSubscriptionsResponse>, Status> {
        let (caller, request) = self.authenticate_overseer(request)?;
        let view = access::view(&caller, &request.folder)?;
        let set = names::subscriptions();
        let all: Vec<Subscription> = self.control.listed(&set, view.as_ref()).await?;
        let all = all.into_iter().map(|one| {
            let place = format!("{:020}-{}", one.created_at.as_millis(), one.id);
            (place, wire_subscription(one))
        });
        let all: BTreeMap<_, _> = all.collect();
        let (subscriptions, next_page_token) =
            pages::page(all, request.page_size, &request.page_token);
        Ok(Response::new(v1::ListSubscriptionsResponse { subscriptions, next_page_token }))
    }

    async fn resume_subscription(
        &self,
        request: Request<v1::ResumeSubscriptionRequest>,
    ) -> Result<Response<v1::ResumeSubscriptionResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let (id, partition) = self.subscription(&request.subscription_id)?;
        let resuming = |tx: &mut Tx<'_>| events::resume(tx, &caller, &id);
        let resumed = self.control.ledger.transact(partition, &[], resuming).await?;
        let subscription = Some(wire_subscription(resumed));
        Ok(Response::new(v1::ResumeSubscriptionResponse { subscription }))
    }

    async fn delete_subscription(
        &self,
        request: Request<v1::DeleteSubscriptionRequest>,
    ) -> Result<Response<v1::DeleteSubscriptionResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let (id, partition) = self.subscription(&request.subscription_id)?;
        let deleting = |tx: &mut Tx<'_>| events::delete(tx, &caller, &id);
        let deleted = self.control.ledger.transact(partition, &[], deleting).await?;
        let deleted = deleted.map(wire_subscription);
        Ok(Response::new(v1::DeleteSubscriptionResponse { deleted }))
    }

    async fn list_events(
        &self,
        request: Request<v1::ListEventsRequest>,
    ) -> Result<Response<v1::ListEventsResponse>, Status> {
        let (_, request) = self.authenticate_overseer(request)?;
        let (id, partition) = self.subscription(&request.subscription_id)?;
        let ledger = &self.control.ledger;
        let found = ledger.record::<Subscription>(partition, &id).await?;
        found.ok_or(Refusal::NotFound("subscription"))?;
        let set = match request.parked {
            true => names::parked_events(&id),
            false => names::waiting_events(&id),
        };
        // Reads the ids of all events from the page token's time on, to sort them by place. Only
        // the page's own events are read in full.
        let from = request.page_token.split('-').next().and_then(|at| at.parse().ok());
        let from = from.unwrap_or_default();
        let members = ledger.members(partition, &set, from..=u64::MAX, u32::MAX).await?;
        let places =
            members.into_iter().map(|(id, at): (EventId, u64)| (format!("{at:020}-{id}"), id));
        let places: BTreeMap<_, _> =
            places.filter(|(place, _)| *place > request.page_token).collect();
        let size = pages::most(request.page_size);
        let next = places.keys().nth(size - 1).filter(|_| places.len() > size).cloned();
        let ids: Vec<EventId> = places.into_values().take(size).collect();
        let events = ledger.records::<Event>(partition, &ids).await?;
        let events = self.wire_events(partition, events.into_iter().flatten().collect()).await?;
        let next_page_token = next.unwrap_or_default();
        Ok(Response::new(v1::ListEventsResponse { events, next_page_token }))
    }

    async fn replay_events(
        &self,
        request: Request<v1::ReplayEventsRequest>,
    ) -> Result<Response<v1::ReplayEventsResponse>, Status> {
        let (caller, request) = self.authenticate_operator(request)?;
        let (id, partition) = self.subscription(&request.subscription_id)?;
        if request.event_ids.len() > REPLAYED_AT_ONCE {
            let why = format!("name at most {REPLAYED_AT_ONCE} events, or none for all");
            return Err(Refusal::Invalid(why).into());
        }
        let ids = request.event_ids.into_iter();
        let ids = ids.map(|id| EventId::parse(&id, self.control.partitions).map(|(id, _)| id));
        let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
        let (ledger, set) = (&self.control.ledger, names::parked_events(&id));
        if ids.is_empty() {
            ids = ledger.all_members(partition, &set).await?;
        }
        let mut replayed = 0;
        // The first commit also finds out whether there is such a subscription.
        for ids in ids.chunks(REPLAYED_AT_ONCE).chain(ids.is_empty().then_some(&[][..])) {
            let replaying = |tx: &mut Tx<'_>| events::replay(tx, &caller, &id, ids);
            replayed += ledger.transact(partition, &[], replaying).await?;
        }
        Ok(Response::new(v1::ReplayEventsResponse { replayed }))
    }
}

impl Service {
    fn subscription(&self, id: &str) -> Result<(SubscriptionId, Partition), Refusal> {
        SubscriptionId::parse(id, self.control.partitions)
    }

    async fn wire_events(
        &self,
        partition: Partition,
        events: Vec<Event>,
    ) -> Result<Vec<v1::OutgoingEvent>, Error> {
        let lane = |event: &Event| LaneId {
            subscription: event.subscription.clone(),
            conversation: event.conversation.clone(),
        };
        let lanes: Vec<_> = events.iter().map(lane).collect();
        let lanes = self.control.ledger.records::<Lane>(partition, &lanes).await?;
        let wire = |(event, lane): (Event, Option<Lane>)| {
            let lane = lane.filter(|_| event.parked_at.is_none());
            v1::OutgoingEvent {
                event_id: event.id.to_string(),
                subscription_id: event.subscription.to_string(),
                kind: event.kind.word().to_owned(),
                happened_at: Some(wire::timestamp(event.at)),
                folder: event.folder.to_string(),
                conversation_id: event.conversation,
                turn_id: event.turn,
                attempts: event.attempts,
                last_error: event.last_error,
                next_attempt_at: lane.map(|lane| wire::timestamp(lane.at)),
                parked_at: event.parked_at.map(wire::timestamp),
            }
        };
        Ok(events.into_iter().zip(lanes).map(wire).collect())
    }
}

fn wire_subscription(subscription: Subscription) -> v1::EventSubscription {
    v1::EventSubscription {
        subscription_id: subscription.id.to_string(),
        folder: subscription.folder.to_string(),
        url: subscription.url,
        kinds: subscription.kinds.iter().map(|kind| kind.word().to_owned()).collect(),
        created_at: Some(wire::timestamp(subscription.created_at)),
        created_by: subscription.created_by.to_string(),
        paused_at: subscription.paused_at.map(wire::timestamp),
        full_since: subscription.full_since.map(wire::timestamp),
    }
}
