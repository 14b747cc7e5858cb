//! The live page's data, in bounded memory. Only committed data are shown.
//!
//! ```text
//! workers: OnPage::of(rows) -> commit thread, after the COMMIT -> Inbox -> board thread -> Board <- src/observe/web
//! workers: timely's log -> Meter ----------------------------------------------------^
//! ```
//!
//! Trucks are shown by the pattern of the built-in views ([`shown`], [`trucks`]); of every view, the rows that changed
//! last ([`recent`], [`views`]).
//!
//! A search of many trucks holds the board's lock, and the board thread waits for it. The commit thread does not wait:
//! it puts each commit into the inbox. If the previous commit is still there, it is merged into those before it
//! ([`changes`]), so the size of the inbox is bounded by the trucks, the rows kept of views, and one commit.

pub mod changes;
mod commit_point;
pub mod find;
pub mod letters;
pub mod limits;
pub mod meter;
mod order;
pub mod plan;
pub mod recent;
pub mod shown;
pub mod truck;
mod truck_change;
pub mod trucks;
mod value;
pub mod views;
mod window;

pub use commit_point::CommitPoint;
pub use limits::COMMITS;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dataflows::rows::Rows;
use serde::Serialize;
use tokio::sync::watch;

use crate::runtime::failure::SystemError;
use crate::runtime::thread::spawn;
use changes::{Changes, Update};
use letters::Letters;
use limits::Places;
use meter::Meter;
use plan::Plan;
use shown::{Part, Shown};
use truck::ReadingsOnly;
use trucks::Trucks;
use views::{ViewChanges, ViewInfo, Views};

/// How long a job that ends waits for the open pages to receive the last event.
const GOODBYE: Duration = Duration::from_millis(300);

/// The job's state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "text", rename_all = "snake_case")]
pub enum Doing {
    /// Starting, with the current step.
    Starting(String),
    /// Reading.
    Reading,
    /// A failed commit is being retried, with the error.
    Retrying(String),
    /// Stopping after the open epoch.
    Stopping,
    /// Ended, with the outcome.
    Ended(String),
}

/// The content of the board.
#[derive(Debug, Default)]
pub struct State {
    /// The number of updates.
    pub version: u64,
    /// The trucks.
    pub trucks: Trucks,
    /// The dead letters since the job started.
    pub letters: Letters,
    /// The last commits, oldest first.
    pub commits: VecDeque<CommitPoint>,
    /// The views.
    pub views: Views,
    readings_only: ReadingsOnly,
}

impl State {
    fn take(&mut self, changes: Changes) {
        self.version += 1;
        self.trucks.take(changes.trucks, self.readings_only, self.version);
        self.letters.add(changes.letters, changes.last_letters);
        self.views.take(changes.views, self.version);
        self.commits.extend(changes.commits);
        self.commits.drain(..self.commits.len().saturating_sub(COMMITS));
    }
}

/// Commits that the board has not taken yet.
#[derive(Debug, Default)]
struct Inbox {
    /// The last commit. Usually the board takes it before the next one.
    last: Option<Update>,
    /// The commits before it, merged.
    merged: Changes,
}

impl Inbox {
    /// Adds a commit of a job with this number of views. Returns whether the previous one was still there.
    fn put(&mut self, update: Update, known: Option<&Places>, views: usize) -> bool {
        match self.last.replace(update) {
            Some(earlier) => {
                self.merged.add(earlier, known, views);
                true
            }
            None => false,
        }
    }
}

/// The live page's data.
#[derive(Debug)]
pub struct Board {
    /// Identifies this run of the job. A page discards its data if it changes.
    pub instance: u64,
    state: RwLock<State>,
    /// The number of views.
    views: usize,
    /// Locked only while a commit is added or taken. Readers of the board never lock it.
    inbox: Mutex<Inbox>,
    /// The trucks that are kept, once the maximum is reached.
    known: OnceLock<Arc<Places>>,
    doing: Mutex<Doing>,
    /// A warning about the input.
    warning: Mutex<Option<String>>,
    changes: watch::Sender<u64>,
    graph: OnceLock<(Arc<Plan>, Arc<Meter>)>,
    /// Start of the commit in progress, in milliseconds since 1970; 0 if there is none.
    committing: AtomicU64,
    pages: AtomicUsize,
}

