//! A topic that a job reads: its partitions with their start and end offsets.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::item::{NextOffset, TopicId};

use super::found::Span;
use super::probe::Probe;
use super::start::Start;
use crate::kafka::codes::words;
use crate::kafka::error::BrokerError;
use crate::source::SourceError;
use crate::state::offset::FirstOffset;

/// Where the partitions of a job's topics begin.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// The committed offsets.
    pub committed: Vec<NextOffset>,
    /// The ids of the topics of these offsets, as far as known.
    pub known: Vec<TopicId>,
    /// Where partitions without a committed offset begin if the job has not committed yet; others begin at their earliest
    /// offset.
    pub start: Option<Start>,
}

impl Beginning {
    /// The committed offset of a partition.
    pub(super) fn committed(&self, topic: &str, partition: i32) -> Option<i64> {
        let is_it = |at: &&NextOffset| *at.topic == *topic && at.partition == partition;
        self.committed.iter().find(is_it).map(|at| at.offset)
    }

    /// The known id of a topic.
    pub(super) fn id(&self, topic: &str) -> Option<&str> {
        self.known.iter().find(|known| *known.topic == *topic).map(|known| &*known.id)
    }
}

/// A topic that was found on the brokers.
#[derive(Debug, Default)]
pub(super) struct Topic {
    /// `None` if the brokers have no topic ids.
    pub(super) id: Option<String>,
    /// For each partition, the first offset to read and the end offset of the start.
    pub(super) partitions: BTreeMap<i32, Span>,
    /// Whether the committed offsets are of an earlier topic of this name.
    pub(super) is_recreated: bool,
    /// Where partitions without a committed offset begin.
    pub(super) begun: Vec<FirstOffset>,
}

impl Topic {
    /// Finds the start of each partition: its committed offset, or else where a new one begins.
    pub(super) fn open(
        probe: &Probe,
        name: &Arc<str>,
        partitions: &[i32],
        from: &Beginning,
    ) -> Result<Self, SourceError> {
        let mut topic = Self::default();
        let continues_on_loss = probe.options.continues_on_loss();
        match topic.identify(probe, name, from) {
            Ok(()) => {}
            Err(SourceError::TopicReplaced { known, found, .. }) if continues_on_loss => {
                tracing::warn!(
                    known,
                    found,
                    "topic `{name}` was re-created; reading the new topic from its beginning"
                );
                topic.is_recreated = true;
            }
            Err(error) => return Err(error),
        };
        let committed = |partition| from.committed(name, partition).filter(|_| !topic.is_recreated);
        let mut new = BTreeMap::new();
        for &partition in partitions {
            let (low, end) = probe.watermarks(name, partition)?;
            match committed(partition) {
                Some(committed) => {
                    let next = first(probe, name, partition, committed, (low, end))?;
                    topic.partitions.insert(partition, Span { next, end });
                }
                None => {
                    new.insert(partition, (low, end));
                }
            }
        }
        // Topics never lose partitions, so a missing one means that the topic was re-created.
        let of_topic = from.committed.iter().filter(|at| *at.topic == **name && !topic.is_recreated);
        if let Some(at) = of_topic.into_iter().find(|at| at.offset > 0 && !partitions.contains(&at.partition))
        {
            first(probe, name, at.partition, at.offset, (0, 0))?;
        }
        let start = from.start.filter(|_| !topic.is_recreated);
        for (partition, next) in probe.starts(name, start.unwrap_or_default(), &new)? {
            let end = new.get(&partition).map_or(next, |(_, end)| *end);
            topic.partitions.insert(partition, Span { next, end });
            let start = start.map(|start| start.to_string());
            topic.begun.push(FirstOffset { topic: name.clone(), partition, offset: next, start });
        }
        Ok(topic)
    }

    /// A new partition of a known topic, which begins at its earliest offset.
    pub(super) fn of_new_partition(name: &Arc<str>, partition: i32, low: i64) -> Self {
        let begun = FirstOffset { topic: name.clone(), partition, offset: low, start: None };
        let partitions = BTreeMap::from([(partition, Span { next: low, end: i64::MAX })]);
        Self { partitions, begun: vec![begun], ..Self::default() }
    }

    /// Reads the id of the topic, and refuses one that differs from the known one. Brokers before 2.8 have none.
    pub(super) fn identify(
        &mut self,
        probe: &Probe,
        name: &Arc<str>,
        from: &Beginning,
    ) -> Result<(), SourceError> {
        let unreachable =
            |code| BrokerError::Unreachable { brokers: probe.options.brokers.clone(), reason: words(code) };
        let Some(mut described) = probe.describe([&**name]).map_err(unreachable)? else { return Ok(()) };
        let Some(described) = described.remove(&**name) else { return Ok(()) };
        self.id = described.map_err(unreachable)?.id;
        match (from.id(name), &self.id) {
            (Some(known), Some(id)) if known != *id => Err(replaced(probe, name, known, id)),
            _ => Ok(()),
        }
    }

    /// The topic's id, if it has one.
    pub(super) fn topic_id(&self, name: &Arc<str>) -> Option<TopicId> {
        self.id.clone().map(|id| TopicId { topic: name.clone(), id })
    }
}

/// The error for a topic with another id than the known one.
pub(super) fn replaced(probe: &Probe, topic: &str, known: &str, found: &str) -> SourceError {
    let advice = match probe.options.continues_on_loss() {
        true => "start again to read the new topic from its beginning",
        false => {
            "start a new --job with a new --out, or set on_data_loss = \"earliest\" to read the new topic from its beginning"
        }
    };
    SourceError::TopicReplaced {
        topic: topic.to_owned(),
        known: known.to_owned(),
        found: found.to_owned(),
        advice,
    }
}

/// The first offset to read of a partition with a committed offset, given its earliest offset and its end.
fn first(
    probe: &Probe,
    topic: &str,
    partition: i32,
    committed: i64,
    (low, end): (i64, i64),
) -> Result<i64, SourceError> {
    let name = topic.to_owned();
    if (low..=end).contains(&committed) {
        Ok(committed)
    } else if probe.options.continues_on_loss() {
        tracing::warn!(
            topic,
            partition,
            committed,
            low,
            end,
            "offsets are missing; continuing from the earliest"
        );
        Ok(low)
    } else if committed < low {
        Err(SourceError::DataLoss { topic: name, partition, from: committed, to: low - 1 })
    } else {
        Err(SourceError::Recreated { topic: name, partition, end, committed })
    }
}
