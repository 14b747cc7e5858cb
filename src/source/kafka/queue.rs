//! librdkafka's message queue, read in batches.

use super::client::{Logged, consumer};
use super::options::TopicOptions;
use crate::decode::Headers;
use crate::kafka::codes::reason;
use crate::kafka::topics::Topics;
use crate::source::SourceError;
use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use std::ffi::CStr;
use std::ptr::{NonNull, null, null_mut};

/// The queue of a consumer's partitions. Only one thread may read it: concurrent batch reads are undefined, and
/// `TopicReader` is neither `Sync` nor cloned.
pub(super) struct Queue(pub(super) NonNull<sys::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used from any thread; a reader is used by one thread at a time.
unsafe impl Send for Queue {}

impl Queue {
    pub(super) fn of(consumer: &BaseConsumer<Logged>) -> Option<Self> {
        // SAFETY: the client's handle is valid while `consumer` lives; the call returns a new reference to the queue,
        // which `drop` releases before the consumer is dropped (`TopicReader` declares the queue first).
        NonNull::new(unsafe { sys::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) }).map(Self)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference is ours and is not used after this.
        unsafe { sys::rd_kafka_queue_destroy(self.0.as_ptr()) }
    }
}

/// A fetched message, which is destroyed when dropped.
#[repr(transparent)]
pub(super) struct Fetched(pub(super) NonNull<sys::rd_kafka_message_t>);

// SAFETY: a fetched message is owned, and may be used from any thread.
unsafe impl Send for Fetched {}

impl Fetched {
    pub(super) fn raw(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: the pointer is from librdkafka and valid until `drop`.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn payload(&self) -> Option<&[u8]> {
        let raw = self.raw();
        // SAFETY: `payload` points to `len` bytes that live as long as the message, or is null.
        (!raw.payload.is_null()).then(|| unsafe { std::slice::from_raw_parts(raw.payload.cast(), raw.len) })
    }

    pub(super) fn key(&self) -> Option<&[u8]> {
        let raw = self.raw();
        // SAFETY: `key` points to `key_len` bytes that live as long as the message, or is null.
        (!raw.key.is_null()).then(|| unsafe { std::slice::from_raw_parts(raw.key.cast(), raw.key_len) })
    }

    /// The name of its topic; none for some errors.
    pub(super) fn topic(&self) -> Option<&str> {
        let topic = self.raw().rkt;
        if topic.is_null() {
            return None;
        }
        // SAFETY: the message keeps its topic, which keeps its name, that ends with a NUL.
        unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(topic)) }.to_str().ok()
    }

    /// Milliseconds since 1970, if the message has a timestamp.
    pub(super) fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is valid, and `kind` is written before the call returns.
        let timestamp = unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && timestamp >= 0)
            .then_some(timestamp)
    }
}

/// librdkafka parses the headers of a message at the first look-up.
impl Headers for Fetched {
    fn last(&self, name: &str) -> Option<Option<&[u8]>> {
        let mut headers = null_mut();
        // SAFETY: the message is valid, and `headers` is written before the call returns without an error. They belong to
        // the message.
        let error = unsafe { sys::rd_kafka_message_headers(self.0.as_ptr(), &mut headers) };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        let mut last = None;
        for index in 0.. {
            let (mut found, mut value, mut size) = (null(), null(), 0);
            // SAFETY: `headers` is valid, and the others are written before the call returns without an error.
            let error =
                unsafe { sys::rd_kafka_header_get_all(headers, index, &mut found, &mut value, &mut size) };
            if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: a name ends with a NUL; `value` points to `size` bytes, or is null. Both live as long as the
            // message, because nothing changes its headers.
            unsafe {
                if CStr::from_ptr(found).to_bytes() == name.as_bytes() {
                    last = Some(
                        (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size)),
                    );
                }
            }
        }
        last
    }
}

impl Drop for Fetched {
    fn drop(&mut self) {
        // SAFETY: the message is ours and is not used after this.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// Whether worker `index` of `workers` reads a partition of one of `topics`.
pub(super) fn is_of(topics: &Topics, topic: &str, partition: i32, index: usize, workers: usize) -> bool {
    (partition as usize + topics.shift(topic)) % workers == index
}

/// A consumer that reads partitions from given offsets, and its queue.
pub(super) fn reading<'a>(
    options: &TopicOptions,
    partitions: impl Iterator<Item = (&'a str, i32, i64)>,
) -> Result<(Queue, BaseConsumer<Logged>), SourceError> {
    let failed = |topic: &str, partition, error: &KafkaError| SourceError::Kafka {
        topic: topic.to_owned(),
        partition,
        reason: reason(error),
    };
    let all = || options.topics.to_string();
    let consumer = consumer(options)?;
    let mut assignment = TopicPartitionList::new();
    for (topic, partition, next) in partitions {
        assignment
            .add_partition_offset(topic, partition, Offset::Offset(next))
            .map_err(|error| failed(topic, partition, &error))?;
    }
    if assignment.count() > 0 {
        consumer.assign(&assignment).map_err(|error| failed(&all(), -1, &error))?;
    }
    let reason = "the consumer has no queue".into();
    let queue =
        Queue::of(&consumer).ok_or_else(|| SourceError::Kafka { topic: all(), partition: -1, reason })?;
    Ok((queue, consumer))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use rdkafka::ClientConfig;
    use rdkafka::message::{Header, OwnedHeaders};
    use rdkafka::mocking::MockCluster;
    use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

    use super::super::tests::options;
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// The next message of a queue.
    fn next(queue: &Queue) -> Fetched {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE, "timed out");
            let mut message: Option<Fetched> = None;
            // SAFETY: as in `TopicReader::fetch`, for an array of one.
            unsafe {
                sys::rd_kafka_consume_batch_queue(queue.0.as_ptr(), 100, (&raw mut message).cast(), 1);
            }
            match message {
                Some(message) if message.raw().err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {
                    return message;
                }
                _ => {}
            }
        }
    }

    #[test]
    fn the_last_header_of_a_name_is_found() {
        let cluster: MockCluster<'_, DefaultProducerContext> = MockCluster::new(1).unwrap();
        cluster.create_topic("t", 1, 1).unwrap();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", cluster.bootstrap_servers());
        let producer: BaseProducer = config.create().unwrap();
        let header = |key, value| Header { key, value };
        let headers = OwnedHeaders::new()
            .insert(header("a", Some("1")))
            .insert(header("b", None::<&str>))
            .insert(header("a", Some("2")))
            .insert(header("", Some("")));
        let record = || BaseRecord::<(), str>::to("t").payload("p");
        producer.send(record().headers(headers)).map_err(|(error, _)| error).unwrap();
        producer.send(record()).map_err(|(error, _)| error).unwrap();
        producer.flush(PATIENCE).unwrap();
        let (queue, _consumer) =
            reading(&options(cluster.bootstrap_servers(), "t"), [("t", 0, 0)].into_iter()).unwrap();
        let (with, without) = (next(&queue), next(&queue));
        assert_eq!(with.last("a"), Some(Some(&b"2"[..])));
        assert_eq!(with.last("b"), Some(None));
        assert_eq!(with.last(""), Some(Some(&b""[..])));
        assert_eq!((with.last("A"), with.last("a\0"), without.last("a")), (None, None, None));
    }
}
