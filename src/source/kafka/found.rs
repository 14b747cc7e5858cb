//! What the thread that watches a topic has found, and the readers take over.

use crate::source::SourceError;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an error of a client makes the job not ready, unless it comes again.
pub(super) const TROUBLE_FOR: Duration = Duration::from_secs(3);

/// What the watch finds out about a topic, for its readers.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// How much was found: readers look when it is more than they have seen.
    pub(super) count: AtomicUsize,
    /// Partitions that are new, and where they begin.
    pub(super) partitions: Mutex<Vec<(i32, i64)>>,
    /// Why the topic can no longer be read.
    pub(super) failure: Mutex<Option<SourceError>>,
    /// What the readers wait for: by partition, with the reason, and until when it holds if that is known.
    pub(super) waits: Mutex<BTreeMap<i32, (String, Option<Instant>)>>,
}

impl Found {
    pub(super) fn add(&self, partition: i32, low: i64) {
        unpoisoned(&self.partitions).push((partition, low));
        self.count.fetch_add(1, SeqCst);
    }

    /// Notes that a reader waits, until it says otherwise or for a time.
    pub(super) fn wait_for(&self, partition: i32, reason: String, for_now: Option<Duration>) {
        let until = for_now.map(|time| Instant::now() + time);
        unpoisoned(&self.waits).insert(partition, (reason, until));
    }

    pub(super) fn settled(&self, partition: i32) {
        unpoisoned(&self.waits).remove(&partition);
    }

    /// What a reader waits for, if one does.
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
