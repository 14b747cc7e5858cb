//! The API of the live page: `/api/v1/…`, all of it JSON, also errors. `assets/openapi.json` describes it for users.
//!
//! | path | returns |
//! |---|---|
//! | `events?truck=&search=&sort=&offset=&limit=&view=&view_search=&view_sort=&view_order=&view_offset=` | server-sent events with the changes of commits |
//! | `status` | the job's status, as in an event |
//! | `trucks?search=&sort=&offset=&limit=` | trucks; `sort` is a field of a row, prefixed with `-` for descending order |
//! | `truck/NAME` | a truck, its windows, and the history of its correlations |
//! | `views` | the views |
//! | `views/NAME/rows?search=&id=&sort=&order=&offset=&limit=` | the current rows of a view |
//! | `dead-letters?reason=&before=&limit=` | the last dead letters, newest first |
//! | `graph` | the dataflow graph, as in `truckflow explain --json` |
//!
//! A slow page gets the next event only after it has read the last one, and is disconnected if that takes too long.
//! The number of open pages is limited. The job never waits for a page.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::stream;
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc::{Sender, channel};
use tokio::time::{sleep, timeout};

use crate::observe::board::truck::Truck;
use crate::observe::board::trucks::{By, TruckQuery};
use crate::observe::board::{Board, Doing, Page, now};
use crate::observe::web::lasting::Lasting;
use crate::observe::web::query::{API, ApiError, Query, json_answer};
use crate::observe::web::views::{self, OpenView};
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::runtime::metrics::snapshot::Snapshot;

/// Maximum number of open pages.
const PAGES: usize = 16;
/// Minimum time between two events.
const GAP: Duration = Duration::from_millis(250);
/// Maximum time between two events, because status and metrics also change without a commit.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A page that has not read an event after this time is disconnected.
const SLOW: Duration = Duration::from_secs(10);
/// How often the list of trucks is sorted again.
const ORDER: Duration = Duration::from_secs(5);
/// How long the status is cached, for requests of several pages.
const FRESH: Duration = Duration::from_millis(200);
/// Maximum number of partitions in an event; those with the largest lag are included.
const PARTITIONS: usize = 64;
/// After this time, in milliseconds, a commit in progress is shown as waiting.
const LONG_COMMIT: u64 = 3_000;

/// The constant properties of a job.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// The version of truckflow.
    pub version: &'static str,
    /// The job's name.
    pub job: String,
    /// The source.
    pub source: String,
    /// Worker threads per process.
    pub workers: usize,
    /// Number of processes.
    pub processes: usize,
    /// Whether it is an upsert job.
    pub upsert: bool,
    /// The commit interval.
    pub commit_interval: String,
    /// The length of a window.
    pub window: String,
    /// Whether some of them show trucks: those of another record do not.
    pub shows_trucks: bool,
}

/// The data of the handlers.
#[derive(Clone)]
pub struct Live {
    board: Arc<Board>,
    metrics: Metrics,
    health: Arc<Health>,
    about: Arc<About>,
    status: Arc<Mutex<Option<(Instant, Value)>>>,
}

/// The routes.
pub fn routes<S: Clone + Send + Sync + 'static>(live: Live) -> Router<S> {
    let board = live.board.clone();
    Router::new()
        .route("/api/v1/events", get(events))
        .route("/api/v1/status", get(async |State(live): State<Live>| json_answer(&live.status())))
        .route("/api/v1/trucks", get(trucks))
        .route("/api/v1/truck/", get(truck))
        .route("/api/v1/truck/{*name}", get(truck))
        .route("/api/v1/dead-letters", get(dead_letters))
        .route("/api/v1/graph", get(graph))
        .route(
            "/api/{*path}",
            get(async || ApiError::not_found("no such path; /api/v1/openapi.json lists them")),
        )
        .with_state(live)
        .merge(views::routes(board))
}

impl Query {
    fn truck_query(&self) -> Result<TruckQuery, ApiError> {
        let sort = self.filled("sort").unwrap_or("name");
        let (name, descending) = sort.strip_prefix('-').map_or((sort, false), |name| (name, true));
        let by = By::named(name).ok_or_else(|| {
            ApiError::of_query(format!("unknown `sort` {name:?}; expected one of {}", By::NAMES.join(", ")))
        })?;
        Ok(TruckQuery {
            search: self.get("search").unwrap_or_default().to_owned(),
            by,
            descending,
            offset: self.number("offset")?.unwrap_or(0),
            limit: self.limit(50)?,
        })
    }
}

async fn trucks(State(live): State<Live>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let query = Query::of(query).truck_query()?;
    Ok(json_answer(&live.list(&query).0))
}

