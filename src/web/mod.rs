//! What is seen from outside over HTTP: `/metrics`, `/healthz`, `/readyz`.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::error::Error;
use crate::metrics::Metrics;

/// What the handlers show.
#[derive(Clone)]
pub struct Seen {
    /// The job's metrics.
    pub metrics: Metrics,
    /// Whether the source and the sinks answered, and the job reads.
    pub ready: Arc<AtomicBool>,
}

/// Serves on `address` from a thread of its own for as long as the process lives, and gives the
/// address that was bound. `off` serves nothing.
pub fn serve(address: &str, seen: Seen) -> Result<Option<SocketAddr>, Error> {
    if address == "off" {
        return Ok(None);
    }
    let failed = |source| Error::Listen { address: address.to_owned(), source };
    let listener = TcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let serve = move || {
        runtime.block_on(async move {
            let routes = Router::new()
                .route("/metrics", get(metrics))
                .route("/healthz", get(async || "ok\n"))
                .route("/readyz", get(ready))
                .with_state(seen);
            let served = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => axum::serve(listener, routes).await,
                Err(error) => Err(error),
            };
            if let Err(error) = served {
                tracing::error!(%error, "the metrics are no longer served; the job goes on");
            }
        });
    };
    std::thread::Builder::new().name("web".into()).spawn(serve).map_err(failed)?;
    Ok(Some(bound))
}

async fn metrics(State(seen): State<Seen>) -> impl IntoResponse {
    match seen.metrics.render() {
        Ok(text) => (StatusCode::OK, [(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text),
        Err(error) => {
            let text = error.to_string().into_bytes();
            (StatusCode::INTERNAL_SERVER_ERROR, [(header::CONTENT_TYPE, "text/plain")], text)
        }
    }
}

async fn ready(State(seen): State<Seen>) -> (StatusCode, &'static str) {
    if seen.ready.load(SeqCst) {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready: the input or the database does not answer\n")
    }
}
