//! Problems as pages, for browsers.

use super::{
    assets::LINKED_STYLE,
    markup::{HTML, escape},
};
use crate::{
    accept::Accept,
    language::{Language, Wanted},
    problem::Problem,
};
use axum::{extract::Request, middleware::Next, response::Response};
use http::{
    HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};

/// Any page may frame a problem's page, which has nothing to press. Our own page shows one in the
/// frame of replies; another site's page shows one in place of a chat that has ended.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'self'; frame-ancestors *");

/// Answers with a page in place of a problem's JSON if the request prefers HTML.
pub(crate) async fn show_problems(request: Request, next: Next) -> Response {
    let accept = Accept::of(request.headers());
    let is_read = request.method().is_safe();
    let wanted = (accept == Accept::Html).then(|| Wanted::of(request.uri(), request.headers()));
    let response = next.run(request).await;
    match response.extensions().get::<Problem>().zip(wanted) {
        Some((problem, wanted)) => {
            let html = page(problem, is_read, wanted.or(""));
            let (mut head, _) = response.into_parts();
            head.headers.insert(CONTENT_TYPE, HTML);
            head.headers.insert(CONTENT_SECURITY_POLICY, POLICY);
            head.headers.remove(CONTENT_LENGTH);
            Response::from_parts(head, html.into())
        }
        _ => response,
    }
}

/// Renders a problem's page. `is_read` says that the request was for reading, so the page may
/// reload itself. Other requests are not repeated: a form could send its message twice.
fn page(problem: &Problem, is_read: bool, language: &'static Language) -> String {
    let words = |name| format!(" {}", language.problem(name).unwrap_or_default());
    let (refresh, what_next) = match problem.wait() {
        Some(wait) if is_read => {
            // Pages that were refused together should not all reload together.
            let spread = u64::from(getrandom::u32().unwrap_or_default() % 5);
            let seconds = wait.as_secs().max(3) + spread;
            let refresh = format!(r#"<meta http-equiv="refresh" content="{seconds}">"#);
            (refresh, words("retries"))
        }
        _ if is_read => (String::new(), String::new()),
        _ => (String::new(), words("go_back")),
    };
    let title = escape(problem.heading(language));
    let sentence = match problem.sentence(language) {
        Some(sentence) => escape(sentence),
        None => format!(r#"<span lang="en">{}</span>"#, escape(problem.detail())).into(),
    };
    let (root, style) = (language.attributes(), &*LINKED_STYLE);
    format!(
        r#"<!doctype html>
<html {root}>
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  {style}
  {refresh}
</head>
<body class="problem">
  <main>
    <h1>{title}</h1>
    <p>{sentence}{what_next}</p>
  </main>
</body>
</html>
"#
    )
}