async fn truck(State(live): State<Live>, uri: Uri) -> Result<Response, ApiError> {
    let name = uri.path().strip_prefix(API).and_then(|path| path.strip_prefix("/truck/")).unwrap_or_default();
    let name = percent_decode_str(name).decode_utf8_lossy();
    match live.board.state().trucks.get(&name) {
        Some(truck) => Ok(json_answer(&whole(truck))),
        None => Err(ApiError::not_found("no committed readings of a truck with this name")),
    }
}

async fn dead_letters(State(live): State<Live>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let query = Query::of(query);
    let (before, limit) = (query.number("before")?, query.limit(20)?);
    let state = live.board.state();
    let list = state.letters.list(query.filled("reason"), before, limit);
    Ok(json_answer(&json!({ "count": state.letters.count(), "list": list })))
}

async fn graph(State(live): State<Live>) -> Result<Response, ApiError> {
    match live.board.graph() {
        Some((plan, _)) => Ok(json_answer(&json!(**plan))),
        None => Err(ApiError::unavailable("the graph is not built yet".into())),
    }
}

async fn events(
    State(live): State<Live>,
    Extension(lasting): Extension<Lasting>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let query = Query::of(query);
    let asked = query.truck_query()?;
    let subscription = Subscription {
        view: OpenView::of(&query, asked.limit),
        query: asked,
        truck: query.get("truck").map(str::to_owned),
        version: None,
        commits: 0,
        places: Vec::new(),
        ordered: None,
    };
    let Some(page) = live.board.listen(PAGES) else {
        return Err(ApiError::unavailable(format!("{PAGES} pages are already open; close one of them")));
    };
    let (sender, events) = channel(1);
    let lasts = lasting.lasts();
    tokio::spawn(async move {
        live.send_events(subscription, page, sender).await;
        drop(lasts);
    });
    let events = stream::unfold(events, async |mut events| {
        events.recv().await.map(|event| (Ok::<_, Infallible>(event), events))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// A truck with its windows and history.
fn whole(truck: &Truck) -> Value {
    let past = truck.history();
    json!({ "row": truck.row(), "windows": truck.windows(), "past": [past.0, past.1, past.2] })
}

/// The request of an open page, and what it has received.
struct Subscription {
    query: TruckQuery,
    truck: Option<String>,
    view: Option<OpenView>,
    /// The version of the board at the last event; None before the first one.
    version: Option<u64>,
    /// The time of the last commit sent.
    commits: u64,
    /// The trucks in its list.
    places: Vec<u32>,
    /// When the list was sorted.
    ordered: Option<Instant>,
}

impl Live {
    /// The live page of a job.
    pub fn new(board: Arc<Board>, metrics: Metrics, health: Arc<Health>, about: About) -> Self {
        Self { board, metrics, health, about: Arc::new(about), status: Arc::default() }
    }

    /// Sends events to a page until it is closed or the job ends.
    async fn send_events(self, mut subscription: Subscription, _page: Page, sender: Sender<Bytes>) {
        let mut changes = self.board.changes();
        loop {
            changes.mark_unchanged();
            let ends = matches!(self.board.doing(), Doing::Ended(_));
            let event = format!("data: {}\n\n", self.next_event(&mut subscription));
            if !matches!(timeout(SLOW, sender.send(event.into())).await, Ok(Ok(()))) || ends {
                return;
            }
            sleep(GAP).await;
            tokio::select! {
                changed = timeout(HEARTBEAT, changes.changed()) => {
                    if changed.is_ok_and(|changed| changed.is_err()) {
                        return;
                    }
                }
                () = sender.closed() => return,
            }
        }
    }

    /// The changes since the last event of a page.
    fn next_event(&self, subscription: &mut Subscription) -> Value {
        let mut event = json!({ "instance": self.board.instance.to_string(), "status": self.status() });
        let state = self.board.state();
        if subscription.version.is_none() {
            event["about"] = json!(*self.about);
            event["about"]["views"] = views::listed(&state.views);
        }
        if let Some(rows) = subscription.view.as_mut().and_then(|view| view.next(&state.views)) {
            event["view"] = rows;
        }
        let since = subscription.version;
        let is_new = |changed: u64| since.is_none_or(|since| changed > since);
        let commits = state.commits.iter().filter(|commit| commit.at > subscription.commits);
        event["commits"] = commits.map(|commit| json!(commit)).collect();
        subscription.commits = state.commits.back().map_or(subscription.commits, |commit| commit.at);
        if let Some(name) = &subscription.truck {
            let truck = state.trucks.get(name);
            match truck.filter(|truck| is_new(truck.changed())) {
                Some(truck) if since.is_none() => event["truck"] = whole(truck),
                Some(truck) => event["truck"] = json!({ "row": truck.row(), "windows": truck.windows() }),
                None if truck.is_none() => event["truck"] = Value::Null,
                None => {}
            }
        }
        let is_due = subscription.ordered.is_none_or(|at| at.elapsed() >= ORDER);
        if is_due && is_new(state.version) {
            let (list, places) = list(&state, &subscription.query);
            event["trucks"] = list;
            (subscription.places, subscription.ordered) = (places, Some(Instant::now()));
        } else {
            let changed = subscription.places.iter().map(|&place| state.trucks.at(place));
            event["changed"] =
                changed.filter(|truck| is_new(truck.changed())).map(|truck| json!(truck.row())).collect();
        }
        subscription.version = Some(state.version);
        event
    }

    fn list(&self, query: &TruckQuery) -> (Value, Vec<u32>) {
        list(&self.board.state(), query)
    }

    /// The job's status and counters.
    fn status(&self) -> Value {
        let mut kept = self.status.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match &*kept {
            Some((at, status)) if at.elapsed() < FRESH && !matches!(self.board.doing(), Doing::Ended(_)) => {
                status.clone()
            }
            _ => {
                let status = self.read_status();
                *kept = Some((Instant::now(), status.clone()));
                status
            }
        }
    }

    fn read_status(&self) -> Value {
        let mut reading = self.metrics.read();
        let lag: i64 = reading.partitions.iter().filter_map(|partition| partition.lag).sum();
        let measured = reading.partitions.iter().any(|partition| partition.lag.is_some());
        let count = reading.partitions.len();
        let messages: u64 = reading.partitions.iter().map(|partition| partition.consumed).sum();
        reading.partitions.sort_by_key(|partition| {
            (-partition.lag.unwrap_or(0), partition.topic.clone(), partition.partition)
        });
        reading.partitions.truncate(PARTITIONS);
        let (trucks, letters, last, views) = {
            let state = self.board.state();
            let last = state.commits.back().copied();
            (state.trucks.count(), state.letters.count(), last, views::counted(&state.views))
        };
        let (doing, text) = self.doing(&reading, measured.then_some(lag), last.map(|commit| commit.at));
        let mut status = json!(reading);
        let more = json!({
            "now": now(),
            "doing": doing,
            "text": text,
            "warning": self.board.warning(),
            "trucks": trucks,
            "letters": letters,
            "views": views,
            "messages": messages,
            "lag": measured.then_some(lag),
            "partition_count": count,
            "committing": self.board.committing(),
        });
        if let (Value::Object(status), Value::Object(more)) = (&mut status, more) {
            status.extend(more);
            if let Some((_, meter)) = self.board.graph() {
                status.insert("operators".into(), json!(meter.busy()));
                status.insert("channels".into(), json!(meter.sent()));
                status.insert("read".into(), json!(meter.read()));
            }
        }
        status
    }

    /// The job's state, as a word and as a sentence.
    fn doing(&self, reading: &Snapshot, lag: Option<i64>, committed: Option<u64>) -> (&'static str, String) {
        match self.board.doing() {
            Doing::Starting(text) => return ("starting", text),
            Doing::Stopping => {
                return ("stopping", "Stopping after the open epoch is committed.".into());
            }
            Doing::Ended(text) => return ("ended", text),
            Doing::Retrying(text) => {
                return ("waiting", format!("Waiting for the database; retrying the commit: {text}."));
            }
            Doing::Reading => {}
        }
        let took = self.board.committing().map_or(0, |since| now().saturating_sub(since));
        let quiet = committed.is_none_or(|at| now().saturating_sub(at) > LONG_COMMIT);
        if let Some(reasons) = self.health.missing() {
            return ("waiting", format!("Waiting, and will continue automatically: {reasons}."));
        }
        match lag {
            _ if took > LONG_COMMIT => {
                let seconds = took / 1000;
                (
                    "waiting",
                    format!("Waiting for the database: a commit has been in progress for {seconds} s."),
                )
            }
            _ if reading.source_paused => {
                ("behind", "The source is paused until more of its records are committed.".into())
            }
            Some(1..) if !quiet => ("reading", "Reading.".into()),
            Some(1..) => {
                ("behind", "Working on the open epoch, which commits when all views are ready.".into())
            }
            _ if quiet => ("idle", "Everything is committed; waiting for new readings.".into()),
            _ => ("reading", "Up to date.".into()),
        }
    }
}

fn list(state: &crate::observe::board::State, query: &TruckQuery) -> (Value, Vec<u32>) {
    let (places, matching) = state.trucks.find(query);
    let rows: Vec<_> = places.iter().map(|&place| state.trucks.at(place).row()).collect();
    let list = json!({
        "total": state.trucks.count(),
        "full": state.trucks.is_full(),
        "matching": matching,
        "offset": query.offset,
        "rows": rows,
    });
    (list, places)
}
