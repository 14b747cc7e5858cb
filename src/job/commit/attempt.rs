//! Makes an epoch durable, and tries again if the store fails.

use std::time::{Duration, Instant};

use crossbeam_channel::{never, select};
use dataflows::Epoch;

use super::committer::{Committer, STORE, Setup};
use super::loading::{Loaded, received};
use super::{fold, refused};
use crate::job::error::JobError;
use crate::observe::board::Doing;
use crate::runtime::fault::{self, Moment};
use crate::runtime::retry::Pauses;
use crate::sink::topic::DeadLetterTopic;
use crate::source::kafka::Discoveries;
use crate::state::offset::{Role, for_view};
use crate::store::Commit;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// How long to wait for the brokers to acknowledge dead letters before warning.
const ACKNOWLEDGED: Duration = Duration::from_secs(5);

impl Committer {
    /// Sends pending rows to the store early, so that the commit has little left to do.
    pub(super) fn insert(&mut self) -> Result<(), JobError> {
        let pending = &mut self.pending;
        let rest = &pending.chunks[pending.inserted..];
        if rest.is_empty() {
            return Ok(());
        }
        if self.begun || self.stores.is_alone() {
            return self.retry(Self::try_insert);
        }
        if pending.inserted == 0 {
            pending.refusals.roll_back();
        }
        self.stores.load(rest.to_vec())?;
        pending.inserted = pending.chunks.len();
        Ok(())
    }

    /// Waits until the rows on their way are in the transaction. Messages are received meanwhile, so that rows of later
    /// epochs go ahead.
    fn await_rows(&mut self) -> Result<(), JobError> {
        if !self.stores.finish() {
            return Ok(());
        }
        let loading = self.stores.loaded();
        for message in std::mem::take(&mut self.held) {
            self.receive(message)?;
        }
        let mut messages = self.setup.messages.clone();
        loop {
            select! {
                recv(loading) -> loaded => return self.take_back(received(loaded)?),
                recv(messages) -> message => match message {
                    Ok(message) => self.receive(message)?,
                    Err(_) => messages = never(),
                },
            }
        }
    }

    /// Takes the transaction of the open epoch back: with all rows that were taken so far, or after an error, which ended
    /// it, to insert them again.
    pub(super) fn take_back(&mut self, loaded: Loaded) -> Result<(), JobError> {
        self.stores.put_back(loaded.store);
        let Err(error) = loaded.result else {
            self.pending.refusals.letters.extend(loaded.letters);
            self.begun = true;
            return Ok(());
        };
        let mut failed = Some(error);
        self.retry(|this| match failed.take() {
            Some(error) => Err(error.into()),
            None => this.try_insert(),
        })
    }

    /// Runs `step` until it succeeds, with growing pauses while the database is unavailable.
    pub(super) fn retry<T>(
        &mut self,
        mut step: impl FnMut(&mut Self) -> Result<T, JobError>,
    ) -> Result<T, JobError> {
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
                    self.roll_back()?;
                    wait(pause, || self.setup.clock.is_stopping());
                }
                Err(error) => {
                    self.roll_back()?;
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

    fn roll_back(&mut self) -> Result<(), JobError> {
        self.begun = false;
        self.pending.inserted = 0;
        Ok(self.stores.roll_back()?)
    }

    fn try_insert(&mut self) -> Result<(), JobError> {
        if !self.begun {
            // Not when an attempt fails: if only its answer was lost, its refusals count.
            self.pending.refusals.roll_back();
            self.stores.begin()?;
            self.begun = true;
        }
        let pending = &mut self.pending;
        let chunks = &pending.chunks[pending.inserted..];
        if !chunks.is_empty() {
            let letters = refused::put(self.stores.current(), &self.setup.routes, chunks)?;
            pending.refusals.letters.extend(letters);
            pending.inserted = pending.chunks.len();
        }
        Ok(())
    }

    /// Makes everything up to `epoch` durable.
    pub(super) fn commit(&mut self, epoch: Epoch) -> Result<(), JobError> {
        let began = Instant::now();
        if let Some(page) = &self.setup.page {
            page.board.set_committing(true);
        }
        fault::at(Moment::CsvSync);
        let lengths = self.files.sync()?;
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
        self.insert()?;
        self.await_rows()?;
        self.retry(Self::try_insert)?;
        let state = self.retry(|this| {
            let Setup { routes, weights, .. } = &mut this.setup;
            fold::state_changes(this.stores.current(), routes, weights, &this.pending.state)
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
            if std::mem::replace(&mut is_retry, true) && this.stores.current().committed_epoch()? >= epoch {
                return Ok(());
            }
            this.try_insert()?;
            let (store, files) = (this.stores.current(), &mut this.files);
            let files = &this.pending.refusals.write(store, files, &this.setup.routes, &lengths)?;
            this.forward_letters()?;
            fault::at(Moment::Commit);
            this.stores.current().commit(&Commit {
                epoch,
                previous: Some(this.stored),
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
        self.stored = epoch;
        self.stores.committed();
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
