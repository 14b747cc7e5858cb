//! The first error of a client of a short-lived command, instead of a log of all.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::client::is_end;
use crate::kafka::codes::reason;
use crate::kafka::error::BrokerError;
use crate::kafka::log;

/// The first error that a client reported, which explains why a request had no answer.
#[derive(Clone, Default)]
pub(crate) struct ClientErrors(Arc<Mutex<Option<String>>>);

impl ClientErrors {
    pub(crate) fn first(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Why a request to the brokers had no answer.
    pub(crate) fn unreachable(&self, brokers: &str, error: &KafkaError) -> BrokerError {
        let reason = self.first().unwrap_or_else(|| reason(error));
        BrokerError::Unreachable { brokers: brokers.to_owned(), reason }
    }
}

impl ClientContext for ClientErrors {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log::line(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        // "All brokers down" says less than the error before it.
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) && !is_end(&error) {
            let mut first = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| reason.split_whitespace().collect::<Vec<_>>().join(" "));
        }
    }
}

impl ConsumerContext for ClientErrors {}