/// Sends commits to the board.
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
    /// Creates the board of a job with these views, and starts its thread.
    pub fn start(views: Vec<ViewInfo>) -> Result<Feed, SystemError> {
        let has = |name: &str| views.iter().any(|view| view.name == name);
        let readings_only =
            ReadingsOnly { distance: !has("distance_correlation"), speed: !has("engine_speed_correlation") };
        let board = Arc::new(Self {
            instance: (now() << 20) | (u64::from(std::process::id()) & 0xf_ffff),
            views: views.len(),
            state: RwLock::new(State { readings_only, views: Views::new(views), ..State::default() }),
            inbox: Mutex::default(),
            known: OnceLock::new(),
            doing: Mutex::new(Doing::Starting("Starting.".into())),
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
                changes.add(last, self.known(), self.views);
            }
            let mut state = self.state.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            state.take(changes);
            if let Some(all) = state.trucks.all().filter(|_| self.known().is_none()) {
                // Only this thread sets it.
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

    /// The content.
    pub fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// A receiver that is notified of changes.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn lock_doing(&self) -> MutexGuard<'_, Doing> {
        self.doing.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The job's state.
    pub fn doing(&self) -> Doing {
        self.lock_doing().clone()
    }

    /// Sets the job's state. After `Stopping` only `Ended` is possible, and after `Ended` nothing.
    pub fn set_doing(&self, doing: Doing) {
        let mut now = self.lock_doing();
        let is_ignored = match &*now {
            Doing::Ended(_) => true,
            Doing::Stopping => !matches!(doing, Doing::Ended(_)),
            now => *now == doing,
        };
        if !is_ignored {
            *now = doing;
            drop(now);
            self.changed();
        }
    }

    /// Sets the current step of the start.
    pub fn set_starting(&self, text: impl Into<String>) {
        self.set_doing(Doing::Starting(text.into()));
    }

    /// A warning about the input.
    pub fn warning(&self) -> Option<String> {
        self.warning.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    /// Sets or clears the warning about the input.
    pub fn set_warning(&self, warning: Option<String>) {
        let mut now = self.warning.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if *now != warning {
            *now = warning;
            drop(now);
            self.changed();
        }
    }

    /// Sets the outcome of the job, and waits briefly for the open pages to receive it.
    pub fn end(&self, text: &str) {
        self.set_doing(Doing::Ended(text.to_owned()));
        let due = Instant::now() + GOODBYE;
        while self.pages.load(SeqCst) > 0 && Instant::now() < due {
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Counts an open page until the guard is dropped; None if `most` pages are open.
    pub fn listen(self: &Arc<Self>, most: usize) -> Option<Page> {
        let more = |pages: usize| (pages < most).then_some(pages + 1);
        self.pages.fetch_update(SeqCst, SeqCst, more).ok().map(|_| Page(self.clone()))
    }

    /// Records that a commit starts or has ended.
    pub fn set_committing(&self, in_progress: bool) {
        self.committing.store(if in_progress { now() } else { 0 }, SeqCst);
    }

    /// Start of the commit in progress, in milliseconds since 1970.
    pub fn committing(&self) -> Option<u64> {
        Some(self.committing.load(SeqCst)).filter(|since| *since > 0)
    }

    /// The graph, once it is built, and its meter.
    pub fn graph(&self) -> Option<&(Arc<Plan>, Arc<Meter>)> {
        self.graph.get()
    }

    /// Sets the graph, and returns the meter for its workers.
    pub fn show_graph(&self, plan: Plan) -> Arc<Meter> {
        self.graph.get_or_init(|| (Arc::new(plan.clone()), Arc::new(Meter::new(plan.ids())))).1.clone()
    }
}

/// An open page.
#[derive(Debug)]
pub struct Page(Arc<Board>);

impl Drop for Page {
    fn drop(&mut self) {
        self.0.pages.fetch_sub(1, SeqCst);
    }
}

impl Feed {
    /// Sends a commit, without waiting for any page. Returns whether the previous commit was not taken yet, so that
    /// the page shows both as one.
    pub fn committed(&self, commit: CommitPoint, shown: Vec<Shown>, views: ViewChanges) -> bool {
        self.put(Update { commit: Some(commit), shown, views })
    }

    fn put(&self, update: Update) -> bool {
        let is_merged = self.board.inbox().put(update, self.board.known(), self.board.views);
        match self.wake.try_send(()) {
            // If the board thread has panicked, the page is no longer updated, but the job continues.
            Ok(()) | Err(TrySendError::Full(()) | TrySendError::Disconnected(())) => is_merged,
        }
    }

    /// Sends rows of views that were committed before the start.
    pub fn restored<'a>(&self, rows: impl Iterator<Item = (&'a str, Rows)>, views: ViewChanges) {
        let shown = rows.filter_map(|(view, rows)| Part::of(view)?.shown(&rows));
        self.put(Update { commit: None, shown: shown.collect(), views });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::rows::Column;
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
    fn commits_do_not_wait_for_a_search_and_the_page_shows_them_all_afterwards() {
        const EPOCHS: u64 = 1000;
        let feed = Board::start(Vec::new()).unwrap();
        let mut changes = feed.board.changes();
        let search = feed.board.state();
        let (done, passed) = channel();
        let commits = feed.clone();
        std::thread::spawn(move || {
            let merged = (1..=EPOCHS).filter(|&epoch| {
                let shown = vec![Shown::Distance(row("a", epoch as i64))];
                commits.committed(point(epoch), shown, ViewChanges::default())
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
    fn after_stopping_only_the_end_is_shown() {
        let board = Board::start(Vec::new()).unwrap().board;
        board.set_doing(Doing::Reading);
        board.set_doing(Doing::Stopping);
        board.set_doing(Doing::Reading);
        assert_eq!(board.doing(), Doing::Stopping);
        board.end("done");
        board.set_doing(Doing::Reading);
        assert_eq!(board.doing(), Doing::Ended("done".into()));
    }

    #[test]
    fn the_number_of_open_pages_is_limited() {
        let board = Board::start(Vec::new()).unwrap().board;
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
            let (shown, views) = (Vec::new(), ViewChanges::default());
            changes.add(Update { commit: Some(point(epoch)), shown, views }, None, 0);
            state.take(changes);
        }
        assert_eq!((state.commits.len(), state.commits[0].epoch, state.version), (COMMITS, 700, 1000));
    }
}
