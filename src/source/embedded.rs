//! An in-process Kafka broker that is fed from a file.
//!
//! librdkafka's mock cluster keeps at most 5 MiB or 100,000 message sets per partition and silently drops the oldest.
//! The feeder therefore stays only a fraction of that ahead of the commits. The cluster lives as long as the process: a
//! restart feeds the file again from its beginning, in the same order to the same partitions, and does not wait for
//! commits of messages that were committed before.
//!
//! A line must have the same offset each time. So no message is sent twice, and readers take a message only when the
//! broker has acknowledged it at the offset of its line; another offset ends the job. An idempotent producer would be
//! no safer, because the mock broker checks the sequence numbers of transactions only, and it starts slowly: without a
//! connection at its first attempt it requests its id again after 500 ms (`rdkafka_idempotence.c`).

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataflows::item::{Mark, NextOffset};
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientContext, Message};

use super::SourceError;
use super::file::{LINE_LIMIT, TextError, TextLines, Unfinished};

/// Number of partitions of the embedded topic.
pub const PARTITIONS: i32 = 4;
/// Maximum uncommitted bytes per partition: well below the 5 MiB that it keeps.
const AHEAD_BYTES: usize = 2 << 20;
/// Maximum uncommitted messages per partition: below the 100,000 that it keeps even if each is a message set of its own.
const AHEAD_MESSAGES: i64 = 60_000;
/// Longer lines bypass the broker: it loses the messages after one that is larger than everything it keeps, and a
/// producer accepts at most a million bytes.
const LARGE: usize = 512 << 10;
/// How long the broker may take to accept what was sent.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);
/// The bytes counted for a message in addition to its payload.
const OVERHEAD: usize = 64;
/// The settings of the producer.
const PROPERTIES: [(&str, &str); 6] = [
    ("acks", "all"),
    // A message that is sent again could be stored twice.
    ("retries", "0"),
    // A process that was stopped for a while finds its messages acknowledged, not timed out.
    ("message.timeout.ms", "0"),
    ("socket.timeout.ms", "300000"),
    ("linger.ms", "2"),
    ("queue.buffering.max.messages", "100000"),
];

/// What the feeder of a topic shares with its readers.
#[derive(Debug, Default)]
pub struct Feed {
    /// The end offsets of the partitions, known when everything was fed.
    ends: OnceLock<Vec<i64>>,
    /// For each partition, the offset of the first message that the broker has not acknowledged.
    acknowledged: [AtomicI64; PARTITIONS as usize],
    /// For each partition, the offset of the first uncommitted message, and the marks of the uncommitted messages: of
    /// the bytes of the file up to the end of each.
    marks: Mutex<Vec<(i64, VecDeque<Mark>)>>,
    /// Lines that are too large for the broker, by partition and offset. Empty messages stand in for them.
    large: Mutex<HashMap<(i32, i64), Vec<u8>>>,
    /// Why the feeder failed.
    failure: Mutex<Option<SourceError>>,
    has_failed: AtomicBool,
    /// The last line, if it was left because it has no line end.
    unfinished: OnceLock<Unfinished>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// Creates a feed. Readers end each partition at its offset in `ends`, or at the end that is known after feeding.
    pub fn new(ends: Option<Vec<i64>>) -> Arc<Self> {
        let marks = (0..PARTITIONS).map(|_| Default::default()).collect();
        let ends = ends.map_or_else(OnceLock::new, OnceLock::from);
        Arc::new(Self { ends, marks: Mutex::new(marks), ..Self::default() })
    }

    /// The end offsets of the partitions, once known.
    pub fn ends(&self) -> Option<&[i64]> {
        self.ends.get().map(Vec::as_slice)
    }

    /// The mark of the bytes of the file up to the end of the message before `next`, if that is not committed yet.
    pub fn mark(&self, partition: i32, next: i64) -> Option<Mark> {
        let marks = lock(&self.marks);
        let (first, marks) = marks.get(partition as usize)?;
        marks.get(usize::try_from(next - 1 - first).ok()?).copied()
    }

