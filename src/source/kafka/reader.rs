//! Reads the partitions of one worker.

use super::client::Logged;
use super::doubt::{Doubt, Doubts};
use super::found::{Found, Span, TROUBLE_FOR, unpoisoned};
use super::options::TopicOptions;
use super::queue::{Fetched, Queue, is_of, reading};
use super::topic_index::{TopicIndex, TopicPartition};
use crate::decode::{Decode, Message};
use crate::kafka::codes::{Fault, reason};
use crate::runtime::clock::{Clock, Tick};
use crate::source::embedded::Feed;
use crate::source::{BATCH_RECORDS, Polled, Reader, SourceError};
use dataflows::Epoch;
use dataflows::item::{Arrival, NextOffset};
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// The reader of one worker's partitions.
pub struct TopicReader {
    pub(super) topics: TopicIndex,
    /// The index of its worker, and the number of workers.
    pub(super) share: (usize, usize),
    pub(super) found: Arc<Found>,
    /// The number of findings that were taken.
    pub(super) seen: usize,
    pub(super) doubts: Doubts,
    pub(super) options: TopicOptions,
    /// The version of the properties that the consumer has.
    pub(super) version: u64,
    /// The epoch that must be committed before the consumer is replaced.
    pub(super) renews_after: Option<Epoch>,
    /// The feed of an embedded broker, whose end offsets are known when everything was fed.
    pub(super) feed: Option<Arc<Feed>>,
    pub(super) knows_ends: bool,
    /// The number of partitions that have not reached their end; for `until_end` only.
    pub(super) unfinished: usize,
    pub(super) partitions: BTreeMap<TopicPartition, Position>,
    pub(super) arrivals: Vec<Arrival>,
    pub(super) messages: Vec<Option<Fetched>>,
    /// Messages that wait, from the first one that cannot be decoded yet, or that an embedded broker has not acknowledged.
    pub(super) held: VecDeque<Fetched>,
    pub(super) queue: Queue,
    pub(super) consumer: BaseConsumer<Logged>,
}

/// How far a partition was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) span: Span,
    /// Whether it moved since the last call of `positions`.
    pub(super) moved: bool,
    /// The latest event time read, in microseconds.
    pub(super) latest: i64,
    /// Whether the end was reached and nothing was read since.
    pub(super) at_end: bool,
}

impl Position {
    pub(super) fn at(span: Span) -> Self {
        Self { span, moved: false, latest: i64::MIN, at_end: span.next >= span.end }
    }
}

/// The partition of the previous message: messages come in runs of one partition, whose topic is looked up once.
#[derive(Default)]
struct Run(Option<(*const sys::rd_kafka_topic_t, TopicPartition)>);

impl Run {
    /// The partition of a message. All messages of a run must have been fetched when it began: each keeps its topic, so two
    /// of them with the same pointer have the same topic.
    fn at(&mut self, message: &Fetched, topics: &mut TopicIndex) -> TopicPartition {
        let raw = message.raw();
        match self.0 {
            Some((topic, at)) if topic == raw.rkt.cast_const() && at.partition == raw.partition => at,
            _ => {
                let at = topics.at(message.topic().unwrap_or_default(), raw.partition);
                self.0 = Some((raw.rkt, at));
                at
            }
        }
    }
}

impl TopicReader {
    /// Moves fetched messages into `messages`; waits at most for `wait` to fill them.
    pub(super) fn fetch(&mut self, wait: Duration) {
        self.messages.clear();
        self.messages.resize_with(BATCH_RECORDS, || None);
        // SAFETY: `Option<Fetched>` is a nullable pointer (`repr(transparent)` over `NonNull`), so the vector is an array
        // of `BATCH_RECORDS` message pointers; librdkafka writes the first `count` of them, each a message that we own
        // from then on.
        let count = unsafe {
            sys::rd_kafka_consume_batch_queue(
                self.queue.0.as_ptr(),
                wait.as_millis() as i32,
                self.messages.as_mut_ptr().cast(),
                self.messages.len(),
            )
        };
        self.messages.truncate(count.max(0) as usize);
    }

