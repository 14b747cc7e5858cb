//! librdkafka's error codes, classified by how a running job reacts to them.
//!
//! The client itself reconnects, finds new leaders, and resends unacknowledged messages. Errors that it reports
//! nevertheless are one of these.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// How a running job reacts to an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Temporary, or fixed by an operator: the job waits.
    Transient,
    /// The brokers do not know the topic, either briefly after a broker's start or permanently: the job asks again.
    UnknownTopic,
    /// The partition does not have the requested offset: its first and last offset must be looked up.
    OutOfRange,
    /// A message is larger than the brokers accept.
    TooLarge,
    /// Permanent until the job or the topic is changed, or messages would be skipped. The job ends.
    Fatal,
}

impl Fault {
    /// Classifies an error code.
    pub fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode::*;
        match code {
            UnknownTopic | UnknownPartition | UnknownTopicOrPartition | UnknownTopicId => Self::UnknownTopic,
            AutoOffsetReset | OffsetOutOfRange | LogTruncation => Self::OutOfRange,
            MessageSizeTooLarge | MessageBatchTooLarge | InvalidMessageSize => Self::TooLarge,
            // The client would skip a message that it cannot read.
            BadMessage
            | BadCompression
            | InvalidMessage
            | NotImplemented
            | UnsupportedCompressionType
            | UnsupportedForMessageFormat => Self::Fatal,
            // Permissions do not change by themselves.
            TopicAuthorizationFailed
            | GroupAuthorizationFailed
            | ClusterAuthorizationFailed
            | TransactionalIdAuthorizationFailed
            | DelegationTokenAuthorizationFailed => Self::Fatal,
            // Neither do the requests of the job.
            UnsupportedFeature | UnsupportedVersion | UnknownProtocol | InvalidArgument | InvalidType
            | InvalidTopic | InvalidPartitions | InvalidGroupId | InvalidConfig | InvalidRequest
            | NotConfigured | NoEnt | ReadOnly => Self::Fatal,
            // The client is unusable.
            Fatal | Fenced | FencedInstanceId | State => Self::Fatal,
            // Networks, host names, logins, certificates, leaders, coordinators, replicas, disks, quotas; and codes
            // of later versions.
            _ => Self::Transient,
        }
    }
}

/// Whether TLS or SASL caused an error. A missing or refused certificate is reported by the broker only after the
/// handshake, and then the only trace is OpenSSL's message.
pub(crate) fn is_of_security(error: &KafkaError, reason: &str) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL))
        || reason.contains("SSL routines")
}

/// librdkafka's reason, without its prefixes.
pub(crate) fn reason(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), words)
}

/// librdkafka's words for a code: of `BrokerTransportFailure (Local: Broker transport failure)` the last ones.
pub(crate) fn words(code: RDKafkaErrorCode) -> String {
    let text = code.to_string();
    let words = text.split_once(" (").and_then(|(_, words)| words.strip_suffix(')')).unwrap_or(&text);
    words.split_once(": ").map_or(words, |(_, words)| words).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode::*;

    #[test]
    fn temporary_broker_errors_are_transient() {
        for code in [
            BrokerTransportFailure,
            AllBrokersDown,
            Resolve,
            OperationTimedOut,
            RequestTimedOut,
            NetworkException,
            Authentication,
            SaslAuthenticationFailed,
            SSL,
            LeaderNotAvailable,
            NotLeaderForPartition,
            BrokerNotAvailable,
            ReplicaNotAvailable,
            CoordinatorLoadInProgress,
            CoordinatorNotAvailable,
            NotCoordinator,
            WaitingForCoordinator,
            NotEnoughReplicas,
            NotEnoughReplicasAfterAppend,
            KafkaStorageError,
            FencedLeaderEpoch,
            UnknownLeaderEpoch,
            OffsetNotAvailable,
            ThrottlingQuotaExceeded,
            MessageTimedOut,
            TimedOutQueue,
            Unknown,
        ] {
            assert_eq!(Fault::of(code), Fault::Transient, "{code:?}");
        }
    }

    #[test]
    fn a_code_is_described_in_words() {
        assert_eq!(words(BrokerTransportFailure), "Broker transport failure");
        assert_eq!(words(TopicAuthorizationFailed), "Topic authorization failed");
    }

    #[test]
    fn permanent_errors_and_unreadable_messages_end_a_job() {
        for code in [
            TopicAuthorizationFailed,
            GroupAuthorizationFailed,
            BadMessage,
            BadCompression,
            NotImplemented,
            InvalidTopic,
            UnsupportedVersion,
            RDKafkaErrorCode::Fatal,
        ] {
            assert_eq!(Fault::of(code), Fault::Fatal, "{code:?}");
        }
    }
}
