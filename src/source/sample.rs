//! Takes a bounded sample of the messages of an input. Nothing is decoded or committed.
//!
//! ```text
//! topic   the first and last messages of each partition, the same number of each
//! file    the first messages
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dataflows::item::Item;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers as _};
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::{Polled, Reader, SourceError};
use crate::decode::{Counted, Decode, Headers, Message};
use crate::runtime::clock::{Clock, Limits};

/// The limits of a sample.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Messages.
    pub messages: usize,
    /// Approximate bytes of keys and payloads: the share of a partition ends with the message that exceeds it.
    pub bytes: usize,
    /// How long it may take.
    pub time: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { messages: 1000, bytes: 8 << 20, time: Duration::from_secs(5) }
    }
}

/// A message of a sample.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sampled {
    /// The topic; none for a file.
    pub topic: Option<Arc<str>>,
    /// The partition; 0 for a file.
    pub partition: i32,
    /// The offset, or the number of the line from 0.
    pub offset: i64,
    /// Kafka's timestamp in milliseconds since 1970, if the message has one.
    pub timestamp: Option<i64>,
    /// The key, if the message has one.
    pub key: Option<Vec<u8>>,
    /// The headers, in their order.
    pub headers: OwnHeaders,
    /// The value; `None` for a tombstone.
    pub payload: Option<Vec<u8>>,
}

impl Sampled {
    /// The message for a decoder.
    pub fn message(&self) -> Message<'_> {
        let Self { ref topic, partition, offset, timestamp, ref key, ref payload, ref headers } = *self;
        let (key, payload, headers) = (key.as_deref(), payload.as_deref(), Some(headers as &dyn Headers));
        Message { topic: topic.as_ref(), partition, offset, timestamp, key, payload, headers }
    }

    fn bytes(&self) -> usize {
        [&self.key, &self.payload].into_iter().flatten().map(Vec::len).sum()
    }
}

/// The headers of a message: names and values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnHeaders(pub Vec<(String, Option<Vec<u8>>)>);

impl OwnHeaders {
    pub(super) fn of<M: rdkafka::Message>(message: &M) -> Self {
        let owned = |header: Header<'_, &[u8]>| (header.key.to_owned(), header.value.map(<[u8]>::to_vec));
        Self(message.headers().map_or_else(Vec::new, |headers| headers.iter().map(owned).collect()))
    }
}

impl Headers for OwnHeaders {
    fn last(&self, name: &str) -> Option<Option<&[u8]>> {
        let (_, value) = self.0.iter().rfind(|(found, _)| found == name)?;
        Some(value.as_deref())
    }
}

/// A sample of an input.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// The header record of a CSV file.
    pub header: Option<Vec<u8>>,
    /// The messages.
    pub messages: Vec<Sampled>,
}

/// The available offsets of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct There {
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub low: i64,
    /// The next offset that will be written.
    pub end: i64,
}

/// The offsets to take from a partition, without `to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: i64,
    to: i64,
}

/// Distributes `messages` over the partitions that are not empty: the first and the last of each. If there are more
/// partitions than messages, some partitions are skipped.
fn distribute(there: &[There], messages: usize) -> [BTreeMap<i32, Span>; 2] {
    let with_messages: Vec<&There> = there.iter().filter(|at| at.low < at.end).collect();
    let step = with_messages.len().div_ceil(messages.max(1)).max(1);
    let taken: Vec<&There> = with_messages.into_iter().step_by(step).collect();
    let share = (messages / taken.len().max(1)).max(1) as i64;
    let mut rounds = [BTreeMap::new(), BTreeMap::new()];
    for at in taken {
        let last = share.min(at.end - at.low) - share / 2;
        let mut add = |round: usize, from, to| {
            if from < to {
                rounds[round].insert(at.partition, Span { from, to });
            }
        };
        if at.end - at.low <= share {
            add(0, at.low, at.end);
        } else {
            add(0, at.low, at.low + share / 2);
            add(1, at.end - last, at.end);
        }
    }
    rounds
}

/// Takes a sample of a topic with a consumer, whose assignment is replaced.
///
/// # Errors
/// The topic cannot be assigned. Messages that do not arrive in time are left out.
pub fn of_topic<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    there: &[There],
    bounds: Bounds,
) -> Result<Sample, KafkaError> {
    let mut sample = Sample::default();
    let rounds = distribute(there, bounds.messages);
    let spans: usize = rounds.iter().map(BTreeMap::len).sum();
    let bytes = bounds.bytes / spans.max(1);
    let began = Instant::now();
    for (spans, deadline) in rounds.into_iter().zip([bounds.time / 2, bounds.time]) {
        let deadline = began + deadline;
        let mut list = TopicPartitionList::new();
        for (&partition, span) in &spans {
            list.add_partition_offset(topic, partition, Offset::Offset(span.from))?;
        }
        if spans.is_empty() {
            continue;
        }
        consumer.assign(&list)?;
        take(consumer, topic, spans, bytes, deadline, &mut sample.messages)?;
    }
    consumer.unassign()?;
    Ok(sample)
}

