//! Fetches single messages of topics by their offsets.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::client::{ANSWER, consumer_with};
use super::client_errors::ClientErrors;
use super::options::TopicOptions;
use crate::kafka::codes::{Fault, reason};
use crate::source::SourceError;
use crate::source::sample::{OwnHeaders, Sampled};

/// How long a partition may send nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most offsets that are read over to reach the next message, instead of assigning the partition again.
const NEAR: i64 = 10_000;

/// A message cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The client cannot be created, or the brokers do not answer.
    #[error(transparent)]
    Client(#[from] SourceError),
    /// A partition cannot be read.
    #[error(
        "cannot read topic `{topic}` partition {partition} on {brokers} ({reason}); check the brokers' logs and the permissions of the job's user"
    )]
    Partition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// The bootstrap servers.
        brokers: String,
        /// The error of librdkafka.
        reason: String,
    },
}

/// Fetches messages with a consumer of its own. Messages of one partition in the order of their offsets are fetched in
/// one pass.
pub struct Fetcher {
    consumer: BaseConsumer<ClientErrors>,
    errors: ClientErrors,
    brokers: String,
    /// The number of partitions of each topic.
    partitions: HashMap<String, i32>,
    /// Where the consumer reads.
    position: Option<Position>,
    /// What was fetched last.
    last: Option<Last>,
}

struct Position {
    topic: String,
    partition: i32,
    /// The next offset that the consumer returns.
    next: i64,
    /// The end of the partition when it was assigned.
    end: i64,
}

struct Last {
    topic: String,
    partition: i32,
    offset: i64,
    message: Option<Arc<Sampled>>,
}

impl Fetcher {
    /// Connects to the brokers. The topic of `options` is not used.
    ///
    /// # Errors
    /// The brokers do not answer, or librdkafka refuses a property.
    pub fn new(options: &TopicOptions) -> Result<Self, FetchError> {
        let (errors, brokers) = (ClientErrors::default(), options.brokers.clone());
        let consumer = consumer_with(options, errors.clone())?;
        // The list of all topics, because asking for one by name creates it on many brokers.
        let metadata = consumer.fetch_metadata(None, ANSWER).map_err(|error| {
            // The reason is in the event queue.
            let _ = consumer.poll(Duration::from_millis(10));
            SourceError::from(errors.unreachable(&brokers, &error))
        })?;
        let count = |topic: &rdkafka::metadata::MetadataTopic| {
            (topic.name().to_owned(), i32::try_from(topic.partitions().len()).unwrap_or(i32::MAX))
        };
        let partitions = metadata.topics().iter().map(count).collect();
        Ok(Self { consumer, errors, brokers, partitions, position: None, last: None })
    }

    /// The message at an offset; none if there is none, or no longer.
    ///
    /// # Errors
    /// The partition cannot be read, or sends nothing for ten seconds.
    pub fn fetch(
        &mut self,
        topic: &str,
        partition: i32,
        offset: i64,
    ) -> Result<Option<Arc<Sampled>>, FetchError> {
        if let Some(last) = &self.last
            && (&*last.topic, last.partition, last.offset) == (topic, partition, offset)
        {
            return Ok(last.message.clone());
        }
        let message = match self.reach(topic, partition, offset)? {
            true => self.read(topic, partition, offset)?.map(Arc::new),
            false => None,
        };
        self.last = Some(Last { topic: topic.to_owned(), partition, offset, message: message.clone() });
        Ok(message)
    }

    /// Assigns the partition at the offset, unless it is read there anyway. Returns whether it has the offset.
    fn reach(&mut self, topic: &str, partition: i32, offset: i64) -> Result<bool, FetchError> {
        if let Some(at) = &self.position
            && (&*at.topic, at.partition) == (topic, partition)
            && (at.next..at.next + NEAR).contains(&offset)
            && offset < at.end
        {
            return Ok(true);
        }
        if self.partitions.get(topic).is_none_or(|count| !(0..*count).contains(&partition)) {
            return Ok(false);
        }
        let (low, end) = self
            .consumer
            .fetch_watermarks(topic, partition, ANSWER)
            .map_err(|error| SourceError::from(self.errors.unreachable(&self.brokers, &error)))?;
        if !(low..end).contains(&offset) {
            return Ok(false);
        }
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|error| self.failed(topic, partition, reason(&error)))?;
        self.position = Some(Position { topic: topic.to_owned(), partition, next: offset, end });
        Ok(true)
    }

    /// Reads the assigned partition up to the offset.
    fn read(&mut self, topic: &str, partition: i32, offset: i64) -> Result<Option<Sampled>, FetchError> {
        let mut deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let seconds = PATIENCE.as_secs();
                return Err(self.failed(topic, partition, format!("it sent nothing for {seconds} s")));
            }
            match self.consumer.poll(left) {
                Some(Ok(message)) if message.topic() == topic && message.partition() == partition => {
                    deadline = Instant::now() + PATIENCE;
                    let found = message.offset();
                    if let Some(position) = &mut self.position {
                        position.next = found + 1;
                    }
                    if found > offset {
                        // Compaction has removed it, or it is a mark of a transaction.
                        return Ok(None);
                    }
                    if found == offset {
                        return Ok(Some(Sampled {
                            topic: Some(topic.into()),
                            partition,
                            offset,
                            timestamp: message.timestamp().to_millis(),
                            key: message.key().map(<[u8]>::to_vec),
                            headers: OwnHeaders::of(&message),
                            payload: message.payload().map(<[u8]>::to_vec),
                        }));
                    }
                }
                // Of an earlier assignment.
                Some(Ok(_)) | None => {}
                Some(Err(KafkaError::PartitionEOF(of))) if of == partition => {
                    self.position = None;
                    return Ok(None);
                }
                Some(Err(error)) => match error.rdkafka_error_code().map(Fault::of) {
                    Some(Fault::OutOfRange) => {
                        self.position = None;
                        return Ok(None);
                    }
                    Some(Fault::Fatal) => return Err(self.failed(topic, partition, reason(&error))),
                    // The client retries by itself.
                    _ => {}
                },
            }
        }
    }

    fn failed(&self, topic: &str, partition: i32, reason: String) -> FetchError {
        FetchError::Partition { topic: topic.to_owned(), partition, brokers: self.brokers.clone(), reason }
    }
}
