//! librdkafka's log lines, as lines of ours: they have its format, and its filter holds for them under the
//! name `librdkafka`.
//!
//! A client that is polled hands its lines to [`ClientContext::log`](rdkafka::ClientContext::log). One whose
//! messages are taken in batches, as those of [`TopicReader`](crate::source::kafka::TopicReader) are, would print them to
//! standard error itself.

use std::ffi::{CStr, c_char, c_int};

use rdkafka::bindings as sys;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

/// Lines about a connection that failed. Who uses the client is told the same as an error.
const OF_ERRORS: [&str; 2] = ["FAIL", "ERROR"];

/// Writes a line of librdkafka's. What is an error to it is none to a job: the client tries again by itself.
pub(crate) fn line(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        _ if OF_ERRORS.contains(&facility) => tracing::debug!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Emerg
        | RDKafkaLogLevel::Alert
        | RDKafkaLogLevel::Critical
        | RDKafkaLogLevel::Error
        | RDKafkaLogLevel::Warning => tracing::warn!(target: "librdkafka", facility, "{message}"),
        RDKafkaLogLevel::Notice | RDKafkaLogLevel::Info => {
            tracing::info!(target: "librdkafka", facility, "{message}");
        }
        RDKafkaLogLevel::Debug => tracing::debug!(target: "librdkafka", facility, "{message}"),
    }
}

/// Sends the lines of a client to our log, by whatever way its messages are taken.
pub(crate) fn listen<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    // SAFETY: the client is valid while `consumer` is borrowed. The clients of the crate `rdkafka` queue their
    // lines (`log.queue`), so that the logger is read only by who polls the queue: nobody, yet.
    unsafe { sys::rd_kafka_set_logger(consumer.client().native_ptr(), Some(take)) }
}

unsafe extern "C" fn take(
    _client: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    message: *const c_char,
) {
    // SAFETY: librdkafka gives texts that end with a zero and live as long as the call.
    let (facility, message) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(message)) };
    let level = match level {
        ..=3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 | 6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    };
    line(level, facility.to_string_lossy().trim(), message.to_string_lossy().trim());
}
