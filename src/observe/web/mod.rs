//! The HTTP server: `/metrics`, `/healthz`, `/readyz`, and the live page, with its files ([`page`]) and its API
//! ([`live`], [`views`]).
//!
//! Any client that reaches the address can connect, so its resources are bounded: the size of request heads, the time
//! of a connection, and the number of connections, of which the oldest is closed first. Requests are read-only and
//! have no body. If the job has a token, everything requires it except `/healthz` and `/readyz`, which then return
//! only the status, and the page's files, which contain no data of the job.

mod lasting;
pub mod live;
pub mod page;
mod query;
mod views;

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::runtime::reload::Reloaded;
use crate::runtime::secret::{self, ExposeSecret, SecretString};
use lasting::Lasting;

/// Maximum number of connections.
const CONNECTIONS: usize = 64;
/// The time limit of a connection, which serves one request, unless it is [`Lasting`].
const CONNECTION: Duration = Duration::from_secs(10);
/// The maximum size of a request head in bytes, and of its headers.
const HEAD: usize = 16 << 10;
const HEADERS: usize = 64;
/// The pause after a failed accept, for example when there are no file descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// The server cannot listen on the address.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; choose another --listen, or `--listen off`")]
pub struct ListenError {
    /// The address.
    pub address: String,
    /// The operating system's error.
    pub source: std::io::Error,
}

/// A token that is read again on a reload.
pub type Token = Arc<Reloaded<Option<SecretString>>>;

/// The state shared by the handlers.
#[derive(Clone)]
pub struct AppState {
    /// The job's metrics.
    pub metrics: Metrics,
    /// The job's health.
    pub health: Arc<Health>,
    /// The live page; in a cluster only process 0 has one.
    pub page: Option<live::Live>,
    /// The token that clients have to send, if any.
    pub token: Token,
}

/// Starts a thread that serves on `address` until the process ends, and returns the bound address. `off` serves
/// nothing. With a token, clients have to send `Authorization: Bearer <token>` (RFC 6750).
pub fn serve(address: &str, state: AppState) -> Result<Option<SocketAddr>, ListenError> {
    if address == "off" {
        return Ok(None);
    }
    let failed = |source| ListenError { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    if state.token.get().is_none() && !bound.ip().to_canonical().is_loopback() {
        tracing::warn!(
            "http://{bound} is accessible without a token; set listen_token_file, or listen on 127.0.0.1"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let serve = move || {
        runtime.block_on(async move {
            match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => take_connections(&listener, routes(state)).await,
                Err(error) => tracing::error!(%error, "cannot serve metrics; the job continues"),
            }
        });
    };
    std::thread::Builder::new().name("web".into()).spawn(serve).map_err(failed)?;
    Ok(Some(bound))
}

fn routes(state: AppState) -> Router {
    // Orchestrators request these without a token.
    let open = Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready));
    let guarded = Router::new().route("/metrics", get(metrics));
    let (guarded, open) = match &state.page {
        Some(page) => (guarded.merge(live::routes(page.clone())), open.merge(page::routes())),
        None => (guarded.route("/", get(page::elsewhere)), open),
    };
    let guarded = guarded.layer(from_fn_with_state(state.token.clone(), guard));
    let open = open.layer(from_fn(checked));
    guarded.merge(open).with_state(state)
}

async fn take_connections(listener: &tokio::net::TcpListener, routes: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(CONNECTION);
    http.max_buf_size(HEAD).max_headers(HEADERS).keep_alive(false);
    let service = TowerToHyperService::new(routes);
    let mut open: VecDeque<AbortHandle> = VecDeque::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        open.retain(|connection| !connection.is_finished());
        if open.len() >= CONNECTIONS
            && let Some(oldest) = open.pop_front()
        {
            oldest.abort();
        }
        let lasting = Lasting::default();
        let (service, given) = (service.clone(), lasting.clone());
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(given.clone());
            service.call(request)
        });
        let served = http.serve_connection(TokioIo::new(stream), service);
        // Slow clients and those that do not speak HTTP get no response.
        let served = async move {
            let mut served = pin!(served);
            while timeout(CONNECTION, &mut served).await.is_err() && lasting.is_active() {}
        };
        open.push_back(tokio::spawn(served).abort_handle());
    }
}

/// Passes on requests with the token.
async fn guard(State(token): State<Token>, request: Request, next: Next) -> Response {
    if is_known(request.headers(), &token) {
        return checked(request, next).await;
    }
    let said = "token required; send `Authorization: Bearer` with the token of listen_token_file\n";
    marked((StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], said).into_response())
}

/// Passes on GET and HEAD requests without a body.
async fn checked(request: Request, next: Next) -> Response {
    let headers = request.headers();
    marked(if ![Method::GET, Method::HEAD].contains(request.method()) {
        let said = "read-only; use GET or HEAD\n";
        (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "GET, HEAD")], said).into_response()
    } else if has_body(headers) {
        (StatusCode::PAYLOAD_TOO_LARGE, "request bodies are not accepted\n").into_response()
    } else {
        next.run(request).await
    })
}

fn marked(mut response: Response) -> Response {
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

/// Whether a request has the token, or none is required.
fn is_known(headers: &HeaderMap, token: &Token) -> bool {
    token.get().as_ref().as_ref().is_none_or(|token| sends(headers, token.expose_secret()))
}

fn sends(headers: &HeaderMap, token: &str) -> bool {
    let sent = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes).unwrap_or_default();
    match sent.split_at_checked(7) {
        Some((scheme, sent)) if scheme.eq_ignore_ascii_case(b"Bearer ") => {
            secret::is_same(sent.trim_ascii(), token.as_bytes())
        }
        _ => false,
    }
}

fn has_body(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING)
        || headers.get(header::CONTENT_LENGTH).is_some_and(|length| length.as_bytes() != b"0")
}

async fn metrics(State(state): State<AppState>) -> impl IntoResponse {
    match state.metrics.render() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text),
        Err(error) => {
            let text = error.to_string().into_bytes();
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], text)
        }
    }
}

async fn ready(State(state): State<AppState>, headers: HeaderMap) -> (StatusCode, String) {
    match state.health.ready() {
        Ok(()) => (StatusCode::OK, "ready\n".into()),
        // The reason may contain server names.
        Err(reason) if is_known(&headers, &state.token) => {
            (StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {reason}\n"))
        }
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "not ready; send the token to see the reason\n".into()),
    }
}
