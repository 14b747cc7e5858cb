//! The Kafka producer that all commands use.
//!
//! Its settings are those of the original pipeline (`acks=all`, lz4, `partitioner=consistent`), plus idempotence and
//! batching.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _, ProducerContext};

use crate::kafka::codes::is_of_security;
use crate::kafka::error::BrokerError;
use crate::kafka::log;
use crate::kafka::properties::Properties;

/// The default settings, which the user's properties override.
const PROPERTIES: [(&str, &str); 9] = [
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("compression.type", "lz4"),
    // Messages with equal keys go to the same partition; all messages without a key go to one partition.
    ("partitioner", "consistent"),
    ("linger.ms", "5"),
    ("queue.buffering.max.messages", "500000"),
    ("queue.buffering.max.kbytes", "262144"),
    // Bounds the retries: messages that are not acknowledged by then have failed.
    ("message.timeout.ms", "60000"),
    ("client.id", "truckflow"),
];
const METADATA_TIMEOUT: Duration = Duration::from_secs(5);
/// One wait for room in the local queue.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(5);
/// The producer gives up if no message leaves its full queue for this long.
const STALLED_AFTER: Duration = Duration::from_secs(120);
/// Delivery reports are polled after this many sends.
const SENDS_PER_POLL: u64 = 512;

/// Messages could not be sent.
#[derive(Debug, thiserror::Error)]
pub enum ProduceError {
    /// The brokers cannot be used.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// A message could not be queued.
    #[error("a message of {bytes} bytes cannot be sent to topic `{topic}` ({reason}){}", hint(*.code))]
    Message {
        /// The topic.
        topic: String,
        /// The size of the payload.
        bytes: usize,
        /// The reason from librdkafka.
        reason: String,
        /// librdkafka's code, if there is one.
        code: Option<RDKafkaErrorCode>,
    },
    /// Messages were sent, but not acknowledged.
    #[error(
        "at least {failed} messages were not delivered, the first to topic `{topic}` ({reason}); check the brokers' \
         logs and send them again"
    )]
    NotDelivered {
        /// How many failed so far.
        failed: u64,
        /// The topic of the first.
        topic: String,
        /// Why the first failed.
        reason: String,
    },
    /// The brokers stopped acknowledging.
    #[error(
        "{brokers} acknowledged nothing for {seconds} s, and {waiting} messages are waiting; check the brokers' logs"
    )]
    Stalled {
        /// The bootstrap servers.
        brokers: String,
        /// How long the producer waited.
        seconds: u64,
        /// Messages in the local queue or in flight.
        waiting: u64,
    },
}

fn hint(code: Option<RDKafkaErrorCode>) -> &'static str {
    match code {
        Some(RDKafkaErrorCode::MessageSizeTooLarge) => {
            "; raise --property message.max.bytes=… and the topic's max.message.bytes"
        }
        Some(RDKafkaErrorCode::UnknownPartition) => "; the topic has fewer partitions",
        _ => "",
    }
}

/// The tag of messages that are only counted.
const UNTRACKED: usize = usize::MAX;

/// Headers for librdkafka.
fn headers_of<'h>(headers: impl Iterator<Item = (&'h str, Option<&'h [u8]>)>) -> Option<OwnedHeaders> {
    headers.fold(None, |all, (key, value)| Some(all.unwrap_or_default().insert(Header { key, value })))
}

/// Outcomes of messages, recorded from delivery reports while the producer is polled.
#[derive(Default)]
struct Deliveries {
    delivered: AtomicU64,
    failed: AtomicU64,
    /// Outcomes of tracked messages: the tag of each, and the error if it failed.
    outcomes: Mutex<Vec<(usize, Option<RDKafkaErrorCode>)>>,
    /// Topic and reason of the first failure.
    first_failure: Mutex<Option<(String, String)>>,
    /// The first TLS or SASL error.
    security: Mutex<Option<String>>,
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "librdkafka");
        if is_of_security(&error, reason) {
            lock(&self.security).get_or_insert_with(|| reason.to_owned());
        }
    }
}

impl ProducerContext for Deliveries {
    /// A tag, or [`UNTRACKED`].
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, tag: usize) {
        if tag != UNTRACKED {
            // A failure without a code does not come from the brokers.
            let failed = |error: &KafkaError| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
            let code = result.as_ref().err().map(|(error, _)| failed(error));
            lock(&self.outcomes).push((tag, code));
            return;
        }
        match result {
            Ok(_) => {
                self.delivered.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, message)) => {
                use rdkafka::Message;
                self.failed.fetch_add(1, Ordering::Relaxed);
                let reason = error.rdkafka_error_code().map_or(error.to_string(), |code| code.to_string());
                lock(&self.first_failure).get_or_insert_with(|| (message.topic().to_owned(), reason));
            }
        }
    }
}