    /// Whether the broker has acknowledged a message at the offset of its line.
    pub fn is_acknowledged(&self, partition: i32, offset: i64) -> bool {
        self.acknowledged.get(partition as usize).is_some_and(|next| offset < next.load(SeqCst))
    }

    /// Records that the broker stores the line that belongs at `expected` at this offset.
    pub(super) fn acknowledge(&self, partition: i32, offset: i64, expected: i64) {
        let next = self.acknowledged.get(partition as usize);
        // Acknowledgements arrive in the order of the offsets, unless a message before this one failed.
        let has_followed = |next: &AtomicI64| {
            offset == expected
                && next.compare_exchange(expected, expected + 1, SeqCst, SeqCst) == Ok(expected)
        };
        if !next.is_some_and(has_followed) {
            let reason = format!("it stored message {expected} of partition {partition} at offset {offset}");
            self.fail(failed(reason));
        }
    }

    /// Takes the line for which an empty message stands.
    pub fn take_large(&self, partition: i32, offset: i64) -> Option<Vec<u8>> {
        lock(&self.large).remove(&(partition, offset))
    }

    fn fail(&self, error: SourceError) {
        lock(&self.failure).get_or_insert(error);
        self.has_failed.store(true, SeqCst);
    }

    /// Takes the error of the feeder, if there is one.
    pub fn take_failure(&self) -> Option<SourceError> {
        // Readers check often, and mostly there is none.
        if self.has_failed.load(SeqCst) { lock(&self.failure).take() } else { None }
    }

    /// The last line of the file, if it was left because it has no line end.
    pub fn unfinished(&self) -> Option<Unfinished> {
        self.unfinished.get().cloned()
    }

    fn add_mark(&self, partition: usize, offset: i64, mark: Mark) {
        let (first, marks) = &mut lock(&self.marks)[partition];
        if marks.is_empty() {
            *first = offset;
        }
        marks.push_back(mark);
    }

    /// Drops the marks of the messages before `offset`.
    fn commit(&self, partition: usize, offset: i64) {
        let (first, marks) = &mut lock(&self.marks)[partition];
        while *first < offset && marks.pop_front().is_some() {
            *first += 1;
        }
    }
}

/// Reports a panic of the feeder to the readers, which would wait forever otherwise.
struct Guard(Arc<Feed>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(failed("its feeder panicked; this is a bug in truckflow, please report it"));
        }
    }
}

/// Reports acknowledgements and delivery errors to the readers.
struct Deliveries(Arc<Feed>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    /// The offset at which the message belongs.
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, expected: usize) {
        // Messages that are still queued when the feeder ends are purged.
        let is_purged = |code| matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight);
        match result {
            Ok(message) => self.0.acknowledge(message.partition(), message.offset(), expected as i64),
            Err((error, _)) if error.rdkafka_error_code().is_some_and(is_purged) => {}
            Err((error, _)) => self.0.fail(failed(error)),
        }
    }
}

fn failed(error: impl std::fmt::Display) -> SourceError {
    SourceError::Embedded(error.to_string())
}

/// The in-process cluster, on its own thread, because it is not `Send`.
pub struct Embedded {
    brokers: String,
    /// Dropping this ends the cluster.
    lives: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts a cluster of one broker with `topic`.
    pub fn start(topic: &str) -> Result<Self, SourceError> {
        let (lives, ends) = channel::<()>();
        let (report, started) = channel();
        let topic = topic.to_owned();
        let broker = move || {
            let start = || {
                let cluster = MockCluster::new(1)?;
                cluster.create_topic(&topic, PARTITIONS, 1)?;
                Ok(cluster)
            };
            let cluster: Result<_, KafkaError> = start();
            let brokers = cluster.as_ref().map(MockCluster::bootstrap_servers).map_err(Clone::clone);
            // An error means that the start was given up.
            let _ = report.send(brokers);
            let _ = ends.recv();
        };
        let thread = std::thread::Builder::new().name("broker".into()).spawn(broker).map_err(failed)?;
        let brokers = started.recv().map_err(|_| failed("its thread panicked"))?.map_err(failed)?;
        Ok(Self { brokers, lives: Some(lives), thread: Some(thread) })
    }