    /// Only counts messages, waiting at most for `wait`, so that `truckflow bench` can measure the cost of reading
    /// alone. `None` when all ends are reached.
    pub fn count(&mut self, wait: Duration) -> Result<Option<u64>, SourceError> {
        if self.unfinished == 0 {
            return Ok(None);
        }
        self.settle()?;
        self.fetch(wait);
        let mut messages = std::mem::take(&mut self.messages);
        let mut count = 0;
        // The end is looked up once per run.
        let (mut run, mut of, mut end) = (Run::default(), None, i64::MAX);
        for fetched in messages.drain(..).flatten() {
            let raw = fetched.raw();
            if raw.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                self.event(&fetched)?;
                continue;
            }
            let at = run.at(&fetched, &mut self.topics);
            if of != Some(at) {
                of = Some(at);
                end = self.partitions.get(&at).map_or(i64::MAX, |position| position.span.end);
            }
            count += u64::from(raw.offset < end);
            if raw.offset + 1 >= end {
                self.move_to(at, end);
            }
        }
        self.messages = messages;
        Ok(Some(count))
    }

    /// Moves a partition to `next`.
    pub(super) fn move_to(&mut self, at: TopicPartition, next: i64) {
        if let Some(position) = self.partitions.get_mut(&at) {
            let before = position.span;
            if next > before.next {
                position.span.next = next;
                position.moved = true;
                if self.options.until_end && before.next < before.end && next >= before.end {
                    self.unfinished -= 1;
                }
            }
        }
    }

    /// Whether a message is at or after the end offset of the start.
    pub(super) fn is_past_end(&self, at: TopicPartition, offset: i64) -> bool {
        self.options.until_end && self.partitions.get(&at).is_some_and(|found| offset >= found.span.end)
    }

    /// Counts the partitions that have not reached their ends, if the reader ends there.
    pub(super) fn count_unfinished(&mut self) {
        if self.options.until_end {
            self.unfinished = self.partitions.values().filter(|at| at.span.next < at.span.end).count();
        }
    }

    /// Takes the end offsets of an embedded topic once they are known, or the error of its feeder.
    pub(super) fn take_ends(&mut self) -> Result<(), SourceError> {
        let Some(feed) = &self.feed else { return Ok(()) };
        if let Some(failure) = feed.take_failure() {
            return Err(failure);
        }
        let Some(ends) = feed.ends().filter(|_| !self.knows_ends) else { return Ok(()) };
        self.knows_ends = true;
        for (at, position) in &mut self.partitions {
            position.span.end = ends.get(at.partition as usize).copied().unwrap_or(0);
        }
        self.count_unfinished();
        Ok(())
    }

    /// Replaces the consumer if the properties were reloaded, once everything read until then is committed. The new one
    /// continues at the next offsets: prefetched messages of the old one are fetched again.
    pub(super) fn renew(&mut self, clock: &Clock) {
        let version = self.options.properties.version();
        if version == self.version {
            return;
        }
        let last = *self.renews_after.get_or_insert_with(|| clock.now());
        if clock.committed() < last && !clock.is_quiet() {
            return;
        }
        (self.version, self.renews_after) = (version, None);
        let is_unread = |at: &Position| !self.options.until_end || at.span.next < at.span.end;
        let unread = self.partitions.iter().filter(|(_, position)| is_unread(position));
        let starts =
            unread.map(|(&at, position)| (&**self.topics.name(at), at.partition, position.span.next));
        match reading(&self.options, starts) {
            Ok((queue, consumer)) => {
                // In this order, because messages and queue belong to the old consumer, whose shutdown may take a while.
                self.held.clear();
                drop(std::mem::replace(&mut self.queue, queue));
                let old = std::mem::replace(&mut self.consumer, consumer);
                std::thread::spawn(move || drop(old));
                let topics = self.options.topics.to_string();
                tracing::info!(topics, "reading continues with a new client");
            }
            Err(error) => {
                let what = self.options.in_health();
                tracing::warn!("{error}; the previous client that reads {what} stays in use");
            }
        }
    }

    /// Takes new findings of the watch.
    pub(super) fn take_findings(&mut self) -> Result<(), SourceError> {
        let count = self.found.count.load(SeqCst);
        if count == self.seen {
            return Ok(());
        }
        self.seen = count;
        if let Some(failure) = unpoisoned(&self.found.failure).take() {
            return Err(failure);
        }
        let found = unpoisoned(&self.found.partitions).clone();
        let (index, workers) = self.share;
        for (topic, partition, next) in found {
            if !is_of(&self.options.topics, &topic, partition, index, workers) {
                continue;
            }
            let at = self.topics.at(&topic, partition);
            if !self.partitions.contains_key(&at) {
                self.assign(at, next)?;
                // Marked as moved so that its start offset is committed, as for the others at a start.
                let span = Span { next, end: i64::MAX };
                self.partitions.insert(at, Position { moved: true, ..Position::at(span) });
            }
        }
        Ok(())
    }

    /// Starts to read a partition at `next`.
    pub(super) fn assign(&self, at: TopicPartition, next: i64) -> Result<(), SourceError> {
        let mut list = TopicPartitionList::new();
        let assigned = list
            .add_partition_offset(self.topics.name(at), at.partition, Offset::Offset(next))
            .and_then(|()| self.consumer.incremental_assign(&list));
        assigned.map_err(|error| self.failed(at, reason(&error)))
    }

    /// Returns why the broker rejects the next offset of a partition, or continues from the earliest available offset if
    /// the messages were deleted and that is allowed.
    pub(super) fn out_of_range(&mut self, at: TopicPartition, low: i64, end: i64) -> Result<(), SourceError> {
        let (topic, partition) = (self.topics.name(at).to_string(), at.partition);
        let Some(from) = self.partitions.get(&at).map(|found| found.span.next) else { return Ok(()) };
        if (low..=end).contains(&from) {
            return Err(self.failed(at, format!(
                "the broker rejects offset {from} although it has offsets {low} to {end}; it may have lost records"
            )));
        }
        if from > end {
            return Err(SourceError::Recreated { topic, partition, end, committed: from });
        }
        if !self.options.continues_on_loss() {
            return Err(SourceError::DataLoss { topic, partition, from, to: low - 1 });
        }
        tracing::warn!(topic, partition, from, low, end, "offsets are missing; continuing from the earliest");
        self.leave(at)?;
        self.assign(at, low)?;
        self.move_to(at, low);
        Ok(())
    }

    /// Handles an entry of the queue that is an error or the end of a partition.
    pub(super) fn event(&mut self, message: &Fetched) -> Result<(), SourceError> {
        let raw = message.raw();
        let (partition, offset) = (raw.partition, raw.offset);
        let of_topic = message.topic().map(ToOwned::to_owned);
        // An error that is about no topic is about all.
        let topic = of_topic.unwrap_or_else(|| self.options.topics.to_string());
        let at = self.topics.at(&topic, partition);
        if raw.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF {
            if let Some(position) = self.partitions.get_mut(&at) {
                position.at_end = true;
            }
            // The last offsets before the end may be control records or compacted.
            if !self.is_past_end(at, offset) {
                self.move_to(at, offset);
            } else if let Some(end) = self.partitions.get(&at).map(|found| found.span.end) {
                self.move_to(at, end);
            }
            return Ok(());
        }
        let code = RDKafkaErrorCode::from(raw.err);
        match Fault::of(code) {
            Fault::OutOfRange => self.doubts.add(at, Doubt::Offset),
            Fault::UnknownTopic => self.doubts.add(at, Doubt::Topic),
            Fault::Fatal => return Err(SourceError::Kafka { topic, partition, reason: code.to_string() }),
            // librdkafka reconnects and retries by itself, and repeats the event until it succeeds.
            Fault::Transient | Fault::TooLarge => {
                tracing::warn!(topic, partition, reason = %code, "Kafka error; the client retries");
                self.found.wait_for(self.topics.name(at), partition, code.to_string(), Some(TROUBLE_FOR));
            }
        }
        Ok(())
    }

    /// Counts a record with this Kafka timestamp.
    pub(super) fn arrive(&mut self, timestamp: i64) {
        match self.arrivals.last_mut() {
            Some(last) if last.timestamp == timestamp => last.records += 1,
            _ => self.arrivals.push(Arrival { timestamp, records: 1 }),
        }
    }
}

