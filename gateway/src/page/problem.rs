//! Problems as pages, for browsers.

use super::{
    assets::STYLE,
    markup::{HTML, escape},
};
use crate::{accept::Accept, problem::Problem};
use axum::{extract::Request, middleware::Next, response::Response};
use http::{
    HeaderValue,
    header::{CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
};

const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; style-src 'self'; frame-ancestors 'none'");

/// Answers with a page in place of a problem's JSON if the request prefers HTML.
pub(crate) async fn show_problems(request: Request, next: Next) -> Response {
    let accept = Accept::of(request.headers());
    let response = next.run(request).await;
    match response.extensions().get::<Problem>() {
        Some(problem) if accept == Accept::Html => {
            let html = page(problem);
            let (mut head, _) = response.into_parts();
            head.headers.insert(CONTENT_TYPE, HTML);
            head.headers.insert(CONTENT_SECURITY_POLICY, POLICY);
            head.headers.remove(CONTENT_LENGTH);
            Response::from_parts(head, html.into())
        }
        _ => response,
    }
}

fn page(problem: &Problem) -> String {
    let (title, detail) = (escape(problem.heading()), escape(problem.detail()));
    let style = &STYLE.path;
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>{title}</title>
  <link rel="stylesheet" href="{style}">
</head>
<body>
  <main>
    <div class="log"><div class="column"><div class="hello">
      <h1>{title}</h1>
      <div class="greeting"><p>{detail}</p></div>
    </div></div></div>
  </main>
</body>
</html>
"#
    )
}
