//! The one place that mints epochs, and that decides when a source must wait.
//!
//! Workers read the clock between two reads of their source; the first one that finds the epoch due advances it
//! for all. An epoch ends when it is old enough, or has enough records. It does not end while too many epochs
//! are in flight; a source then reads until its epoch is full, and pauses, so that memory stays bounded when the
//! sinks fall behind. While a job catches up, its epochs may grow ([`growth`](super::growth)).
//!
//! With each epoch the clock mints the wall-clock time that decides which readings are in the future. While an
//! epoch stays open, this time is renewed, so that it is never older than [`RENEWED`].
//!
//! In a cluster the clock of process 0 mints epochs. The other clocks follow it: they receive each [`Beat`], and
//! send back as [`Tally`]s how much their sources read. A clock may lag: an epoch is complete only when every
//! worker has left it.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use dataflows::Epoch;
use serde::{Deserialize, Serialize};

use super::growth::{Ceiling, Growth};

/// The limits of an epoch, and of the data in flight.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// An epoch with at least one record ends after this.
    pub interval: Duration,
    /// An epoch ends at about this many records.
    pub epoch_records: Ceiling,
    /// An epoch ends at about this many bytes of input.
    pub epoch_bytes: Ceiling,
    /// Epochs that may be open or uncommitted.
    pub epochs_in_flight: u64,
    /// Bytes of rows and state that may be uncommitted.
    pub bytes_in_flight: u64,
}

impl Limits {
    /// No limits.
    pub const NONE: Self = Self {
        interval: Duration::MAX,
        epoch_records: Ceiling::fixed(u64::MAX),
        epoch_bytes: Ceiling::fixed(u64::MAX),
        epochs_in_flight: u64::MAX,
        bytes_in_flight: u64::MAX,
    };
}

/// How long an open epoch keeps its wall clock. A topic may be idle, or commits may be delayed, for long, and
/// messages read after that must not count as being in the future.
const RENEWED: Duration = Duration::from_secs(1);

/// An epoch and its wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The epoch.
    pub epoch: Epoch,
    /// The wall clock of process 0 for this epoch, in microseconds since 1970.
    pub wall: i64,
}

/// The current time in microseconds since 1970.
pub fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}

/// The state of a clock, sent to the clocks that follow it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The current epoch.
    pub epoch: Epoch,
    /// Its wall clock.
    pub wall: i64,
    /// The last committed epoch.
    pub committed: Epoch,
    /// Whether sources may continue to read in the epoch.
    pub may_read: bool,
    /// Whether the workers should finish the open epoch and end.
    pub stopping: bool,
    /// How many times as large as the first ones epochs are.
    pub growth: u64,
}

/// What the sources of a following clock have read since the last tally.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Messages of any kind.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of rows and state that were produced since then, from these messages or earlier ones.
    pub queued: u64,
}

/// The additional state of a clock that follows another.
#[derive(Debug)]
struct Followed {
    may_read: AtomicBool,
    /// Read and not yet reported.
    records: AtomicU64,
    bytes: AtomicU64,
}

/// The beginning of the current epoch.
#[derive(Debug)]
struct Began {
    at: Instant,
    /// Its wall clock, and when it was read.
    wall: i64,
    renewed: Instant,
}

impl Began {
    fn now() -> Self {
        let now = Instant::now();
        Self { at: now, wall: wall_clock(), renewed: now }
    }
}

/// Mints epochs and applies backpressure to sources.
#[derive(Debug)]
pub struct Clock {
    limits: Limits,
    epoch: AtomicU64,
    /// Records and bytes that sources have read in the current epoch.
    records: AtomicU64,
    bytes: AtomicU64,
    began: Mutex<Began>,
    growth: Mutex<Growth>,
    /// How many times as large as the first ones epochs are.
    times: AtomicU64,
    committed: AtomicU64,
    /// Uncommitted bytes; in a following clock, those that are not yet reported. Process 0 may commit bytes of
    /// another process before that process reports them, so this can briefly be negative.
    queued: AtomicI64,
    /// Bytes of rows and state that the current epoch has produced so far.
    open: AtomicU64,
    stopping: AtomicBool,
    /// Set in a clock that follows another.
    followed: Option<Followed>,
}

impl Clock {
    /// A clock after the commit of epoch `committed`; the first epoch is the next one.
    pub fn new(limits: Limits, committed: Epoch) -> Self {
        Self {
            limits,
            epoch: AtomicU64::new(committed + 1),
            records: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            began: Mutex::new(Began::now()),
            growth: Mutex::default(),
            times: AtomicU64::new(1),
            committed: AtomicU64::new(committed),
            queued: AtomicI64::new(0),
            open: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            followed: None,
        }
    }

