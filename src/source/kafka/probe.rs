//! The client that queries the brokers about topics: which there are, their partitions, ids and offsets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{ANSWER, Logged, consumer};
use super::describe::{Descriptions, describe};
use super::options::TopicOptions;
use super::start::Start;
use crate::kafka::codes::{Fault, reason};
use crate::kafka::error::BrokerError;
use crate::kafka::topics::matches;
use crate::runtime::clock::wall_clock;
use crate::source::SourceError;

/// The partitions of topics, by name.
pub(super) type Partitions = BTreeMap<Arc<str>, Vec<i32>>;

/// The client that queries the brokers.
pub(super) struct Probe {
    pub(super) options: TopicOptions,
    pub(super) consumer: BaseConsumer<Logged>,
    /// The version of the properties that the client has.
    version: u64,
}

impl Probe {
    pub(super) fn new(options: TopicOptions) -> Result<Self, SourceError> {
        let version = options.properties.version();
        Ok(Self { consumer: consumer(&options)?, options, version })
    }

    /// Replaces the client if the properties were reloaded.
    pub(super) fn renew(&mut self) {
        let version = self.options.properties.version();
        if version == self.version {
            return;
        }
        self.version = version;
        match consumer(&self.options) {
            Ok(consumer) => self.consumer = consumer,
            Err(error) => {
                let what = self.options.in_health();
                tracing::warn!("{error}; the previous client that watches {what} stays in use");
            }
        }
    }

    /// Drops log lines and errors, which would accumulate; there are no messages.
    pub(super) fn drain(&self) {
        while self.consumer.poll(Duration::ZERO).is_some() {}
    }

    /// The partitions of all topics that are named or match a pattern. Fails if one that is named does not exist, or if a
    /// pattern matches none.
    pub(super) fn selected(&self) -> Result<Partitions, SourceError> {
        let mut found = BTreeMap::new();
        for name in self.options.topics.names() {
            found.insert(name.into(), self.partitions_of(name)?);
        }
        let matching = self.matching()?;
        for pattern in self.options.topics.patterns() {
            if !matching.keys().any(|topic| matches(pattern, topic)) {
                let (pattern, brokers) = (pattern.as_str().to_owned(), self.options.brokers.clone());
                return Err(BrokerError::NoMatch { pattern, brokers }.into());
            }
        }
        for (topic, partitions) in matching {
            found.entry(topic).or_insert(partitions);
        }
        Ok(found)
    }

    /// The partitions of all topics that match a pattern.
    pub(super) fn matching(&self) -> Result<Partitions, SourceError> {
        let has_patterns = self.options.topics.patterns().next().is_some();
        if !has_patterns {
            return Ok(BTreeMap::new());
        }
        let metadata = self.metadata(None)?;
        let matching = metadata.topics().iter().filter(|topic| self.options.selects(topic.name()));
        let partitions = matching.map(|topic| (topic.name().into(), partitions(topic)));
        Ok(partitions.filter(|(_, partitions)| !partitions.is_empty()).collect())
    }

    /// The partitions of a topic.
    pub(super) fn partitions_of(&self, topic: &str) -> Result<Vec<i32>, SourceError> {
        let metadata = self.metadata(Some(topic))?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let found = found.map(partitions).unwrap_or_default();
        if found.is_empty() {
            let brokers = self.options.brokers.clone();
            return Err(BrokerError::NoTopic { topic: topic.to_owned(), brokers }.into());
        }
        Ok(found)
    }

    fn metadata(&self, topic: Option<&str>) -> Result<Metadata, SourceError> {
        Ok(self.consumer.fetch_metadata(topic, ANSWER).map_err(|error| self.no_broker(&error))?)
    }

    fn no_broker(&self, error: &KafkaError) -> BrokerError {
        // Handles pending events, which may have the reason.
        let _ = self.consumer.poll(Duration::from_millis(10));
        BrokerError::of_request(&self.options.brokers, self.consumer.context().security(), error)
    }

    /// Describes topics; none of them for brokers before 2.8, which have no ids.
    pub(super) fn describe<'a>(
        &self,
        topics: impl IntoIterator<Item = &'a str>,
    ) -> Result<Option<Descriptions>, RDKafkaErrorCode> {
        match describe(&self.consumer, topics, ANSWER) {
            Err(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => Ok(None),
            described => described.map(Some),
        }
    }

    /// The earliest offset of a partition, and its end.
    pub(super) fn watermarks(&self, topic: &str, partition: i32) -> Result<(i64, i64), SourceError> {
        let found = self.consumer.fetch_watermarks(topic, partition, ANSWER);
        found.map_err(|error| self.unavailable(topic, partition, &error))
    }

    /// The offset of each of these partitions at which a new job begins; its earliest offset and its end are given.
    pub(super) fn starts(
        &self,
        topic: &str,
        start: Start,
        watermarks: &BTreeMap<i32, (i64, i64)>,
    ) -> Result<BTreeMap<i32, i64>, SourceError> {
        let Some((&first, _)) = watermarks.first_key_value() else { return Ok(BTreeMap::new()) };
        let Some(timestamp) = start.timestamp(wall_clock() / 1000) else {
            let at = |&(low, end)| if start == Start::Latest { end } else { low };
            return Ok(watermarks.iter().map(|(&partition, marks)| (partition, at(marks))).collect());
        };
        let mut list = TopicPartitionList::new();
        let added = watermarks.keys().try_for_each(|&partition| {
            list.add_partition_offset(topic, partition, Offset::Offset(timestamp))
        });
        let found = added.and_then(|()| self.consumer.offsets_for_times(list, ANSWER));
        let found = found.map_err(|error| self.unavailable(topic, first, &error))?;
        let mut starts = BTreeMap::new();
        for element in found.elements() {
            let partition = element.partition();
            element.error().map_err(|error| self.unavailable(topic, partition, &error))?;
            let Some(&(low, end)) = watermarks.get(&partition) else { continue };
            let offset = match element.offset() {
                Offset::Offset(offset) => offset.clamp(low, end.max(low)),
                // All messages are older.
                _ => end,
            };
            starts.insert(partition, offset);
        }
        Ok(starts)
    }

    fn unavailable(&self, topic: &str, partition: i32, error: &KafkaError) -> SourceError {
        let (topic, reason) = (topic.to_owned(), reason(error));
        match error.rdkafka_error_code().map(Fault::of) {
            Some(Fault::Transient | Fault::UnknownTopic) => {
                let brokers = self.options.brokers.clone();
                SourceError::Unavailable { topic, partition, brokers, reason }
            }
            _ => SourceError::Kafka { topic, partition, reason },
        }
    }
}

/// The partitions of a topic; none if it does not exist.
fn partitions(topic: &MetadataTopic) -> Vec<i32> {
    match topic.error() {
        None => topic.partitions().iter().map(|partition| partition.id()).collect(),
        Some(_) => Vec::new(),
    }
}
