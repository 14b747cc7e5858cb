//! What the live page reads: `/api/…`, all of it JSON.
//!
//! | path | is |
//! |---|---|
//! | `/api/events?truck=&search=&sort=&offset=&limit=` | server-sent events: what changed, after commits |
//! | `/api/status` | what an event says of the job |
//! | `/api/trucks?search=&sort=&offset=&limit=` | trucks; `sort` is a field of a row, with `-` before it from the last |
//! | `/api/truck/NAME` | a truck, its windows, and how its correlations came to be what they are |
//! | `/api/dead-letters?reason=&before=&limit=` | the last dead letters, newest first |
//! | `/api/graph` | the dataflow, as `truckflow explain --json` has it |
//!
//! A page that reads slowly is sent the next event when it has taken the last one, and nothing more if that
//! takes too long; no more than a few pages listen. The job never waits for any of them.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, Uri, header};
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
use crate::observe::board::trucks::{By, Question};
use crate::observe::board::{Board, Doing, Page, now};
use crate::observe::web::lasting::Lasting;
use crate::runtime::health::Health;
use crate::runtime::metrics::{Metrics, Snapshot};

/// Pages that listen at once.
const PAGES: usize = 16;
/// Events are not closer to each other.
const GAP: Duration = Duration::from_millis(250);
/// And not further apart: what a job waits for, and its metrics, change without a commit.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// A page that has not taken an event after this is told nothing more.
const SLOW: Duration = Duration::from_secs(10);
/// How often trucks are put in order anew.
const ORDER: Duration = Duration::from_secs(5);
/// What many pages ask for at once is read once.
const FRESH: Duration = Duration::from_millis(200);
/// The most that one answer lists.
const LIMIT: usize = 200;
/// Partitions in an event: those that are furthest behind.
const PARTITIONS: usize = 64;
/// A commit that takes longer than this is what the job waits for.
const LONG_COMMIT: u64 = 3_000;

/// What does not change while a job runs.
#[derive(Clone, Debug, Serialize)]
pub struct About {
    /// The version of truckflow.
    pub version: &'static str,
    /// The job.
    pub job: String,
    /// What it reads.
    pub source: String,
    /// Worker threads of each process.
    pub workers: usize,
    /// Processes.
    pub processes: usize,
    /// Whether messages replace readings.
    pub upsert: bool,
    /// How long an epoch lasts.
    pub commit_interval: String,
    /// How long a window is.
    pub window: String,
    /// The views that the page is made of and that this job has.
    pub views: Vec<String>,
}

/// What the handlers read.
#[derive(Clone)]
pub struct Live {
    board: Arc<Board>,
    metrics: Metrics,
    health: Arc<Health>,
    about: Arc<About>,
    status: Arc<Mutex<Option<(Instant, Value)>>>,
}

/// The routes.
pub fn routes<S>(live: Live) -> Router<S> {
    Router::new()
        .route("/api/events", get(events))
        .route("/api/status", get(async |State(live): State<Live>| json_answer(&live.status())))
        .route("/api/trucks", get(trucks))
        .route("/api/truck/", get(truck))
        .route("/api/truck/{*name}", get(truck))
        .route("/api/dead-letters", get(dead_letters))
        .route("/api/graph", get(graph))
        .with_state(live)
}

/// The fields of a query, percent-decoded.
struct Query(Vec<(String, String)>);

impl Query {
    fn of(query: Option<String>) -> Self {
        let query = query.unwrap_or_default();
        Self(url::form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(field, _)| field == name).map(|(_, value)| &**value)
    }

    fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Wrong> {
        self.get(name)
            .map(|value| value.parse().map_err(|_| Wrong(format!("`{name}` is not a number"))))
            .transpose()
    }

    fn limit(&self, default: usize) -> Result<usize, Wrong> {
        Ok(self.number("limit")?.unwrap_or(default).min(LIMIT))
    }

