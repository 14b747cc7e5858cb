//! The one place that commits: a thread that writes rows as they come and, when the frontier has
//! passed an epoch, makes its effects durable all at once.
//!
//! ```text
//! rows of the open epoch -> CSV files (not yet durable) and the open SQL transaction
//! frontier passes        -> sync the CSV files -> state, offsets, CSV lengths, generation, epoch
//!                           into the same transaction -> COMMIT: the only commit point
//! ```
//!
//! When the database fails, the transaction is tried again from the rows kept until the commit.
//!
//! Each commit has an epoch of its own, higher than any before, also the one with which a start begins: so the
//! epoch that the database holds says whether a commit whose answer was lost took place.

mod refusals;

use std::collections::BTreeMap;
use std::fmt;
use std::iter;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use dataflows::Epoch;
use dataflows::item::{Arrival, Intake, Mark, MessageId, NextOffset};
use dataflows::rows::Rows;

use crate::job::error::JobError;
use crate::job::graph::{Message, Route};
use crate::observe::board::shown::Shown;
use crate::observe::board::{CommitPoint, Doing, Feed};
use crate::runtime::clock::Clock;
use crate::runtime::counts::{Counter, Counts, Turn};
use crate::runtime::fault::{self, Moment};
use crate::runtime::folder::FolderLock;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use crate::sink::csv::CsvFiles;
use crate::sink::topic::DeadLetterTopic;
use crate::state::offset::{Role, for_view};
use crate::state::{Owner, SealedFold, seal};
use crate::store::{Chunk, Commit, StateChange, Store, StoreError};
use crate::text::printable::printable;
use dataflows::item::TopicId;
use refusals::Refusals;

/// State deltas are folded into a snapshot when they outweigh it, or there are this many parts.
const FOLD_PARTS: usize = 256;
/// Or, for a small snapshot, when they have this many bytes.
const FOLD_BYTES: usize = 1 << 20;
/// Bytes of state that are folded in one commit; if a view has more, its alone. Others wait until their
/// deltas outweigh the snapshot this many times.
const FOLD_AT_ONCE: usize = 64 << 20;
const PATIENCE: usize = 4;
/// Messages that are taken before the rows of all of them go to the store.
const MESSAGES: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How often the store is asked whether it is there, while there is nothing to commit.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// Characters of a key that an error shows.
const SHOWN_KEY: usize = 100;
/// How long the brokers may take to acknowledge a dead letter before that is said.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);
/// The store, among what the job needs.
const STORE: &str = "database";

/// What the parts of a view's state weigh in the store.
#[derive(Clone, Copy, Debug, Default)]
pub struct StateWeight {
    /// Bytes of the last snapshot.
    pub snapshot: usize,
    /// Bytes of the deltas since.
    pub deltas: usize,
    /// Parts of the deltas since.
    pub parts: usize,
    /// Entries, over all.
    pub entries: i64,
}

/// Commits epochs, one after another.
pub struct Committer {
    store: Box<dyn Store>,
    files: CsvFiles,
    lock: FolderLock,
    routes: Arc<[Route]>,
    clock: Arc<Clock>,
    metrics: Metrics,
    health: Arc<Health>,
    weights: Vec<StateWeight>,
    /// Told of each commit: the watcher of lag, the feeder of an embedded broker.
    followers: Vec<Sender<Vec<NextOffset>>>,
    /// The topic that dead letters go to.
    forward: Option<DeadLetterTopic>,
    /// The live page, if there is one.
    page: Option<Feed>,
    /// The first epoch that is not committed.
    open: Epoch,
    /// What came for later epochs.
    later: BTreeMap<Epoch, Vec<Message>>,
    pending: Pending,
    /// Whether the store's transaction holds all of `pending`.
    begun: bool,
    last_offsets: BTreeMap<(Arc<str>, i32), i64>,
    /// The ids of topics, until they are committed.
    topics: Vec<TopicId>,
    /// The view that is filled with what was before it, if that is all that is done.
    filled: Option<Arc<str>>,
    /// The offsets that say that all is done, committed with the last rows.
    done: Vec<NextOffset>,
    counter: Counter,
    /// Changes of views' state that were made before the first epoch, and are committed with it.
    changed: BTreeMap<usize, Vec<Bytes>>,
    /// The topic of the readings.
    topic: Arc<str>,
}

/// The parts of a job that commits are made of.
pub struct Parts {
    /// The database.
    pub store: Box<dyn Store>,
    /// The files.
    pub files: CsvFiles,
    /// Keeps other instances away from the files, as long as anyone may write to them.
    pub lock: FolderLock,
}

