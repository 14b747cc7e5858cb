//! The live page's files, embedded in the binary. The page loads nothing from other servers.
//!
//! They contain no data, so that the page can be loaded without the token. Names and payloads come as JSON from
//! [`super::live`], and the page inserts them as text. As a second line of defence, the content security policy allows
//! no other script than the page's own.

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

/// The content security policy: only resources of this server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Path, type and content of each file. uPlot is under the MIT licence, which is served next to it.
const FILES: [(&str, &str, &str); 14] = [
    ("/", HTML, include_str!("assets/index.html")),
    ("/assets/page.css", STYLE, include_str!("assets/page.css")),
    ("/assets/page.js", SCRIPT, include_str!("assets/page.js")),
    ("/assets/views.js", SCRIPT, include_str!("assets/views.js")),
    ("/assets/pins.js", SCRIPT, include_str!("assets/pins.js")),
    ("/assets/stream.js", SCRIPT, include_str!("assets/stream.js")),
    ("/assets/charts.js", SCRIPT, include_str!("assets/charts.js")),
    ("/assets/letters.js", SCRIPT, include_str!("assets/letters.js")),
    ("/assets/graph.js", SCRIPT, include_str!("assets/graph.js")),
    ("/assets/text.js", SCRIPT, include_str!("assets/text.js")),
    ("/assets/uPlot.js", SCRIPT, include_str!("assets/uPlot.iife.min.js")),
    ("/assets/uPlot.css", STYLE, include_str!("assets/uPlot.min.css")),
    ("/assets/uPlot.LICENSE", TEXT, include_str!("assets/uPlot.LICENSE")),
    ("/api/v1/openapi.json", JSON, include_str!("assets/openapi.json")),
];

/// The page's routes, which need no state.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    FILES.into_iter().fold(Router::new(), |routes, (path, kind, content)| {
        routes.route(path, get(async move || file(kind, content)))
    })
}

fn file(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, kind),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        // Other versions of truckflow have other files at the same paths.
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, content)
}

/// The response at `/` of a process without a page.
pub async fn elsewhere() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "this process does not serve the live page; open that of process 0\n")
}
