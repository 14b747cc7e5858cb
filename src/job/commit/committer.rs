//! The thread that commits.

use std::collections::BTreeMap;
use std::iter;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use bytes::Bytes;
use dataflows::Epoch;
use dataflows::item::{Intake, NextOffset};

use super::fold::{self, StateWeight};
use super::parts::Parts;
use super::pending::Pending;
use super::refused;
use crate::decode::Mapping;
use crate::job::error::JobError;
use crate::job::graph::{Message, Route};
use crate::observe::board::shown::OnPage;
use crate::observe::board::{Doing, Feed};
use crate::runtime::clock::Clock;
use crate::runtime::counts::{AcceptanceChange, Counter, Counts};
use crate::runtime::events::Events;
use crate::runtime::fault::{self, Moment};
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::runtime::retry::Pauses;
use crate::sink::topic::DeadLetterTopic;
use crate::source::kafka::{Discovered, Discoveries};
use crate::state::offset::{Role, for_view};
use crate::store::{Commit, StoreError};
use crate::text::printable::printable;

/// The maximum number of messages per insert into the store.
const MESSAGES: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often to check the store while there is nothing to commit.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Characters of a key shown in an error.
const SHOWN_KEY: usize = 100;
/// How long to wait for the brokers to acknowledge dead letters before warning.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);
/// The name of the store in the job's health.
const STORE: &str = "database";

/// The parameters of a [`Committer`]. `starts` and `changed` are committed with the epoch of the start.
pub struct Setup {
    /// Database, files and the lock on them.
    pub parts: Parts,
    /// The sinks of each view.
    pub routes: Arc<[Route]>,
    /// The clock. Its committed epoch is that of the start, which the first commit uses, without a record.
    pub clock: Arc<Clock>,
    /// The metrics.
    pub metrics: Metrics,
    /// Gets the state of the database and of the dead-letter topic.
    pub health: Arc<Health>,
    /// The size of each view's state in the database.
    pub weights: Vec<StateWeight>,
    /// Receivers of the offsets of each commit: the watch threads, and the feeder of an embedded broker.
    pub followers: Vec<Sender<Vec<NextOffset>>>,
    /// The offsets of the previous commit; empty in a backfill.
    pub committed: Vec<NextOffset>,
    /// The start offsets of the sources.
    pub starts: Vec<NextOffset>,
    /// What has to be committed of topics, now and while the job runs.
    pub discovered: Arc<Discovered>,
    /// Changes of state made at the start, by view index.
    pub changed: BTreeMap<usize, Vec<Bytes>>,
    /// The dead-letter topic.
    pub forward: Option<DeadLetterTopic>,
    /// The live page, if there is one.
    pub page: Option<Feed>,
    /// Where commits are reported to the process that started the job.
    pub events: Option<Arc<Events>>,
    /// The topics of the readings, for errors.
    pub topic: Arc<str>,
    /// How messages are read, for warnings.
    pub mapping: Arc<Mapping>,
    /// The view to backfill, in a backfill.
    pub filled: Option<Arc<str>>,
    /// Marker offsets, committed with the last rows.
    pub done: Vec<NextOffset>,
}

/// Commits epochs, one after another.
pub struct Committer {
    pub(super) setup: Setup,
    /// The first epoch that is not committed.
    open: Epoch,
    /// Messages of later epochs.
    later: BTreeMap<Epoch, Vec<Message>>,
    pub(super) pending: Pending,
    /// Whether a transaction is open.
    begun: bool,
    pub(super) last_offsets: BTreeMap<(Arc<str>, i32), i64>,
    pub(super) counter: Counter,
}

impl Committer {
    /// A committer that starts after the clock's committed epoch.
    pub fn new(mut setup: Setup) -> Self {
        let open = setup.clock.committed() + 1;
        // The start of each partition is committed before it is read. If the broker then deletes records, the next
        // start notices the gap, even for a partition that had no record yet.
        let mut pending = Pending { is_dirty: true, ..Pending::default() };
        let is_known = |at: &&NextOffset| {
            setup.committed.iter().any(|known| {
                (&known.topic, known.partition, known.offset) == (&at.topic, at.partition, at.offset)
            })
        };
        for at in setup.starts.iter().filter(|at| !is_known(at)) {
            pending.offsets.insert((at.topic.clone(), at.partition), (at.offset, at.mark));
        }
        for (route, weight) in setup.routes.iter().zip(&setup.weights) {
            if weight.entries > 0 {
                setup.metrics.state_records(&route.name, weight.entries);
            }
        }
        let known = setup.committed.drain(..).chain(setup.starts.drain(..));
        let counter = Counter::new(setup.mapping.clone());
        let last_offsets = known.map(|at| ((at.topic, at.partition), at.offset)).collect();
        Self { setup, open, later: BTreeMap::new(), pending, begun: false, last_offsets, counter }
    }

