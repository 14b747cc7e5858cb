//! What the live page shows: what is committed, and nothing else, in bounded memory.
//!
//! ```text
//! workers: Part::shown(rows) -> commit thread, after the COMMIT -> board thread -> Board <- src/web/live.rs
//! workers: timely's log -> Meter ------------------------------------------------^
//! ```
//!
//! The commit thread hands over and goes on; it would wait only if several commits were not taken in yet,
//! which is bounded work. Who looks at the board holds its lock for the time of a look.

pub mod letters;
pub mod meter;
pub mod shown;
pub mod trucks;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dataflows::batch::Measure;
use dataflows::views::{Axis, Restored, committed_rows};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::Error;
use crate::explain::Plan;
use crate::thread::spawn;
use letters::Letters;
use meter::Meter;
use shown::Shown;
use trucks::{Alone, Correlated, Trucks};

/// Commits that are kept.
pub const COMMITS: usize = 300;
/// Commits that may wait for the board.
const WAITING: usize = 2;
/// How long a job that ends waits until the pages have heard of it.
const GOODBYE: Duration = Duration::from_millis(300);

/// What the job does, where that is not reading.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "text", rename_all = "snake_case")]
pub enum Doing {
    /// It is on its way to its first reading: what it does for that.
    Starting(String),
    /// It reads.
    Reading,
    /// The database does not take a commit, and is asked again: what it said.
    Retrying(String),
    /// It was asked to stop, and finishes the open epoch.
    Stopping,
    /// It has ended: how.
    Ended(String),
}

/// A commit.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct CommitPoint {
    /// The epoch up to which it reached.
    pub epoch: u64,
    /// When it was, in milliseconds since 1970.
    pub at: u64,
    /// How long it took.
    pub seconds: f64,
    /// Messages whose offsets it moved past.
    pub messages: u64,
}

/// What the board is told.
#[derive(Debug)]
pub enum Update {
    /// What was committed before the job started.
    Restored(Vec<Shown>),
    /// A commit.
    Committed(CommitPoint, Vec<Shown>),
}

/// What is on the board.
#[derive(Debug, Default)]
pub struct State {
    /// Counts the updates.
    pub version: u64,
    /// The trucks.
    pub trucks: Trucks,
    /// The dead letters since the start.
    pub letters: Letters,
    /// The last commits, oldest first.
    pub commits: VecDeque<CommitPoint>,
    alone: Alone,
}

impl State {
    fn take(&mut self, update: Update) {
        self.version += 1;
        let (commit, shown) = match update {
            Update::Restored(shown) => (None, shown),
            Update::Committed(commit, shown) => (Some(commit), shown),
        };
        let version = self.version;
        let mut readings = Vec::new();
        for shown in shown {
            match shown {
                Shown::Distance(rows) => self.trucks.correlation(Correlated::Distance, &rows, version),
                Shown::Speed(rows) => self.trucks.correlation(Correlated::Speed, &rows, version),
                Shown::Windows(rows) => self.trucks.windows(&rows, version),
                Shown::Readings { names, latest, taken } => readings.push((names, latest, taken)),
                Shown::DeadLetters { count, last } => {
                    self.letters.add(count, last, commit.map_or(0, |commit| commit.at));
                }
            }
        }
        for (names, latest, taken) in readings {
            self.trucks.readings(&names, &latest, &taken, self.alone, version);
        }
        self.trucks.end();
        if let Some(commit) = commit {
            self.commits.push_back(commit);
            self.commits.drain(..self.commits.len().saturating_sub(COMMITS));
        }
    }
}

/// What the live page shows of a job.
#[derive(Debug)]
pub struct Board {
    /// What names this run of the job: another one has nothing to do with what a page knows.
    pub instance: u64,
    state: RwLock<State>,
    doing: Mutex<Doing>,
    /// What is wrong with the input, if something is.
    warning: Mutex<Option<String>>,
    changes: watch::Sender<u64>,
    graph: OnceLock<(Arc<Plan>, Arc<Meter>)>,
    /// Since when a commit is on its way, in milliseconds since 1970; 0 if none is.
    committing: AtomicU64,
    pages: AtomicUsize,
}

/// The way to the board.
#[derive(Clone, Debug)]
pub struct Feed {
    /// The board.
    pub board: Arc<Board>,
    sender: SyncSender<Update>,
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

impl Board {
    /// A board of a job with these views, and the thread that keeps it.
    pub fn start<'a>(views: impl IntoIterator<Item = &'a str>) -> Result<Feed, Error> {
        let mut alone = Alone { distance: true, speed: true };
        for view in views {
            alone.distance &= view != "distance_correlation";
            alone.speed &= view != "engine_speed_correlation";
        }
        let board = Arc::new(Self {
            instance: (now() << 20) | (u64::from(std::process::id()) & 0xf_ffff),
            state: RwLock::new(State { alone, ..State::default() }),
            doing: Mutex::new(Doing::Starting("It starts.".into())),
            warning: Mutex::default(),
            changes: watch::Sender::new(0),
            graph: OnceLock::new(),
            committing: AtomicU64::new(0),
            pages: AtomicUsize::new(0),
        });
        let (sender, updates) = sync_channel(WAITING);
        let kept = board.clone();
        spawn("board", move || kept.keep(&updates))?;
        Ok(Feed { board, sender })
    }

