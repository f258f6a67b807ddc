//! `/chat/{token}/{turn}/rating`: what the visitor thinks of a reply.

use crate::{
    address::Visitor,
    document::Rating,
    gateway::Gateway,
    link::{Link, TurnId},
    message::{from_json, read_body},
    problem::Problem,
    schema::Id,
};
use arizuko_proto::v1::{self as pb, Thumb};
use axum::{
    Json,
    body::Body,
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
    /// `null` takes it back.
    #[serde(deserialize_with = "Option::deserialize")] // absent is not null
    rating: Option<Rating>,
    /// Why, for the link's owner. It replaces the earlier one.
    #[schemars(length(max = 1000))]
    #[serde(default)]
    comment: String,
}

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
    body: Body,
) -> Result<Response, Problem> {
    let (body, _share) = read_body(&gateway, &link, visitor, &headers, body).await?;
    let NewRating { rating, comment } = from_json(&headers, &body)?;
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
