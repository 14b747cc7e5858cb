//! The thread that watches topics: new topics and partitions, changed ids, lag, offsets of the consumer group.

use super::client::ANSWER;
use super::found::Discovered;
use super::set::TopicSet;
use super::topic::{Topic, replaced};
use super::trouble::{Trouble, Troubles};
use crate::kafka::codes::reason;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use dataflows::item::NextOffset;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often lag is measured.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// How often the brokers are asked for all their topics, which may be many.
const TOPICS_EVERY: Duration = Duration::from_secs(3);

/// The next offset of each partition.
type Offsets = BTreeMap<(Arc<str>, i32), i64>;

impl TopicSet {
    /// Watches the topics until `committed` closes. It notifies the readers of new topics, of new partitions and of a
    /// re-created topic, and reports to `health` whether the brokers answer. What a commit must have of them is in
    /// `discovered` before a reader knows them. With `lag` it also measures the lag of the offsets that arrive in
    /// `committed`, and reports these offsets to the group.
    pub fn watch(
        mut self,
        committed: &Receiver<Vec<NextOffset>>,
        health: &Health,
        lag: Option<&Metrics>,
        discovered: &Discovered,
    ) {
        let mut offsets: Offsets =
            self.starts().into_iter().map(|at| ((at.topic, at.partition), at.offset)).collect();
        let what = self.in_health();
        let (mut measured, mut listed): (Option<Instant>, _) = (None, Instant::now());
        let mut changed = true;
        loop {
            let mut take = |new: Vec<NextOffset>| {
                for at in new.into_iter().filter(|at| self.probe.options.selects(&at.topic)) {
                    offsets.insert((at.topic, at.partition), at.offset);
                    changed = true;
                }
            };
            match committed.recv_timeout(LAG_EVERY) {
                Ok(new) => take(new),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    if lag.is_some() {
                        // Waits only if a broker answered just before.
                        let answers = !health.set_available(&what);
                        self.report(&offsets, if answers { CommitMode::Sync } else { CommitMode::Async });
                    }
                    return;
                }
            }
            committed.try_iter().for_each(take);
            self.probe.drain();
            if measured.is_some_and(|at| at.elapsed() < LAG_EVERY) {
                continue;
            }
            measured = Some(Instant::now());
            self.probe.renew();
            let lists = listed.elapsed() >= TOPICS_EVERY;
            if lists {
                listed = Instant::now();
            }
            // In this order: another process may have been the first to read a new partition.
            let mut troubles = self.check(&mut offsets, discovered);
            if lists && troubles.is_of_topics() {
                troubles.add_all(self.find_topics(&mut offsets, discovered));
            }
            if let Some(metrics) = lag
                && troubles.is_of_topics()
            {
                self.measure(&offsets, metrics, &mut troubles);
            }
            self.found.trouble().into_iter().for_each(|trouble| troubles.add(trouble));
            lag.iter().for_each(|metrics| metrics.brokers_away.set(i64::from(!troubles.is_empty())));
            if lag.is_some() && troubles.is_of_topics() && std::mem::take(&mut changed) {
                self.report(&offsets, CommitMode::Async);
            }
            match troubles.describe(&what) {
                None => {
                    if health.set_available(&what) {
                        let topics = self.probe.options.topics.to_string();
                        tracing::info!(topics, "the topics are available again");
                    }
                }
                Some((away, reason)) => {
                    let brokers = &self.probe.options.brokers;
                    health.set_unavailable(&what, format!("{away} is not available on {brokers}: {reason}"));
                    tracing::warn!(reason, "{away} is not available; retrying");
                }
            }
        }
    }

    /// Measures the lag of every partition, except those of topics in trouble.
    fn measure(&self, offsets: &Offsets, metrics: &Metrics, troubles: &mut Troubles) {
        for ((topic, partition), offset) in offsets {
            if troubles.has(topic) {
                continue;
            }
            match self.ends_of(topic, *partition) {
                Ok((_, end)) => metrics.lag(topic, *partition, end - offset),
                Err(trouble) => troubles.add(trouble),
            }
        }
    }

    /// The earliest offset of a partition, and its end.
    fn ends_of(&self, topic: &Arc<str>, partition: i32) -> Result<(i64, i64), Trouble> {
        let found = self.probe.consumer.fetch_watermarks(topic, partition, ANSWER);
        found.map_err(|error| Trouble::of(topic, partition, &reason(&error)))
    }

    /// Checks whether topics have new partitions, and whether one was re-created.
    fn check(&mut self, offsets: &mut Offsets, discovered: &Discovered) -> Troubles {
        let (mut troubles, mut new) = (Troubles::default(), Vec::new());
        // The topic of an embedded broker does not change.
        if self.feed.is_some() {
            return troubles;
        }
        let mut described = match self.probe.describe(self.topics.keys().map(|name| &**name)) {
            Ok(described) => described,
            Err(code) => return Troubles::of_all(code.to_string()),
        };
        for (name, topic) in &self.topics {
            let partitions = match described.as_mut().map(|described| described.remove(&**name)) {
                Some(Some(Ok(described))) => {
                    if let (Some(known), Some(found)) = (&topic.id, &described.id)
                        && known != found
                    {
                        self.found.fail(replaced(&self.probe, name, known, found));
                        return troubles;
                    }
                    Ok(described.partitions)
                }
                Some(Some(Err(code))) => Err(code.to_string()),
                Some(None) => Err("the brokers do not describe it".into()),
                // Brokers before 2.8.
                None => self.probe.partitions_of(name).map_err(|error| error.while_waiting()),
            };
            match partitions {
                Ok(partitions) => {
                    let is_new = |partition: &i32| !topic.partitions.contains_key(partition);
                    new.extend(
                        partitions.into_iter().filter(is_new).map(|partition| (name.clone(), partition)),
                    );
                }
                Err(reason) => troubles.add(Trouble::of(name, -1, &reason)),
            }
        }
        // A job that stops at the end offsets of its start does not read new partitions.
        if self.probe.options.until_end {
            return troubles;
        }
        for (name, partition) in new {
            match self.ends_of(&name, partition) {
                Ok((low, _)) => {
                    tracing::info!(topic = &*name, partition, "reading a new partition of the topic");
                    self.begin(&name, Topic::of_new_partition(&name, partition, low), offsets, discovered);
                }
                Err(trouble) => troubles.add(trouble),
            }
        }
        troubles
    }

    /// Finds new topics that match a pattern.
    fn find_topics(&mut self, offsets: &mut Offsets, discovered: &Discovered) -> Troubles {
        // A job that stops at the end offsets of its start does not read new topics.
        if self.feed.is_some() || self.probe.options.until_end {
            return Troubles::default();
        }
        let matching = match self.probe.matching() {
            Ok(matching) => matching,
            Err(error) => return Troubles::of_all(error.while_waiting()),
        };
        for (name, partitions) in matching {
            if self.topics.contains_key(&name) {
                continue;
            }
            match Topic::open(&self.probe, &name, &partitions, &self.later) {
                Ok(topic) => {
                    tracing::info!(topic = &*name, partitions = partitions.len(), "reading a new topic");
                    self.begin(&name, topic, offsets, discovered);
                }
                // It may have been created just now.
                Err(error) if error.may_pass() => {
                    let reason = error.while_waiting();
                    tracing::warn!(topic = &*name, reason, "a new topic cannot be read yet; retrying");
                }
                Err(error) => self.found.fail(error),
            }
        }
        Troubles::default()
    }

    /// Begins to read a new topic, or new partitions of a known one.
    fn begin(&mut self, name: &Arc<str>, new: Topic, offsets: &mut Offsets, discovered: &Discovered) {
        let starts: Vec<_> = new.partitions.iter().map(|(&at, span)| (name.clone(), at, span.next)).collect();
        for (name, partition, next) in &starts {
            // Another process may have committed an offset of it.
            offsets.entry((name.clone(), *partition)).or_insert(*next);
        }
        discovered.add(new.topic_id(name).filter(|id| !self.later.known.contains(id)), new.begun.clone());
        match self.topics.entry(name.clone()) {
            Entry::Occupied(mut known) => known.get_mut().partitions.extend(new.partitions),
            Entry::Vacant(unknown) => {
                unknown.insert(new);
            }
        }
        self.found.add(starts);
    }

    /// Commits offsets to the consumer group: a progress report, which nothing resumes from.
    fn report(&self, offsets: &Offsets, mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in offsets {
            if let Err(error) = list.add_partition_offset(topic, *partition, Offset::Offset(*offset)) {
                let (topic, reason) = (&**topic, reason(&error));
                tracing::warn!(topic, partition, offset, reason, "cannot report an offset");
            }
        }
        if let Err(error) = self.probe.consumer.commit(&list, mode) {
            tracing::warn!(
                reason = reason(&error),
                "cannot report offsets to the consumer group; the job does not depend on them"
            );
        }
    }
}
