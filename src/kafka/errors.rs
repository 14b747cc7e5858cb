//! librdkafka's error codes, sorted once by what a running job does about them.
//!
//! A client does much by itself: it reconnects, asks for new leaders, and sends again what was not
//! acknowledged. What comes out of it nevertheless is one of these.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// What a running job does about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It passes, or somebody makes it pass: it is waited for.
    Transient,
    /// The brokers do not know the topic. That is so for a moment after a broker's start, or for good: they
    /// are asked again.
    UnknownTopic,
    /// The partition does not have the offset that was asked for: where it begins and ends has to be found out.
    OutOfRange,
    /// A message is larger than the brokers take.
    TooLarge,
    /// It stays until somebody changes the job or the topic; or messages would be left out. The job ends.
    Fatal,
}

impl Fault {
    /// What an error means.
    pub fn of(code: RDKafkaErrorCode) -> Self {
        use RDKafkaErrorCode::*;
        match code {
            UnknownTopic | UnknownPartition | UnknownTopicOrPartition | UnknownTopicId => Self::UnknownTopic,
            AutoOffsetReset | OffsetOutOfRange | LogTruncation => Self::OutOfRange,
            MessageSizeTooLarge | MessageBatchTooLarge | InvalidMessageSize => Self::TooLarge,
            // The client goes on behind a message that it cannot read.
            BadMessage
            | BadCompression
            | InvalidMessage
            | NotImplemented
            | UnsupportedCompressionType
            | UnsupportedForMessageFormat => Self::Fatal,
            // What the account may do does not change by itself.
            TopicAuthorizationFailed
            | GroupAuthorizationFailed
            | ClusterAuthorizationFailed
            | TransactionalIdAuthorizationFailed
            | DelegationTokenAuthorizationFailed => Self::Fatal,
            // What the job asks for does not either.
            UnsupportedFeature | UnsupportedVersion | UnknownProtocol | InvalidArgument | InvalidType
            | InvalidTopic | InvalidPartitions | InvalidGroupId | InvalidConfig | InvalidRequest
            | NotConfigured | NoEnt | ReadOnly => Self::Fatal,
            // The client itself is broken.
            Fatal | Fenced | FencedInstanceId | State => Self::Fatal,
            // Networks, names, logins, certificates, leaders, coordinators, replicas, disks, quotas; and codes that
            // later versions add.
            _ => Self::Transient,
        }
    }
}

/// Whether TLS or a login made an error. A certificate that is missed or refused is told by the broker when
/// the connection seems to stand, and then only OpenSSL's words are left of it.
pub(crate) fn is_of_security(error: &KafkaError, reason: &str) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL))
        || reason.contains("SSL routines")
}

/// librdkafka's reason, without its prefixes.
pub(crate) fn reason(error: &KafkaError) -> String {
    error.rdkafka_error_code().map_or_else(|| error.to_string(), |code| code.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use RDKafkaErrorCode::*;

    #[test]
    fn what_a_broker_says_for_a_moment_passes() {
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
    fn what_stays_or_loses_messages_ends_a_job() {
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
