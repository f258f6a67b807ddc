//! RouteService.

use super::{Service, access, pages, wire};
use crate::{
    jid::FolderName,
    ledger::Error,
    names,
    refusal::Refusal,
    route::{self, Explained, Field, GiveUp, Mode, ObserveFor, Route, RouteChange, Step},
    transaction::Tx,
    turn::deadlines::patience,
};
use arizuko_proto::v1;
use std::collections::BTreeSet;
use tonic::{Request, Response, Status};

#[tonic::async_trait]
impl v1::route_service_server::RouteService for Service {
    async fn set_route(
        &self,
        request: Request<v1::SetRouteRequest>,
    ) -> Result<Response<v1::SetRouteResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let wanted = read_route(request.route.unwrap_or_default())?;
        let mask = request.update_mask.unwrap_or_default().paths;
        let fields = mask.iter().map(|path| Field::parse(path)).collect::<Result<Vec<_>, _>>()?;
        let partition = self.partition_of_jid(&wanted.prefix)?;
        let setting = |tx: &mut Tx<'_>| route::set(tx, &caller, &wanted, &fields);
        let route = self.control.ledger.transact(partition, &[], setting).await?;
        Ok(Response::new(v1::SetRouteResponse {
            unattended: self.unattended([&route]).await,
            route: Some(wire_route(route)),
        }))
    }

    async fn list_routes(
        &self,
        request: Request<v1::ListRoutesRequest>,
    ) -> Result<Response<v1::ListRoutesResponse>, Status> {
        let (caller, request) = self.authenticate_reader(request)?;
        let roots = match access::view(&caller, &request.folder)? {
            Some(folder) => vec![folder],
            None => self.roots().await?,
        };
        let mut routes = Vec::new();
        for root in roots {
            let listing = |tx: &mut Tx<'_>| route::list(tx, &caller, &root);
            let partition = self.control.partition(&root);
            routes.extend(self.control.ledger.transact(partition, &[], listing).await?);
        }
        routes.iter_mut().for_each(|route| route.hide_beyond(&caller));
        routes.sort_by(|one, other| one.prefix.cmp(&other.prefix));
        let routes = routes.into_iter().map(|route| (route.prefix.clone(), wire_route(route)));
        let (routes, next_page_token) = pages::page(routes, request.page_size, &request.page_token);
        Ok(Response::new(v1::ListRoutesResponse { routes, next_page_token }))
    }

    async fn delete_route(
        &self,
        request: Request<v1::DeleteRouteRequest>,
    ) -> Result<Response<v1::DeleteRouteResponse>, Status> {
        let (caller, v1::DeleteRouteRequest { prefix }) = self.authenticate(request)?;
        let partition = self.partition_of_jid(&prefix)?;
        let deleting = |tx: &mut Tx<'_>| route::delete(tx, &caller, &prefix);
        let deleted = self.control.ledger.transact(partition, &[], deleting).await?;
        Ok(Response::new(v1::DeleteRouteResponse { deleted: deleted.map(wire_route) }))
    }

    async fn apply_routes(
        &self,
        request: Request<v1::ApplyRoutesRequest>,
    ) -> Result<Response<v1::ApplyRoutesResponse>, Status> {
        let (caller, request) = self.authenticate(request)?;
        let folder = caller.folder(&request.folder)?;
        let routes = request.routes.into_iter().map(read_route).collect::<Result<Vec<_>, _>>()?;
        let partition = self.control.partition(&folder);
        let applying = |tx: &mut Tx<'_>| {
            let changes = route::apply(tx, &caller, &folder, &routes)?;
            if request.dry_run {
                tx.forget_writes();
            }
            Ok(changes)
        };
        let changes = self.control.ledger.transact(partition, &[], applying).await?;
        let after = changes.iter().filter_map(|change| change.after.as_ref());
        Ok(Response::new(v1::ApplyRoutesResponse {
            unattended: self.unattended(after).await,
            changes: changes.into_iter().map(wire_change).collect(),
        }))
    }

    async fn explain_route(
        &self,
        request: Request<v1::ExplainRouteRequest>,
    ) -> Result<Response<v1::ExplainRouteResponse>, Status> {
        let (caller, v1::ExplainRouteRequest { jid }) = self.authenticate_reader(request)?;
        let partition = self.partition_of_jid(&jid)?;
        let explaining = |tx: &mut Tx<'_>| route::explain(tx, &caller, &jid);
        let Explained { folder, linked, resolved } =
            self.control.ledger.transact(partition, &[], explaining).await?;
        let mut route = resolved.route;
        let ends_after = wire::duration(patience(&self.control.limits, &route));
        route.target.get_or_insert_with(|| folder.clone());
        route.hide_beyond(&caller);
        let mut asked: Vec<FolderName> = route.target.iter().cloned().collect();
        for step in route.escalation.iter().flatten() {
            if !asked.contains(&step.to) {
                asked.push(step.to.clone());
            }
        }
        let mut presence = Vec::new();
        for folder in asked {
            let agents = self.control.attached_agents(&folder).await?;
            presence.push(v1::FolderPresence { folder: folder.into(), agents });
        }
        route.mode.get_or_insert_default();
        let fields = Field::ALL.into_iter().zip(resolved.sources);
        let fields = fields.map(|(field, prefix)| v1::RouteField {
            field: field.name().to_owned(),
            prefix: prefix.unwrap_or_default(),
        });
        Ok(Response::new(v1::ExplainRouteResponse {
            folder: folder.into(),
            linked,
            fields: fields.collect(),
            route: Some(wire_route(route)),
            presence,
            ends_after,
        }))
    }
}

