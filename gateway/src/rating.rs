//! `/chat/{token}/{turn}/rating`: what the visitor thinks of a reply.

use crate::{
    address::Visitor,
    document::Rating,
    gateway::Gateway,
    link::{Link, TurnId},
    problem::Problem,
    schema::Id,
    unread::{Content, Unread},
};
use arizuko_proto::v1::{self as pb, Thumb};
use axum::{
    Json,
    extract::State,
    response::{IntoResponse, Response},
};
use http::HeaderMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What the visitor thinks of a reply.
#[derive(Deserialize, JsonSchema)]
#[schemars(extend("required" = ["rating"]))]
pub(crate) struct NewRating {
    /// `null` takes an earlier rating back.
    #[serde(deserialize_with = "Option::deserialize")] // absent is not null
    rating: Option<Rating>,
    /// Why, for the link's owner. Replaces an earlier comment.
    #[schemars(length(max = 1000))]
    #[serde(default)]
    comment: String,
}

impl Content for NewRating {}

/// The turn's rating.
#[derive(JsonSchema, Serialize)]
pub(crate) struct Rated<'a> {
    #[schemars(with = "Id")]
    turn_id: &'a str,
    rating: Option<Rating>,
}

/// PUT `/chat/{token}/{turn}/rating`
pub(crate) async fn rate(
    State(gateway): State<Arc<Gateway>>,
    link: Link,
    visitor: Visitor,
    TurnId(turn_id): TurnId,
    headers: HeaderMap,
    body: Unread<NewRating>,
) -> Result<Response, Problem> {
    let new = body.read_json(&gateway, &link, visitor, &headers).await?;
    let NewRating { rating, comment } = new;
    let thumb = match rating {
        None => Thumb::Unspecified,
        Some(Rating::Up) => Thumb::Up,
        Some(Rating::Down) => Thumb::Down,
    };
    let request = pb::RateTurnRequest {
        access: Some(link.access()),
        turn_id: turn_id.clone(),
        thumb: thumb.into(),
        comment,
    };
    gateway.control.rate(request).await?;
    Ok(Json(Rated { turn_id: &turn_id, rating }).into_response())
}
