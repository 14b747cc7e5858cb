//! A topic that a job reads: its partitions with their start and end offsets.

use super::client::{ANSWER, Logged, consumer};
use super::describe::describe;
use super::doubt::Doubts;
use super::found::{Found, Span};
use super::options::TopicOptions;
use super::queue::{is_of, reading};
use super::reader::{Position, TopicReader};
use crate::kafka::codes::{Fault, reason, words};
use crate::kafka::error::BrokerError;
use crate::runtime::retry;
use crate::runtime::stop::Stop;
use crate::source::embedded::Feed;
use crate::source::{BATCH_RECORDS, OnDataLoss, SourceError};
use dataflows::item::{NextOffset, TopicId};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// A topic that was found on the brokers.
pub struct Topic {
    pub(super) options: TopicOptions,
    pub(super) name: Arc<str>,
    pub(super) probe: BaseConsumer<Logged>,
    /// The version of the properties that `probe` has.
    pub(super) version: u64,
    /// For each partition, the first offset to read and the end offset of the start.
    pub(super) partitions: BTreeMap<i32, Span>,
    /// The feed of an embedded broker.
    pub(super) feed: Option<Arc<Feed>>,
    /// `None` if the brokers have no topic ids.
    pub(super) id: Option<String>,
    /// Whether the committed offsets are of an earlier topic of this name.
    pub(super) is_recreated: bool,
    pub(super) found: Arc<Found>,
}

impl Topic {
    /// The number of messages to read, if the topic is read to its end. Gaps in the offsets count, too.
    pub fn to_read(&self) -> Option<u64> {
        let left = |span: &Span| (span.end - span.next).max(0) as u64;
        // The end of an embedded topic is known when it has been fed.
        (self.options.until_end && self.feed.is_none()).then(|| self.partitions.values().map(left).sum())
    }

    /// A topic of which nothing is known yet.
    pub(super) fn unknown(options: TopicOptions) -> Result<Self, SourceError> {
        let version = options.properties.version();
        let probe = consumer(&options)?;
        Ok(Self {
            name: options.topic.as_str().into(),
            options,
            probe,
            version,
            partitions: BTreeMap::new(),
            feed: None,
            id: None,
            is_recreated: false,
            found: Arc::default(),
        })
    }

    /// Connects to the topic and finds the start of each partition: its offset in `committed`, or else the earliest.
    /// `known` has the ids of the topics of these offsets.
    pub fn connect(
        options: TopicOptions,
        committed: &[NextOffset],
        known: &[TopicId],
    ) -> Result<Self, SourceError> {
        let mut topic = Self::unknown(options)?;
        let partitions = topic.list_partitions()?;
        let continues_on_loss = topic.continues_on_loss();
        let committed = match topic.identify(known) {
            Ok(()) => committed,
            Err(SourceError::TopicReplaced { topic: name, known, found, .. }) if continues_on_loss => {
                tracing::warn!(
                    known,
                    found,
                    "topic `{name}` was re-created; reading the new topic from its beginning"
                );
                topic.is_recreated = true;
                &[]
            }
            Err(error) => return Err(error),
        };
        for &partition in &partitions {
            let (low, end) = topic.watermarks(partition)?;
            let committed = committed
                .iter()
                .find(|at| at.topic == topic.name && at.partition == partition)
                .map(|at| at.offset);
            let next = topic.first(partition, committed, low, end)?;
            topic.partitions.insert(partition, Span { next, end });
        }
        // Topics never lose partitions, so a missing one means that the topic was re-created.
        let is_gone =
            |at: &&NextOffset| at.topic == topic.name && at.offset > 0 && !partitions.contains(&at.partition);
        if let Some(at) = committed.iter().find(is_gone) {
            topic.first(at.partition, Some(at.offset), 0, 0)?;
        }
        Ok(topic)
    }

