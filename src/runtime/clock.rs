//! The one place that mints epochs, and that says when a source must wait.
//!
//! Workers read the clock between two reads of their source; whichever first finds that the epoch
//! is due moves it on for all. An epoch ends when it is old enough, or when it holds enough records. It does
//! not end while too many epochs are in flight; a source then reads until its epoch is full and
//! pauses, so that memory stays where it is when the sinks fall behind.
//!
//! With an epoch it mints the wall clock by which readings are judged; of an epoch that stays open that goes
//! on, so that it is never older than [`RENEWED`].
//!
//! In a cluster the clock of process 0 mints. The others' clocks follow it: they are told each
//! [`Beat`], and what their sources read is passed on as [`Tally`]s. One that lags is safe: an epoch
//! is complete when every worker has left it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dataflows::Epoch;
use serde::{Deserialize, Serialize};

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
    /// Bytes of rows and state that may wait for their commit.
    pub bytes_in_flight: u64,
}

/// How long an epoch that stays open keeps its wall clock. Nothing may come for days, or commits may be waited
/// for, and what is read then is not in the future.
const RENEWED: Duration = Duration::from_secs(1);

/// An epoch, and what the time was when it began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The epoch.
    pub epoch: Epoch,
    /// Its wall clock, in microseconds since 1970: that of process 0.
    pub wall: i64,
}

/// The time, in microseconds since 1970.
pub fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// What a clock says to those that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The current epoch.
    pub epoch: Epoch,
    /// Its wall clock.
    pub wall: i64,
    /// The last committed epoch.
    pub committed: Epoch,
    /// Whether sources may read on in the epoch.
    pub may_read: bool,
    /// Whether the workers are to finish the open epoch and end.
    pub stopping: bool,
}

/// What the sources of a clock that follows read since it last said so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages of any kind.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of rows and state that were made meanwhile, of these messages or earlier ones.
    pub queued: u64,
}

/// What a clock has that follows another.
#[derive(Debug)]
struct Followed {
    may_read: AtomicBool,
    /// What was read and not yet told.
    records: AtomicU64,
    bytes: AtomicU64,
}

/// When the current epoch began.
#[derive(Debug)]
struct Began {
    at: Instant,
    /// Its wall clock, and when that was read.
    wall: i64,
    renewed: Instant,
}

impl Began {
    fn now() -> Self {
        let now = Instant::now();
        Self { at: now, wall: wall_clock(), renewed: now }
    }
}

/// Mints epochs and holds sources back.
#[derive(Debug)]
pub struct Clock {
    limits: Limits,
    epoch: AtomicU64,
    /// What sources read in the current epoch.
    records: AtomicU64,
    bytes: AtomicU64,
    began: Mutex<Began>,
    committed: AtomicU64,
    /// Bytes that wait for their commit; of a clock that follows, those that were not told yet. Process 0
    /// may commit what another process made before that is reported: for a moment it is below zero.
    queued: AtomicI64,
    stopping: AtomicBool,
    /// In a clock that follows another.
    followed: Option<Followed>,
}

impl Clock {
    /// A clock whose last commit was `committed`; the first epoch is the next.
    pub fn new(limits: Limits, committed: Epoch) -> Self {
        Self {
            limits,
            epoch: AtomicU64::new(committed + 1),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            began: Mutex::new(Began::now()),
            committed: AtomicU64::new(committed),
            queued: AtomicI64::new(0),
            stopping: AtomicBool::new(false),
            followed: None,
        }
    }

    /// A clock that follows another, whose last commit was `committed`.
    pub fn following(limits: Limits, committed: Epoch) -> Self {
        let may_read = AtomicBool::new(true);
        let followed = Followed { may_read, records: AtomicU64::new(0), bytes: AtomicU64::new(0) };
        Self { followed: Some(followed), ..Self::new(limits, committed) }
    }

    /// What those that follow it are to be told.
    pub fn beat(&self) -> Beat {
        let Tick { epoch, wall } = self.tick();
        let (committed, may_read) = (self.committed(), self.may_read());
        Beat { epoch, wall, committed, may_read, stopping: self.is_stopping() }
    }

    /// Takes over what the clock that it follows says.
    pub fn follow(&self, beat: Beat) {
        let mut began = self.began();
        if self.epoch.fetch_max(beat.epoch, SeqCst) < beat.epoch {
            self.records.store(0, SeqCst);
            self.bytes.store(0, SeqCst);
        }
        began.wall = beat.wall;
        drop(began);
        self.committed.fetch_max(beat.committed, SeqCst);
        if let Some(followed) = &self.followed {
            followed.may_read.store(beat.may_read, SeqCst);
        }
        if beat.stopping {
            self.stop();
        }
    }

    /// Takes what the clock that it follows was not told yet.
    pub fn take_tally(&self) -> Tally {
        let taken = |followed: &Followed| Tally {
            records: followed.records.swap(0, SeqCst),
            bytes: followed.bytes.swap(0, SeqCst),
            queued: self.queued.swap(0, SeqCst).try_into().unwrap_or_default(),
        };
        self.followed.as_ref().map(taken).unwrap_or_default()
    }

    /// The current epoch, after moving it on if that is due. It never falls.
    pub fn now(&self) -> Epoch {
        self.tick().epoch
    }

    /// The same with the epoch's wall clock.
    pub fn tick(&self) -> Tick {
        let mut began = self.began();
        if self.followed.is_none() {
            if self.is_due(&began) {
                self.records.store(0, SeqCst);
                self.bytes.store(0, SeqCst);
                *began = Began::now();
                self.epoch.fetch_add(1, SeqCst);
            } else if began.renewed.elapsed() >= RENEWED {
                *began = Began { at: began.at, ..Began::now() };
            }
        }
        Tick { epoch: self.epoch.load(SeqCst), wall: began.wall }
    }

