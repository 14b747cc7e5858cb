//! What is known of the job, from its events, and which trucks are asked for.

use std::collections::{BTreeMap, VecDeque};
use std::time::SystemTime;

use serde::Deserialize;
use serde_json::Value;

use crate::observe::board::truck::Row;
use crate::observe::board::{COMMITS, CommitPoint};
use crate::runtime::metrics::Partition;

/// Rates are of the last ten seconds, in milliseconds.
const WINDOW: u64 = 10_000;

/// Which trucks are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// What their names contain.
    pub search: String,
    /// A field of a row, with `-` before it from the last.
    pub sort: String,
    /// How many are before those that are listed.
    pub offset: usize,
}

/// What does not change while a job runs: of `web::live::About`.
#[derive(Clone, Debug, Deserialize)]
pub struct About {
    pub version: String,
    pub job: String,
    pub source: String,
    pub workers: usize,
    pub processes: usize,
}

/// What the job does, and its numbers: of `/api/status`.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// Milliseconds since 1970.
    pub now: u64,
    pub doing: String,
    pub text: String,
    /// What is wrong with the input, if something is.
    pub warning: Option<String>,
    pub letters: u64,
    pub messages: u64,
    /// Readings that were accepted.
    pub records: u64,
    /// Messages that are no reading.
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
    /// Since when a commit is on its way, in milliseconds since 1970.
    pub committing: Option<u64>,
}

/// Trucks, in the order that was asked for.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct List {
    /// How many there are.
    pub total: usize,
    /// How many match what was searched.
    pub matching: usize,
    /// How many of these come before the rows.
    pub offset: usize,
    pub rows: Vec<Row>,
}

/// An event.
#[derive(Debug)]
pub struct News {
    /// What names this run of the job.
    instance: String,
    about: Option<About>,
    pub status: Status,
    status_as_sent: Value,
    commits: Vec<CommitPoint>,
    trucks: Option<List>,
    changed: Vec<Row>,
}

impl News {
    /// Reads an event; none if it is not one of a job.
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
        })
    }

    /// The status with all that the job says in it, as JSON on one line.
    pub fn status_line(&self) -> String {
        self.status_as_sent.to_string()
    }
}

/// When the job was heard last, and why it is not any more.
#[derive(Clone, Debug)]
pub struct Gone {
    /// Since when.
    pub since: SystemTime,
    /// A sentence, without its end.
    pub why: String,
}

/// What is known.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Which trucks are asked for.
    pub asked: Asked,
    instance: String,
    /// None before anything was heard.
    pub about: Option<About>,
    /// The same.
    pub status: Option<Status>,
    /// Oldest first.
    pub commits: VecDeque<CommitPoint>,
    /// The trucks that were asked for.
    pub list: List,
    /// Whether the job cannot be heard.
    pub gone: Option<Gone>,
}

impl Seen {
    /// Nothing yet.
    pub fn new(asked: Asked) -> Self {
        Self {
            asked,
            instance: String::new(),
            about: None,
            status: None,
            commits: VecDeque::new(),
            list: List::default(),
            gone: None,
        }
    }

    /// Takes an event in. Of another run of the job nothing that was known holds.
    pub fn take(&mut self, news: News) {
        if self.instance != news.instance {
            *self = Self { instance: news.instance, ..Self::new(self.asked.clone()) };
        }
        self.gone = None;
        self.about = news.about.or(self.about.take());
        self.status = Some(news.status);
        // A stream that is opened anew begins anew.
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

    /// The job cannot be heard any more: `why` is a sentence without its end.
    pub fn lose(&mut self, why: String, at: SystemTime) {
        let since = self.gone.as_ref().map_or(at, |gone| gone.since);
        self.gone = Some(Gone { since, why });
    }

    /// Messages a second, of the last ten.
    pub fn rate(&self) -> f64 {
        let now = self.status.as_ref().map_or(0, |status| status.now);
        let recent = self.commits.iter().filter(|commit| commit.at + WINDOW > now);
        recent.map(|commit| commit.messages).sum::<u64>() as f64 / (WINDOW as f64 / 1000.0)
    }

    /// How long commits took: half of them less than the first, 95 in 100 less than the second, in seconds.
    pub fn commit_times(&self) -> Option<(f64, f64)> {
        let mut times: Vec<f64> = self.commits.iter().map(|commit| commit.seconds).collect();
        times.sort_by(f64::total_cmp);
        let at = |hundredths: usize| {
            times.get((hundredths * times.len() / 100).min(times.len().saturating_sub(1)))
        };
        Some((*at(50)?, *at(95)?))
    }
}
