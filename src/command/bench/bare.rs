//! The baseline of the benchmark: read the same messages and count them.

use std::fs::File;
use std::io::Read;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use dataflows::item::NextOffset;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::{ClientContext, Message, Offset, TopicPartitionList};
use serde::Serialize;

use super::error::BenchError;
use super::figures::Run;
use crate::command::error::Error;
use crate::kafka::codes::reason;
use crate::runtime::failure::Bug;
use crate::runtime::stop::Stop;
use crate::source::SourceError;
use crate::source::kafka::{Beginning, TopicOptions, TopicReader, TopicSet, consumer_with};

/// Timeouts of a single poll.
const BATCH_WAIT: Duration = Duration::from_millis(2);
const POLL_WAIT: Duration = Duration::from_millis(50);
/// Give up if a broker sends nothing for this long.
const SILENCE: Duration = Duration::from_secs(60);
/// A client context that logs errors at debug level only. Errors that end a read are returned by it.
pub(super) struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "Kafka client");
    }
}

impl ConsumerContext for Quiet {}

/// Bytes per read of a file.
const BUFFER: usize = 1 << 18;

/// A baseline reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Way {
    /// `rd_kafka_consume_batch_queue` on each consumer's queue.
    Batch,
    /// rdkafka's safe `BaseConsumer::poll`, one message per call. Only for one topic, because the ends of partitions
    /// come without its name.
    Poll,
    /// The lines of a file.
    Lines,
}

impl Way {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Batch => "bare consumer, queue batches",
            Self::Poll => "bare consumer, poll",
            Self::Lines => "line count of the file",
        }
    }
}

/// The range of topics to read.
pub(super) struct Span<'a> {
    pub(super) options: &'a TopicOptions,
    pub(super) ends: &'a [NextOffset],
    pub(super) threads: usize,
}

impl Span<'_> {
    fn connect(&self) -> Result<TopicSet, Error> {
        Ok(TopicSet::connect(self.options.clone(), Beginning::default())?.up_to(self.ends))
    }

    /// Reads the range once, with one consumer per thread and the partitions assigned as for the job's workers.
    pub(super) fn read(&self, way: Way, stop: &Stop) -> Result<Run, Error> {
        let topics = self.connect()?;
        let offsets = self.offsets(&topics.starts());
        let (messages, seconds) = match way {
            Way::Poll => {
                let polled = (0..self.threads).map(|index| Polled::new(self, &topics, index));
                let polled = polled.collect::<Result<Vec<_>, _>>()?;
                timed(polled, |mut polled| polled.count(stop))?
            }
            Way::Batch | Way::Lines => {
                let readers = (0..self.threads).map(|index| topics.reader(index, self.threads));
                let readers = readers.collect::<Result<Vec<_>, _>>()?;
                timed(readers, |reader| count(reader, stop))?
            }
        };
        if stop.requested() {
            return Err(BenchError::Interrupted.into());
        }
        // An offset without a message (compacted, or a transaction marker) counts for both sides.
        Ok(Run { messages, ..Run::of(offsets, seconds) })
    }

    /// The number of offsets from `starts` to the ends.
    pub(super) fn offsets(&self, starts: &[NextOffset]) -> u64 {
        let is_same = |start: &&NextOffset, end: &NextOffset| {
            (&start.topic, start.partition) == (&end.topic, end.partition)
        };
        let start = |end: &NextOffset| starts.iter().find(|start| is_same(start, end));
        let long = |end: &NextOffset| (end.offset - start(end).map_or(end.offset, |at| at.offset)).max(0);
        self.ends.iter().map(long).sum::<i64>() as u64
    }
}

/// Runs each reader on its own thread. Returns the total count and the elapsed seconds.
fn timed<R: Send>(
    readers: Vec<R>,
    count: impl Fn(R) -> Result<u64, SourceError> + Sync,
) -> Result<(u64, f64), Error> {
    let start = Barrier::new(readers.len() + 1);
    let (start, count) = (&start, &count);
    std::thread::scope(|scope| {
        let work = |reader| {
            scope.spawn(move || {
                start.wait();
                count(reader)
            })
        };
        let threads: Vec<_> = readers.into_iter().map(work).collect();
        start.wait();
        let began = Instant::now();
        let counts = threads.into_iter().map(|thread| thread.join().map_err(|_| Bug("a consumer")));
        let counts = counts.collect::<Result<Vec<_>, _>>()?;
        let seconds = began.elapsed().as_secs_f64();
        Ok((counts.into_iter().sum::<Result<u64, _>>()?, seconds))
    })
}

