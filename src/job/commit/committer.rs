//! The thread that commits.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::{Receiver, select};
use dataflows::Epoch;
use dataflows::item::{Intake, NextOffset};

use super::fold::StateWeight;
use super::loading::received;
use super::parts::Parts;
use super::pending::Pending;
use super::stores::Stores;
use crate::decode::Mapping;
use crate::job::error::JobError;
use crate::job::graph::{Message, Route};
use crate::observe::board::Feed;
use crate::observe::board::shown::OnPage;
use crate::runtime::clock::Clock;
use crate::runtime::counts::{AcceptanceChange, Counter, Counts};
use crate::runtime::events::Events;
use crate::runtime::folder::FolderLock;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::sink::csv::CsvFiles;
use crate::sink::topic::DeadLetterTopic;
use crate::source::kafka::Discovered;
use crate::store::StoreError;
use crate::text::printable::printable;

/// The maximum number of messages that are taken at once, so that their rows are inserted in fewer statements.
const MESSAGES: usize = 64;
/// How often to check the store while there is nothing to commit.
const PING_EVERY: Duration = Duration::from_secs(2);
/// Characters of a key shown in an error.
const SHOWN_KEY: usize = 100;
/// The name of the store in the job's health.
pub(super) const STORE: &str = "database";

/// The parameters of a [`Committer`]. `starts` and `changed` are committed with the epoch of the start.
pub struct Setup {
    /// What the workers send.
    pub messages: Receiver<Message>,
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
    pub(super) stores: Stores,
    pub(super) files: CsvFiles,
    lock: FolderLock,
    /// The first epoch that is not committed.
    open: Epoch,
    /// The last epoch in the store.
    pub(super) stored: Epoch,
    /// Messages of later epochs.
    later: BTreeMap<Epoch, Vec<Message>>,
    /// Messages that were received while an epoch was committed, and wait for their turn.
    pub(super) held: VecDeque<Message>,
    pub(super) pending: Pending,
    /// Whether the open epoch has a transaction with all rows that were taken so far.
    pub(super) begun: bool,
    pub(super) last_offsets: BTreeMap<(Arc<str>, i32), i64>,
    pub(super) counter: Counter,
}

impl Committer {
    /// A committer that starts after the clock's committed epoch.
    pub fn new(parts: Parts, mut setup: Setup) -> Result<Self, JobError> {
        let Parts { store, files, lock } = parts;
        let stores = Stores::new(store, setup.routes.clone())?;
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
        Ok(Self {
            setup,
            stores,
            files,
            lock,
            open,
            stored: 0,
            later: BTreeMap::new(),
            held: VecDeque::new(),
            pending,
            begun: false,
            last_offsets,
            counter,
        })
    }

    /// Runs until everything that the workers sent is committed, and returns the counts. On an error the workers are
    /// stopped; uncommitted input is read again by the next start.
    pub fn run(mut self) -> Result<(Parts, Counts), JobError> {
        let result = self.work();
        if result.is_err() {
            self.setup.clock.stop();
        }
        let Self { stores, files, lock, counter, .. } = self;
        result.map(|()| (Parts { store: stores.into_store(), files, lock }, counter.finish()))
    }

    fn work(&mut self) -> Result<(), JobError> {
        self.stored = self.retry(|this| Ok(this.stores.current().committed_epoch()?))?;
        // The headers of new files and the first offsets, before the first row.
        self.commit(self.open - 1)?;
        self.pending.state = std::mem::take(&mut self.setup.changed);
        loop {
            let Some(first) = self.next()? else { return Ok(()) };
            let mut next = Some(first);
            for _ in 0..MESSAGES {
                let Some(message) = next.take() else { break };
                match message {
                    Message::Frontier(frontier) => self.pass(frontier)?,
                    Message::KeyMoved { key, partitions } => return Err(self.key_moved(&key, partitions)),
                    Message::Done => {
                        for at in std::mem::take(&mut self.setup.done) {
                            self.pending.offsets.insert((at.topic, at.partition), (at.offset, at.mark));
                            self.pending.is_dirty = true;
                        }
                        let last = self.later.keys().next_back().copied().unwrap_or(self.open);
                        return self.pass(last + 1);
                    }
                    message => self.receive(message)?,
                }
                next = self.held.pop_front().or_else(|| self.setup.messages.try_recv().ok());
            }
            next.into_iter().for_each(|message| self.held.push_front(message));
            self.insert()?;
        }
    }

    /// The next message; none if the workers have ended without `Done`, as one of them has failed.
    fn next(&mut self) -> Result<Option<Message>, JobError> {
        loop {
            if let Some(message) = self.held.pop_front() {
                return Ok(Some(message));
            }
            let failed = self.stores.loaded();
            select! {
                recv(self.setup.messages) -> message => return Ok(message.ok()),
                recv(failed) -> loaded => self.take_back(received(loaded)?)?,
                default(PING_EVERY) => self.ping()?,
            }
        }
    }

    /// Takes a message of the open epoch, or keeps one of a later epoch and sends rows ahead.
    pub(super) fn receive(&mut self, mut message: Message) -> Result<(), JobError> {
        match message.epoch() {
            Some(epoch) if epoch <= self.open => self.take(message),
            Some(epoch) => {
                if let Message::Rows { chunks, .. } = &mut message {
                    self.stores.load_ahead(epoch, chunks)?;
                }
                self.later.entry(epoch).or_default().push(message);
                Ok(())
            }
            None => {
                self.held.push_back(message);
                Ok(())
            }
        }
    }

    /// Checks whether the store is reachable, so that an idle job notices an outage. There is nothing to retry.
    fn ping(&mut self) -> Result<(), JobError> {
        if self.begun || self.stores.is_loading() || self.setup.clock.is_stopping() {
            return Ok(());
        }
        match self.stores.ping() {
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

    /// Commits every epoch before `frontier`: as one, unless rows of some are in a transaction of their own.
    fn pass(&mut self, frontier: Epoch) -> Result<(), JobError> {
        while self.open < frontier {
            let end = self.stores.first_begun(self.open + 1..frontier).unwrap_or(frontier);
            for epoch in self.open + 1..end {
                self.take_turn(epoch);
            }
            let still_later = self.later.split_off(&end);
            for message in std::mem::replace(&mut self.later, still_later).into_values().flatten() {
                self.take(message)?;
            }
            self.commit(end - 1)?;
            self.open = end;
            self.take_turn(end);
            // Messages of the new open epoch are inserted immediately.
            for message in self.later.remove(&end).into_iter().flatten() {
                self.take(message)?;
            }
            self.insert()?;
        }
        Ok(())
    }

    /// Adds rows of `epoch` that were sent ahead to the next commit.
    fn take_turn(&mut self, epoch: Epoch) {
        let (ahead, sent) = self.stores.take_turn(epoch);
        self.pending.weight += ahead.weight;
        self.pending.is_dirty |= !ahead.chunks.is_empty();
        self.pending.chunks.extend(ahead.chunks);
        self.pending.inserted += sent;
    }

    /// Adds a message to the next commit, and writes its CSV lines, which are not yet durable.
    fn take(&mut self, message: Message) -> Result<(), JobError> {
        let pending = &mut self.pending;
        pending.weight += message.weight();
        pending.is_dirty = true;
        match message {
            Message::Rows { view, csv, csv_rows, chunks, table_rows, forward, on_page, letters, .. } => {
                self.files.write(view, &csv, csv_rows)?;
                self.counter.rows(view, csv_rows, table_rows);
                letters.into_iter().for_each(|letters| self.counter.letters(letters));
                pending.chunks.extend(chunks.into_iter().map(Arc::new));
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
}