    /// A clock that follows another, after the commit of epoch `committed`.
    pub fn following(limits: Limits, committed: Epoch) -> Self {
        let may_read = AtomicBool::new(true);
        let followed = Followed { may_read, records: AtomicU64::new(0), bytes: AtomicU64::new(0) };
        Self { followed: Some(followed), ..Self::new(limits, committed) }
    }

    /// The state to send to following clocks.
    pub fn beat(&self) -> Beat {
        let Tick { epoch, wall } = self.tick();
        let (committed, may_read) = (self.committed(), self.may_read());
        let growth = self.times.load(SeqCst);
        Beat { epoch, wall, committed, may_read, stopping: self.is_stopping(), growth }
    }

    /// Adopts the state of the clock that it follows.
    pub fn follow(&self, beat: Beat) {
        let mut began = self.began();
        if self.epoch.fetch_max(beat.epoch, SeqCst) < beat.epoch {
            self.records.store(0, SeqCst);
            self.bytes.store(0, SeqCst);
        }
        began.wall = beat.wall;
        drop(began);
        self.times.store(beat.growth, SeqCst);
        self.committed.fetch_max(beat.committed, SeqCst);
        if let Some(followed) = &self.followed {
            followed.may_read.store(beat.may_read, SeqCst);
        }
        if beat.stopping {
            self.stop();
        }
    }

    /// Takes the tally that is not yet reported to the clock that it follows.
    pub fn take_tally(&self) -> Tally {
        let taken = |followed: &Followed| Tally {
            records: followed.records.swap(0, SeqCst),
            bytes: followed.bytes.swap(0, SeqCst),
            queued: self.queued.swap(0, SeqCst).try_into().unwrap_or_default(),
        };
        self.followed.as_ref().map(taken).unwrap_or_default()
    }

    /// The current epoch, after advancing it if that is due. It never decreases.
    pub fn now(&self) -> Epoch {
        self.tick().epoch
    }

    /// Like [`now`](Self::now), with the epoch's wall clock.
    pub fn tick(&self) -> Tick {
        let mut began = self.began();
        if self.followed.is_none() {
            if self.is_due(&began) {
                let records = self.records.load(SeqCst);
                self.growth().ends(self.epoch.load(SeqCst), records, self.is_full());
                self.records.store(0, SeqCst);
                self.bytes.store(0, SeqCst);
                self.open.store(0, SeqCst);
                *began = Began::now();
                self.epoch.fetch_add(1, SeqCst);
            } else if began.renewed.elapsed() >= RENEWED {
                *began = Began { at: began.at, ..Began::now() };
            }
        }
        Tick { epoch: self.epoch.load(SeqCst), wall: began.wall }
    }

    fn is_due(&self, began: &Began) -> bool {
        // An epoch with half of the bytes in flight is sent on its way, so that the other half can fill while it
        // commits. What earlier epochs have produced does not make it heavy: it would be cut into pieces.
        let is_heavy = || self.open.load(SeqCst) >= self.limits.bytes_in_flight / 2;
        let is_old = || began.at.elapsed() >= self.limits.interval;
        self.records.load(SeqCst) > 0 && self.may_move() && (is_heavy() || self.is_full() || is_old())
    }

    fn began(&self) -> MutexGuard<'_, Began> {
        self.began.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn growth(&self) -> MutexGuard<'_, Growth> {
        self.growth.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn may_move(&self) -> bool {
        self.in_flight() < self.limits.epochs_in_flight
    }

    fn is_full(&self) -> bool {
        let times = self.times.load(SeqCst);
        self.records.load(SeqCst) >= self.limits.epoch_records.after(times)
            || self.bytes.load(SeqCst) >= self.limits.epoch_bytes.after(times)
    }

    /// Whether a source may continue to read in this epoch.
    pub fn may_read(&self) -> bool {
        let may_read = self.followed.as_ref().is_none_or(|followed| followed.may_read.load(SeqCst));
        may_read && !self.is_full() && self.bytes_in_flight() < self.limits.bytes_in_flight
    }

    /// Bytes of rows and state that are not yet committed, in all stages.
    pub fn bytes_in_flight(&self) -> u64 {
        self.queued.load(SeqCst).try_into().unwrap_or_default()
    }

    /// Records that a source has read messages of any kind, and their bytes.
    pub fn read(&self, records: u64, bytes: u64) {
        if let Some(followed) = &self.followed {
            followed.bytes.fetch_add(bytes, SeqCst);
            followed.records.fetch_add(records, SeqCst);
        }
        if self.records.fetch_add(records, SeqCst) == 0 && records > 0 {
            // The interval starts with the first record after a pause.
            self.began().at = Instant::now();
        }
        self.bytes.fetch_add(bytes, SeqCst);
    }