    /// Its bootstrap servers.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        drop(self.lives.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!(
                "the thread of the embedded broker panicked after the job ended; this is a bug in truckflow, please report it"
            );
        }
    }
}

/// Feeds the lines of a file into an embedded topic, paced by commits.
pub struct Feeder {
    producer: ThreadedProducer<Deliveries>,
    feed: Arc<Feed>,
    topic: Arc<str>,
    committed: Receiver<Vec<NextOffset>>,
    partitions: Vec<Fed>,
}

/// The messages fed to one partition.
#[derive(Debug, Default)]
struct Fed {
    next: i64,
    committed: i64,
    bytes: usize,
    /// The sizes of the uncommitted messages, oldest first.
    sizes: VecDeque<usize>,
    /// Known offsets, and the marks of the bytes of the file before them.
    known: Vec<(i64, Mark)>,
}

impl Fed {
    fn commit(&mut self, offset: i64) {
        self.committed = self.committed.max(offset);
        while self.next - (self.sizes.len() as i64) < self.committed
            && let Some(size) = self.sizes.pop_front()
        {
            self.bytes -= size;
        }
    }

    fn feed(&mut self, size: usize) {
        self.next += 1;
        if self.next > self.committed {
            self.sizes.push_back(size);
            self.bytes += size;
        }
    }

    /// Whether the file, whose bytes up to here have this `mark`, differs from the one that was read before.
    fn is_other(&self, mark: Mark) -> bool {
        self.known.iter().any(|(offset, known)| *offset == self.next && *known != mark)
    }

    /// Whether it can hold one more message.
    fn has_room(&self) -> bool {
        self.bytes < AHEAD_BYTES && (self.sizes.len() as i64) < AHEAD_MESSAGES
    }
}

