//! What keeps a Kafka client from working with its brokers: the errors that consumers and producers share.

use rdkafka::error::KafkaError;

use crate::kafka::codes::reason;

/// The brokers cannot be used. Each message names the brokers, the topic or the property, and the next step.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// No broker answered in time.
    #[error("no Kafka broker answers at {brokers} ({reason}); start it or correct --brokers")]
    Unreachable {
        /// The bootstrap servers.
        brokers: String,
        /// The reason from librdkafka.
        reason: String,
    },
    /// A broker answered, but the connection failed at TLS or SASL.
    #[error(
        "the connection to the Kafka broker at {brokers} failed in TLS or SASL ({reason}); correct the security settings in [kafka.properties] or --property"
    )]
    Refused {
        /// The bootstrap servers.
        brokers: String,
        /// The reason from librdkafka.
        reason: String,
    },
    /// The cluster does not know the topic.
    #[error("topic `{topic}` does not exist on {brokers}; create it or correct --topic")]
    NoTopic {
        /// The topic.
        topic: String,
        /// The bootstrap servers.
        brokers: String,
    },
    /// No topic matches a pattern.
    #[error("no topic on {brokers} matches `{pattern}`; create one or correct --topic")]
    NoMatch {
        /// The pattern.
        pattern: String,
        /// The bootstrap servers.
        brokers: String,
    },
    /// librdkafka rejects a property. Its value may be a secret and is not shown.
    #[error(
        "librdkafka rejects the property `{name}` ({reason}); correct it in [kafka.properties] or --property"
    )]
    Property {
        /// The property.
        name: String,
        /// The reason from librdkafka.
        reason: String,
    },
    /// librdkafka rejects the combination of properties.
    #[error("cannot create a Kafka client ({reason}); correct [kafka.properties] or --property")]
    Properties {
        /// The reason from librdkafka.
        reason: String,
    },
}

impl BrokerError {
    /// Why a client could not be created.
    pub(crate) fn of_creation(error: KafkaError) -> Self {
        match error {
            KafkaError::ClientConfig(_, reason, name, _) => Self::Property { name, reason },
            KafkaError::ClientCreation(reason) => Self::Properties { reason },
            other => Self::Properties { reason: reason(&other) },
        }
    }

    /// Why a request failed: `security` is the error of TLS or SASL that the client reported, if there was one.
    pub(crate) fn of_request(brokers: &str, security: Option<String>, error: &KafkaError) -> Self {
        let brokers = brokers.to_owned();
        match security {
            Some(reason) => Self::Refused { brokers, reason },
            None => Self::Unreachable { brokers, reason: reason(error) },
        }
    }

    /// Whether a retry may succeed.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. } | Self::Refused { .. } | Self::NoTopic { .. } | Self::NoMatch { .. }
        )
    }

    /// The message for a job that retries by itself: without the advice to start the server.
    pub fn while_waiting(&self) -> String {
        match self {
            Self::Unreachable { brokers, reason } => {
                format!("no Kafka broker answers at {brokers} ({reason})")
            }
            Self::NoTopic { topic, brokers } => {
                format!("topic `{topic}` does not exist on {brokers}; create it")
            }
            Self::NoMatch { pattern, brokers } => {
                format!("no topic on {brokers} matches `{pattern}`; create one")
            }
            other => other.to_string(),
        }
    }
}
