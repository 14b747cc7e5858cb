//! The connections that commit, and which epochs have rows on their way to the store.
//!
//! While the rows of one epoch are inserted and committed on one connection, rows of the next epochs may be inserted on
//! others, each in a transaction of its own: those that are appended to tables where they wait for no other transaction
//! ([`Store::takes_ahead`]). Everything else of an epoch is written at its turn, when the epoch before is committed.
//!
//! If the store fails, all transactions are rolled back. Then epochs go one at a time: after the first failure until one
//! is committed, and for longer if it happens again, as there may be a trigger that we cannot see.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::{Receiver, never};
use dataflows::Epoch;

use super::loading::{Loaded, Loading};
use crate::job::error::JobError;
use crate::job::graph::Route;
use crate::runtime::failure::Bug;
use crate::runtime::fault;
use crate::store::{Chunk, Operation, Store, StoreError};

/// The most epochs that go one at a time after a failure.
const MOST_ALONE: u32 = 4096;

/// The connections to the store.
pub(super) struct Stores {
    /// Those that insert nothing at the moment; the first one is for the open epoch, unless its rows are on their way.
    idle: VecDeque<Box<dyn Store>>,
    /// The rows of the open epoch on their way.
    loading: Option<Loading>,
    /// Rows of later epochs.
    ahead: BTreeMap<Epoch, Ahead>,
    routes: Arc<[Route]>,
    /// For each prepared table, whether rows of later epochs may be appended.
    takes_ahead: Vec<bool>,
    /// How many epochs go one at a time.
    alone: u32,
    /// The same after the next failure.
    next_alone: u32,
}

/// Rows of an epoch that were sent to the store before its turn.
#[derive(Default)]
pub(super) struct Ahead {
    pub chunks: Vec<Arc<Chunk>>,
    /// Their bytes.
    pub weight: u64,
    /// Absent if they were rolled back.
    loading: Option<Loading>,
}

impl Stores {
    /// The connections of a store whose tables are prepared.
    pub fn new(mut store: Box<dyn Store>, routes: Arc<[Route]>) -> Result<Self, StoreError> {
        let more = store.more()?;
        let tables = routes.iter().filter(|route| route.table.is_some()).count();
        let takes_ahead = (0..tables).map(|table| !more.is_empty() && store.takes_ahead(table)).collect();
        let idle = [store].into_iter().chain(more).collect();
        Ok(Self { idle, loading: None, ahead: BTreeMap::new(), routes, takes_ahead, alone: 0, next_alone: 1 })
    }

    /// The connection of the open epoch, when none of its rows are on their way.
    pub fn current(&mut self) -> &mut dyn Store {
        self.idle.front_mut().expect("the open epoch has a connection").as_mut()
    }

    /// Opens the transaction of the open epoch, when none of its rows are on their way.
    pub fn begin(&mut self) -> Result<(), StoreError> {
        // After a failure the others have no transaction; of a lost connection this has to be confirmed.
        for other in self.idle.iter_mut().skip(1).filter(|_| self.alone > 0) {
            other.settle()?;
        }
        self.current().begin()
    }

    /// Whether epochs go one at a time.
    pub fn is_alone(&self) -> bool {
        self.alone > 0
    }

    /// Sends rows of the open epoch on their way, in a transaction which this opens if there is none.
    pub fn load(&mut self, chunks: Vec<Arc<Chunk>>) -> Result<(), JobError> {
        let loading = match self.loading.take() {
            Some(loading) => loading,
            None => self.start()?,
        };
        self.loading.insert(loading).add(chunks);
        Ok(())
    }

    fn start(&mut self) -> Result<Loading, JobError> {
        let store = self.idle.pop_front().expect("a connection is idle");
        Ok(Loading::start(store, self.routes.clone())?)
    }

