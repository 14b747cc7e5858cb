//! The thread that watches a topic: new partitions, a changed id, lag, offsets of the consumer group.

use super::client::{ANSWER, consumer};
use super::describe::describe;
use super::topic::Topic;
use crate::kafka::codes::reason;
use crate::runtime::health::Health;
use crate::runtime::metrics::Metrics;
use dataflows::item::NextOffset;
use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How often lag is measured.
const LAG_EVERY: Duration = Duration::from_secs(1);

impl Topic {
    /// Watches the topic until `committed` closes. It notifies the readers of new partitions and of a re-created topic,
    /// and reports to `health` whether the brokers answer. With `lag` it also measures the lag of the offsets that
    /// arrive in `committed`, and reports these offsets to the group.
    pub fn watch(mut self, committed: Receiver<Vec<NextOffset>>, health: &Health, lag: Option<&Metrics>) {
        let mut offsets: BTreeMap<i32, i64> =
            self.partitions.iter().map(|(partition, span)| (*partition, span.next)).collect();
        let what = self.in_health();
        let mut measured: Option<Instant> = None;
        let mut changed = true;
        loop {
            let mut take = |new: Vec<NextOffset>| {
                for at in new.into_iter().filter(|at| at.topic == self.name) {
                    offsets.insert(at.partition, at.offset);
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
            // There are no messages, but log lines and errors would accumulate.
            while self.probe.poll(Duration::ZERO).is_some() {}
            if measured.is_some_and(|at| at.elapsed() < LAG_EVERY) {
                continue;
            }
            measured = Some(Instant::now());
            self.renew();
            // In this order: another process may have been the first to read a new partition.
            let checked = self
                .check(&mut offsets)
                .and_then(|()| lag.map_or(Ok(()), |metrics| self.measure(&offsets, metrics)))
                .and_then(|()| self.found.trouble().map_or(Ok(()), Err));
            lag.iter().for_each(|metrics| metrics.brokers_away.set(i64::from(checked.is_err())));
            match checked {
                Ok(()) => {
                    if health.set_available(&what) {
                        tracing::info!(topic = &*self.name, "the topic is available again");
                    }
                    if lag.is_some() && std::mem::take(&mut changed) {
                        self.report(&offsets, CommitMode::Async);
                    }
                }
                Err(reason) => {
                    let brokers = &self.options.brokers;
                    health.set_unavailable(&what, format!("{what} is not available on {brokers}: {reason}"));
                    tracing::warn!(topic = &*self.name, reason, "the topic is not available; retrying");
                }
            }
        }
    }

    /// Replaces the client if the properties were reloaded.
    pub(super) fn renew(&mut self) {
        let version = self.options.properties.version();
        if version == self.version {
            return;
        }
        self.version = version;
        match consumer(&self.options) {
            Ok(consumer) => self.probe = consumer,
            Err(error) => {
                tracing::warn!(
                    "{error}; the previous client that watches topic `{}` stays in use",
                    self.name
                );
            }
        }
    }

    /// Measures the lag of every partition.
    pub(super) fn measure(&self, offsets: &BTreeMap<i32, i64>, metrics: &Metrics) -> Result<(), String> {
        for (&partition, &offset) in offsets {
            let (_, end) = self
                .probe
                .fetch_watermarks(&self.name, partition, ANSWER)
                .map_err(|error| format!("partition {partition}: {}", reason(&error)))?;
            metrics.lag(&self.name, partition, end - offset);
        }
        Ok(())
    }

    /// Checks whether the topic has partitions that are not in `offsets`, and whether it was re-created.
    pub(super) fn check(&self, offsets: &mut BTreeMap<i32, i64>) -> Result<(), String> {
        // The topic of an embedded broker does not change.
        if self.feed.is_some() {
            return Ok(());
        }
        let partitions = match describe(&self.probe, &self.name, ANSWER) {
            Ok(described) => {
                if let (Some(known), Some(found)) = (&self.id, described.id)
                    && *known != found
                {
                    self.found.fail(self.replaced(known.clone(), found));
                    return Ok(());
                }
                described.partitions
            }
            Err(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => {
                self.list_partitions().map_err(|error| error.to_string())?
            }
            Err(code) => return Err(code.to_string()),
        };
        // A job that stops at the end offsets of its start does not read new partitions.
        if self.options.until_end {
            return Ok(());
        }
        for partition in partitions {
            if let Entry::Vacant(new) = offsets.entry(partition) {
                let marks = self.probe.fetch_watermarks(&self.name, partition, ANSWER);
                let (low, _) = marks.map_err(|error| format!("partition {partition}: {}", reason(&error)))?;
                tracing::info!(topic = &*self.name, partition, "reading a new partition of the topic");
                new.insert(low);
                self.found.add(partition, low);
            }
        }
        Ok(())
    }

    /// Commits offsets to the consumer group: a progress report, which nothing resumes from.
    pub(super) fn report(&self, offsets: &BTreeMap<i32, i64>, mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for (&partition, &offset) in offsets {
            if let Err(error) = list.add_partition_offset(&self.name, partition, Offset::Offset(offset)) {
                tracing::warn!(partition, offset, reason = reason(&error), "cannot report an offset");
            }
        }
        if let Err(error) = self.probe.commit(&list, mode) {
            tracing::warn!(
                reason = reason(&error),
                "cannot report offsets to the consumer group; the job does not depend on them"
            );
        }
    }
}