/// How far a partition was read: the next offset and, of a file, the bytes before it.
type Position = (i64, Option<Mark>);

/// The effects that commit next.
#[derive(Default)]
struct Pending {
    chunks: Vec<Chunk>,
    /// How many of `chunks` are in the transaction.
    inserted: usize,
    refusals: Refusals,
    state: BTreeMap<usize, Vec<Bytes>>,
    added: BTreeMap<usize, i64>,
    offsets: BTreeMap<(Arc<str>, i32), Position>,
    arrivals: Vec<Arrival>,
    in_the_future: Vec<MessageId>,
    forward: Vec<Rows>,
    shown: Vec<Shown>,
    weight: u64,
    anything: bool,
}

impl Pending {
    /// The next offset of every partition that was read.
    fn offsets(&self) -> Vec<NextOffset> {
        let next = |(at, &(offset, mark)): (&(Arc<str>, i32), &Position)| NextOffset {
            topic: at.0.clone(),
            partition: at.1,
            offset,
            mark,
        };
        self.offsets.iter().map(next).collect()
    }
}

impl Committer {
    /// A committer whose first commit has the epoch that the clock calls committed: that of a start, without
    /// a record. The commit before it held the next offsets `committed`; the source begins at `starts`.
    #[allow(clippy::too_many_arguments)] // every one is another part of the job
    pub fn new(
        parts: Parts,
        routes: Arc<[Route]>,
        clock: Arc<Clock>,
        metrics: Metrics,
        weights: Vec<StateWeight>,
        followers: Vec<Sender<Vec<NextOffset>>>,
        committed: &[NextOffset],
        starts: Vec<NextOffset>,
        forward: Option<DeadLetterTopic>,
    ) -> Self {
        let open = clock.committed() + 1;
        // Where a partition begins is committed before it is read: what the broker drops from then
        // on is missed at the next start, also in a partition that had no message yet.
        let mut pending = Pending { anything: true, ..Pending::default() };
        let is_known = |at: &&NextOffset| {
            committed.iter().any(|known| {
                (&known.topic, known.partition, known.offset) == (&at.topic, at.partition, at.offset)
            })
        };
        for at in starts.iter().filter(|at| !is_known(at)) {
            pending.offsets.insert((at.topic.clone(), at.partition), (at.offset, at.mark));
        }
        for (route, weight) in routes.iter().zip(&weights) {
            if weight.entries > 0 {
                metrics.state_records(&route.name, weight.entries);
            }
        }
        Self {
            store: parts.store,
            files: parts.files,
            lock: parts.lock,
            routes,
            clock,
            metrics,
            health: Arc::default(),
            weights,
            followers,
            forward,
            page: None,
            open,
            later: BTreeMap::new(),
            pending,
            begun: false,
            last_offsets: committed
                .iter()
                .cloned()
                .chain(starts)
                .map(|at| ((at.topic, at.partition), at.offset))
                .collect(),
            topics: Vec::new(),
            filled: None,
            done: Vec::new(),
            counter: Counter::default(),
            changed: BTreeMap::new(),
            topic: "".into(),
        }
    }

    /// Commits changes of state, by their views' places, together with the first epoch.
    pub fn with_state(mut self, changed: BTreeMap<usize, Vec<Bytes>>) -> Self {
        self.changed = changed;
        self
    }

    /// Names the topic of the readings, for errors.
    pub fn with_topic(mut self, topic: &str) -> Self {
        self.topic = topic.into();
        self
    }

    /// Commits the ids of topics together with where they begin.
    pub fn identifying(mut self, topics: Vec<TopicId>) -> Self {
        self.topics = topics;
        self
    }

    /// Commits what fills one view with what was before it; `done` are offsets that say that all of it
    /// is there.
    pub fn filling(mut self, view: &str, done: Vec<NextOffset>) -> Self {
        self.filled = Some(view.into());
        self.done = done;
        self
    }

    /// Says to `health` whether the store does its part.
    pub fn telling(mut self, health: Arc<Health>) -> Self {
        self.health = health;
        self
    }

    /// Tells the live page of each commit.
    pub fn shown_on(mut self, page: Feed) -> Self {
        self.page = Some(page);
        self
    }

    /// Works until everything that the workers sent is committed, and says what that was. On an error the
    /// workers are asked to stop: what is not committed will be read again.
    pub fn run(mut self, messages: &Receiver<Message>) -> Result<(Parts, Counts), JobError> {
        let result = self.work(messages);
        if result.is_err() {
            self.clock.stop();
        }
        let parts = Parts { store: self.store, files: self.files, lock: self.lock };
        result.map(|()| (parts, self.counter.finish()))
    }