impl Feeder {
    /// Creates a feeder of `topic` at `brokers`, which reports to `feed`. `resume` is the last commit, and later ones
    /// arrive in `committed`. The marks of the offsets in `known` identify the file that was read.
    pub fn new(
        brokers: &str,
        topic: &str,
        feed: Arc<Feed>,
        resume: &[NextOffset],
        known: &[NextOffset],
        committed: Receiver<Vec<NextOffset>>,
    ) -> Result<Self, SourceError> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", brokers);
        for (name, value) in PROPERTIES {
            config.set(name, value);
        }
        let producer = config.create_with_context(Deliveries(feed.clone())).map_err(failed)?;
        let partitions = (0..PARTITIONS).map(|_| Fed::default()).collect();
        let mut feeder = Self { producer, feed, topic: topic.into(), committed, partitions };
        feeder.commit(resume);
        for at in resume.iter().chain(known).filter(|at| at.topic == feeder.topic) {
            if let (Some(fed), Some(mark)) = (feeder.partitions.get_mut(at.partition as usize), at.mark) {
                fed.known.push((at.offset, mark));
            }
        }
        Ok(feeder)
    }

    fn commit(&mut self, offsets: &[NextOffset]) {
        for at in offsets.iter().filter(|at| at.topic == self.topic) {
            if let Some(fed) = self.partitions.get_mut(at.partition as usize) {
                fed.commit(at.offset);
                self.feed.commit(at.partition as usize, at.offset);
            }
        }
    }

    /// Feeds the file once. Line k goes to partition k modulo [`PARTITIONS`], so that each line has the same offset
    /// after a restart; blank lines do not count. Sends to `ready` when everything committed before was fed. Ends early
    /// when the job has ended. Errors go to the readers.
    pub fn run(mut self, path: &str, ready: Sender<()>) {
        let _guard = Guard(self.feed.clone());
        if let Err(error) = self.feed(path, ready) {
            self.feed.fail(error);
        }
    }

    fn feed(&mut self, path: &str, ready: Sender<()>) -> Result<(), SourceError> {
        let cannot = |error| match error {
            TextError::Io(source) => SourceError::File { path: path.to_owned(), source },
            TextError::Encoding(encoding) => SourceError::Encoding { path: path.to_owned(), encoding },
            TextError::LongLine { line } => {
                SourceError::LongLine { path: path.to_owned(), line, limit: LINE_LIMIT }
            }
        };
        let other = || SourceError::OtherFeed { path: path.to_owned() };
        let mut lines = TextLines::open(Path::new(path), None).map_err(TextError::from).map_err(cannot)?;
        let mut ready = Some(ready);
        let mut line = Vec::new();
        for partition in (0..PARTITIONS as usize).cycle() {
            if ready.is_some() && self.partitions.iter().all(|fed| fed.next >= fed.committed) {
                self.flush()?;
                // An error means that the job has ended.
                let _ = ready.take().map(|ready| ready.send(()));
            }
            if !lines.next(&mut line).map_err(cannot)? {
                break;
            }
            while let Ok(offsets) = self.committed.try_recv() {
                self.commit(&offsets);
            }
            while !self.partitions[partition].has_room() {
                match self.committed.recv() {
                    Ok(offsets) => self.commit(&offsets),
                    Err(_) => return Ok(()),
                }
            }
            let size = line.len() + OVERHEAD;
            if line.len() > LARGE {
                let place = (partition as i32, self.partitions[partition].next);
                lock(&self.feed.large).insert(place, std::mem::take(&mut line));
            }
            self.send(partition, &line, size, lines.mark())?;
            if self.partitions[partition].is_other(lines.mark()) {
                return Err(other());
            }
        }
        if self.partitions.iter().any(|fed| fed.known.iter().any(|(offset, _)| fed.next < *offset)) {
            return Err(other());
        }
        self.flush()?;
        if let Some((line, bytes)) = lines.left() {
            let _ = self.feed.unfinished.set(Unfinished { path: path.to_owned(), line, bytes });
        }
        // Already set if the feed was created with ends.
        let _ = self.feed.ends.set(self.partitions.iter().map(|fed| fed.next).collect());
        Ok(())
    }

    /// Waits until the broker has everything that was sent. The producer's own `flush` checks every 100 ms only.
    fn flush(&self) -> Result<(), SourceError> {
        let due = Instant::now() + FLUSH_LIMIT;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > due {
                return Err(failed(format!("it accepted no message within {} s", FLUSH_LIMIT.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Sends a message, and counts it as `size` bytes.
    fn send(&mut self, partition: usize, payload: &[u8], size: usize, mark: Mark) -> Result<(), SourceError> {
        let (topic, offset) = (self.topic.clone(), self.partitions[partition].next as usize);
        let record = BaseRecord::<(), [u8], usize>::with_opaque_to(&topic, offset);
        let mut record = record.partition(partition as i32).payload(payload);
        loop {
            match self.producer.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((error, _)) => return Err(failed(error)),
            }
        }
        let fed = &mut self.partitions[partition];
        if fed.next >= fed.committed {
            self.feed.add_mark(partition, fed.next, mark);
        }
        fed.feed(size);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    type Cluster = MockCluster<'static, DefaultProducerContext>;

    const LINES: usize = 10;

    /// A broker with an empty topic, and a folder with a file of some lines.
    fn place() -> (Cluster, tempfile::TempDir) {
        let cluster: Cluster = MockCluster::new(1).unwrap();
        cluster.create_topic("t", PARTITIONS, 1).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("lines"), "{}\n".repeat(LINES)).unwrap();
        (cluster, folder)
    }

    /// Feeds the file once, to its end.
    fn fed(cluster: &Cluster, folder: &tempfile::TempDir) -> Arc<Feed> {
        let (feed, committed) = (Feed::new(None), channel().1);
        let feeder =
            Feeder::new(&cluster.bootstrap_servers(), "t", feed.clone(), &[], &[], committed).unwrap();
        feeder.run(folder.path().join("lines").to_str().unwrap(), channel().0);
        feed
    }

    fn acknowledged(feed: &Feed) -> Vec<i64> {
        feed.acknowledged.iter().map(|next| next.load(SeqCst)).collect()
    }

    /// An idempotent producer requested its id before it had a connection, and again only 500 ms later.
    #[test]
    fn feeding_waits_for_no_producer_id() {
        let (cluster, folder) = place();
        // More refusals than there are attempts.
        let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS;
        cluster.request_errors(RDKafkaApiKey::InitProducerId, &[refused; 1000]);
        let feed = fed(&cluster, &folder);
        assert!(feed.take_failure().is_none());
        assert_eq!(feed.ends(), Some(&[3, 3, 2, 2][..]));
        assert_eq!(acknowledged(&feed), [3, 3, 2, 2]);
        assert!(feed.is_acknowledged(1, 2) && !feed.is_acknowledged(1, 3) && !feed.is_acknowledged(2, 2));
    }

    #[test]
    fn a_line_at_another_offset_is_not_read() {
        let (cluster, folder) = place();
        let other: rdkafka::producer::BaseProducer = {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", cluster.bootstrap_servers()).create().unwrap()
        };
        other.send(BaseRecord::<(), str>::to("t").partition(1).payload("{}")).map_err(|(e, _)| e).unwrap();
        other.flush(FLUSH_LIMIT).unwrap();
        let feed = fed(&cluster, &folder);
        let failure = feed.take_failure().unwrap().to_string();
        assert!(failure.contains("it stored message 0 of partition 1 at offset 1"), "{failure}");
        assert_eq!(acknowledged(&feed), [3, 0, 2, 2]);
    }

    #[test]
    fn a_message_that_fails_is_not_sent_again() {
        let (cluster, folder) = place();
        let passing = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND;
        cluster.request_errors(RDKafkaApiKey::Produce, &[passing]);
        let feed = fed(&cluster, &folder);
        let failure = feed.take_failure().unwrap().to_string();
        assert!(failure.contains("NotEnoughReplicasAfterAppend"), "{failure}");
        assert!(acknowledged(&feed).contains(&0), "{:?}", acknowledged(&feed));
    }

    #[test]
    fn a_partition_has_room_again_when_its_messages_are_committed() {
        let mut fed = Fed::default();
        for _ in 0..AHEAD_MESSAGES {
            fed.feed(1);
        }
        assert!(!fed.has_room());
        fed.commit(10);
        assert!(fed.has_room());
        assert_eq!((fed.bytes, fed.sizes.len()), (59_990, 59_990));
        // After a restart the feeder starts over, and does not wait for what was committed.
        let mut fed = Fed::default();
        fed.commit(1_000_000);
        for _ in 0..1_000_001 {
            assert!(fed.has_room());
            fed.feed(AHEAD_BYTES);
        }
        assert!(!fed.has_room());
    }

    #[test]
    fn marks_are_known_until_they_are_committed() {
        let feed = Feed::new(None);
        let mark = |bytes| Mark { bytes, hash: 0 };
        for offset in 5..9 {
            feed.add_mark(1, offset, mark(offset as u64));
        }
        assert_eq!((feed.mark(1, 6), feed.mark(1, 9)), (Some(mark(5)), Some(mark(8))));
        assert_eq!((feed.mark(1, 5), feed.mark(1, 10), feed.mark(0, 6)), (None, None, None));
        feed.commit(1, 7);
        assert_eq!((feed.mark(1, 7), feed.mark(1, 8)), (None, Some(mark(7))));
        feed.commit(1, 20);
        feed.add_mark(1, 9, mark(9));
        assert_eq!(feed.mark(1, 10), Some(mark(9)));
    }
}
