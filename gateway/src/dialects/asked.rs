//! A request of a protocol: who asks, and the JSON document that most requests post.

use crate::{
    address::Visitor,
    gateway::Gateway,
    link::Link,
    operation::{Argument, Description},
    problem::Problem,
    unread::{Content, Unread},
};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::{HeaderMap, request::Parts};
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Who asks, and for which link.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) gateway: Arc<Gateway>,
    pub(super) link: Link,
    pub(super) visitor: Visitor,
}

/// A request whose body is read within the limits of its link and its address.
pub(super) struct Asked<T> {
    pub(super) caller: Caller,
    pub(super) headers: HeaderMap,
    pub(super) body: T,
}

impl Argument for Caller {
    fn describe(operation: &mut Description<'_>) {
        Link::describe(operation);
    }
}

impl FromRequestParts<Arc<Gateway>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(
        parts: &mut Parts,
        gateway: &Arc<Gateway>,
    ) -> Result<Self, Problem> {
        let link = Link::from_request_parts(parts, gateway).await?;
        let Ok(visitor) = Visitor::from_request_parts(parts, gateway).await;
        Ok(Self { gateway: gateway.clone(), link, visitor })
    }
}

impl<T: Content> Argument for Asked<T> {
    fn describe(operation: &mut Description<'_>) {
        Caller::describe(operation);
        Unread::<T>::describe(operation);
    }
}

impl<T: Content + DeserializeOwned> FromRequest<Arc<Gateway>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let caller = Caller::from_request_parts(&mut parts, gateway).await?;
        let headers = parts.headers;
        let Caller { link, visitor, .. } = &caller;
        let body = Unread::new(body).read_json(gateway, link, *visitor, &headers).await?;
        Ok(Self { caller, headers, body })
    }
}
