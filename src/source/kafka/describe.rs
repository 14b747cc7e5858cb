//! Reads the ids of topics. The id differs after a topic is deleted and re-created with the same name. The crate
//! `rdkafka` has no API for it.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::ptr::{NonNull, null_mut};
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

/// A topic, as the brokers describe it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Its id, as Kafka's tools print it; `None` for brokers before 2.8, which have no topic ids.
    pub id: Option<String>,
    /// Its partitions.
    pub partitions: Vec<i32>,
}

/// The description of each topic, or why there is none, by name.
pub type Descriptions = BTreeMap<String, Result<Described, RDKafkaErrorCode>>;

/// Describes topics, within `limit`.
pub fn describe<'a, C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    topics: impl IntoIterator<Item = &'a str>,
    limit: Duration,
) -> Result<Descriptions, RDKafkaErrorCode> {
    // No topic has a NUL in its name.
    let names = topics.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
    let names = names.map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let client = consumer.client().native_ptr();
    let millis = limit.as_millis() as i32;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: `client` is valid while `consumer` is borrowed. `names` live until the end, and the collection copies them.
    // Options, queue and collection are created here, used by this call only, and destroyed below; the request has its
    // own reference to the queue, and copies the others.
    let event = unsafe {
        let options = sys::rd_kafka_AdminOptions_new(
            client,
            sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        );
        // Fails only for more than an hour; the default applies then.
        sys::rd_kafka_AdminOptions_set_request_timeout(options, millis, null_mut(), 0);
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        let queue = sys::rd_kafka_queue_new(client);
        sys::rd_kafka_DescribeTopics(client, topics, options, queue);
        // The request ends by itself within its timeout.
        let event = sys::rd_kafka_queue_poll(queue, millis.saturating_add(1000));
        sys::rd_kafka_queue_destroy(queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
        sys::rd_kafka_AdminOptions_destroy(options);
        event
    };
    let event = Event(NonNull::new(event).ok_or(RDKafkaErrorCode::OperationTimedOut)?);
    event.described()
}

/// A response, which is destroyed when dropped.
struct Event(NonNull<sys::rd_kafka_event_t>);

impl Event {
    /// The descriptions of the requested topics.
    fn described(&self) -> Result<Descriptions, RDKafkaErrorCode> {
        // SAFETY: the event is valid until `drop`, and with it everything that is read from it here, none of which is
        // kept. Arrays have the length that their call returns.
        unsafe {
            check(sys::rd_kafka_event_error(self.0.as_ptr()))?;
            let result = sys::rd_kafka_event_DescribeTopics_result(self.0.as_ptr());
            if result.is_null() {
                return Err(RDKafkaErrorCode::Fail);
            }
            let mut count = 0;
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            let named = |topic| {
                let name = CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic));
                (name.to_string_lossy().into_owned(), described(topic))
            };
            Ok((0..count).map(|place| named(*topics.add(place))).collect())
        }
    }
}

/// Reads a description.
///
/// # Safety
/// `topic` must be valid.
unsafe fn described(topic: *const sys::rd_kafka_TopicDescription_t) -> Result<Described, RDKafkaErrorCode> {
    // SAFETY: the caller ensures that `topic` is valid, and with it everything that is read from it here, none of which
    // is kept. The array has the length that its call returns. The text of the id belongs to the id.
    unsafe {
        check(sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic)))?;
        let id = sys::rd_kafka_TopicDescription_topic_id(topic);
        let id = (!id.is_null() && !is_zero(id))
            .then(|| CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned());
        let mut count = 0;
        let partitions = sys::rd_kafka_TopicDescription_partitions(topic, &mut count);
        let number = |place| sys::rd_kafka_TopicPartitionInfo_partition(*partitions.add(place));
        Ok(Described { id, partitions: (0..count).map(number).collect() })
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event is ours and is not used after this.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}

fn check(code: RDKafkaRespErr) -> Result<(), RDKafkaErrorCode> {
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

/// Whether an id is the zero id, which means that there is none.
///
/// # Safety
/// `id` must be valid.
unsafe fn is_zero(id: *const sys::rd_kafka_Uuid_t) -> bool {
    // SAFETY: the caller ensures that `id` is valid.
    let (most, least) = unsafe {
        (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id))
    };
    (most, least) == (0, 0)
}
