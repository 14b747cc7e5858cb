//! Consumers and their logging.

use super::options::TopicOptions;
use crate::kafka::codes::is_of_security;
use crate::kafka::error::BrokerError;
use crate::kafka::log;
use crate::source::SourceError;
use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Timeout of requests at the start.
pub(crate) const ANSWER: Duration = Duration::from_secs(5);

/// Sends librdkafka's errors to our log and keeps the first one of TLS or SASL, as the reason why no broker answers.
#[derive(Default)]
pub(super) struct Logged(pub(super) Mutex<Option<String>>);

impl Logged {
    pub(super) fn security(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ClientContext for Logged {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if is_end(&error) {
            return;
        }
        tracing::warn!(%error, reason, "Kafka client");
        if is_of_security(&error, reason) {
            let reason = || reason.split_whitespace().collect::<Vec<_>>().join(" ");
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(reason);
        }
    }
}

impl ConsumerContext for Logged {}

/// A consumer without an assignment.
pub(super) fn consumer(options: &TopicOptions) -> Result<BaseConsumer<Logged>, SourceError> {
    consumer_with(options, Logged::default())
}

/// A consumer without an assignment and with the settings of the job, whose errors go to `context`.
pub(crate) fn consumer_with<C: ConsumerContext + 'static>(
    options: &TopicOptions,
    context: C,
) -> Result<BaseConsumer<C>, SourceError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &options.brokers)
        .set("group.id", &options.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("allow.auto.create.topics", "false")
        .set("isolation.level", "read_committed")
        // Limit prefetching, and with it the memory of a consumer that has to wait.
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", "4096")
        // The default stops fetching for a second when the queue is full.
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "50")
        // Reconnect soon, however long the broker was away.
        .set("reconnect.backoff.max.ms", "1000")
        .set("socket.nagle.disable", "true");
    options.properties.get().set_on(&mut config);
    let consumer = config.create_with_context(context).map_err(BrokerError::of_creation)?;
    log::listen(&consumer);
    Ok(consumer)
}

/// Whether an event only means that a partition was read to its end.
pub(crate) fn is_end(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::PartitionEOF)
}