fn count(mut reader: TopicReader, stop: &Stop) -> Result<u64, SourceError> {
    let (mut total, mut last_seen) = (0, Instant::now());
    while let Some(count) = reader.count(BATCH_WAIT)? {
        if count > 0 {
            last_seen = Instant::now();
        }
        check(last_seen)?;
        if stop.requested() {
            break;
        }
        total += count;
    }
    Ok(total)
}

fn check(last_seen: Instant) -> Result<(), SourceError> {
    match last_seen.elapsed() > SILENCE {
        true => Err(SourceError::Silent { seconds: SILENCE.as_secs() }),
        false => Ok(()),
    }
}

/// A consumer read with `poll`.
struct Polled {
    consumer: BaseConsumer<Quiet>,
    topic: String,
    /// The end offset by partition; `i64::MIN` once the partition has been read.
    ends: Vec<i64>,
    unfinished: usize,
}

impl Polled {
    fn new(span: &Span<'_>, topic: &TopicSet, index: usize) -> Result<Self, SourceError> {
        let consumer = consumer_with(span.options, Quiet)?;
        let name = topic.names().next().map_or_else(String::new, |name| name.to_string());
        let mut ends = Vec::new();
        let mut assignment = TopicPartitionList::new();
        for start in topic.starts() {
            let partition = start.partition as usize;
            let end = span.ends.iter().find(|end| end.partition == start.partition);
            let Some(end) = end.filter(|end| end.offset > start.offset) else { continue };
            if partition % span.threads == index {
                ends.resize(ends.len().max(partition + 1), i64::MIN);
                ends[partition] = end.offset;
                assignment
                    .add_partition_offset(&name, start.partition, Offset::Offset(start.offset))
                    .map_err(|error| failed(&name, &error))?;
            }
        }
        if assignment.count() > 0 {
            consumer.assign(&assignment).map_err(|error| failed(&name, &error))?;
        }
        Ok(Self { consumer, topic: name, ends, unfinished: assignment.count() })
    }

    fn count(&mut self, stop: &Stop) -> Result<u64, SourceError> {
        let (mut count, mut last_seen) = (0, Instant::now());
        while self.unfinished > 0 && !stop.requested() {
            let (partition, next) = match self.consumer.poll(POLL_WAIT) {
                Some(Ok(message)) => {
                    let (partition, offset) = (message.partition() as usize, message.offset());
                    count += u64::from(offset < self.ends[partition]);
                    (partition, offset + 1)
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => (partition as usize, i64::MAX),
                Some(Err(error)) => return Err(failed(&self.topic, &error)),
                None => {
                    check(last_seen)?;
                    continue;
                }
            };
            if next >= self.ends[partition] && self.ends[partition] > i64::MIN {
                self.ends[partition] = i64::MIN;
                self.unfinished -= 1;
            }
            // Reading the clock for every message would be too slow.
            if count % 1024 == 0 {
                last_seen = Instant::now();
            }
        }
        Ok(count)
    }
}

fn failed(topic: &str, error: &KafkaError) -> SourceError {
    SourceError::Kafka { topic: topic.to_owned(), partition: -1, reason: reason(error) }
}

/// Counts the lines of a file, at most `limit`.
pub(super) fn lines(path: &str, limit: u64, stop: &Stop) -> Result<Run, Error> {
    let cannot = |source| SourceError::File { path: path.to_owned(), source };
    let began = Instant::now();
    let mut file = File::open(path).map_err(cannot)?;
    let mut buffer = vec![0; BUFFER];
    let (mut lines, mut last) = (0, b'\n');
    while lines < limit && !stop.requested() {
        let bytes = file.read(&mut buffer).map_err(cannot)?;
        if bytes == 0 {
            // The last line may lack a line feed.
            lines += u64::from(last != b'\n');
            break;
        }
        last = buffer[bytes - 1];
        lines += memchr::memchr_iter(b'\n', &buffer[..bytes]).count() as u64;
    }
    if stop.requested() {
        return Err(BenchError::Interrupted.into());
    }
    let seconds = began.elapsed().as_secs_f64();
    Ok(Run { messages: lines, ..Run::of(lines, seconds) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_last_line_without_a_line_feed_is_counted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        for (text, expected) in [("", 0), ("a\n", 1), ("a\nb", 2), ("\n\n", 2)] {
            std::fs::write(path, text).unwrap();
            assert_eq!(lines(path, u64::MAX, &Stop::default()).unwrap().records, expected);
        }
    }
}