/// Nothing panics while these locks are held, so poisoning can be ignored.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A Kafka producer: queues messages, sends them in batches, and counts what was acknowledged.
///
/// Call [`flush`](Producer::flush) before dropping it: queued messages are lost otherwise.
///
/// ```no_run
/// use std::time::Duration;
/// use truckflow::kafka::producer::Producer;
/// use truckflow::kafka::properties::Properties;
///
/// let mut producer = Producer::new("127.0.0.1:9092", &Properties::default())?;
/// producer.partitions("Truck-Data")?;
/// producer.send("Truck-Data", None, Some(b"truck-1"), Some(b"{}"))?;
/// producer.flush(Duration::from_secs(60))?;
/// # Ok::<(), truckflow::kafka::producer::ProduceError>(())
/// ```
pub struct Producer {
    producer: BaseProducer<Deliveries>,
    brokers: String,
    sent: u64,
}

impl Producer {
    /// Connects to `brokers` (`HOST:PORT,…`) and waits up to 5 s for an answer. `properties` are
    /// librdkafka's and override this module's own.
    pub fn new(brokers: &str, properties: &Properties) -> Result<Producer, ProduceError> {
        let mut config = ClientConfig::new();
        for (name, value) in PROPERTIES {
            config.set(name, value);
        }
        config.set("bootstrap.servers", brokers);
        properties.set_on(&mut config);
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(Deliveries::default()).map_err(BrokerError::of_creation)?;
        let producer = Producer { producer, brokers: brokers.to_owned(), sent: 0 };
        producer.metadata()?;
        Ok(producer)
    }

    /// The number of partitions of `topic`. Fails if it does not exist.
    pub fn partitions(&self, topic: &str) -> Result<i32, ProduceError> {
        // The list of all topics, because asking for one by name creates it on many brokers.
        let metadata = self.metadata()?;
        let partitions =
            metadata.topics().iter().find(|found| found.name() == topic).map(|t| t.partitions().len());
        match partitions {
            Some(count) if count > 0 => Ok(i32::try_from(count).unwrap_or(i32::MAX)),
            _ => Err(BrokerError::NoTopic { topic: topic.to_owned(), brokers: self.brokers.clone() }.into()),
        }
    }

    fn metadata(&self) -> Result<rdkafka::metadata::Metadata, BrokerError> {
        self.producer.client().fetch_metadata(None, METADATA_TIMEOUT).map_err(|error| {
            // The reason waits in the queue of events.
            self.producer.poll(Duration::from_millis(10));
            let security = lock(&self.producer.context().security).take();
            BrokerError::of_request(&self.brokers, security, &error)
        })
    }

    /// Queues one message. Without a partition the key selects it: messages with equal keys go to the same
    /// partition, and all messages without a key to one partition. Without a payload it is a tombstone.
    ///
    /// Waits while the local queue is full. Fails as soon as any earlier message has failed, as later messages would
    /// only widen the gap.
    pub fn send(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
    ) -> Result<(), ProduceError> {
        self.send_with_headers(topic, partition, key, payload, &[])
    }