/// Takes spans of partitions, about `bytes` at most of each.
fn take<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topic: &str,
    mut spans: BTreeMap<i32, Span>,
    bytes: usize,
    deadline: Instant,
    messages: &mut Vec<Sampled>,
) -> Result<(), KafkaError> {
    let mut taken: BTreeMap<i32, usize> = BTreeMap::new();
    let name: Arc<str> = topic.into();
    while !spans.is_empty() {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let done = match consumer.poll(left) {
            Some(Ok(message)) => {
                let (partition, offset) = (message.partition(), message.offset());
                let Some(span) = spans.get(&partition) else { continue };
                if offset >= span.to {
                    Some(partition)
                } else {
                    let sampled = Sampled {
                        topic: Some(name.clone()),
                        partition,
                        offset,
                        timestamp: message.timestamp().to_millis(),
                        key: message.key().map(<[u8]>::to_vec),
                        headers: OwnHeaders::of(&message),
                        payload: message.payload().map(<[u8]>::to_vec),
                    };
                    let taken = taken.entry(partition).or_default();
                    *taken += sampled.bytes();
                    messages.push(sampled);
                    (offset + 1 >= span.to || *taken >= bytes).then_some(partition)
                }
            }
            // The last offsets of the span may be control records or compacted.
            Some(Err(KafkaError::PartitionEOF(partition))) => Some(partition),
            // The client retries by itself.
            Some(Err(_)) | None => None,
        };
        if let Some(partition) = done.filter(|partition| spans.remove(partition).is_some()) {
            // Messages of the partition that were already fetched would delay those of others.
            let mut list = TopicPartitionList::new();
            list.add_partition(topic, partition);
            consumer.incremental_unassign(&list)?;
        }
    }
    Ok(())
}

/// Takes the first messages of a reader of a file.
///
/// # Errors
/// The file cannot be read.
pub fn of_reader(mut reader: impl Reader, bounds: Bounds) -> Result<Sample, SourceError> {
    let (clock, deadline) = (Clock::new(Limits::NONE, 0), Instant::now() + bounds.time);
    let mut collect = Collect { sample: Sample::default(), bounds };
    while !collect.is_full() && Instant::now() < deadline {
        match reader.poll(&clock, &mut collect)? {
            Polled::Read(_) => {}
            // A sample does not wait for later messages.
            Polled::Idle | Polled::End => break,
        }
    }
    Ok(collect.sample)
}

/// Collects messages until the bounds are reached.
struct Collect {
    sample: Sample,
    bounds: Bounds,
}

impl Collect {
    fn is_full(&self) -> bool {
        self.bounds.messages == 0 || self.bounds.bytes == 0
    }
}

impl Decode for Collect {
    fn set_wall_clock(&mut self, _wall: i64) {}

    fn header(&mut self, header: &[u8]) {
        self.sample.header = Some(header.to_vec());
    }

    fn decode(&mut self, message: &Message<'_>) {
        if self.is_full() {
            return;
        }
        let &Message { partition, offset, timestamp, key, payload, .. } = message;
        let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        let (key, payload) = (owned(key), owned(payload));
        let sampled = Sampled { partition, offset, timestamp, key, payload, ..Sampled::default() };
        self.bounds.messages -= 1;
        self.bounds.bytes = self.bounds.bytes.saturating_sub(sampled.bytes());
        self.sample.messages.push(sampled);
    }

    fn take(&mut self, _items: &mut Vec<Item>) {}

    fn take_counts(&mut self, _count: &mut dyn FnMut(Counted<'_>, u64)) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::file::{LineReader, Lines, Options};

    fn there(partition: i32, low: i64, end: i64) -> There {
        There { partition, low, end }
    }

    #[test]
    fn messages_are_taken_from_both_ends_of_partitions_that_are_not_empty() {
        let span = |from, to| Span { from, to };
        let partitions = [there(0, 5, 1005), there(1, 0, 0), there(2, 10, 13), there(3, 0, 2000)];
        let [first, last] = distribute(&partitions, 30);
        let expected = [(0, span(5, 10)), (2, span(10, 13)), (3, span(0, 5))];
        assert_eq!(first, expected.into());
        assert_eq!(last, [(0, span(1000, 1005)), (3, span(1995, 2000))].into());
        // One per partition: the last.
        let [first, last] = distribute(&partitions, 3);
        assert!(first.is_empty(), "{first:?}");
        assert_eq!(last, [(0, span(1004, 1005)), (2, span(12, 13)), (3, span(1999, 2000))].into());
        // Fewer messages than partitions.
        let many: Vec<There> = (0..1000).map(|partition| there(partition, 0, 9)).collect();
        let [first, last] = distribute(&many, 100);
        assert_eq!((first.len(), last.len()), (0, 100));
        assert!(last.keys().eq((0..1000).step_by(10).collect::<Vec<_>>().iter()));
        assert!(distribute(&[], 10).iter().all(BTreeMap::is_empty));
    }

    #[test]
    fn a_sample_of_a_file_is_bounded_in_messages_and_bytes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let lines: String = (0..50).map(|number| format!("line {number:02}\n")).collect();
        std::fs::write(file.path(), lines).unwrap();
        let sample = |messages, bytes| {
            let reader =
                LineReader::new(Lines::open(file.path().to_str().unwrap(), &[], Options::default()).unwrap());
            let bounds = Bounds { messages, bytes, ..Bounds::default() };
            of_reader(reader, bounds).unwrap().messages
        };
        let all = sample(1000, 1000);
        assert_eq!((all.len(), all[49].offset, all[49].payload.as_deref()), (50, 49, Some(&b"line 49"[..])));
        assert_eq!(sample(7, 1000).len(), 7);
        // The line that exceeds the bytes is the last one.
        assert_eq!(sample(1000, 15).len(), 3);
    }
}