    fn is_due(&self, began: &Began) -> bool {
        // With half of the bytes in flight an epoch goes on its way, so that the rest can fill while it
        // commits.
        let is_heavy = || self.bytes_in_flight() >= self.limits.bytes_in_flight / 2;
        let is_old = || began.at.elapsed() >= self.limits.interval;
        self.records.load(SeqCst) > 0 && self.may_move() && (is_heavy() || self.is_full() || is_old())
    }

    fn began(&self) -> MutexGuard<'_, Began> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
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
        let may_read = self.followed.as_ref().is_none_or(|followed| followed.may_read.load(SeqCst));
        may_read && !self.is_full() && self.bytes_in_flight() < self.limits.bytes_in_flight
    }

    /// Bytes of rows and state that wait for their commit, wherever they are.
    pub fn bytes_in_flight(&self) -> u64 {
        self.queued.load(SeqCst).try_into().unwrap_or_default()
    }

    /// Says that a source read something: messages of any kind, and their bytes.
    pub fn read(&self, records: u64, bytes: u64) {
        if let Some(followed) = &self.followed {
            followed.bytes.fetch_add(bytes, SeqCst);
            followed.records.fetch_add(records, SeqCst);
        }
        if self.records.fetch_add(records, SeqCst) == 0 && records > 0 {
            // The first record after a pause has the whole interval before it.
            self.began().at = Instant::now();
        }
        self.bytes.fetch_add(bytes, SeqCst);
    }

    /// Says that bytes of rows or state were made, and wait for their commit.
    pub fn queue(&self, bytes: u64) {
        self.queued.fetch_add(bytes as i64, SeqCst);
    }

    /// Says that everything up to `epoch` is durable, and that `bytes` no longer wait.
    pub fn commit(&self, epoch: Epoch, bytes: u64) {
        self.committed.fetch_max(epoch, SeqCst);
        self.queued.fetch_sub(bytes as i64, SeqCst);
    }

    /// The last committed epoch.
    pub fn committed(&self) -> Epoch {
        self.committed.load(SeqCst)
    }

    /// Epochs that are open or wait for their commit.
    pub fn in_flight(&self) -> u64 {
        self.epoch.load(SeqCst).saturating_sub(self.committed.load(SeqCst))
    }

    /// Whether everything that sources have read is committed.
    pub fn is_quiet(&self) -> bool {
        self.records.load(SeqCst) == 0 && self.in_flight() <= 1
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
        assert!(clock.is_quiet());
        clock.read(1, 10);
        assert!(!clock.is_quiet());
        assert_eq!(clock.now(), 9);
        assert!(!clock.is_quiet(), "the epoch that was read is not committed");
        clock.commit(8, 0);
        assert!(clock.is_quiet());
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
    fn a_clock_that_follows_mints_nothing_and_tells_what_was_read() {
        let (first, second) = (Clock::new(LIMITS, 7), Clock::following(LIMITS, 7));
        second.read(60, 600);
        assert_eq!((second.now(), second.may_read()), (8, true));
        let tally = second.take_tally();
        assert_eq!(
            (tally, second.take_tally()),
            (Tally { records: 60, bytes: 600, queued: 0 }, Tally::default())
        );
        second.read(40, 0);
        assert!(!second.may_read(), "it holds its sources back before it is told to");
        first.read(tally.records, tally.bytes);
        second.follow(first.beat());
        assert_eq!((second.now(), second.may_read()), (9, true));
        first.queue(500);
        second.follow(first.beat());
        assert!(!second.may_read());
        first.commit(8, 500);
        first.stop();
        second.follow(first.beat());
        assert_eq!((second.committed(), second.may_read(), second.is_stopping()), (8, true, true));
    }

    #[test]
    fn an_epoch_has_the_wall_clock_of_process_0() {
        let before = wall_clock();
        let (first, second) = (Clock::new(LIMITS, 7), Clock::following(LIMITS, 7));
        second.began().wall = 5;
        let tick = first.tick();
        assert!(tick.wall >= before && tick.wall <= wall_clock());
        assert_eq!(first.tick(), tick, "it stays while the epoch does");
        second.follow(first.beat());
        assert_eq!(second.tick(), tick);
        // An epoch that stays open for long, as where nothing comes, is given another.
        first.began().renewed -= RENEWED;
        assert!(first.tick().wall >= tick.wall && first.tick().epoch == 8);
        first.began().wall = 6;
        first.read(1, 1);
        let next = first.tick();
        assert!(next.epoch == 9 && next.wall >= tick.wall);
        second.follow(first.beat());
        assert_eq!(second.tick(), next);
    }

    #[test]
    fn bytes_that_another_process_made_count_even_if_they_are_committed_first() {
        let (first, second) = (Clock::new(LIMITS, 7), Clock::following(LIMITS, 7));
        second.queue(500);
        assert!(!second.may_read(), "it holds its sources back before it is told to");
        let tally = second.take_tally();
        assert_eq!((tally.queued, second.bytes_in_flight(), second.may_read()), (500, 0, true));
        // A quick commit.
        first.commit(8, 500);
        assert_eq!((first.bytes_in_flight(), first.may_read()), (0, true));
        first.queue(tally.queued);
        assert_eq!(first.bytes_in_flight(), 0);
        first.queue(500);
        assert!(!first.beat().may_read);
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
