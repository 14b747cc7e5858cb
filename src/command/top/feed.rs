//! Reads the server-sent events of a job's live page, as `src/observe/web/assets/stream.js` does.

use std::ops::ControlFlow;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::http::{HeaderValue, Request, StatusCode, header};
use futures_util::StreamExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::error::TopError;
use super::seen::{Asked, News};
use crate::cli::top::Address;
use crate::runtime::failure::SystemError;
use crate::runtime::secret::{ExposeSecret, SecretString};
use crate::text::printable::printable;

/// The connection is lost after this time without an event; a job sends one every two seconds.
const SILENCE: Duration = Duration::from_secs(8);
/// Trucks or rows per request: the maximum that a job returns.
pub const LISTED: usize = 200;
/// The maximum size of an event in bytes; a job never sends more.
const EVENT: usize = 16 << 20;
/// The maximum length of a refusal that is shown.
const REFUSAL: usize = 4 << 10;

/// Why a job refuses a request.
#[derive(Deserialize)]
struct Refusal {
    error: String,
}

/// The event stream of a job.
#[derive(Clone)]
pub struct Feed {
    address: Address,
    token: Option<SecretString>,
}

impl Feed {
    /// The job at an address.
    pub fn new(address: Address, token: Option<SecretString>) -> Self {
        Self { address, token }
    }

    /// Passes each event to `take`, until that breaks or the job ends.
    pub async fn listen(
        &self,
        asked: &Asked,
        mut take: impl FnMut(News) -> ControlFlow<()>,
    ) -> Result<(), TopError> {
        let address = || self.address.host_and_port.clone();
        let incompatible = || TopError::Incompatible(address());
        let no_answer = |reason: String| TopError::NoAnswer { address: address(), reason };
        let in_time = |_| no_answer(format!("no data for {} s", SILENCE.as_secs()));

        let stream =
            timeout(SILENCE, TcpStream::connect(&self.address.host_and_port)).await.map_err(in_time)?;
        let stream = stream.map_err(|error| no_answer(error.to_string()))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|_| incompatible())?;
        // Dropping it closes the connection.
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        let request = self.request(asked).map_err(|_| incompatible())?;
        let answer = timeout(SILENCE, sender.send_request(request)).await.map_err(in_time)?;
        let answer = answer.map_err(|error| match error.is_parse() {
            true => incompatible(),
            false => no_answer(error.to_string()),
        })?;
        let (status, is_events) = (answer.status(), is_events(answer.headers()));
        let body = Body::new(answer.into_body());
        match status {
            StatusCode::OK if is_events => {}
            StatusCode::UNAUTHORIZED if self.token.is_none() => return Err(TopError::NoToken(address())),
            StatusCode::UNAUTHORIZED => return Err(TopError::OtherToken(address())),
            StatusCode::NOT_FOUND => return Err(TopError::Elsewhere(address())),
            StatusCode::SERVICE_UNAVAILABLE => {
                let said = timeout(SILENCE, to_bytes(body, REFUSAL)).await.map_err(in_time)?;
                let said: Refusal =
                    serde_json::from_slice(&said.unwrap_or_default()).map_err(|_| incompatible())?;
                let said = printable(&said.error).into_owned();
                return Err(TopError::Refused { address: address(), said });
            }
            _ => return Err(incompatible()),
        }

        let lost = |reason: String| TopError::Gone { address: address(), reason };
        let (mut chunks, mut received) = (body.into_data_stream(), Vec::new());
        loop {
            let chunk = timeout(SILENCE, chunks.next()).await;
            let chunk = chunk.map_err(|_| lost(format!("no data for {} s", SILENCE.as_secs())))?;
            let chunk = chunk.ok_or_else(|| lost("it closed the connection".into()))?;
            received.extend_from_slice(&chunk.map_err(|error| lost(error.to_string()))?);
            while let Some(end) = memchr::memmem::find(&received, b"\n\n") {
                let news = received[..end].strip_prefix(b"data: ").and_then(News::read);
                let news = news.ok_or_else(incompatible)?;
                let ended = news.status.doing == "ended";
                received.drain(..end + 2);
                if take(news).is_break() || ended {
                    return Ok(());
                }
            }
            if received.len() > EVENT {
                return Err(incompatible());
            }
        }
    }

    fn request(&self, asked: &Asked) -> Result<Request<Body>, axum::http::Error> {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .append_pair("search", &asked.search)
            .append_pair("sort", &asked.sort)
            .append_pair("offset", &asked.offset.to_string())
            .append_pair("limit", &LISTED.to_string());
        if let Some(view) = &asked.view {
            query
                .append_pair("view", &view.name)
                .append_pair("view_search", &view.search)
                .append_pair("view_sort", view.sort.as_deref().unwrap_or_default())
                .append_pair("view_order", if view.descending { "desc" } else { "asc" })
                .append_pair("view_offset", &view.offset.to_string());
        }
        let query = query.finish();
        let mut request =
            Request::get(format!("/api/v1/events?{query}")).header(header::HOST, &self.address.host_and_port);
        if let Some(token) = &self.token {
            let mut bearer = HeaderValue::from_str(&format!("Bearer {}", token.expose_secret()))?;
            bearer.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, bearer);
        }
        request.body(Body::empty())
    }
}

/// Runs a future on this thread.
pub fn block_on<T>(work: impl Future<Output = T>) -> Result<T, SystemError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| SystemError { verb: "start a runtime", source })?;
    Ok(runtime.block_on(work))
}

fn is_events(headers: &axum::http::HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes() == b"text/event-stream")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_host_and_port_or_a_url() {
        for (text, address) in [
            ("127.0.0.1:9600", "127.0.0.1:9600"),
            ("truckflow", "truckflow:9600"),
            ("http://truckflow:80/", "truckflow:80"),
            ("[::1]:9600", "[::1]:9600"),
            ("[::1]", "[::1]:9600"),
            ("0.0.0.0:1", "0.0.0.0:1"),
        ] {
            assert_eq!(
                Address::parse(text).map(|address| address.host_and_port).as_deref(),
                Ok(address),
                "{text}"
            );
        }
        for text in ["", "https://truckflow", "a b", "off/on", "host:99999", "user@host:1"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
    }
}