    /// Reads the id of the topic, and refuses one that differs from the `known` id. Brokers before 2.8 have none.
    pub(super) fn identify(&mut self, known: &[TopicId]) -> Result<(), SourceError> {
        let described = match describe(&self.probe, &self.name, ANSWER) {
            Err(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => return Ok(()),
            described => described.map_err(|code| BrokerError::Unreachable {
                brokers: self.options.brokers.clone(),
                reason: words(code),
            })?,
        };
        self.id = described.id;
        let known = known.iter().find(|known| known.topic == self.name);
        match (known, &self.id) {
            (Some(known), Some(id)) if known.id != *id => Err(self.replaced(known.id.clone(), id.clone())),
            _ => Ok(()),
        }
    }

    pub(super) fn replaced(&self, known: String, found: String) -> SourceError {
        let advice = match self.continues_on_loss() {
            true => "start again to read the new topic from its beginning",
            false => {
                "start a new --job with a new --out, or set on_data_loss = \"earliest\" to read the new topic from its beginning"
            }
        };
        SourceError::TopicReplaced { topic: self.name.to_string(), known, found, advice }
    }

    /// Whether to continue when offsets are missing.
    pub(super) fn continues_on_loss(&self) -> bool {
        self.options.on_data_loss == OnDataLoss::Earliest
    }

    /// Whether the committed offsets are of an earlier topic of this name, and it is read from its beginning.
    pub fn is_recreated(&self) -> bool {
        self.is_recreated
    }

    /// The topic's id, if it has one.
    pub fn id(&self) -> Option<TopicId> {
        self.id.clone().map(|id| TopicId { topic: self.name.clone(), id })
    }

    /// The topic from the beginning of each partition up to its `committed` offset, and whether these are all messages.
    pub fn again(
        options: TopicOptions,
        committed: &[NextOffset],
        known: &[TopicId],
    ) -> Result<(Self, bool), SourceError> {
        let mut topic = Self::unknown(TopicOptions { until_end: true, ..options })?;
        let mut is_all = true;
        let partitions = topic.list_partitions()?;
        topic.identify(known)?;
        for partition in partitions {
            let (low, end) = topic.watermarks(partition)?;
            let is_it = |at: &&NextOffset| at.topic == topic.name && at.partition == partition;
            let committed = committed.iter().find(is_it).map_or(0, |at| at.offset);
            let name = topic.name.to_string();
            if committed > end {
                return Err(SourceError::Recreated { topic: name, partition, end, committed });
            }
            if low > 0 && committed > 0 {
                return Err(SourceError::Gone { topic: name, partition, low });
            }
            is_all &= committed == end;
            topic.partitions.insert(partition, Span { next: 0, end: committed });
        }
        Ok((topic, is_all))
    }

    /// Ends each partition at its offset in `ends`; a partition that is not in `ends` is not read.
    pub fn up_to(mut self, ends: &[NextOffset]) -> Self {
        for (partition, span) in &mut self.partitions {
            let end = ends.iter().find(|at| at.topic == self.name && at.partition == *partition);
            span.end = end.map_or(span.next, |at| at.offset);
        }
        self
    }

    /// The number of partitions.
    pub fn partitions(&self) -> usize {
        self.partitions.len()
    }

    pub(super) fn no_broker(&self, error: &KafkaError) -> BrokerError {
        // Handles pending events, which may have the reason.
        let _ = self.probe.poll(Duration::from_millis(10));
        BrokerError::of_request(&self.options.brokers, self.probe.context().security(), error)
    }

    pub(super) fn list_partitions(&self) -> Result<Vec<i32>, SourceError> {
        let metadata =
            self.probe.fetch_metadata(Some(&self.name), ANSWER).map_err(|error| self.no_broker(&error))?;
        let partitions: Vec<i32> = metadata
            .topics()
            .iter()
            .filter(|topic| topic.name() == &*self.name && topic.error().is_none())
            .flat_map(|topic| topic.partitions().iter().map(|partition| partition.id()))
            .collect();
        if partitions.is_empty() {
            let brokers = self.options.brokers.clone();
            return Err(BrokerError::NoTopic { topic: self.name.to_string(), brokers }.into());
        }
        Ok(partitions)
    }

    pub(super) fn watermarks(&self, partition: i32) -> Result<(i64, i64), SourceError> {
        self.probe.fetch_watermarks(&self.name, partition, ANSWER).map_err(|error| {
            match error.rdkafka_error_code().map(Fault::of) {
                Some(Fault::Transient | Fault::UnknownTopic) => SourceError::Unavailable {
                    topic: self.name.to_string(),
                    partition,
                    brokers: self.options.brokers.clone(),
                    reason: reason(&error),
                },
                _ => self.failed(partition, reason(&error)),
            }
        })
    }

    pub(super) fn failed(&self, partition: i32, reason: String) -> SourceError {
        SourceError::Kafka { topic: self.name.to_string(), partition, reason }
    }

    /// The first offset to read of a partition.
    pub(super) fn first(
        &self,
        partition: i32,
        committed: Option<i64>,
        low: i64,
        end: i64,
    ) -> Result<i64, SourceError> {
        let topic = self.name.to_string();
        match committed {
            None => Ok(low),
            Some(committed) if (low..=end).contains(&committed) => Ok(committed),
            Some(committed) if self.continues_on_loss() => {
                tracing::warn!(
                    topic,
                    partition,
                    committed,
                    low,
                    end,
                    "offsets are missing; continuing from the earliest"
                );
                Ok(low)
            }
            Some(from) if from < low => Err(SourceError::DataLoss { topic, partition, from, to: low - 1 }),
            Some(committed) => Err(SourceError::Recreated { topic, partition, end, committed }),
        }
    }

    /// The topic of an embedded broker, which starts at the committed offsets and whose ends are known when it was fed.
    pub fn embedded(
        options: TopicOptions,
        committed: &[NextOffset],
        partitions: i32,
        feed: Arc<Feed>,
    ) -> Result<Self, SourceError> {
        let mut topic = Self::unknown(options)?;
        let next = |partition| {
            let is_it = |at: &&NextOffset| at.topic == topic.name && at.partition == partition;
            committed.iter().find(is_it).map_or(0, |at| at.offset)
        };
        topic.partitions = (0..partitions).map(|p| (p, Span { next: next(p), end: i64::MAX })).collect();
        topic.feed = Some(feed);
        Ok(topic)
    }

    /// The reader of worker `index` of `workers`: every `workers`-th partition.
    pub fn reader(&self, index: usize, workers: usize) -> Result<TopicReader, SourceError> {
        let own: BTreeMap<i32, Span> = self
            .partitions
            .iter()
            .filter(|(partition, _)| is_of(**partition, index, workers))
            .map(|(partition, span)| (*partition, *span))
            .collect();
        let version = self.options.properties.version();
        let (queue, consumer) =
            reading(&self.options, own.iter().map(|(&partition, span)| (partition, span.next)))?;
        let unfinished =
            if self.options.until_end { own.values().filter(|span| span.next < span.end).count() } else { 1 };
        Ok(TopicReader {
            topic: self.name.clone(),
            until_end: self.options.until_end,
            continues_on_loss: self.continues_on_loss(),
            feed: self.feed.clone(),
            knows_ends: false,
            share: (index, workers),
            found: self.found.clone(),
            seen: 0,
            doubts: Doubts::default(),
            options: self.options.clone(),
            version,
            renews_after: None,
            unfinished,
            partitions: own.into_iter().map(|(partition, span)| (partition, Position::at(span))).collect(),
            arrivals: Vec::new(),
            messages: Vec::with_capacity(BATCH_RECORDS),
            held: VecDeque::new(),
            queue,
            consumer,
        })
    }

    /// The start offset of each partition.
    pub fn starts(&self) -> Vec<NextOffset> {
        let next = |(&partition, span): (&i32, &Span)| NextOffset {
            topic: self.name.clone(),
            partition,
            offset: span.next,
            mark: None,
        };
        self.partitions.iter().map(next).collect()
    }

    /// The end offset of each partition.
    pub fn ends(&self) -> Vec<NextOffset> {
        let end = |(&partition, span): (&i32, &Span)| NextOffset {
            topic: self.name.clone(),
            partition,
            offset: span.end,
            mark: None,
        };
        self.partitions.iter().map(end).collect()
    }

    /// The name of the topic in the health of the job.
    pub fn in_health(&self) -> String {
        format!("topic {}", self.name)
    }
}

/// Retries `connect` while its errors may pass, if `wait` is set, until `stop`.
pub fn keep_trying<T>(
    wait: bool,
    stop: &Stop,
    connect: impl FnMut() -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    let may_pass = |error: &SourceError| (wait && error.may_pass()).then(|| error.while_waiting());
    retry::until_stopped(stop, connect, may_pass)
}