    /// Records that bytes of rows or state of an epoch were produced.
    pub fn queue(&self, epoch: Epoch, bytes: u64) {
        self.queued.fetch_add(bytes as i64, SeqCst);
        if epoch == self.epoch.load(SeqCst) {
            self.open.fetch_add(bytes, SeqCst);
        }
    }

    /// Records that everything up to `epoch` is durable, which releases `bytes`.
    pub fn commit(&self, epoch: Epoch, bytes: u64) {
        self.committed.fetch_max(epoch, SeqCst);
        self.queued.fetch_sub(bytes as i64, SeqCst);
        let times = self.growth().committed(epoch, bytes, self.limits.bytes_in_flight);
        self.times.store(times, SeqCst);
    }

    /// The last committed epoch.
    pub fn committed(&self) -> Epoch {
        self.committed.load(SeqCst)
    }

    /// Epochs that are open or uncommitted.
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

    /// Whether the workers were asked to end.
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        interval: Duration::ZERO,
        epoch_records: Ceiling::fixed(100),
        epoch_bytes: Ceiling::fixed(1000),
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
        clock.queue(0, 500);
        clock.queue(1, 249);
        assert_eq!(clock.now(), 1, "what earlier epochs have produced does not count");
        clock.queue(1, 1);
        assert_eq!(clock.now(), 2, "the interval does not matter");
    }

    #[test]
    fn a_following_clock_mints_nothing_and_reports_what_was_read() {
        let (first, second) = (Clock::new(LIMITS, 7), Clock::following(LIMITS, 7));
        second.read(60, 600);
        assert_eq!((second.now(), second.may_read()), (8, true));
        let tally = second.take_tally();
        assert_eq!(
            (tally, second.take_tally()),
            (Tally { records: 60, bytes: 600, queued: 0 }, Tally::default())
        );
        second.read(40, 0);
        assert!(!second.may_read(), "it pauses its sources before it receives the beat");
        first.read(tally.records, tally.bytes);
        second.follow(first.beat());
        assert_eq!((second.now(), second.may_read()), (9, true));
        first.queue(8, 500);
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
        assert_eq!(first.tick(), tick, "it does not change within the epoch");
        second.follow(first.beat());
        assert_eq!(second.tick(), tick);
        // An epoch that stays open for long, as on an idle topic, gets a new wall clock.
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
    fn bytes_of_another_process_count_even_if_they_are_committed_first() {
        let (first, second) = (Clock::new(LIMITS, 7), Clock::following(LIMITS, 7));
        second.queue(8, 500);
        assert!(!second.may_read(), "it pauses its sources before it receives the beat");
        let tally = second.take_tally();
        assert_eq!((tally.queued, second.bytes_in_flight(), second.may_read()), (500, 0, true));
        // A quick commit.
        first.commit(8, 500);
        assert_eq!((first.bytes_in_flight(), first.may_read()), (0, true));
        first.queue(9, tally.queued);
        assert_eq!(first.bytes_in_flight(), 0);
        first.queue(9, 500);
        assert!(!first.beat().may_read);
    }

    #[test]
    fn epochs_grow_while_a_record_then_takes_less() {
        let limits = Limits {
            epoch_records: Ceiling { first: 100, most: 350 },
            epoch_bytes: Ceiling::fixed(u64::MAX),
            epochs_in_flight: 9,
            interval: Duration::from_secs(3600),
            bytes_in_flight: u64::MAX,
        };
        // An epoch of records, each of which takes so many bytes to commit.
        let clock = Clock::new(limits, 0);
        let full = |bytes: u64| {
            let mut records = 0;
            while clock.may_read() {
                clock.read(10, 0);
                records += 10;
            }
            let epoch = clock.now() - 1;
            clock.commit(epoch, bytes * records);
            records
        };
        assert_eq!([10, 6, 4, 4].map(full), [100, 200, 350, 350]);
        let (second, beat) = (Clock::following(limits, 0), clock.beat());
        second.follow(beat);
        second.read(340, 0);
        assert!(second.may_read(), "a clock that follows has the same epochs");
    }

    #[test]
    fn a_source_waits_when_bytes_in_flight_are_full() {
        let clock = Clock::new(LIMITS, 0);
        clock.queue(1, 500);
        assert!(!clock.may_read());
        clock.commit(0, 500);
        assert!(clock.may_read());
    }
}
