//! RouteService.

use super::{Service, status, wire};
use crate::{
    jid::{self, Folder},
    key::{Caller, Role},
    ledger::Error,
    route::{self, Change, Explained, Field, GiveUp, Mode, Route, Step},
    transaction::{Refusal, Tx},
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
        let caller = self.caller(&request).await?;
        let set = self.set(&caller, request.into_inner()).await;
        set.map(Response::new).map_err(status::from)
    }

    async fn list_routes(
        &self,
        request: Request<v1::ListRoutesRequest>,
    ) -> Result<Response<v1::ListRoutesResponse>, Status> {
        let caller = self.caller(&request).await?;
        let routes =
            self.routes(&caller, &request.into_inner().folder).await.map_err(status::from)?;
        let routes = routes.into_iter().map(wire_route).collect();
        Ok(Response::new(v1::ListRoutesResponse { routes }))
    }

    async fn delete_route(
        &self,
        request: Request<v1::DeleteRouteRequest>,
    ) -> Result<Response<v1::DeleteRouteResponse>, Status> {
        let caller = self.caller(&request).await?;
        let deleted =
            self.delete_route(&caller, &request.into_inner().prefix).await.map_err(status::from)?;
        let deleted = deleted.map(wire_route);
        Ok(Response::new(v1::DeleteRouteResponse { deleted }))
    }

    async fn apply_routes(
        &self,
        request: Request<v1::ApplyRoutesRequest>,
    ) -> Result<Response<v1::ApplyRoutesResponse>, Status> {
        let caller = self.caller(&request).await?;
        let applied = self.apply(&caller, request.into_inner()).await;
        applied.map(Response::new).map_err(status::from)
    }

    async fn explain_route(
        &self,
        request: Request<v1::ExplainRouteRequest>,
    ) -> Result<Response<v1::ExplainRouteResponse>, Status> {
        let caller = self.caller(&request).await?;
        let explained = self.explain(&caller, &request.into_inner().jid).await;
        explained.map(Response::new).map_err(status::from)
    }
}

impl Service {
    async fn set(
        &self,
        caller: &Caller,
        request: v1::SetRouteRequest,
    ) -> Result<v1::SetRouteResponse, Error> {
        let wanted = request.route.unwrap_or_default();
        let wanted = read_route(wanted)?;
        let mask = request.update_mask.unwrap_or_default().paths;
        let fields = mask.iter().map(|path| Field::parse(path)).collect::<Result<Vec<_>, _>>()?;
        let partition = jid::partition_of(jid::root(&wanted.prefix)?, self.0.partitions);
        let set =
            self.0.ledger.transact(partition, &[], |tx| route::set(tx, caller, &wanted, &fields));
        let route = set.await?;
        Ok(v1::SetRouteResponse {
            unattended: self.unattended([&route]).await,
            route: Some(wire_route(route)),
        })
    }

    async fn routes(&self, caller: &Caller, folder: &str) -> Result<Vec<Route>, Error> {
        let control = &self.0;
        if !(folder.is_empty() && caller.role == Role::Operator) {
            return self.routes_of(caller, &caller.folder(folder)?).await;
        }
        let roots =
            control.ledger.gather(route::ROOTS, control.partitions, u64::MAX, u32::MAX).await?;
        let mut routes = Vec::new();
        for (_, root) in roots {
            routes.extend(self.routes_of(caller, &Folder::parse(&root.name)?).await?);
        }
        routes.sort_by(|one, other| one.prefix.cmp(&other.prefix));
        Ok(routes)
    }

    async fn routes_of(&self, caller: &Caller, folder: &Folder) -> Result<Vec<Route>, Error> {
        let partition = self.0.partition(folder);
        let listing = |tx: &mut Tx<'_>| route::list(tx, caller, folder);
        self.0.ledger.transact(partition, &[], listing).await
    }

    async fn delete_route(&self, caller: &Caller, prefix: &str) -> Result<Option<Route>, Error> {
        let partition = jid::partition_of(jid::root(prefix)?, self.0.partitions);
        let deleting = |tx: &mut Tx<'_>| route::delete(tx, caller, prefix);
        self.0.ledger.transact(partition, &[], deleting).await
    }

