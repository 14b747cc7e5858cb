//! Queries and answers of the API: fields of a URL in, JSON out.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// The path of all requests.
pub(super) const API: &str = "/api/v1";
/// Maximum number of items in a response.
const LIMIT: usize = 200;

/// The fields of a query, percent-decoded.
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub fn of(query: Option<String>) -> Self {
        let query = query.unwrap_or_default();
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }

    /// A field that is not empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    pub fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        self.get(name)
            .map(|value| value.parse().map_err(|_| ApiError::of_query(format!("`{name}` is not a number"))))
            .transpose()
    }

    pub fn limit(&self, default: usize) -> Result<usize, ApiError> {
        Ok(self.number("limit")?.unwrap_or(default).min(LIMIT))
    }
}

/// An error, as `{"error": "a sentence"}`.
#[derive(Debug)]
pub(super) struct ApiError {
    status: StatusCode,
    text: String,
}

impl ApiError {
    /// The query cannot be answered as it is.
    pub fn of_query(text: String) -> Self {
        Self { status: StatusCode::BAD_REQUEST, text }
    }

    /// Nothing has this name.
    pub fn not_found(text: &str) -> Self {
        Self { status: StatusCode::NOT_FOUND, text: text.to_owned() }
    }

    /// Not now.
    pub fn unavailable(text: String) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, text }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.status, json_answer(&json!({ "error": self.text }))).into_response()
    }
}

pub(super) fn json_answer(value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, value.to_string()).into_response()
}
