//! A broker inside the process, fed from a file: Kafka without a server.
//!
//! librdkafka's mock cluster keeps at most 5 MiB or 100,000 message sets a partition and drops the
//! oldest without a word. The feeder therefore never runs further ahead of what was committed than
//! a part of that. The cluster lives as long as the process: a restart feeds the file again from
//! its beginning, in the same order to the same partitions, and what was committed before is not
//! held back for.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dataflows::item::{Mark, NextOffset};
use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};

use super::SourceError;
use super::file::{LINE_LIMIT, TextError, TextLines, Unfinished};

/// Partitions of the embedded topic.
pub const PARTITIONS: i32 = 4;
/// Bytes a partition that were fed and not committed: well below the 5 MiB that it keeps.
const AHEAD_BYTES: usize = 2 << 20;
/// Messages a partition that were fed and not committed, below the 100,000 that it keeps even if
/// each were a message set of its own.
const AHEAD_MESSAGES: i64 = 60_000;
/// Longer lines do not go through the broker: it loses what comes behind a message that is larger than all that
/// it keeps, and a producer takes no more than a million bytes.
const LARGE: usize = 512 << 10;
/// How long the broker may take for what was sent.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);
/// What a message costs in addition to its payload.
const OVERHEAD: usize = 64;

/// What the feeder of a topic says to its readers.
#[derive(Debug, Default)]
pub struct Feed {
    /// Where the partitions end, known when all is fed.
    ends: OnceLock<Vec<i64>>,
    /// For each partition, the marks of the messages that are not committed: of the file's bytes up to the end of
    /// each; and the offset of the first.
    marks: Mutex<Vec<(i64, VecDeque<Mark>)>>,
    /// The lines that are too large for the broker, by partition and offset: messages without bytes stand for
    /// them.
    large: Mutex<HashMap<(i32, i64), Vec<u8>>>,
    /// Why it cannot go on.
    failure: Mutex<Option<SourceError>>,
    has_failed: AtomicBool,
    /// The last line, if it was left as it has no end.
    unfinished: OnceLock<Unfinished>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Feed {
    /// One whose readers end each partition at its offset in `ends`, or whose ends are known when all is fed.
    pub fn new(ends: Option<Vec<i64>>) -> Arc<Self> {
        let marks = (0..PARTITIONS).map(|_| Default::default()).collect();
        let ends = ends.map_or_else(OnceLock::new, OnceLock::from);
        Arc::new(Self { ends, marks: Mutex::new(marks), ..Self::default() })
    }

    /// Where the partitions end, once that is known.
    pub fn ends(&self) -> Option<&[i64]> {
        self.ends.get().map(Vec::as_slice)
    }

    /// The file's bytes up to the end of the message before `next`, where that is not committed yet.
    pub fn mark(&self, partition: i32, next: i64) -> Option<Mark> {
        let marks = lock(&self.marks);
        let (first, marks) = marks.get(partition as usize)?;
        marks.get(usize::try_from(next - 1 - first).ok()?).copied()
    }

    /// Takes the line for which a message without bytes stands.
    pub fn take_large(&self, partition: i32, offset: i64) -> Option<Vec<u8>> {
        lock(&self.large).remove(&(partition, offset))
    }

    fn fail(&self, error: SourceError) {
        lock(&self.failure).get_or_insert(error);
        self.has_failed.store(true, SeqCst);
    }

    /// Why the feeder cannot go on, if it has not been taken yet.
    pub fn take_failure(&self) -> Option<SourceError> {
        // Most often there is none, and readers ask often.
        if self.has_failed.load(SeqCst) { lock(&self.failure).take() } else { None }
    }

    /// The last line of the file, if it was left as it has no end.
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

    /// Forgets the marks of the messages before `offset`.
    fn commit(&self, partition: usize, offset: i64) {
        let (first, marks) = &mut lock(&self.marks)[partition];
        while *first < offset && marks.pop_front().is_some() {
            *first += 1;
        }
    }
}

/// A thread that panics says so to the readers, who would wait for it.
struct Guard(Arc<Feed>);

impl Drop for Guard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.fail(failed("its feeder panicked; this is a bug in truckflow, please report it"));
        }
    }
}

