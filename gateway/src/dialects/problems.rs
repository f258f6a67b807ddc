//! Problems in the words of other protocols.

use crate::problem::Problem;
use axum::response::Response;
use http::{
    HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use serde_json::Value;

/// If a response has a problem, replaces its body with the JSON that `document` returns.
pub(super) fn told_as(response: Response, document: impl FnOnce(&Problem) -> Value) -> Response {
    let Some(problem) = response.extensions().get::<Problem>() else {
        return response;
    };
    let body = document(problem).to_string().into();
    let (mut head, _) = response.into_parts();
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    head.headers.remove(CONTENT_LENGTH);
    Response::from_parts(head, body)
}