impl Reader for TopicReader {
    fn poll<D: Decode>(&mut self, clock: &Clock, decoder: &mut D) -> Result<Polled, SourceError> {
        self.take_ends()?;
        if self.unfinished == 0 {
            return Ok(Polled::End);
        }
        let Tick { epoch, wall } = clock.tick();
        decoder.set_wall_clock(wall);
        self.take_findings()?;
        self.settle()?;
        self.renew(clock);
        if self.held.is_empty() {
            self.fetch(Duration::ZERO);
            self.held.extend(self.messages.drain(..).flatten());
        }
        let (mut records, mut bytes, mut run) = (0, 0, Run::default());
        while let Some(fetched) = self.held.pop_front() {
            let raw = fetched.raw();
            if raw.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                self.event(&fetched)?;
                continue;
            }
            let at = run.at(&fetched, &mut self.topics);
            let (partition, offset) = (raw.partition, raw.offset);
            if self.is_past_end(at, offset) {
                let end = self.partitions.get(&at).map_or(offset, |found| found.span.end);
                self.move_to(at, end);
                continue;
            }
            // Messages that were held were fetched again, if reading was restarted meanwhile.
            if self.partitions.get(&at).is_some_and(|found| offset < found.span.next) {
                continue;
            }
            if self.feed.as_ref().is_some_and(|feed| !feed.is_acknowledged(partition, offset)) {
                self.held.push_front(fetched);
                break;
            }
            let (mut payload, timestamp) = (fetched.payload(), fetched.timestamp());
            let large = match (&self.feed, payload) {
                (Some(feed), Some([])) => feed.take_large(partition, offset),
                _ => None,
            };
            payload = large.as_deref().or(payload);
            let (topic, key) = (Some(self.topics.name(at)), fetched.key());
            let message =
                Message { topic, partition, offset, timestamp, key, payload, headers: Some(&fetched) };
            if !decoder.is_ready(&message) {
                self.held.push_front(fetched);
                break;
            }
            decoder.decode(&message);
            records += 1;
            bytes += payload.map_or(0, <[u8]>::len) as u64;
            if let Some(timestamp) = timestamp {
                self.arrive(timestamp);
            }
            let time = decoder.last_time();
            self.move_to(at, offset + 1);
            if let Some(position) = self.partitions.get_mut(&at) {
                position.latest = time.map_or(position.latest, |time| position.latest.max(time));
                position.at_end = offset + 1 >= position.span.end && self.options.until_end;
            }
        }
        // A position that only moved over control records is committed, too.
        let moved = self.partitions.values().any(|at| at.moved);
        clock.read(records.max(u64::from(moved)), bytes);
        Ok(if moved { Polled::Read(epoch) } else { Polled::Idle })
    }

    fn positions(&mut self, offsets: &mut Vec<NextOffset>, arrivals: &mut Vec<Arrival>) {
        for (&at, position) in self.partitions.iter_mut().filter(|(_, position)| position.moved) {
            let partition = at.partition;
            position.moved = false;
            offsets.push(NextOffset {
                topic: self.topics.name(at).clone(),
                partition,
                offset: position.span.next,
                mark: self.feed.as_ref().and_then(|feed| feed.mark(partition, position.span.next)),
            });
        }
        arrivals.append(&mut self.arrivals);
    }

    fn behind(&self) -> i64 {
        let behind = self.partitions.values().filter(|position| !position.at_end);
        behind.map(|position| position.latest).min().unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;

    use super::super::set::TopicSet;
    use super::super::tests::options;
    use super::*;
    use crate::decode::{Decoder, Mapping};
    use crate::kafka::producer::Producer;
    use crate::kafka::properties::Properties;
    use crate::runtime::clock::Limits;

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn messages_of_an_embedded_broker_wait_for_their_acknowledgement() {
        let cluster: MockCluster<'static, DefaultProducerContext> = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let brokers = cluster.bootstrap_servers();
        let mut producer = Producer::new(&brokers, &Properties::default()).unwrap();
        for _ in 0..3 {
            producer.send("t", Some(0), None, Some(b"{}")).unwrap();
        }
        producer.flush(PATIENCE).unwrap();
        let feed = Feed::new(None);
        let topic = TopicSet::embedded(options(brokers, "t"), &[], 1, feed.clone()).unwrap();
        let mut reader = topic.reader(0, 1).unwrap();
        let clock =
            Clock::new(Limits { interval: Duration::from_secs(1), epochs_in_flight: 2, ..Limits::NONE }, 0);
        let mut decoder = Decoder::new("t".into(), Arc::new(Mapping::trucks()));
        let began = Instant::now();
        let mut poll_until = |is_done: &dyn Fn(&TopicReader) -> bool| {
            while !is_done(&reader) {
                assert!(began.elapsed() < PATIENCE, "timed out");
                reader.poll(&clock, &mut decoder).unwrap();
            }
            reader.partitions.values().map(|at| at.span.next).collect::<Vec<_>>()
        };
        for acknowledged in 0..3 {
            assert_eq!(poll_until(&|reader| !reader.held.is_empty()), [acknowledged]);
            feed.acknowledge(0, acknowledged, acknowledged);
            poll_until(&|reader| reader.partitions.values().all(|at| at.span.next > acknowledged));
        }
        assert_eq!(poll_until(&|_| true), [3]);
    }
}
