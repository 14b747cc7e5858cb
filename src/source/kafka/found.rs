//! State shared between the thread that watches a topic and its readers.

use crate::source::SourceError;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an error of a client makes the job not ready, unless it is repeated.
pub(super) const TROUBLE_FOR: Duration = Duration::from_secs(3);

/// Findings about a topic.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The number of findings: readers check for new ones when it has increased.
    pub(super) count: AtomicUsize,
    /// New partitions and their first offsets.
    pub(super) partitions: Mutex<Vec<(i32, i64)>>,
    /// Why the topic can no longer be read.
    pub(super) failure: Mutex<Option<SourceError>>,
    /// Why readers wait, by partition: the reason, and its expiry if there is one.
    pub(super) waits: Mutex<BTreeMap<i32, (String, Option<Instant>)>>,
}

impl Found {
    pub(super) fn add(&self, partition: i32, low: i64) {
        unpoisoned(&self.partitions).push((partition, low));
        self.count.fetch_add(1, SeqCst);
    }

    /// Records that a reader waits, until it is settled or for a limited time.
    pub(super) fn wait_for(&self, partition: i32, reason: String, for_now: Option<Duration>) {
        let until = for_now.map(|time| Instant::now() + time);
        unpoisoned(&self.waits).insert(partition, (reason, until));
    }

    pub(super) fn settled(&self, partition: i32) {
        unpoisoned(&self.waits).remove(&partition);
    }

    /// Why a reader waits, if one does.
    pub(super) fn trouble(&self) -> Option<String> {
        let (mut waits, now) = (unpoisoned(&self.waits), Instant::now());
        waits.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        let (partition, (reason, _)) = waits.first_key_value()?;
        Some(if *partition < 0 { reason.clone() } else { format!("partition {partition}: {reason}") })
    }

    pub(super) fn fail(&self, error: SourceError) {
        *unpoisoned(&self.failure) = Some(error);
        self.count.fetch_add(1, SeqCst);
    }
}

pub(super) fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) next: i64,
    pub(super) end: i64,
}