    /// Sends those of `chunks` of a later epoch on their way that need not wait for its turn, and leaves the others.
    pub fn load_ahead(&mut self, epoch: Epoch, chunks: &mut Vec<Chunk>) -> Result<(), JobError> {
        let may_go = |chunk: &mut Chunk| {
            chunk.operation == Operation::Append && self.takes_ahead.get(chunk.table) == Some(&true)
        };
        let is_begun = self.is_begun(epoch);
        // One connection is for the open epoch.
        let is_free = self.idle.len() > usize::from(self.loading.is_none());
        if self.is_alone() || !(is_begun || is_free) {
            return Ok(());
        }
        let chunks: Vec<Arc<Chunk>> = chunks.extract_if(.., may_go).map(Arc::new).collect();
        if chunks.is_empty() {
            return Ok(());
        }
        let begun = if is_begun { None } else { Some(self.start()?) };
        let ahead = self.ahead.entry(epoch).or_default();
        if let Some(loading) = begun {
            // Those that were rolled back.
            loading.add(ahead.chunks.clone());
            ahead.loading = Some(loading);
        }
        ahead.weight += chunks.iter().map(|chunk| chunk.weight() as u64).sum::<u64>();
        ahead.chunks.extend(chunks.iter().cloned());
        ahead.loading.iter().for_each(|loading| loading.add(chunks.clone()));
        self.mark_overlap();
        Ok(())
    }

    /// The first of some epochs that has a transaction already.
    pub fn first_begun(&self, mut epochs: Range<Epoch>) -> Option<Epoch> {
        epochs.find(|epoch| self.is_begun(*epoch))
    }

    /// Whether a later epoch has a transaction already.
    fn is_begun(&self, epoch: Epoch) -> bool {
        self.ahead.get(&epoch).is_some_and(|ahead| ahead.loading.is_some())
    }

    /// Takes the rows of `epoch`, which is part of the open one now, and how many of its chunks are on their way.
    pub fn take_turn(&mut self, epoch: Epoch) -> (Ahead, usize) {
        let mut ahead = self.ahead.remove(&epoch).unwrap_or_default();
        let mut sent = 0;
        if let Some(loading) = ahead.loading.take() {
            self.loading = Some(loading);
            sent = ahead.chunks.len();
        }
        self.mark_overlap();
        (ahead, sent)
    }

    /// The open epoch gets no more rows. Returns whether some are on their way.
    pub fn finish(&mut self) -> bool {
        self.loading.iter_mut().for_each(Loading::finish);
        self.loading.is_some()
    }

    /// Where the transaction of the open epoch is received: when it is finished, or when an error ends it.
    pub fn loaded(&self) -> Receiver<Loaded> {
        self.loading.as_ref().map_or_else(never, |loading| loading.loaded().clone())
    }

    /// Takes the connection of the open epoch back.
    pub fn put_back(&mut self, store: Box<dyn Store>) {
        self.loading = None;
        self.idle.push_front(store);
    }

    /// Rolls all transactions back.
    pub fn roll_back(&mut self) -> Result<(), Bug> {
        let overlapped = self.is_overlapping();
        if let Some(loading) = self.loading.take() {
            self.idle.push_front(loading.stop()?);
        }
        for loading in self.ahead.values_mut().filter_map(|ahead| ahead.loading.take()) {
            self.idle.push_back(loading.stop()?);
        }
        self.idle.iter_mut().for_each(|store| store.abandon());
        self.alone = self.alone.max(self.next_alone);
        if overlapped {
            self.next_alone = (self.next_alone * 2).min(MOST_ALONE);
        }
        self.mark_overlap();
        Ok(())
    }

    /// The open epoch is committed.
    pub fn committed(&mut self) {
        self.alone = self.alone.saturating_sub(1);
        self.idle.rotate_left(1);
    }

    /// Checks whether the store answers on all connections, if none of them has a transaction.
    pub fn ping(&mut self) -> Result<(), StoreError> {
        self.idle.iter_mut().try_for_each(|store| store.ping())
    }

    /// Whether rows are on their way.
    pub fn is_loading(&self) -> bool {
        self.loading.is_some() || self.is_overlapping()
    }

    /// Whether a later epoch than the open one has a transaction.
    fn is_overlapping(&self) -> bool {
        self.ahead.values().any(|ahead| ahead.loading.is_some())
    }

    /// The connection that claimed the job, when nothing is on its way.
    pub fn into_store(self) -> Box<dyn Store> {
        let claimed = self.idle.into_iter().min_by_key(|store| store.number());
        claimed.expect("a connection is idle")
    }

    fn mark_overlap(&self) {
        fault::set_overlapping(self.is_overlapping());
    }
}