impl Service {
    /// Returns the root folders that have routes.
    async fn roots(&self) -> Result<Vec<FolderName>, Error> {
        let roots = self.control.gathered(&names::routed_roots()).await?;
        let roots = roots.values().flatten().map(|root| FolderName::parse(root));
        Ok(roots.collect::<Result<_, _>>()?)
    }

    /// Returns the folders that these routes name and that no agent is attached to.
    async fn unattended(&self, routes: impl IntoIterator<Item = &Route>) -> Vec<String> {
        let named: BTreeSet<&str> =
            routes.into_iter().flat_map(Route::folders).map(FolderName::as_str).collect();
        let mut unattended = Vec::new();
        for name in named {
            if let Ok(folder) = FolderName::parse(name)
                && !self.control.agent_attached(&folder).await
            {
                unattended.push(folder.into());
            }
        }
        unattended
    }
}

fn read_route(route: v1::Route) -> Result<Route, Refusal> {
    let mode = match v1::RouteMode::try_from(route.mode) {
        Ok(v1::RouteMode::Unspecified) => None,
        Ok(v1::RouteMode::Trigger) => Some(Mode::Trigger),
        Ok(v1::RouteMode::Observe) => Some(Mode::Observe),
        Ok(v1::RouteMode::Drop) => Some(Mode::Drop),
        Err(_) => return Err(Refusal::invalid("unknown mode: this control may be too old")),
    };
    let observe_for = match v1::ObserveFor::try_from(route.observe_for) {
        Ok(v1::ObserveFor::Unspecified) => None,
        Ok(v1::ObserveFor::People) => Some(ObserveFor::People),
        Ok(v1::ObserveFor::Visitors) => Some(ObserveFor::Visitors),
        Err(_) => return Err(Refusal::invalid("unknown observe_for: this control may be too old")),
    };
    let steps =
        route.escalation.map(|escalation| escalation.steps.into_iter().map(read_step).collect());
    Ok(Route {
        prefix: route.prefix,
        target: route.target.as_deref().map(FolderName::parse).transpose()?,
        persona: route.persona,
        topic: route.topic,
        mode,
        escalation: steps.transpose()?,
        give_up: route.give_up.map(read_give_up).transpose()?,
        observe_for,
        only: None,
    })
}

fn read_step(step: v1::EscalationStep) -> Result<Step, Refusal> {
    Ok(Step {
        after: wire::parse_duration(step.after)?,
        unfinished_after: wire::parse_duration(step.unfinished_after)?,
        to: FolderName::parse(&step.to)?,
        say: step.say,
    })
}

fn read_give_up(give_up: v1::GiveUp) -> Result<GiveUp, Refusal> {
    let after = wire::parse_duration(give_up.after)?;
    Ok(GiveUp {
        after: after.ok_or_else(|| {
            Refusal::invalid("give_up.after is missing: say how long after the message")
        })?,
        say: give_up.say,
    })
}

fn wire_route(route: Route) -> v1::Route {
    let mode = match route.mode {
        None => v1::RouteMode::Unspecified,
        Some(Mode::Trigger) => v1::RouteMode::Trigger,
        Some(Mode::Observe) => v1::RouteMode::Observe,
        Some(Mode::Drop) => v1::RouteMode::Drop,
    };
    let observe_for = match route.observe_for {
        None => v1::ObserveFor::Unspecified,
        Some(ObserveFor::People) => v1::ObserveFor::People,
        Some(ObserveFor::Visitors) => v1::ObserveFor::Visitors,
    };
    v1::Route {
        prefix: route.prefix,
        target: route.target.map(Into::into),
        persona: route.persona,
        topic: route.topic,
        mode: mode.into(),
        escalation: route
            .escalation
            .map(|steps| v1::Escalation { steps: steps.into_iter().map(wire::step).collect() }),
        give_up: route
            .give_up
            .map(|give_up| v1::GiveUp { after: wire::duration(give_up.after), say: give_up.say }),
        observe_for: observe_for.into(),
        only_folder: route.only.map(|only| only.folder.into()).unwrap_or_default(),
    }
}

fn wire_change(change: RouteChange) -> v1::RouteChange {
    v1::RouteChange { before: change.before.map(wire_route), after: change.after.map(wire_route) }
}
