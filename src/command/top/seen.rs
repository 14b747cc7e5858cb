//! The job's data as received so far, and the requested trucks.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;

use crate::observe::board::truck::Row;
use crate::observe::board::{COMMITS, CommitPoint};
use crate::runtime::metrics::snapshot::Partition;

/// Rates are of the last ten seconds, in milliseconds.
const WINDOW: u64 = 10_000;

/// The requested rows of a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ViewAsked {
    /// The view.
    pub name: String,
    /// Text that a value contains.
    pub search: String,
    /// A column; without, the rows that changed last are first.
    pub sort: Option<String>,
    pub descending: bool,
    /// How many to skip.
    pub offset: usize,
}

/// The requested trucks, and rows of a view.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Text that their names contain.
    pub search: String,
    /// A field of a row, prefixed with `-` for descending order.
    pub sort: String,
    /// How many to skip.
    pub offset: usize,
    /// The view whose rows are shown.
    pub view: Option<ViewAsked>,
}

/// A column of a view.
#[derive(Clone, Debug, Deserialize)]
pub struct Column {
    pub name: String,
    #[serde(rename = "type")]
    pub column_type: String,
}

/// A view.
#[derive(Clone, Debug, Deserialize)]
pub struct ViewAbout {
    pub name: String,
}

/// The numbers of a view.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub struct ViewNumbers {
    /// Its rows; if not `complete`, those inserted and not deleted since the job started.
    pub rows: u64,
    pub complete: bool,
    /// Changed rows since the job started.
    pub changes: u64,
    /// The time of the last change, in milliseconds since 1970.
    pub changed: Option<u64>,
}

/// A row of a view.
#[derive(Clone, Debug, Deserialize)]
pub struct RowText {
    pub values: Vec<Option<String>>,
}

/// The requested rows of a view.
#[derive(Clone, Debug, Deserialize)]
pub struct Found {
    /// Number of rows that the job keeps for the page.
    pub kept: usize,
    /// Number of those that match the search.
    pub matching: usize,
    /// Number of matching rows before these.
    pub offset: usize,
    pub list: Vec<RowText>,
}

/// A view with the requested rows.
#[derive(Clone, Debug, Deserialize)]
pub struct OpenView {
    pub name: String,
    pub columns: Vec<Column>,
    #[serde(flatten)]
    pub numbers: ViewNumbers,
    pub found: Found,
}

/// The constant properties of a job; see `web::live::About`.
#[derive(Clone, Debug, Deserialize)]
pub struct About {
    pub version: String,
    pub job: String,
    pub source: String,
    pub workers: usize,
    pub processes: usize,
    pub shows_trucks: bool,
    pub views: Vec<ViewAbout>,
}

/// The job's status, as in `/api/v1/status`.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// Milliseconds since 1970.
    pub now: u64,
    pub doing: String,
    pub text: String,
    /// A warning about the input.
    pub warning: Option<String>,
    pub letters: u64,
    pub views: BTreeMap<String, ViewNumbers>,
    pub messages: u64,
    /// Accepted readings.
    pub records: u64,
    /// Rejected messages.
    pub rejected: u64,
    pub lag: Option<i64>,
    pub partitions: Vec<Partition>,
    pub partition_count: usize,
    pub dead_letters: BTreeMap<String, u64>,
    pub epochs_in_flight: i64,
    /// Seconds since 1970.
    pub event_time: Option<f64>,
    pub epoch: i64,
    pub retries: u64,
    /// Start of the commit in progress, in milliseconds since 1970.
    pub committing: Option<u64>,
}

/// The requested trucks, in the requested order.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct List {
    /// Number of all trucks.
    pub total: usize,
    /// Number of trucks that match the search.
    pub matching: usize,
    /// Number of matching trucks before the rows.
    pub offset: usize,
    pub rows: Vec<Row>,
}

/// An event.
#[derive(Debug)]
pub struct News {
    /// Identifies this run of the job.
    instance: String,
    about: Option<About>,
    pub status: Status,
    status_as_sent: Value,
    commits: Vec<CommitPoint>,
    trucks: Option<List>,
    changed: Vec<Row>,
    /// Some(None) if the job has no view with the requested name.
    view: Option<Option<OpenView>>,
}

impl News {
    /// Parses an event; None if it is not one of a job.
    pub fn read(text: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Event {
            instance: String,
            about: Option<About>,
            status: Value,
            #[serde(default)]
            commits: Vec<CommitPoint>,
            trucks: Option<List>,
            #[serde(default)]
            changed: Vec<Row>,
            #[serde(default, deserialize_with = "present")]
            view: Option<Option<OpenView>>,
        }
        /// Null is not the same as nothing.
        fn present<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<OpenView>>, D::Error> {
            Option::deserialize(from).map(Some)
        }
        let event: Event = serde_json::from_slice(text).ok()?;
        Some(Self {
            instance: event.instance,
            about: event.about,
            status: Status::deserialize(&event.status).ok()?,
            status_as_sent: event.status,
            commits: event.commits,
            trucks: event.trucks,
            changed: event.changed,
            view: event.view,
        })
    }

