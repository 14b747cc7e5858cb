//! Rows of an epoch on their way to the store, on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use crossbeam_channel::{Receiver, RecvError, Sender, bounded, unbounded};
use dataflows::dead_letter::DeadLetter;

use super::refused;
use crate::job::graph::Route;
use crate::runtime::failure::{Bug, SystemError};
use crate::runtime::thread::spawn;
use crate::store::{Chunk, Store, StoreError};

/// The maximum number of chunks per insert into the store.
const CHUNKS: usize = 256;

/// The open transaction of an epoch, and the thread that inserts its rows.
pub(super) struct Loading {
    /// Absent if no more rows are added.
    chunks: Option<Sender<Vec<Arc<Chunk>>>>,
    loaded: Receiver<Loaded>,
    is_stopped: Arc<AtomicBool>,
}

/// A transaction with all rows that were [added](Loading::add), or the error that ended it.
pub(super) struct Loaded {
    pub store: Box<dyn Store>,
    /// The dead letters of refused rows.
    pub letters: Vec<DeadLetter>,
    pub result: Result<(), StoreError>,
}

impl Loading {
    /// Opens a transaction.
    pub fn start(store: Box<dyn Store>, routes: Arc<[Route]>) -> Result<Self, SystemError> {
        let (chunks, to_insert) = unbounded();
        let (sender, loaded) = bounded(1);
        let is_stopped = Arc::new(AtomicBool::new(false));
        let stopped = is_stopped.clone();
        spawn("load", move || {
            // The commit thread has ended with an error if nobody receives it.
            let _ = sender.send(load(store, &routes, &to_insert, &stopped));
        })?;
        Ok(Self { chunks: Some(chunks), loaded, is_stopped })
    }

    /// Adds rows. After an error they are left out.
    pub fn add(&self, chunks: Vec<Arc<Chunk>>) {
        let _ = self.chunks.as_ref().map(|to_insert| to_insert.send(chunks));
    }

    /// Adds no more rows, so that the transaction is received when all are inserted.
    pub fn finish(&mut self) {
        self.chunks = None;
    }

    /// Where the transaction is received: when it is finished, or when an error ends it.
    pub fn loaded(&self) -> &Receiver<Loaded> {
        &self.loaded
    }

    /// Stops after the statement that is being executed. Returns the store, whose transaction has to be rolled back.
    pub fn stop(mut self) -> Result<Box<dyn Store>, Bug> {
        self.is_stopped.store(true, Relaxed);
        self.finish();
        Ok(received(self.loaded.recv())?.store)
    }
}

/// What a thread that loads has sent. It sends in any case, unless it panics.
pub(super) fn received(loaded: Result<Loaded, RecvError>) -> Result<Loaded, Bug> {
    loaded.map_err(|_| Bug("a thread that loads rows"))
}

fn load(
    mut store: Box<dyn Store>,
    routes: &[Route],
    chunks: &Receiver<Vec<Arc<Chunk>>>,
    is_stopped: &AtomicBool,
) -> Loaded {
    let mut letters = Vec::new();
    let mut insert = || -> Result<(), StoreError> {
        store.begin()?;
        while let Ok(mut next) = chunks.recv() {
            // All that wait are inserted together, in fewer statements.
            while next.len() < CHUNKS
                && let Ok(more) = chunks.try_recv()
            {
                next.extend(more);
            }
            if is_stopped.load(Relaxed) {
                break;
            }
            letters.extend(refused::put(store.as_mut(), routes, &next)?);
        }
        Ok(())
    };
    let result = insert();
    Loaded { store, letters, result }
}
