//! What the live page shows: what is committed, and nothing else, in bounded memory.
//!
//! ```text
//! workers: Part::shown(rows) -> commit thread, after the COMMIT -> Inbox -> board thread -> Board <- src/observe/web/live.rs
//! workers: timely's log -> Meter ---------------------------------------------------------^
//! ```
//!
//! A search of many trucks holds the board's lock, and the board thread waits for it. The commit thread does
//! not: it puts a commit into the inbox and goes on. If the commit before is still there, it merges that into
//! the ones before ([`changes`]), so that the inbox is bounded by the trucks and one commit.

pub mod changes;
mod commit_point;
pub mod letters;
mod limits;
pub mod meter;
pub mod plan;
pub mod shown;
pub mod truck;
mod truck_change;
pub mod trucks;
mod window;

pub use commit_point::CommitPoint;
pub use limits::COMMITS;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dataflows::batch::Measure;
use dataflows::effect::Restored;
use dataflows::views::{Axis, committed_rows};
use serde::Serialize;
use tokio::sync::watch;

use crate::runtime::failure::SystemError;
use crate::runtime::thread::spawn;
use changes::{Changes, Update};
use letters::Letters;
use limits::Places;
use meter::Meter;
use plan::Plan;
use shown::Shown;
use truck::Alone;
use trucks::Trucks;

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
    fn take(&mut self, changes: Changes) {
        self.version += 1;
        self.trucks.take(changes.trucks, self.alone, self.version);
        self.letters.add(changes.letters, changes.last_letters);
        self.commits.extend(changes.commits);
        self.commits.drain(..self.commits.len().saturating_sub(COMMITS));
    }
}

/// What the board has not taken yet.
#[derive(Debug, Default)]
struct Inbox {
    /// The last commit. The board has mostly taken it before the next one comes.
    last: Option<Update>,
    /// Those before it.
    merged: Changes,
}

impl Inbox {
    /// Puts a commit in, and returns whether the one before was still there.
    fn put(&mut self, update: Update, known: Option<&Places>) -> bool {
        match self.last.replace(update) {
            Some(earlier) => {
                self.merged.add(earlier, known);
                true
            }
            None => false,
        }
    }
}

/// What the live page shows of a job.
#[derive(Debug)]
pub struct Board {
    /// What names this run of the job: another one has nothing to do with what a page knows.
    pub instance: u64,
    state: RwLock<State>,
    /// Locked for as long as a commit is put in or taken out: whoever reads the board never locks it.
    inbox: Mutex<Inbox>,
    /// The trucks that are kept, when there will be no others.
    known: OnceLock<Arc<Places>>,
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
    /// Wakes the board thread.
    wake: SyncSender<()>,
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64
}

impl Board {
    /// A board of a job with these views, and the thread that keeps it.
    pub fn start<'a>(views: impl IntoIterator<Item = &'a str>) -> Result<Feed, SystemError> {
        let mut alone = Alone { distance: true, speed: true };
        for view in views {
            alone.distance &= view != "distance_correlation";
            alone.speed &= view != "engine_speed_correlation";
        }
        let board = Arc::new(Self {
            instance: (now() << 20) | (u64::from(std::process::id()) & 0xf_ffff),
            state: RwLock::new(State { alone, ..State::default() }),
            inbox: Mutex::default(),
            known: OnceLock::new(),
            doing: Mutex::new(Doing::Starting("It starts.".into())),
            warning: Mutex::default(),
            changes: watch::Sender::new(0),
            graph: OnceLock::new(),
            committing: AtomicU64::new(0),
            pages: AtomicUsize::new(0),
        });
        let (wake, wakes) = sync_channel(1);
        let kept = board.clone();
        spawn("board", move || kept.keep(&wakes))?;
        Ok(Feed { board, wake })
    }

    fn keep(&self, wakes: &Receiver<()>) {
        for () in wakes {
            let Inbox { last, merged: mut changes } = std::mem::take(&mut *self.inbox());
            if let Some(last) = last {
                changes.add(last, self.known());
            }
            let mut state = self.state.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            state.take(changes);
            if let Some(all) = state.trucks.all().filter(|_| self.known().is_none()) {
                // Nobody else sets it.
                let _ = self.known.set(all);
            }
            drop(state);
            self.changed();
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn known(&self) -> Option<&Places> {
        self.known.get().map(|known| &**known)
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
    /// Hands a commit over, without waiting for anything that a page does. Returns whether the commit before
    /// was not taken yet, so that the page shows both as one.
    pub fn committed(&self, commit: CommitPoint, shown: Vec<Shown>) -> bool {
        self.put(Update { commit: Some(commit), shown })
    }

    fn put(&self, update: Update) -> bool {
        let is_merged = self.board.inbox().put(update, self.board.known());
        match self.wake.try_send(()) {
            // A board thread that is gone has panicked: the page stands still, the job does not.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => is_merged,
        }
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
        self.put(Update { commit: None, shown: shown.collect() });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::rows::{Column, Rows};
    use std::sync::mpsc::channel;

    fn point(epoch: u64) -> CommitPoint {
        CommitPoint { epoch, at: epoch, seconds: 0.0, messages: 1 }
    }

    /// A row of a correlation.
    fn row(truck: &str, samples: i64) -> Rows {
        let columns = vec![
            Column::Decimal { scale: 9, values: Arc::new(vec![samples]) },
            Column::Decimal { scale: 6, values: Arc::new(vec![0]) },
            Column::Real(Arc::new(vec![0.5])),
            Column::Name { names: Arc::new(vec![truck.into()]), index: Arc::new(vec![0]) },
            Column::Integer(Arc::new(vec![samples])),
            Column::Timestamp(Arc::new(vec![samples])),
        ];
        columns.into()
    }

    #[test]
    fn commits_pass_while_a_search_is_open_and_the_page_shows_them_all_after_it() {
        const EPOCHS: u64 = 1000;
        let feed = Board::start([]).unwrap();
        let mut changes = feed.board.changes();
        let search = feed.board.state();
        let (done, passed) = channel();
        let commits = feed.clone();
        std::thread::spawn(move || {
            let merged = (1..=EPOCHS).filter(|&epoch| {
                let shown = vec![Shown::Distance(row("a", epoch as i64))];
                commits.committed(point(epoch), shown)
            });
            done.send(merged.count()).unwrap();
        });
        let merged = passed.recv_timeout(Duration::from_secs(60)).expect("the commits wait for the search");
        assert!(merged as u64 >= EPOCHS - 2, "all that the board thread has not taken: {merged}");
        assert!(search.trucks.get("a").is_none());
        drop(search);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        loop {
            let state = feed.board.state();
            if state.commits.back().is_some_and(|commit| commit.epoch == EPOCHS) {
                assert_eq!(state.commits.len(), COMMITS, "none is left out");
                assert_eq!(state.trucks.get("a").unwrap().row().samples, EPOCHS as i64);
                break;
            }
            drop(state);
            runtime.block_on(changes.changed()).unwrap();
        }
    }

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
            let mut changes = Changes::default();
            changes.add(Update { commit: Some(point(epoch)), shown: Vec::new() }, None);
            state.take(changes);
        }
        assert_eq!((state.commits.len(), state.commits[0].epoch, state.version), (COMMITS, 700, 1000));
    }
}