    fn work(&mut self, messages: &Receiver<Message>) -> Result<(), JobError> {
        // The headers of new files and the first offsets, before the first row.
        self.commit(self.open - 1)?;
        self.pending.state = std::mem::take(&mut self.changed);
        loop {
            let first = match messages.recv_timeout(LOOK_EVERY) {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    self.look()?;
                    continue;
                }
                // The workers are gone without a word: one of them has failed.
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            };
            // What waits goes to the store together: it may take it in fewer statements.
            for message in iter::once(first).chain(messages.try_iter()).take(MESSAGES) {
                match message {
                    Message::Frontier(frontier) => self.pass(frontier)?,
                    Message::KeyMoved { key, partitions } => {
                        return Err(self.key_moved(&key, partitions));
                    }
                    Message::Done => {
                        for at in std::mem::take(&mut self.done) {
                            self.pending.offsets.insert((at.topic, at.partition), (at.offset, at.mark));
                            self.pending.anything = true;
                        }
                        let last = self.later.keys().next_back().copied().unwrap_or(self.open);
                        return self.pass(last + 1);
                    }
                    Message::Rows { epoch, .. }
                    | Message::State { epoch, .. }
                    | Message::Progress { epoch, .. }
                    | Message::InTheFuture { epoch, .. }
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

    /// Sees whether the store is there, unless the next commit will: a job that has nothing to write
    /// would not know. Nothing is lost if it is not, so nothing is tried again.
    fn look(&mut self) -> Result<(), JobError> {
        if self.begun || self.clock.is_stopping() {
            return Ok(());
        }
        match self.store.ping() {
            Ok(()) => {
                if self.health.found(STORE) {
                    tracing::info!("the database is back");
                }
            }
            Err(error @ StoreError::Fenced { .. }) => return Err(error.into()),
            Err(error) => {
                let said = error.while_waiting();
                if self.health.lost(STORE, &said) {
                    tracing::warn!(error = said, "nothing is to be committed now");
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
        // What has come for the new open epoch goes on its way at once.
        for message in self.later.remove(&frontier).into_iter().flatten() {
            self.take(message)?;
        }
        self.insert()
    }

    /// Adds a message to what commits next; its CSV lines are written, not yet durable.
    fn take(&mut self, message: Message) -> Result<(), JobError> {
        let pending = &mut self.pending;
        pending.weight += message.weight();
        pending.anything = true;
        match message {
            Message::Rows { view, csv, csv_rows, chunks, table_rows, forward, shown, letters, .. } => {
                self.files.write(view, &csv, csv_rows)?;
                self.counter.rows(view, csv_rows, table_rows);
                letters.into_iter().for_each(|letters| self.counter.letters(letters));
                pending.chunks.extend(chunks);
                pending.forward.extend(forward);
                pending.shown.extend(shown.filter(|_| self.page.is_some()));
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
            Message::Intake { intake, .. } => self.hear(&intake),
            Message::InTheFuture { messages, .. } => pending.in_the_future.extend(messages),
            Message::KeyMoved { .. } | Message::Frontier(_) | Message::Done => {}
        }
        Ok(())
    }

    /// Counts messages, and warns if the job accepts none.
    fn hear(&mut self, intake: &Intake) {
        match self.counter.hear(intake) {
            Some(Turn::NothingAccepted(said)) => tracing::warn!("{said}"),
            Some(Turn::Accepted) => tracing::info!("a reading was accepted"),
            None => return,
        }
        if let Some(page) = &self.page {
            page.board.warns(self.counter.warning());
        }
    }

    fn key_moved(&self, key: &[u8], partitions: (i32, i32)) -> JobError {
        let topic = self.topic.to_string();
        let key = printable(&String::from_utf8_lossy(key)).chars().take(SHOWN_KEY).collect();
        JobError::KeyMoved { topic, key, partitions }
    }

    /// Puts what can be put into the transaction already, so that the commit finds little to do.
    fn insert(&mut self) -> Result<(), JobError> {
        if self.pending.inserted == self.pending.chunks.len() {
            return Ok(());
        }
        self.retry(Self::try_insert)
    }

    /// Runs `step` until it succeeds, with growing pauses while the database is away.
    fn retry<T>(&mut self, mut step: impl FnMut(&mut Self) -> Result<T, JobError>) -> Result<T, JobError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match step(self) {
                Ok(done) => {
                    self.health.found(STORE);
                    if pause > FIRST_PAUSE {
                        self.show(Doing::Reading);
                    }
                    return Ok(done);
                }
                Err(JobError::Store(error)) if error.is_retryable() && !self.clock.is_stopping() => {
                    let error = error.while_waiting();
                    tracing::warn!(error, pause_seconds = pause.as_secs_f64(), "commit failed; trying again");
                    self.metrics.commit_retries.inc();
                    self.health.lost(STORE, &error);
                    self.show(Doing::Retrying(error));
                    self.forget_transaction();
                    wait(pause, || self.clock.is_stopping());
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => {
                    self.forget_transaction();
                    return Err(error);
                }
            }
        }
    }

    /// Shows on the live page what the job does.
    fn show(&self, doing: Doing) {
        if let Some(page) = &self.page {
            page.board.does(doing);
        }
    }

    fn forget_transaction(&mut self) {
        self.store.abandon();
        self.begun = false;
        self.pending.inserted = 0;
        self.pending.refusals.roll_back();
    }

    fn try_insert(&mut self) -> Result<(), JobError> {
        if !self.begun {
            self.store.begin()?;
            self.begun = true;
        }
        let pending = &mut self.pending;
        let chunks = &pending.chunks[pending.inserted..];
        if !chunks.is_empty() {
            let letters = refusals::put(self.store.as_mut(), &self.routes, chunks)?;
            pending.refusals.letters.extend(letters);
            pending.inserted = pending.chunks.len();
        }
        Ok(())
    }

    /// Makes everything up to `epoch` durable.
    fn commit(&mut self, epoch: Epoch) -> Result<(), JobError> {
        let began = Instant::now();
        if let Some(page) = &self.page {
            page.board.commits(true);
        }
        fault::at(Moment::CsvSync);
        let lengths = self.files.sync()?;
        fault::at(Moment::CsvSynced);
        if !self.pending.anything && lengths.is_empty() {
            self.clock.commit(epoch, 0);
            if let Some(page) = &self.page {
                page.board.commits(false);
            }
            return Ok(());
        }
        let (mut offsets, mut view_offsets) = (self.pending.offsets(), Vec::new());
        if let Some(view) = &self.filled {
            view_offsets = for_view(view, Role::Filled, std::mem::take(&mut offsets));
        }
        self.retry(Self::try_insert)?;
        let state = self.retry(|this| this.state_changes())?;
        if state.iter().any(|change| change.replaces) {
            fault::at(Moment::Folded);
        }
        let topics = std::mem::take(&mut self.topics);
        let mut asked = false;
        self.retry(|this| {
            // The answer to a COMMIT can be lost: what the database holds decides.
            if std::mem::replace(&mut asked, true) && this.store.committed_epoch()? >= epoch {
                return Ok(());
            }
            this.try_insert()?;
            let files = &this.write_refusals(&lengths)?;
            this.forward()?;
            fault::at(Moment::Commit);
            this.store.commit(&Commit {
                epoch,
                offsets: &offsets,
                view_offsets: &view_offsets,
                topics: &topics,
                in_the_future: &this.pending.in_the_future,
                files,
                state: &state,
            })?;
            Ok(())
        })?;
        fault::at(Moment::CommitAnswered);
        self.begun = false;
        let seconds = began.elapsed().as_secs_f64();
        self.metrics.commit_seconds.observe(seconds);
        self.committed(epoch, &state, seconds);
        fault::at(Moment::CommitTold);
        Ok(())
    }

    /// Sends dead letters to their topic, before the commit: after a crash between the two, or when an
    /// attempt is repeated, a dead letter is there twice rather than never.
    fn forward(&mut self) -> Result<(), JobError> {
        let refusals = self.refusals_to_forward();
        let Some(mut topic) = self.forward.take() else { return Ok(()) };
        self.pending.forward.drain(..).chain(refusals).for_each(|rows| topic.add(&rows));
        let forwarded = self.flush_forwarded(&mut topic);
        self.forward = Some(topic);
        forwarded
    }

    /// Waits until the topic has taken all letters, however long that takes.
    fn flush_forwarded(&mut self, topic: &mut DeadLetterTopic) -> Result<(), JobError> {
        let (what, mut pause) = (topic.in_health(), FIRST_PAUSE);
        loop {
            match topic.flush(ACKNOWLEDGED) {
                Ok(()) => {
                    if self.health.found(&what) {
                        tracing::info!("{what} takes letters again");
                        self.show(Doing::Reading);
                    }
                    return Ok(());
                }
                Err(error) if !self.clock.is_stopping() => {
                    tracing::warn!(%error, pause_seconds = pause.as_secs_f64(), "{what} does not take letters; trying again");
                    self.health.lost(&what, format!("{what}: {error}"));
                    self.show(Doing::Retrying(error.to_string()));
                    wait(pause, || self.clock.is_stopping());
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The state parts to commit: deltas, or a snapshot where they have grown too heavy.
    fn state_changes(&mut self) -> Result<Vec<StateChange>, JobError> {
        let mut changes = Vec::new();
        let mut folded = 0;
        for (&view, parts) in &self.pending.state {
            let name = &*self.routes[view].name;
            let weight = self.weights[view];
            let bytes: usize = parts.iter().map(Bytes::len).sum();
            let heavy = weight.deltas + bytes > weight.snapshot.max(FOLD_BYTES)
                || weight.parts + parts.len() > FOLD_PARTS;
            let size = weight.snapshot + weight.deltas + bytes;
            let may_wait = folded > 0
                && folded + size > FOLD_AT_ONCE
                && weight.deltas + bytes <= PATIENCE * weight.snapshot
                && weight.parts + parts.len() <= PATIENCE * FOLD_PARTS;
            let (parts, replaces) = if heavy && !may_wait {
                folded += size;
                fault::at(Moment::Fold);
                let form = self.store.form();
                let owner = Owner { job: &form.job, view: name };
                let mut fold = SealedFold::new(owner);
                parts.iter().rev().for_each(|part| fold.older(part));
                self.store.state(name, &mut |part| fold.older(&part))?;
                (fold.finish()?.into_iter().map(|part| seal(owner, &part).into()).collect(), true)
            } else {
                (parts.clone(), false)
            };
            changes.push(StateChange { view: name.to_owned(), parts, replaces });
        }
        Ok(changes)
    }

    /// Tells everyone who waits for it that `epoch` is durable.
    fn committed(&mut self, epoch: Epoch, state: &[StateChange], seconds: f64) {
        self.count_refusals();
        let pending = std::mem::take(&mut self.pending);
        let offsets = pending.offsets();
        for change in state {
            let Some(view) = self.routes.iter().position(|route| *route.name == *change.view) else {
                continue;
            };
            let weight = &mut self.weights[view];
            let bytes: usize = change.parts.iter().map(Bytes::len).sum();
            if change.replaces {
                (weight.snapshot, weight.deltas, weight.parts) = (bytes, 0, 0);
            } else {
                weight.deltas += bytes;
                weight.parts += change.parts.len();
            }
            weight.entries += pending.added.get(&view).copied().unwrap_or(0);
            self.metrics.state_records(&change.view, weight.entries);
        }
        let counts = self.counter.commit();
        for (&view, rows) in &counts.rows {
            let route = &self.routes[view];
            if route.csv {
                self.metrics.rows("csv", &route.name, rows.csv);
            }
            if route.table.is_some() {
                self.metrics.rows("table", &route.name, rows.table);
                self.metrics.refused_rows(&route.name, rows.refused);
            }
        }
        self.metrics.counted(&counts);
        // What a view is filled with was consumed before.
        let mut messages = 0;
        for at in offsets.iter().filter(|_| self.filled.is_none()) {
            let last = self.last_offsets.insert((at.topic.clone(), at.partition), at.offset).unwrap_or(0);
            let consumed = (at.offset - last).max(0) as u64;
            self.metrics.consumed(&at.topic, at.partition, consumed);
            messages += consumed;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // `truckflow bench` reads this line.
        tracing::debug!(epoch, messages, offsets = %Offsets(&offsets), "committed");
        if self.filled.is_none() {
            self.metrics.arrived(&pending.arrivals, now.as_millis() as i64);
        }
        self.metrics.committed_epoch.set(epoch as i64);
        self.clock.commit(epoch, pending.weight);
        if let Some(page) = &self.page {
            page.board.commits(false);
            page.board.warns(self.counter.warning());
            let commit = CommitPoint { epoch, at: now.as_millis() as u64, seconds, messages };
            if page.committed(commit, pending.shown) {
                self.metrics.page_commits_merged.inc();
            }
        }
        if !offsets.is_empty() {
            self.followers.retain(|follower| follower.send(offsets.clone()).is_ok());
        }
    }
}

/// Offsets in a log line: `partition:offset` of each, with blanks between them.
struct Offsets<'a>(&'a [NextOffset]);

impl fmt::Display for Offsets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blank = "";
        for at in self.0 {
            write!(f, "{blank}{}:{}", at.partition, at.offset)?;
            blank = " ";
        }
        Ok(())
    }
}

/// Sleeps for `pause`, or until `stop`.
fn wait(pause: Duration, stop: impl Fn() -> bool) {
    let due = Instant::now() + pause;
    while !stop() && Instant::now() < due {
        std::thread::sleep(Duration::from_millis(20).min(pause));
    }
}
