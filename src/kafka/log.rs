//! Writes librdkafka's log lines to our log, with its format and its filter, under the target `librdkafka`.
//!
//! A client that is polled passes its lines to [`ClientContext::log`](rdkafka::ClientContext::log). A client that
//! consumes batches, such as [`TopicReader`](crate::source::kafka::TopicReader), would print them to standard error.

use std::ffi::{CStr, c_char, c_int};

use rdkafka::bindings as sys;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};

/// Lines about a failed connection. The client also reports these as errors.
const OF_ERRORS: [&str; 2] = ["FAIL", "ERROR"];

/// Writes a line of librdkafka. Its errors are at most warnings for a job, as the client retries by itself.
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

/// Sends the lines of a client to our log, even if the client is not polled.
pub(crate) fn listen<C: ConsumerContext>(consumer: &BaseConsumer<C>) {
    // SAFETY: the client is valid while `consumer` is borrowed. Clients of the crate `rdkafka` queue their lines
    // (`log.queue`), so that only a poll of the queue reads the logger, and there was none yet.
    unsafe { sys::rd_kafka_set_logger(consumer.client().native_ptr(), Some(take)) }
}

unsafe extern "C" fn take(
    _client: *const sys::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    message: *const c_char,
) {
    // SAFETY: librdkafka passes zero-terminated strings that outlive the call.
    let (facility, message) = unsafe { (CStr::from_ptr(facility), CStr::from_ptr(message)) };
    let level = match level {
        ..=3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 | 6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    };
    line(level, facility.to_string_lossy().trim(), message.to_string_lossy().trim());
}