/// Hands over why a message was not taken.
struct Deliveries(Arc<Feed>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, _)) = result else { return };
        // What is still queued when the feeder ends is not sent any more.
        let is_purged = |code| matches!(code, RDKafkaErrorCode::PurgeQueue | RDKafkaErrorCode::PurgeInflight);
        if !error.rdkafka_error_code().is_some_and(is_purged) {
            self.0.fail(failed(error));
        }
    }
}

fn failed(error: impl std::fmt::Display) -> SourceError {
    SourceError::Embedded(error.to_string())
}

/// The in-process cluster. It stays on a thread of its own, as it cannot be handed to another.
pub struct Embedded {
    brokers: String,
    /// The cluster ends with this.
    lives: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Embedded {
    /// Starts a cluster of one broker that has `topic`.
    pub fn start(topic: &str) -> Result<Self, SourceError> {
        let (lives, ends) = channel::<()>();
        let (tell, started) = channel();
        let topic = topic.to_owned();
        let broker = move || {
            let start = || {
                let cluster = MockCluster::new(1)?;
                cluster.create_topic(&topic, PARTITIONS, 1)?;
                Ok(cluster)
            };
            let cluster: Result<_, KafkaError> = start();
            let brokers = cluster.as_ref().map(MockCluster::bootstrap_servers).map_err(Clone::clone);
            // Nobody waits for it where the start was given up; it ends all the same.
            let _ = tell.send(brokers);
            let _ = ends.recv();
        };
        let thread = std::thread::Builder::new().name("broker".into()).spawn(broker).map_err(failed)?;
        let brokers = started.recv().map_err(|_| failed("its thread panicked"))?.map_err(failed)?;
        Ok(Self { brokers, lives: Some(lives), thread: Some(thread) })
    }

    /// Where it listens.
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

/// Feeds a file into an embedded topic, a line a message, paced to commits.
pub struct Feeder {
    producer: ThreadedProducer<Deliveries>,
    feed: Arc<Feed>,
    topic: Arc<str>,
    committed: Receiver<Vec<NextOffset>>,
    partitions: Vec<Fed>,
}

/// What was fed to one partition.
#[derive(Debug, Default)]
struct Fed {
    next: i64,
    committed: i64,
    bytes: usize,
    /// The messages not committed yet: their sizes, oldest first.
    sizes: VecDeque<usize>,
    /// Offsets, and the bytes of the file that were read before them.
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

    /// Whether the file is another than the one that was read, whose bytes up to here have this `mark`.
    fn is_other(&self, mark: Mark) -> bool {
        self.known.iter().any(|(offset, known)| *offset == self.next && *known != mark)
    }

    /// Whether it can keep one more message.
    fn has_room(&self) -> bool {
        self.bytes < AHEAD_BYTES && (self.sizes.len() as i64) < AHEAD_MESSAGES
    }
}

impl Feeder {
    /// A feeder of `topic` at `brokers`, which says to `feed` how it gets on; `resume` is the last commit, and
    /// later ones arrive in `committed`. `known` are offsets whose marks tell which file was read.
    pub fn new(
        brokers: &str,
        topic: &str,
        feed: Arc<Feed>,
        resume: &[NextOffset],
        known: &[NextOffset],
        committed: Receiver<Vec<NextOffset>>,
    ) -> Result<Self, SourceError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("queue.buffering.max.messages", "100000")
            .create_with_context(Deliveries(feed.clone()))
            .map_err(failed)?;
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

    /// Feeds the file once. Line k goes to partition k modulo [`PARTITIONS`], so that a restart
    /// finds each line at the same offset; blank ones do not count. Says in `ready` when everything committed
    /// before was fed. Ends early when the job has ended. An error is the readers' to take.
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
                // Nobody waits for it if the job has ended already.
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
        // They are known before, where what was read is fed again.
        let _ = self.feed.ends.set(self.partitions.iter().map(|fed| fed.next).collect());
        Ok(())
    }

    /// Waits until the broker has all that was sent. The producer's own `flush` looks every 100 ms only.
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
        let topic = self.topic.clone();
        let mut record = BaseRecord::<(), [u8]>::to(&topic).partition(partition as i32).payload(payload);
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
    use super::*;

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
        // After a restart the feeder starts over, and what was committed is not waited for.
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