    /// Runs until everything that the workers sent is committed, and returns the counts. On an error the workers are
    /// stopped; uncommitted input is read again by the next start.
    pub fn run(mut self, messages: &Receiver<Message>) -> Result<(Parts, Counts), JobError> {
        let result = self.work(messages);
        if result.is_err() {
            self.setup.clock.stop();
        }
        result.map(|()| (self.setup.parts, self.counter.finish()))
    }

    fn work(&mut self, messages: &Receiver<Message>) -> Result<(), JobError> {
        // The headers of new files and the first offsets, before the first row.
        self.commit(self.open - 1)?;
        self.pending.state = std::mem::take(&mut self.setup.changed);
        loop {
            let first = match messages.recv_timeout(PING_EVERY) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.ping()?;
                    continue;
                }
                // The workers have ended without `Done`: one of them has failed.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            // All waiting messages are inserted together, in fewer statements.
            for message in iter::once(first).chain(messages.try_iter()).take(MESSAGES) {
                match message {
                    Message::Frontier(frontier) => self.pass(frontier)?,
                    Message::KeyMoved { key, partitions } => {
                        return Err(self.key_moved(&key, partitions));
                    }
                    Message::Done => {
                        for at in std::mem::take(&mut self.setup.done) {
                            self.pending.offsets.insert((at.topic, at.partition), (at.offset, at.mark));
                            self.pending.is_dirty = true;
                        }
                        let last = self.later.keys().next_back().copied().unwrap_or(self.open);
                        return self.pass(last + 1);
                    }
                    Message::Rows { epoch, .. }
                    | Message::State { epoch, .. }
                    | Message::Progress { epoch, .. }
                    | Message::InTheFuture { epoch, .. }
                    | Message::Duplicates { epoch, .. }
                    | Message::Intake { epoch, .. } => {
                        if epoch <= self.open {
                            self.take(message)?;
                        } else {
                            self.later.entry(epoch).or_default().push(message);
                        }
                    }
                }
            }
            self.insert()?;
        }
    }

    /// Checks whether the store is reachable, so that an idle job notices an outage. There is nothing to retry.
    fn ping(&mut self) -> Result<(), JobError> {
        if self.begun || self.setup.clock.is_stopping() {
            return Ok(());
        }
        match self.setup.parts.store.ping() {
            Ok(()) => {
                if self.setup.health.set_available(STORE) {
                    tracing::info!("the database is back");
                }
            }
            Err(error @ StoreError::Fenced { .. }) => return Err(error.into()),
            Err(error) => {
                let said = error.while_waiting();
                if self.setup.health.set_unavailable(STORE, &said) {
                    tracing::warn!(
                        error = said,
                        "the database is unavailable; there is nothing to commit at the moment"
                    );
                }
            }
        }
        Ok(())
    }

    /// Commits every epoch before `frontier`, as one.
    fn pass(&mut self, frontier: Epoch) -> Result<(), JobError> {
        if frontier <= self.open {
            return Ok(());
        }
        let still_later = self.later.split_off(&frontier);
        for message in std::mem::replace(&mut self.later, still_later).into_values().flatten() {
            self.take(message)?;
        }
        self.commit(frontier - 1)?;
        self.open = frontier;
        // Messages of the new open epoch are inserted immediately.
        for message in self.later.remove(&frontier).into_iter().flatten() {
            self.take(message)?;
        }
        self.insert()
    }

    /// Adds a message to the next commit, and writes its CSV lines, which are not yet durable.
    fn take(&mut self, message: Message) -> Result<(), JobError> {
        let pending = &mut self.pending;
        pending.weight += message.weight();
        pending.is_dirty = true;
        match message {
            Message::Rows { view, csv, csv_rows, chunks, table_rows, forward, on_page, letters, .. } => {
                self.setup.parts.files.write(view, &csv, csv_rows)?;
                self.counter.rows(view, csv_rows, table_rows);
                letters.into_iter().for_each(|letters| self.counter.letters(letters));
                pending.chunks.extend(chunks);
                pending.forward.extend(forward);
                if let Some(on_page) = on_page.filter(|_| self.setup.page.is_some()) {
                    let OnPage { shown, recent } = *on_page;
                    pending.shown.extend(shown);
                    pending.views.add(view, recent, None, self.setup.routes.len());
                }
            }
            Message::State { view, sealed, added, .. } => {
                pending.state.entry(view).or_default().push(sealed);
                *pending.added.entry(view).or_default() += added;
            }
            Message::Progress { offsets, mut arrivals, .. } => {
                for at in offsets {
                    let read = (at.offset, at.mark);
                    let position = pending.offsets.entry((at.topic, at.partition)).or_insert(read);
                    *position = read.max(*position);
                }
                pending.arrivals.append(&mut arrivals);
            }
            Message::Intake { intake, .. } => self.count_intake(&intake),
            Message::InTheFuture { messages, .. } => pending.in_the_future.extend(messages),
            // A backfill reads messages that were already counted.
            Message::Duplicates { number, .. } if self.setup.filled.is_none() => {
                self.counter.duplicates(number);
            }
            Message::Duplicates { .. } | Message::KeyMoved { .. } | Message::Frontier(_) | Message::Done => {}
        }
        Ok(())
    }

    /// Counts messages, and warns if the job accepts none.
    fn count_intake(&mut self, intake: &Intake) {
        match self.counter.intake(intake) {
            Some(AcceptanceChange::NothingAccepted(said)) => tracing::warn!("{said}"),
            Some(AcceptanceChange::Accepted) => tracing::info!("a reading was accepted"),
            None => return,
        }
        if let Some(page) = &self.setup.page {
            page.board.set_warning(self.counter.warning());
        }
    }

    fn key_moved(&self, key: &[u8], partitions: (i32, i32)) -> JobError {
        let topic = self.setup.topic.to_string();
        let key = printable(&String::from_utf8_lossy(key)).chars().take(SHOWN_KEY).collect();
        JobError::KeyMoved { topic, key, partitions }
    }

    /// Inserts pending rows early, so that the commit has little left to do.
    fn insert(&mut self) -> Result<(), JobError> {
        if self.pending.inserted == self.pending.chunks.len() {
            return Ok(());
        }
        self.retry(Self::try_insert)
    }

    /// Runs `step` until it succeeds, with growing pauses while the database is unavailable.
    fn retry<T>(&mut self, mut step: impl FnMut(&mut Self) -> Result<T, JobError>) -> Result<T, JobError> {
        // Present after the first failure.
        let mut pauses = None;
        loop {
            match step(self) {
                Ok(done) => {
                    self.setup.health.set_available(STORE);
                    if pauses.is_some() {
                        self.show(Doing::Reading);
                    }
                    return Ok(done);
                }
                Err(JobError::Store(error)) if error.is_retryable() && !self.setup.clock.is_stopping() => {
                    let error = error.while_waiting();
                    let pause = pauses.get_or_insert_with(|| Pauses::new(FIRST_PAUSE, LONGEST_PAUSE)).pause();
                    tracing::warn!(error, pause_seconds = pause.as_secs_f64(), "commit failed; trying again");
                    self.setup.metrics.commit_retries.inc();
                    self.setup.health.set_unavailable(STORE, &error);
                    self.show(Doing::Retrying(error));
                    self.forget_transaction();
                    wait(pause, || self.setup.clock.is_stopping());
                }
                Err(error) => {
                    self.forget_transaction();
                    return Err(error);
                }
            }
        }
    }

    /// Shows the job's state on the live page.
    fn show(&self, doing: Doing) {
        if let Some(page) = &self.setup.page {
            page.board.set_doing(doing);
        }
    }

    fn forget_transaction(&mut self) {
        self.setup.parts.store.abandon();
        self.begun = false;
        self.pending.inserted = 0;
    }

    fn try_insert(&mut self) -> Result<(), JobError> {
        if !self.begun {
            // Not when an attempt fails: if only its answer was lost, its refusals count.
            self.pending.refusals.roll_back();
            self.setup.parts.store.begin()?;
            self.begun = true;
        }
        let pending = &mut self.pending;
        let chunks = &pending.chunks[pending.inserted..];
        if !chunks.is_empty() {
            let letters = refused::put(self.setup.parts.store.as_mut(), &self.setup.routes, chunks)?;
            pending.refusals.letters.extend(letters);
            pending.inserted = pending.chunks.len();
        }
        Ok(())
    }

    /// Makes everything up to `epoch` durable.
    fn commit(&mut self, epoch: Epoch) -> Result<(), JobError> {
        let began = Instant::now();
        if let Some(page) = &self.setup.page {
            page.board.set_committing(true);
        }
        fault::at(Moment::CsvSync);
        let lengths = self.setup.parts.files.sync()?;
        fault::at(Moment::CsvSynced);
        if !self.pending.is_dirty && lengths.is_empty() {
            self.setup.clock.commit(epoch, 0);
            if let Some(page) = &self.setup.page {
                page.board.set_committing(false);
            }
            return Ok(());
        }
        let (mut offsets, mut view_offsets) = (self.pending.offsets(), Vec::new());
        if let Some(view) = &self.setup.filled {
            view_offsets = for_view(view, Role::Filled, std::mem::take(&mut offsets));
        }
        self.retry(Self::try_insert)?;
        let state = self.retry(|this| {
            let Setup { parts, routes, weights, .. } = &mut this.setup;
            fold::state_changes(parts.store.as_mut(), routes, weights, &this.pending.state)
        })?;
        if state.iter().any(|change| change.replaces) {
            fault::at(Moment::Folded);
        }
        let Discoveries { topics, begun } = self.setup.discovered.take();
        for at in &begun {
            self.last_offsets.entry((at.topic.clone(), at.partition)).or_insert(at.offset);
        }
        let mut is_retry = false;
        self.retry(|this| {
            // The answer to a COMMIT can be lost, so the epoch in the database decides.
            if std::mem::replace(&mut is_retry, true) && this.setup.parts.store.committed_epoch()? >= epoch {
                return Ok(());
            }
            this.try_insert()?;
            let files = &this.pending.refusals.write(&mut this.setup.parts, &this.setup.routes, &lengths)?;
            this.forward_letters()?;
            fault::at(Moment::Commit);
            this.setup.parts.store.commit(&Commit {
                epoch,
                offsets: &offsets,
                view_offsets: &view_offsets,
                topics: &topics,
                begun: &begun,
                in_the_future: &this.pending.in_the_future,
                files,
                state: &state,
                replacement: None,
            })?;
            Ok(())
        })?;
        fault::at(Moment::CommitAnswered);
        self.begun = false;
        let seconds = began.elapsed().as_secs_f64();
        self.setup.metrics.commit_seconds.observe(seconds);
        self.publish(epoch, &state, seconds);
        fault::at(Moment::CommitTold);
        Ok(())
    }

    /// Sends dead letters to their topic before the commit. After a crash in between, or a retry, a dead letter may be
    /// duplicated, but never lost.
    fn forward_letters(&mut self) -> Result<(), JobError> {
        let refusals = self.pending.refusals.to_forward(&self.setup.routes);
        let Some(mut topic) = self.setup.forward.take() else { return Ok(()) };
        self.pending.forward.drain(..).chain(refusals).for_each(|rows| topic.add(&rows));
        let forwarded = self.flush_forwarded(&mut topic);
        self.setup.forward = Some(topic);
        forwarded
    }

    /// Waits until the topic has acknowledged all dead letters, without a timeout.
    fn flush_forwarded(&mut self, topic: &mut DeadLetterTopic) -> Result<(), JobError> {
        let (what, mut pauses) = (topic.in_health(), Pauses::new(FIRST_PAUSE, LONGEST_PAUSE));
        loop {
            match topic.flush(ACKNOWLEDGED) {
                Ok(()) => {
                    if self.setup.health.set_available(&what) {
                        tracing::info!("{what} accepts dead letters again");
                        self.show(Doing::Reading);
                    }
                    return Ok(());
                }
                Err(error) if !self.setup.clock.is_stopping() => {
                    let pause = pauses.pause();
                    tracing::warn!(%error, pause_seconds = pause.as_secs_f64(), "{what} does not accept dead letters; trying again");
                    self.setup.health.set_unavailable(&what, format!("{what}: {error}"));
                    self.show(Doing::Retrying(error.to_string()));
                    wait(pause, || self.setup.clock.is_stopping());
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Sleeps for `pause`, or until `stop`.
fn wait(pause: Duration, stop: impl Fn() -> bool) {
    let due = Instant::now() + pause;
    while !stop() && Instant::now() < due {
        std::thread::sleep(Duration::from_millis(20).min(pause));
    }
}
