//! The one place that mints epochs, and that says when a source must wait.
//!
//! Workers read the clock between two reads of their source; whichever first finds that the epoch
//! is due moves it on for all. An epoch ends on a tick, or when it holds enough records. It does
//! not end while too many epochs are in flight; a source then reads until its epoch is full and
//! pauses, so that memory stays where it is when the sinks fall behind.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use dataflows::Epoch;

/// What bounds an epoch, and what is in flight.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// An epoch that holds a record ends after this.
    pub interval: Duration,
    /// An epoch ends at about this many records.
    pub epoch_records: u64,
    /// An epoch ends at about this many bytes of input.
    pub epoch_bytes: u64,
    /// Epochs that may be open or waiting for their commit.
    pub epochs_in_flight: u64,
    /// Rendered bytes that may wait for their commit.
    pub bytes_in_flight: u64,
}

/// Mints epochs and holds sources back.
#[derive(Debug)]
pub struct Clock {
    limits: Limits,
    epoch: AtomicU64,
    /// What sources read in the current epoch.
    records: AtomicU64,
    bytes: AtomicU64,
    began: Mutex<Instant>,
    committed: AtomicU64,
    queued: AtomicU64,
    stopping: AtomicBool,
}

impl Clock {
    /// A clock whose last commit was `committed`; the first epoch is the next.
    pub fn new(limits: Limits, committed: Epoch) -> Self {
        Self {
            limits,
            epoch: AtomicU64::new(committed + 1),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            began: Mutex::new(Instant::now()),
            committed: AtomicU64::new(committed),
            queued: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        }
    }

    /// The current epoch, after moving it on if that is due. It never falls.
    pub fn now(&self) -> Epoch {
        let records = self.records.load(SeqCst);
        if records > 0 && self.may_move() {
            let mut began = self.began.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            // With half of the bytes in flight an epoch goes on its way, so that the rest can fill
            // while it commits.
            let heavy = self.queued.load(SeqCst) >= self.limits.bytes_in_flight / 2;
            if self.may_move() && (heavy || self.is_full() || began.elapsed() >= self.limits.interval) {
                self.records.store(0, SeqCst);
                self.bytes.store(0, SeqCst);
                *began = Instant::now();
                self.epoch.fetch_add(1, SeqCst);
            }
        }
        self.epoch.load(SeqCst)
    }

    fn may_move(&self) -> bool {
        self.in_flight() < self.limits.epochs_in_flight
    }

    fn is_full(&self) -> bool {
        self.records.load(SeqCst) >= self.limits.epoch_records
            || self.bytes.load(SeqCst) >= self.limits.epoch_bytes
    }

    /// Whether a source may read on in this epoch.
    pub fn may_read(&self) -> bool {
        !self.is_full() && self.queued.load(SeqCst) < self.limits.bytes_in_flight
    }

    /// Says that a source read something: messages of any kind, and their bytes.
    pub fn read(&self, records: u64, bytes: u64) {
        if self.records.fetch_add(records, SeqCst) == 0 && records > 0 {
            // The first record after a pause has the whole interval before it.
            let mut began = self.began.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            *began = Instant::now();
        }
        self.bytes.fetch_add(bytes, SeqCst);
    }

    /// Says that bytes were rendered and wait for their commit.
    pub fn queue(&self, bytes: u64) {
        self.queued.fetch_add(bytes, SeqCst);
    }

    /// Says that everything up to `epoch` is durable, and that `bytes` no longer wait.
    pub fn commit(&self, epoch: Epoch, bytes: u64) {
        self.committed.fetch_max(epoch, SeqCst);
        self.queued.fetch_sub(bytes, SeqCst);
    }

    /// The last committed epoch.
    pub fn committed(&self) -> Epoch {
        self.committed.load(SeqCst)
    }

    /// Epochs that are open or wait for their commit.
    pub fn in_flight(&self) -> u64 {
        self.epoch.load(SeqCst).saturating_sub(self.committed.load(SeqCst))
    }

    /// Asks the workers to finish the open epoch and end.
    pub fn stop(&self) {
        self.stopping.store(true, SeqCst);
    }

    /// Whether they were asked to.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        interval: Duration::ZERO,
        epoch_records: 100,
        epoch_bytes: 1000,
        epochs_in_flight: 2,
        bytes_in_flight: 500,
    };

    #[test]
    fn an_epoch_without_records_does_not_end() {
        let clock = Clock::new(LIMITS, 7);
        assert_eq!((clock.now(), clock.now()), (8, 8));
        clock.read(1, 10);
        assert_eq!(clock.now(), 9);
    }

    #[test]
    fn a_source_waits_when_epochs_in_flight_are_full() {
        let clock = Clock::new(LIMITS, 0);
        clock.read(100, 0);
        assert!(!clock.may_read());
        assert_eq!(clock.now(), 2);
        assert!(clock.may_read());
        clock.read(100, 0);
        assert_eq!(clock.now(), 2, "two epochs are in flight");
        assert!(!clock.may_read());
        clock.commit(1, 0);
        assert_eq!(clock.now(), 3);
        assert!(clock.may_read());
    }

    #[test]
    fn an_epoch_ends_before_its_bytes_stop_the_source() {
        let limits = Limits { interval: Duration::from_secs(3600), ..LIMITS };
        let clock = Clock::new(limits, 0);
        clock.read(1, 1);
        clock.queue(249);
        assert_eq!(clock.now(), 1);
        clock.queue(1);
        assert_eq!(clock.now(), 2, "nobody waits for the tick");
    }

    #[test]
    fn a_source_waits_when_bytes_in_flight_are_full() {
        let clock = Clock::new(LIMITS, 0);
        clock.queue(500);
        assert!(!clock.may_read());
        clock.commit(0, 500);
        assert!(clock.may_read());
    }
}