    async fn apply(
        &self,
        caller: &Caller,
        request: v1::ApplyRoutesRequest,
    ) -> Result<v1::ApplyRoutesResponse, Error> {
        let folder = caller.folder(&request.folder)?;
        let routes = request.routes.into_iter().map(read_route);
        let routes = routes.collect::<Result<Vec<_>, _>>()?;
        let partition = self.0.partition(&folder);
        let (dry_run, mut seen) = (request.dry_run, Vec::new());
        let applied = self.0.ledger.transact(partition, &[], |tx| {
            seen = route::apply(tx, caller, &folder, &routes)?;
            if dry_run {
                tx.forget_writes();
            }
            Ok(())
        });
        applied.await?;
        let after = seen.iter().filter_map(|change| change.after.as_ref());
        Ok(v1::ApplyRoutesResponse {
            unattended: self.unattended(after).await,
            changes: seen.into_iter().map(wire_change).collect(),
        })
    }

    async fn explain(&self, caller: &Caller, jid: &str) -> Result<v1::ExplainRouteResponse, Error> {
        let partition = jid::partition_of(jid::root(jid)?, self.0.partitions);
        let explaining = |tx: &mut Tx<'_>| route::explain(tx, caller, jid);
        let Explained { folder, linked, resolved } =
            self.0.ledger.transact(partition, &[], explaining).await?;
        let mut route = resolved.route;
        let target = route.target.get_or_insert_with(|| folder.clone());
        let mut asked = vec![target.clone()];
        for step in route.escalation.iter().flatten() {
            if !asked.contains(&step.to) {
                asked.push(step.to.clone());
            }
        }
        let mut presence = Vec::new();
        for folder in asked {
            let agents = self.0.attached(&folder).await?;
            let folder = folder.into();
            presence.push(v1::FolderPresence { folder, agents });
        }
        route.mode.get_or_insert_default();
        let fields = Field::ALL.into_iter().zip(resolved.sources);
        Ok(v1::ExplainRouteResponse {
            folder: folder.into(),
            linked,
            fields: fields
                .map(|(field, prefix)| v1::RouteField {
                    field: field.name().to_owned(),
                    prefix: prefix.unwrap_or_default(),
                })
                .collect(),
            route: Some(wire_route(route)),
            presence,
        })
    }

    /// The folders that some routes name and where nobody is attached.
    async fn unattended(&self, routes: impl IntoIterator<Item = &Route>) -> Vec<String> {
        let named: BTreeSet<&str> =
            routes.into_iter().flat_map(Route::folders).map(Folder::as_str).collect();
        let mut unattended = Vec::new();
        for name in named {
            if let Ok(folder) = Folder::parse(name)
                && !self.0.seems_attended(&folder).await
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
        Err(_) => return Err(Refusal::invalid("this control knows no such mode")),
    };
    let steps =
        route.escalation.map(|escalation| escalation.steps.into_iter().map(read_step).collect());
    Ok(Route {
        prefix: route.prefix,
        target: route.target.as_deref().map(Folder::parse).transpose()?,
        persona: route.persona,
        topic: route.topic,
        mode,
        escalation: steps.transpose()?,
        give_up: route.give_up.map(read_give_up).transpose()?,
        only: None,
    })
}

fn read_step(step: v1::EscalationStep) -> Result<Step, Refusal> {
    Ok(Step {
        after: step.after.as_ref().map(wire::millis).transpose()?,
        unfinished_after: step.unfinished_after.as_ref().map(wire::millis).transpose()?,
        to: Folder::parse(&step.to)?,
        say: step.say,
    })
}

fn read_give_up(give_up: v1::GiveUp) -> Result<GiveUp, Refusal> {
    let after = give_up.after.as_ref().map(wire::millis).transpose()?;
    Ok(GiveUp {
        after: after.ok_or_else(|| Refusal::invalid("say after how long to give up"))?,
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
    let after = |millis: u64| wire::duration(std::time::Duration::from_millis(millis));
    let step = |step: Step| v1::EscalationStep {
        after: step.after.and_then(after),
        unfinished_after: step.unfinished_after.and_then(after),
        to: step.to.into(),
        say: step.say,
    };
    v1::Route {
        prefix: route.prefix,
        target: route.target.map(Into::into),
        persona: route.persona,
        topic: route.topic,
        mode: mode.into(),
        escalation: route
            .escalation
            .map(|steps| v1::Escalation { steps: steps.into_iter().map(step).collect() }),
        give_up: route
            .give_up
            .map(|give_up| v1::GiveUp { after: after(give_up.after), say: give_up.say }),
        only_folder: route.only.map(|only| only.folder.into()).unwrap_or_default(),
    }
}

fn wire_change(change: Change) -> v1::RouteChange {
    v1::RouteChange { before: change.before.map(wire_route), after: change.after.map(wire_route) }
}
