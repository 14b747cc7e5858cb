//! Partitions whose error is not conclusive, so that the brokers must be queried: an offset out of range, an unknown
//! topic. While the brokers do not answer, the query is repeated with growing pauses.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::topic_index::TopicPartition;
use crate::runtime::retry::Pauses;

/// Timeout of a query; the worker waits meanwhile.
pub(super) const QUERY_TIMEOUT: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A broker that has just started may not know its topics yet; a topic that is unknown for this long is gone.
pub(super) const UNKNOWN_FOR: Duration = Duration::from_secs(30);

/// The open question about a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// Whether the partition has the next offset.
    Offset,
    /// Whether the topic exists.
    Topic,
}

#[derive(Debug)]
struct Open {
    doubt: Doubt,
    since: Instant,
    next: Instant,
    pauses: Pauses,
}

/// The partitions of a reader with an open question.
#[derive(Debug, Default)]
pub(super) struct Doubts(BTreeMap<TopicPartition, Open>);

impl Doubts {
    pub(super) fn add(&mut self, at: TopicPartition, doubt: Doubt) {
        let now = Instant::now();
        let open = Open { doubt, since: now, next: now, pauses: Pauses::new(FIRST_PAUSE, LONGEST_PAUSE) };
        self.0.entry(at).or_insert(open);
    }

    /// The partitions whose query is due, and since when they are in doubt.
    pub(super) fn due(&self) -> Vec<(TopicPartition, Doubt, Duration)> {
        let now = Instant::now();
        let due = self.0.iter().filter(|(_, open)| open.next <= now);
        due.map(|(at, open)| (*at, open.doubt, now - open.since)).collect()
    }

    pub(super) fn postpone(&mut self, at: TopicPartition) {
        if let Some(open) = self.0.get_mut(&at) {
            open.next = Instant::now() + open.pauses.pause();
        }
    }

    /// The partition is no longer in doubt.
    pub(super) fn remove(&mut self, at: TopicPartition) {
        self.0.remove(&at);
    }
}
