//! A broker inside the process, fed from a file: Kafka without a server.
//!
//! librdkafka's mock cluster keeps at most 5 MiB or 100,000 message sets a partition and drops the
//! oldest without a word. The feeder therefore never runs further ahead of what was committed than
//! a part of that. The cluster lives as long as the process: a restart feeds the file again from
//! its beginning, in the same order to the same partitions, and what was committed before is not
//! held back for.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, Sender};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dataflows::item::NextOffset;
use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};

use super::SourceError;

/// Partitions of the embedded topic.
pub const PARTITIONS: i32 = 4;
/// Bytes a partition that were fed and not committed: well below the 5 MiB that it keeps.
const AHEAD_BYTES: usize = 2 << 20;
/// Messages a partition that were fed and not committed, below the 100,000 that it keeps even if
/// each were a message set of its own.
const AHEAD_MESSAGES: i64 = 60_000;
/// How long the broker may take for what was sent.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);
/// What a message costs beside its payload.
const OVERHEAD: usize = 64;

/// Where the partitions end, known when the feeder is through.
pub type Ends = Arc<OnceLock<Vec<i64>>>;

fn failed(error: impl std::fmt::Display) -> SourceError {
    SourceError::Embedded(error.to_string())
}

/// The in-process cluster.
pub struct Embedded {
    cluster: MockCluster<'static, rdkafka::producer::DefaultProducerContext>,
}

impl Embedded {
    /// Starts a cluster of one broker that has `topic`.
    pub fn start(topic: &str) -> Result<Self, SourceError> {
        let cluster = MockCluster::new(1).map_err(failed)?;
        cluster.create_topic(topic, PARTITIONS, 1).map_err(failed)?;
        Ok(Self { cluster })
    }

    /// Where it listens.
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }
}

/// Feeds a file into an embedded topic, a line a message, paced to commits.
pub struct Feeder {
    producer: ThreadedProducer<rdkafka::producer::DefaultProducerContext>,
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

    fn has_room(&self) -> bool {
        self.bytes < AHEAD_BYTES && (self.sizes.len() as i64) < AHEAD_MESSAGES
    }
}

impl Feeder {
    /// A feeder of `topic` at `brokers`; `resume` is the last commit, and later ones arrive in
    /// `committed`.
    pub fn new(
        brokers: &str,
        topic: &str,
        resume: &[NextOffset],
        committed: Receiver<Vec<NextOffset>>,
    ) -> Result<Self, SourceError> {
        let producer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("acks", "all")
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("queue.buffering.max.messages", "100000")
            .create()
            .map_err(failed)?;
        let partitions = (0..PARTITIONS).map(|_| Fed::default()).collect();
        let mut feeder = Self { producer, topic: topic.into(), committed, partitions };
        feeder.commit(resume);
        Ok(feeder)
    }

    fn commit(&mut self, offsets: &[NextOffset]) {
        for at in offsets.iter().filter(|at| at.topic == self.topic) {
            if let Some(fed) = self.partitions.get_mut(at.partition as usize) {
                fed.commit(at.offset);
            }
        }
    }

    /// Feeds the file once. Line k goes to partition k modulo [`PARTITIONS`], so that a restart
    /// finds each line at the same offset. Says in `ready` when everything committed before was
    /// fed, and in `ends` where the partitions end. Ends early when the job has ended.
    pub fn feed(mut self, path: &str, ready: Sender<()>, ends: &Ends) -> Result<(), SourceError> {
        let cannot = |source| SourceError::File { path: path.to_owned(), source };
        let mut lines: Box<dyn BufRead> = if path == "-" {
            Box::new(BufReader::new(std::io::stdin()))
        } else {
            Box::new(BufReader::with_capacity(1 << 18, std::fs::File::open(path).map_err(cannot)?))
        };
        let mut ready = Some(ready);
        let mut line = Vec::new();
        for partition in (0..PARTITIONS as usize).cycle() {
            if ready.is_some() && self.partitions.iter().all(|fed| fed.next >= fed.committed) {
                self.flush()?;
                // Nobody waits for it if the job has ended already.
                let _ = ready.take().map(|ready| ready.send(()));
            }
            line.clear();
            if lines.read_until(b'\n', &mut line).map_err(cannot)? == 0 {
                break;
            }
            if line.last() == Some(&b'\n') {
                line.pop();
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
            self.send(partition, &line)?;
        }
        if ready.is_some() {
            let total = |f: fn(&Fed) -> i64| self.partitions.iter().map(f).sum();
            let (found, committed) = (total(|fed| fed.next), total(|fed| fed.committed));
            return Err(SourceError::Shrunk { path: path.to_owned(), found, committed });
        }
        self.flush()?;
        let _ = ends.set(self.partitions.iter().map(|fed| fed.next).collect());
        Ok(())
    }

    /// Waits until the broker has all that was sent. The producer's own `flush` looks every 100 ms only.
    fn flush(&self) -> Result<(), SourceError> {
        let due = Instant::now() + FLUSH_LIMIT;
        while self.producer.in_flight_count() > 0 {
            if Instant::now() > due {
                return Err(failed(format!("it takes no message within {} s", FLUSH_LIMIT.as_secs())));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn send(&mut self, partition: usize, payload: &[u8]) -> Result<(), SourceError> {
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
        self.partitions[partition].feed(payload.len() + OVERHEAD);
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
        // After a restart the feeder begins anew, and what was committed is not held back for.
        let mut fed = Fed::default();
        fed.commit(1_000_000);
        for _ in 0..1_000_001 {
            assert!(fed.has_room());
            fed.feed(AHEAD_BYTES);
        }
        assert!(!fed.has_room());
    }
}