    /// The same for a message with headers: names and values.
    pub fn send_with_headers(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &[(String, Option<Vec<u8>>)],
    ) -> Result<(), ProduceError> {
        let mut record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, UNTRACKED);
        record.partition = partition;
        record.key = key;
        record.payload = payload;
        record.headers = headers_of(headers.iter().map(|(key, value)| (&**key, value.as_deref())));
        // When the queue was first found full, and the number of messages delivered by then.
        let mut stalled: Option<(Instant, u64)> = None;
        loop {
            let Err((error, same)) = self.producer.send(record) else { break };
            record = same;
            self.check_failures()?;
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                let code = error.rdkafka_error_code();
                let reason = code.map_or(error.to_string(), |code| code.to_string());
                let bytes = payload.map_or(0, <[u8]>::len);
                return Err(ProduceError::Message { topic: topic.to_owned(), bytes, reason, code });
            }
            let delivered = self.delivered();
            match stalled {
                Some((since, at)) if at == delivered => {
                    if since.elapsed() > STALLED_AFTER {
                        return Err(self.stalled(STALLED_AFTER));
                    }
                }
                _ => stalled = Some((Instant::now(), delivered)),
            }
            self.producer.poll(QUEUE_FULL_WAIT);
        }
        self.sent += 1;
        if self.sent.is_multiple_of(SENDS_PER_POLL) {
            self.poll()?;
        }
        Ok(())
    }

    /// Queues one message whose outcome [`outcomes`](Self::outcomes) returns once, with `tag`. Does not wait, and
    /// does not count the message.
    pub fn send_tracked(
        &mut self,
        topic: &str,
        key: Option<&[u8]>,
        payload: Option<&[u8]>,
        headers: &[(&str, String)],
        tag: usize,
    ) -> Result<(), RDKafkaErrorCode> {
        let mut record: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, tag);
        let headers = headers_of(headers.iter().map(|(key, value)| (*key, Some(value.as_bytes()))));
        (record.key, record.payload, record.headers) = (key, payload, headers);
        let sent = self.producer.send(record);
        sent.map_err(|(error, _)| error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail))
    }

    /// The outcomes of tracked messages since the last call: the tag of each, and the error if it failed. Waits for
    /// at most `wait`.
    pub fn outcomes(&mut self, wait: Duration) -> Vec<(usize, Option<RDKafkaErrorCode>)> {
        self.producer.poll(wait);
        std::mem::take(&mut lock(&self.producer.context().outcomes))
    }

    /// Polls delivery reports without waiting, and fails if a delivery failed. [`send`](Producer::send) does this
    /// periodically; slow senders should call it themselves.
    pub fn poll(&mut self) -> Result<(), ProduceError> {
        self.producer.poll(Duration::ZERO);
        self.check_failures()
    }

    /// Waits until every message is acknowledged, for at most `timeout`.
    pub fn flush(&mut self, timeout: Duration) -> Result<(), ProduceError> {
        let flushed = self.producer.flush(timeout);
        self.check_failures()?;
        flushed.map_err(|_| self.stalled(timeout))
    }

    /// How many messages were queued.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many messages the brokers have acknowledged.
    pub fn delivered(&self) -> u64 {
        self.producer.context().delivered.load(Ordering::Relaxed)
    }

    /// How many messages have failed.
    pub fn failed(&self) -> u64 {
        self.producer.context().failed.load(Ordering::Relaxed)
    }

    fn stalled(&self, waited: Duration) -> ProduceError {
        let waiting = self.sent - self.delivered() - self.failed();
        ProduceError::Stalled { brokers: self.brokers.clone(), seconds: waited.as_secs(), waiting }
    }

    fn check_failures(&self) -> Result<(), ProduceError> {
        let failed = self.failed();
        if failed == 0 {
            return Ok(());
        }
        let (topic, reason) = lock(&self.producer.context().first_failure).clone().unwrap_or_default();
        Err(ProduceError::NotDelivered { failed, topic, reason })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;

    use rdkafka::Message;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::DefaultProducerContext;
    use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

    use super::*;

    fn properties(name: &str, value: &str) -> Properties {
        [(name.to_owned(), value.into())].into_iter().collect()
    }

    /// A message as a consumer sees it: partition, key, payload.
    pub(crate) type Seen = (i32, Option<Vec<u8>>, Option<Vec<u8>>);

    pub(crate) fn cluster(topic: &str, partitions: i32) -> MockCluster<'static, DefaultProducerContext> {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(topic, partitions, 1).unwrap();
        cluster
    }

    /// Reads the first `count` messages of `topic`, in the order of partition and offset.
    pub(crate) fn read(brokers: &str, topic: &str, partitions: i32, count: usize) -> Vec<Seen> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", brokers)
            .set("group.id", "test")
            .set("enable.auto.commit", "false")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        let mut seen: Vec<(i64, Seen)> = Vec::new();
        while seen.len() < count {
            let message = consumer.poll(Duration::from_secs(20)).expect("a message within 20 s").unwrap();
            let (key, payload) = (message.key().map(<[u8]>::to_vec), message.payload().map(<[u8]>::to_vec));
            seen.push((message.offset(), (message.partition(), key, payload)));
        }
        seen.sort_by_key(|(offset, (partition, ..))| (*partition, *offset));
        seen.into_iter().map(|(_, message)| message).collect()
    }

    #[test]
    fn sends_keys_payloads_tombstones_and_partitions() {
        let cluster = cluster("t", 3);
        let brokers = cluster.bootstrap_servers();
        let mut producer = Producer::new(&brokers, &Properties::default()).unwrap();
        assert_eq!(producer.partitions("t").unwrap(), 3);
        producer.send("t", Some(0), Some(b"a"), Some(b"one")).unwrap();
        producer.send("t", Some(1), Some(b""), Some(b"")).unwrap();
        producer.send("t", Some(2), None, None).unwrap();
        producer.flush(Duration::from_secs(20)).unwrap();
        assert_eq!((producer.sent(), producer.delivered(), producer.failed()), (3, 3, 0));
        let some = |text: &[u8]| Some(text.to_vec());
        assert_eq!(
            read(&brokers, "t", 3, 3),
            [(0, some(b"a"), some(b"one")), (1, some(b""), some(b"")), (2, None, None)]
        );
    }

    #[test]
    fn equal_keys_share_a_partition_and_so_do_messages_without_a_key() {
        let cluster = cluster("t", 8);
        let brokers = cluster.bootstrap_servers();
        let mut producer = Producer::new(&brokers, &Properties::default()).unwrap();
        for n in 0..100u8 {
            let key = [b'0' + n % 10];
            producer.send("t", None, (n % 2 == 0).then_some(&key[..]), Some(&[n])).unwrap();
        }
        producer.flush(Duration::from_secs(20)).unwrap();
        let mut partition_of: BTreeMap<Option<Vec<u8>>, i32> = BTreeMap::new();
        for (partition, key, _) in read(&brokers, "t", 8, 100) {
            assert_eq!(*partition_of.entry(key).or_insert(partition), partition);
        }
        assert_eq!(partition_of.len(), 6);
    }

    #[test]
    fn waits_while_the_local_queue_is_full() {
        let cluster = cluster("t", 1);
        let properties = properties("queue.buffering.max.messages", "10");
        let mut producer = Producer::new(&cluster.bootstrap_servers(), &properties).unwrap();
        for n in 0..200u8 {
            producer.send("t", None, None, Some(&[n])).unwrap();
        }
        producer.flush(Duration::from_secs(20)).unwrap();
        assert_eq!(producer.delivered(), 200);
    }

    #[test]
    fn an_absent_topic_is_named_and_not_created() {
        let cluster = cluster("t", 1);
        let producer = Producer::new(&cluster.bootstrap_servers(), &Properties::default()).unwrap();
        for _ in 0..2 {
            let error = producer.partitions("other").unwrap_err().to_string();
            assert_eq!(
                error,
                format!(
                    "topic `other` does not exist on {}; create it or correct --topic",
                    cluster.bootstrap_servers()
                )
            );
        }
    }

    #[test]
    fn an_absent_broker_is_named() {
        let error = Producer::new("127.0.0.1:9", &Properties::default()).err().unwrap();
        let error = error.to_string();
        assert!(error.starts_with("no Kafka broker answers at 127.0.0.1:9 ("), "{error}");
        assert!(error.ends_with("); start it or correct --brokers"), "{error}");
    }

    #[test]
    fn an_unknown_property_is_named_without_its_value() {
        let properties = properties("sasl.pasword", "secret");
        let error = Producer::new("127.0.0.1:9", &properties).err().unwrap();
        let named = |error: &BrokerError| matches!(error, BrokerError::Property { name, .. } if name == "sasl.pasword");
        assert!(matches!(&error, ProduceError::Broker(error) if named(error)), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn failed_deliveries_are_counted_and_stop_the_sender() {
        let cluster = cluster("t", 1);
        let properties = properties("message.timeout.ms", "200");
        let mut producer = Producer::new(&cluster.bootstrap_servers(), &properties).unwrap();
        cluster.broker_down(1).unwrap();
        producer.send("t", None, None, Some(b"lost")).unwrap();
        let error = producer.flush(Duration::from_secs(20)).unwrap_err();
        assert!(
            matches!(&error, ProduceError::NotDelivered { failed: 1, topic, .. } if topic == "t"),
            "{error}"
        );
        assert_eq!(producer.failed(), 1);
    }

    #[test]
    fn a_message_that_is_too_large_says_what_to_raise() {
        let cluster = cluster("t", 1);
        let mut producer = Producer::new(&cluster.bootstrap_servers(), &Properties::default()).unwrap();
        let error = producer.send("t", None, None, Some(&vec![0; 2_000_000])).unwrap_err().to_string();
        assert!(error.contains("2000000 bytes") && error.contains("message.max.bytes"), "{error}");
    }
}