    fn question(&self) -> Result<Question, Wrong> {
        let sort = self.get("sort").filter(|sort| !sort.is_empty()).unwrap_or("name");
        let (name, descending) = sort.strip_prefix('-').map_or((sort, false), |name| (name, true));
        let by = By::named(name).ok_or_else(|| Wrong(format!("`sort` cannot be {name:?}")))?;
        Ok(Question {
            search: self.get("search").unwrap_or_default().to_owned(),
            by,
            descending,
            offset: self.number("offset")?.unwrap_or(0),
            limit: self.limit(50)?,
        })
    }
}

/// What is wrong with a query.
struct Wrong(String);

impl IntoResponse for Wrong {
    fn into_response(self) -> Response {
        (StatusCode::BAD_REQUEST, self.0 + "\n").into_response()
    }
}

fn json_answer(value: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, value.to_string()).into_response()
}

async fn trucks(State(live): State<Live>, RawQuery(query): RawQuery) -> Result<Response, Wrong> {
    let question = Query::of(query).question()?;
    Ok(json_answer(&live.list(&question).0))
}

async fn truck(State(live): State<Live>, uri: Uri) -> Response {
    let name = uri.path().strip_prefix("/api/truck/").unwrap_or_default();
    let name = percent_decode_str(name).decode_utf8_lossy();
    match live.board.state().trucks.get(&name) {
        Some(truck) => json_answer(&whole(truck)),
        None => (StatusCode::NOT_FOUND, "no truck of that name has been committed\n").into_response(),
    }
}

async fn dead_letters(State(live): State<Live>, RawQuery(query): RawQuery) -> Result<Response, Wrong> {
    let query = Query::of(query);
    let (before, limit) = (query.number("before")?, query.limit(20)?);
    let state = live.board.state();
    let list = state.letters.list(query.get("reason").filter(|reason| !reason.is_empty()), before, limit);
    Ok(json_answer(&json!({ "count": state.letters.count(), "list": list })))
}

async fn graph(State(live): State<Live>) -> Response {
    match live.board.graph() {
        Some((plan, _)) => json_answer(&json!(**plan)),
        None => (StatusCode::SERVICE_UNAVAILABLE, "the graph is not built yet\n").into_response(),
    }
}

async fn events(
    State(live): State<Live>,
    Extension(lasting): Extension<Lasting>,
    RawQuery(query): RawQuery,
) -> Result<Response, Wrong> {
    let query = Query::of(query);
    let told = Told {
        question: query.question()?,
        truck: query.get("truck").map(str::to_owned),
        version: None,
        commits: 0,
        places: Vec::new(),
        ordered: None,
    };
    let Some(page) = live.board.listen(PAGES) else {
        let said = format!("{PAGES} pages are open already: close one\n");
        return Ok((StatusCode::SERVICE_UNAVAILABLE, said).into_response());
    };
    let (sender, events) = channel(1);
    let lasts = lasting.lasts();
    tokio::spawn(async move {
        live.tell(told, page, sender).await;
        drop(lasts);
    });
    let events = stream::unfold(events, async |mut events| {
        events.recv().await.map(|event| (Ok::<_, Infallible>(event), events))
    });
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    Ok((headers, Body::from_stream(events)).into_response())
}

/// A truck with its windows and its past.
fn whole(truck: &Truck) -> Value {
    let past = truck.past();
    json!({ "row": truck.row(), "windows": truck.windows(), "past": [past.0, past.1, past.2] })
}

/// What a page asked for, and what it knows.
struct Told {
    question: Question,
    truck: Option<String>,
    /// The version of the board that it knows; none at first.
    version: Option<u64>,
    /// The time of the last commit that it knows.
    commits: u64,
    /// The trucks in its list.
    places: Vec<u32>,
    /// When they were put in order.
    ordered: Option<Instant>,
}

impl Live {
    /// The page of a job.
    pub fn new(board: Arc<Board>, metrics: Metrics, health: Arc<Health>, about: About) -> Self {
        Self { board, metrics, health, about: Arc::new(about), status: Arc::default() }
    }