    fn keep(&self, updates: &Receiver<Update>) {
        for update in updates {
            self.state.write().unwrap_or_else(|poisoned| poisoned.into_inner()).take(update);
            self.changed();
        }
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    /// What is on it.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Tells of changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock_doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What the job does.
    pub fn doing(&self) -> Doing {
        self.lock_doing().clone()
    }

    /// Says what the job does. Who stops or has ended does nothing else any more.
    pub fn does(&self, doing: Doing) {
        let mut now = self.lock_doing();
        let holds = match &*now {
            Doing::Ended(_) => true,
            Doing::Stopping => !matches!(doing, Doing::Ended(_)),
            now => *now == doing,
        };
        if !holds {
            *now = doing;
            drop(now);
            self.changed();
        }
    }

    /// Says that the job starts, and what it does for that.
    pub fn starts(&self, text: impl Into<String>) {
        self.does(Doing::Starting(text.into()));
    }

    /// What is wrong with the input, if something is.
    pub fn warning(&self) -> Option<String> {
        self.warning.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Says what is wrong with the input, or that nothing is.
    pub fn warns(&self, warning: Option<String>) {
        let mut now = self.warning.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *now != warning {
            *now = warning;
            drop(now);
            self.changed();
        }
    }

    /// Says how the job has ended, and waits, not for long, until the pages that are open have heard it.
    pub fn end(&self, text: &str) {
        self.does(Doing::Ended(text.to_owned()));
        let due = Instant::now() + GOODBYE;
        while self.pages.load(SeqCst) > 0 && Instant::now() < due {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Counts a page that listens for as long as the guard lives; none if `most` listen.
    pub fn listen(self: &Arc<Self>, most: usize) -> Option<Page> {
        let more = |pages: usize| (pages < most).then_some(pages + 1);
        self.pages.fetch_update(SeqCst, SeqCst, more).ok().map(|_| Page(self.clone()))
    }

    /// Says that a commit is on its way, or no longer.
    pub fn commits(&self, on_its_way: bool) {
        self.committing.store(if on_its_way { now() } else { 0 }, SeqCst);
    }

    /// Since when a commit is on its way, in milliseconds since 1970.
    pub fn committing(&self) -> Option<u64> {
        Some(self.committing.load(SeqCst)).filter(|since| *since > 0)
    }

    /// The graph, once it is built, and what happens in it.
    pub fn graph(&self) -> Option<&(Arc<Plan>, Arc<Meter>)> {
        self.graph.get()
    }

    /// Shows a graph, and gives the meter that its workers are to be listened to with.
    pub fn show_graph(&self, plan: Plan) -> Arc<Meter> {
        self.graph.get_or_init(|| (Arc::new(plan.clone()), Arc::new(Meter::new(plan.ids())))).1.clone()
    }
}

/// A page that listens.
#[derive(Debug)]
pub struct Page(Arc<Board>);

impl Drop for Page {
    fn drop(&mut self) {
        self.0.pages.fetch_sub(1, SeqCst);
    }
}

impl Feed {
    /// Tells of a commit.
    pub fn committed(&self, commit: CommitPoint, shown: Vec<Shown>) {
        // A board thread that is gone has panicked: the page stands still, the job does not.
        let _ = self.sender.send(Update::Committed(commit, shown));
    }

    /// Tells what was committed before the start, as far as the views' states say.
    pub fn restored(&self, restored: &[Restored]) {
        let shown = restored.iter().filter_map(|restored| match &*restored.view {
            "distance_correlation" => {
                let axes = (Axis::Time, Axis::Measure(Measure::DistanceCovered));
                Some(Shown::Distance(committed_rows(restored, axes)))
            }
            "engine_speed_correlation" => {
                let axes = (Axis::Time, Axis::Measure(Measure::EngineSpeed));
                Some(Shown::Speed(committed_rows(restored, axes)))
            }
            _ => None,
        });
        let _ = self.sender.send(Update::Restored(shown.collect()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_stops_says_nothing_else_but_its_end() {
        let board = Board::start([]).unwrap().board;
        board.does(Doing::Reading);
        board.does(Doing::Stopping);
        board.does(Doing::Reading);
        assert_eq!(board.doing(), Doing::Stopping);
        board.end("done");
        board.does(Doing::Reading);
        assert_eq!(board.doing(), Doing::Ended("done".into()));
    }

    #[test]
    fn only_so_many_pages_listen() {
        let board = Board::start([]).unwrap().board;
        let first = board.listen(1);
        assert!(first.is_some() && board.listen(1).is_none());
        drop(first);
        assert!(board.listen(1).is_some());
    }

    #[test]
    fn the_last_commits_are_kept() {
        let mut state = State::default();
        for epoch in 0..1000 {
            let point = CommitPoint { epoch, at: epoch, seconds: 0.0, messages: 1 };
            state.take(Update::Committed(point, Vec::new()));
        }
        assert_eq!((state.commits.len(), state.commits[0].epoch, state.version), (COMMITS, 700, 1000));
    }
}
