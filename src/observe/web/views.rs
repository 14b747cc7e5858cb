//! The views in the API: their list, and the current rows of each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::http::Uri;
use axum::response::Response;
use axum::routing::get;
use dataflows::rows::Type;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::query::{API, ApiError, Query, json_answer};
use crate::observe::board::Board;
use crate::observe::board::find::RowsQuery;
use crate::observe::board::views::{ViewInfo, ViewRows, Views};

/// How often the rows of an open view are sent at most.
const GAP: Duration = Duration::from_secs(1);

/// The name of a column's type.
fn type_name(of: Type) -> &'static str {
    match of {
        Type::Timestamp => "timestamp",
        Type::Decimal | Type::Exact { .. } => "decimal",
        Type::Real => "double",
        Type::Integer => "integer",
        Type::Text => "text",
        Type::Bytes => "bytes",
    }
}

/// The constant properties of a view.
fn about(info: &ViewInfo) -> Value {
    let name = |place: usize| info.columns.get(place).map(|column| &*column.name);
    let columns = info
        .columns
        .iter()
        .map(|column| json!({ "name": column.name, "type": type_name(column.column_type) }));
    json!({
        "name": info.name,
        "shape": info.shape,
        "columns": columns.collect::<Vec<_>>(),
        "key": info.key.iter().filter_map(|place| name(*place)).collect::<Vec<_>>(),
        "time": info.time.and_then(name),
        "table": info.table,
        "file": info.file,
    })
}

/// The numbers of a view.
fn numbers(view: &ViewRows) -> Value {
    let counts = view.recent.counts();
    json!({
        "rows": counts.rows(),
        "complete": view.is_complete,
        "changes": counts.changes,
        "changed": view.changed,
    })
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Value::Object(one), Value::Object(other)) = (&mut one, other) {
        one.extend(other);
    }
    one
}

/// All views with their properties.
pub(super) fn listed(views: &Views) -> Value {
    views.all().map(|view| merged(about(&view.info), numbers(view))).collect()
}

/// The numbers of all views by name, for an event.
pub(super) fn counted(views: &Views) -> Value {
    views.all().map(|view| (view.info.name.clone(), numbers(view))).collect()
}

/// The requested rows of a view.
fn rows(view: &ViewRows, query: &RowsQuery) -> Value {
    let found = view.find(query);
    let rows = found.rows.into_iter().map(|row| json!({ "id": row.id, "values": row.values }));
    let rows = json!({
        "kept": found.kept,
        "matching": found.matching,
        "offset": query.offset,
        "list": rows.collect::<Vec<_>>(),
    });
    merged(merged(about(&view.info), numbers(view)), json!({ "found": rows }))
}

/// The routes.
pub(super) fn routes<S>(board: Arc<Board>) -> Router<S> {
    Router::new()
        .route("/api/v1/views", get(list))
        .route("/api/v1/views/{name}/rows", get(rows_of))
        .with_state(board)
}

async fn list(State(board): State<Arc<Board>>) -> Response {
    json_answer(&json!({ "views": listed(&board.state().views) }))
}

/// The rows of the view in a path such as `views/NAME/rows`.
async fn rows_of(
    State(board): State<Arc<Board>>,
    uri: Uri,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let name = uri.path().strip_prefix(API).and_then(|path| path.strip_prefix("/views/"));
    let name = name.and_then(|path| path.strip_suffix("/rows")).unwrap_or_default();
    let name = percent_decode_str(name).decode_utf8_lossy();
    // A copy, because a search takes longer than a commit may wait. The rows themselves are shared.
    let view = board.state().views.get(&name).cloned();
    let view = view.ok_or_else(|| ApiError::not_found("the job has no view with this name"))?;
    let query = Query::of(query);
    let asked = Asked::of(&query, "");
    let sort = match &asked.sort {
        Some(name) => Some(view.info.column(name).ok_or_else(|| {
            let columns: Vec<_> = view.info.columns.iter().map(|column| &*column.name).collect();
            ApiError::of_query(format!("unknown `sort` {name:?}; expected one of {}", columns.join(", ")))
        })?),
        None => None,
    };
    let descending = match query.filled("order").unwrap_or("asc") {
        "asc" => false,
        "desc" => true,
        other => {
            return Err(ApiError::of_query(format!("unknown `order` {other:?}; expected asc or desc")));
        }
    };
    let query = RowsQuery {
        search: asked.search,
        id: query.get("id").map(str::to_owned),
        sort,
        descending,
        offset: query.number("offset")?.unwrap_or(0),
        limit: query.limit(50)?,
    };
    Ok(json_answer(&rows(&view, &query)))
}

/// The requested rows, by the names of columns.
#[derive(Clone, Debug, Default)]
struct Asked {
    search: String,
    sort: Option<String>,
    descending: bool,
    offset: usize,
}

impl Asked {
    /// The fields whose names begin with `prefix`.
    fn of(query: &Query, prefix: &str) -> Self {
        let field = |name: &str| query.filled(&format!("{prefix}{name}"));
        Self {
            search: field("search").unwrap_or_default().to_owned(),
            sort: field("sort").map(str::to_owned),
            descending: field("order") == Some("desc"),
            offset: field("offset").and_then(|offset| offset.parse().ok()).unwrap_or(0),
        }
    }
}

/// The view that an open page shows, and what it has received.
pub(super) struct OpenView {
    name: String,
    asked: Asked,
    limit: usize,
    /// The version of the last rows, and when they were sent.
    sent: Option<(u64, Instant)>,
}

impl OpenView {
    /// The view of a query, if it names one.
    pub fn of(query: &Query, limit: usize) -> Option<Self> {
        let name = query.get("view")?.to_owned();
        Some(Self { name, asked: Asked::of(query, "view_"), limit, sent: None })
    }

    /// Its rows, if they have changed; null if there is no such view. A page may have been opened before the job was
    /// started with other views, so unknown columns are no error.
    pub fn next(&mut self, views: &Views) -> Option<Value> {
        let view = views.get(&self.name);
        let version = view.map_or(0, |view| view.version);
        if self.sent.is_some_and(|(sent, at)| sent == version || at.elapsed() < GAP) {
            return None;
        }
        self.sent = Some((version, Instant::now()));
        let Some(view) = view else { return Some(Value::Null) };
        let query = RowsQuery {
            search: self.asked.search.clone(),
            id: None,
            sort: self.asked.sort.as_deref().and_then(|name| view.info.column(name)),
            descending: self.asked.descending,
            offset: self.asked.offset,
            limit: self.limit,
        };
        Some(rows(view, &query))
    }
}