    /// Sends a page what it does not know, until it is gone or the job ends.
    async fn tell(self, mut told: Told, _listens: Page, sender: Sender<Bytes>) {
        let mut changes = self.board.changes();
        loop {
            changes.mark_unchanged();
            let ends = matches!(self.board.doing(), Doing::Ended(_));
            let event = format!("data: {}\n\n", self.news(&mut told));
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

    /// What a page does not know yet.
    fn news(&self, told: &mut Told) -> Value {
        let mut news = json!({ "instance": self.board.instance.to_string(), "status": self.status() });
        if told.version.is_none() {
            news["about"] = json!(*self.about);
        }
        let state = self.board.state();
        let since = told.version;
        let is_new = |changed: u64| since.is_none_or(|since| changed > since);
        let commits = state.commits.iter().filter(|commit| commit.at > told.commits);
        news["commits"] = commits.map(|commit| json!(commit)).collect();
        told.commits = state.commits.back().map_or(told.commits, |commit| commit.at);
        if let Some(name) = &told.truck {
            let truck = state.trucks.get(name);
            match truck.filter(|truck| is_new(truck.changed())) {
                Some(truck) if since.is_none() => news["truck"] = whole(truck),
                Some(truck) => news["truck"] = json!({ "row": truck.row(), "windows": truck.windows() }),
                None if truck.is_none() => news["truck"] = Value::Null,
                None => {}
            }
        }
        let is_due = told.ordered.is_none_or(|at| at.elapsed() >= ORDER);
        if is_due && is_new(state.version) {
            let (list, places) = list(&state, &told.question);
            news["trucks"] = list;
            (told.places, told.ordered) = (places, Some(Instant::now()));
        } else {
            let changed = told.places.iter().map(|&place| state.trucks.at(place));
            news["changed"] =
                changed.filter(|truck| is_new(truck.changed())).map(|truck| json!(truck.row())).collect();
        }
        told.version = Some(state.version);
        news
    }

    fn list(&self, question: &Question) -> (Value, Vec<u32>) {
        list(&self.board.state(), question)
    }

    /// What the job does, and its numbers.
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
        let (trucks, letters, last) = {
            let state = self.board.state();
            (state.trucks.count(), state.letters.count(), state.commits.back().copied())
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

    /// What the job does, or waits for, in a word and in a sentence.
    fn doing(&self, reading: &Snapshot, lag: Option<i64>, committed: Option<u64>) -> (&'static str, String) {
        match self.board.doing() {
            Doing::Starting(text) => return ("starting", text),
            Doing::Stopping => {
                return ("stopping", "It was asked to stop: it finishes the open epoch, and commits.".into());
            }
            Doing::Ended(text) => return ("ended", text),
            Doing::Retrying(text) => {
                return (
                    "waiting",
                    format!("It waits for the database, and tries the commit again: {text}."),
                );
            }
            Doing::Reading => {}
        }
        let took = self.board.committing().map_or(0, |since| now().saturating_sub(since));
        let quiet = committed.is_none_or(|at| now().saturating_sub(at) > LONG_COMMIT);
        if let Some(reasons) = self.health.missing() {
            return ("waiting", format!("It waits, and goes on by itself: {reasons}."));
        }
        match lag {
            _ if took > LONG_COMMIT => {
                let seconds = took / 1000;
                (
                    "waiting",
                    format!("It waits for the database: a commit has been on its way for {seconds} s."),
                )
            }
            _ if reading.source_paused => {
                ("behind", "The source waits until more of what it has read is committed.".into())
            }
            Some(1..) if !quiet => ("reading", "It reads.".into()),
            Some(1..) => (
                "behind",
                "It works on the open epoch, which commits when all of its views are ready.".into(),
            ),
            _ if quiet => ("idle", "All that was there is committed; it waits for new readings.".into()),
            _ => ("reading", "It keeps up with what comes.".into()),
        }
    }
}

fn list(state: &crate::observe::board::State, question: &Question) -> (Value, Vec<u32>) {
    let (places, matching) = state.trucks.ask(question);
    let rows: Vec<_> = places.iter().map(|&place| state.trucks.at(place).row()).collect();
    let list = json!({
        "total": state.trucks.count(),
        "full": state.trucks.is_full(),
        "matching": matching,
        "offset": question.offset,
        "rows": rows,
    });
    (list, places)
}
