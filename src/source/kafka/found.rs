//! State shared between the thread that watches topics, their readers, and the commit thread.

use super::trouble::Trouble;
use crate::source::SourceError;
use crate::state::offset::FirstOffset;
use dataflows::item::TopicId;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long an error of a client makes the job not ready, unless it is repeated.
pub(super) const TROUBLE_FOR: Duration = Duration::from_secs(3);

/// Why readers wait, by topic and partition: the reason, and its expiry if there is one.
type Waits = BTreeMap<(Arc<str>, i32), (String, Option<Instant>)>;

/// Findings about topics.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The number of findings: readers check for new ones when it has increased.
    pub(super) count: AtomicUsize,
    /// New partitions and their first offsets.
    pub(super) partitions: Mutex<Vec<(Arc<str>, i32, i64)>>,
    /// Why a topic can no longer be read.
    pub(super) failure: Mutex<Option<SourceError>>,
    waits: Mutex<Waits>,
}

impl Found {
    pub(super) fn add(&self, partitions: impl IntoIterator<Item = (Arc<str>, i32, i64)>) {
        unpoisoned(&self.partitions).extend(partitions);
        self.count.fetch_add(1, SeqCst);
    }

    /// Records that a reader waits, until it is settled or for a limited time.
    pub(super) fn wait_for(
        &self,
        topic: &Arc<str>,
        partition: i32,
        reason: String,
        for_now: Option<Duration>,
    ) {
        let until = for_now.map(|time| Instant::now() + time);
        unpoisoned(&self.waits).insert((topic.clone(), partition), (reason, until));
    }

    pub(super) fn settled(&self, topic: &Arc<str>, partition: i32) {
        unpoisoned(&self.waits).remove(&(topic.clone(), partition));
    }

    /// Why a reader waits, if one does.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let (mut waits, now) = (unpoisoned(&self.waits), Instant::now());
        waits.retain(|_, (_, until)| until.is_none_or(|until| until > now));
        let ((topic, partition), (reason, _)) = waits.first_key_value()?;
        Some(Trouble::of(topic, *partition, reason))
    }

    pub(super) fn fail(&self, error: SourceError) {
        *unpoisoned(&self.failure) = Some(error);
        self.count.fetch_add(1, SeqCst);
    }
}

/// What a job commits about its topics, at the latest with their first messages.
#[derive(Debug, Default)]
pub struct Discovered(Mutex<Discoveries>);

/// Ids of topics, and where the job begins to read partitions.
#[derive(Clone, Debug, Default)]
pub struct Discoveries {
    /// Ids that are not committed yet.
    pub topics: Vec<TopicId>,
    /// Where partitions begin that have no committed offset.
    pub begun: Vec<FirstOffset>,
}

impl Discovered {
    pub(super) fn add(&self, topic: Option<TopicId>, begun: impl IntoIterator<Item = FirstOffset>) {
        let mut found = unpoisoned(&self.0);
        found.topics.extend(topic);
        found.begun.extend(begun);
    }

    /// What was discovered since the last call.
    pub fn take(&self) -> Discoveries {
        std::mem::take(&mut unpoisoned(&self.0))
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
