//! Partitions about which the brokers have to be asked, because an error does not say enough: an offset that a
//! partition does not have, a topic that the brokers do not know. While they do not answer they are asked again,
//! with growing pauses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long the brokers may take to answer: the worker waits meanwhile.
pub(super) const ASKED: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A broker that has just started may not know its topics yet; one that is not known for so long is gone.
pub(super) const UNKNOWN_FOR: Duration = Duration::from_secs(30);

/// What is in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Whether the partition has the next offset.
    Offset,
    /// Whether there is such a topic.
    Topic,
}

#[derive(Debug)]
struct Open {
    doubt: Doubt,
    since: Instant,
    next: Instant,
    pause: Duration,
}

/// The partitions of a reader that are in doubt.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<i32, Open>);

impl Doubts {
    pub(super) fn add(&mut self, partition: i32, doubt: Doubt) {
        let now = Instant::now();
        let open = Open { doubt, since: now, next: now, pause: FIRST_PAUSE };
        self.0.entry(partition).or_insert(open);
    }

    /// The partitions about which the brokers are to be asked now.
    pub(super) fn due(&self) -> Vec<(i32, Doubt, Duration)> {
        let now = Instant::now();
        let due = self.0.iter().filter(|(_, open)| open.next <= now);
        due.map(|(partition, open)| (*partition, open.doubt, now - open.since)).collect()
    }

    pub(super) fn postpone(&mut self, partition: i32) {
        if let Some(open) = self.0.get_mut(&partition) {
            open.next = Instant::now() + open.pause;
            open.pause = (open.pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The partition is no longer in doubt.
    pub(super) fn remove(&mut self, partition: i32) {
        self.0.remove(&partition);
    }
}