    /// The complete status as one line of JSON.
    pub fn status_line(&self) -> String {
        self.status_as_sent.to_string()
    }
}

/// A lost connection.
#[derive(Clone, Debug)]
pub struct Gone {
    /// The time of the loss.
    pub since: SystemTime,
    /// The reason, without a full stop.
    pub why: String,
}

/// The job's data.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The requested trucks.
    pub asked: Asked,
    instance: String,
    /// None before the first event.
    pub about: Option<About>,
    /// None before the first event.
    pub status: Option<Status>,
    /// Oldest first.
    pub commits: VecDeque<CommitPoint>,
    /// The requested trucks.
    pub list: List,
    /// The requested view; None before its first rows, Some(None) if the job has no such view.
    pub view: Option<Option<OpenView>>,
    /// The times and changes of views of the last ten seconds, oldest first.
    changes: VecDeque<(u64, BTreeMap<String, u64>)>,
    /// Set while the connection is lost.
    pub gone: Option<Gone>,
}

impl Seen {
    /// Without any data.
    pub fn new(asked: Asked) -> Self {
        Self {
            asked,
            instance: String::new(),
            about: None,
            status: None,
            commits: VecDeque::new(),
            list: List::default(),
            view: None,
            changes: VecDeque::new(),
            gone: None,
        }
    }

    /// Applies an event. A new run of the job replaces all data.
    pub fn take(&mut self, news: News) {
        if self.instance != news.instance {
            *self = Self { instance: news.instance, ..Self::new(self.asked.clone()) };
        }
        self.gone = None;
        self.about = news.about.or(self.about.take());
        let changes = news.status.views.iter().map(|(name, view)| (name.clone(), view.changes)).collect();
        self.changes.push_back((news.status.now, changes));
        while self.changes.len() > 2 && news.status.now.saturating_sub(self.changes[1].0) > WINDOW {
            self.changes.pop_front();
        }
        self.status = Some(news.status);
        // An answer to an earlier request.
        let asked = self.asked.view.as_ref().map(|view| &view.name);
        if let Some(view) =
            news.view.filter(|view| view.as_ref().is_none_or(|view| Some(&view.name) == asked))
        {
            self.view = Some(view);
        }
        // A new stream repeats earlier commits.
        let known = self.commits.back().map(|commit| commit.epoch);
        self.commits
            .extend(news.commits.into_iter().filter(|commit| known.is_none_or(|known| commit.epoch > known)));
        self.commits.drain(..self.commits.len().saturating_sub(COMMITS));
        if let Some(list) = news.trucks {
            self.list = list;
        }
        for row in news.changed {
            if let Some(old) = self.list.rows.iter_mut().find(|old| old.name == row.name) {
                *old = row;
            }
        }
    }

    /// Records a lost connection; `why` has no full stop.
    pub fn lose(&mut self, why: String, at: SystemTime) {
        let since = self.gone.as_ref().map_or(at, |gone| gone.since);
        self.gone = Some(Gone { since, why });
    }

    /// Messages per second, over the last ten seconds.
    pub fn rate(&self) -> f64 {
        let now = self.status.as_ref().map_or(0, |status| status.now);
        let recent = self.commits.iter().filter(|commit| commit.at + WINDOW > now);
        recent.map(|commit| commit.messages).sum::<u64>() as f64 / (WINDOW as f64 / 1000.0)
    }

    /// Changes of a view per second, over the last ten seconds.
    pub fn changes_per_second(&self, view: &str) -> f64 {
        let (Some((from, before)), Some((to, after))) = (self.changes.front(), self.changes.back()) else {
            return 0.0;
        };
        let number = |changes: &BTreeMap<String, u64>| changes.get(view).copied().unwrap_or(0);
        let seconds = to.saturating_sub(*from) as f64 / 1000.0;
        if seconds > 0.0 { number(after).saturating_sub(number(before)) as f64 / seconds } else { 0.0 }
    }

    /// The median and the 95th percentile of commit durations, in seconds.
    pub fn commit_times(&self) -> Option<(f64, f64)> {
        let mut times: Vec<f64> = self.commits.iter().map(|commit| commit.seconds).collect();
        times.sort_by(f64::total_cmp);
        let at = |hundredths: usize| {
            times.get((hundredths * times.len() / 100).min(times.len().saturating_sub(1)))
        };
        Some((*at(50)?, *at(95)?))
    }
}
