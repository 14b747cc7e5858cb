//! Shared by all Kafka clients.
//!
//! | module | is |
//! |---|---|
//! | [`properties`] | librdkafka properties, from the configuration and from files |
//! | [`producer`] | sends messages, and tracks which were acknowledged |
//! | [`topics`] | which topics a job reads: names and patterns |
//! | [`codes`] | librdkafka's error codes: which are transient, and which are not |
//! | [`error`] | why the brokers cannot be used |
//! | `log` | writes librdkafka's log lines to our log |

pub mod codes;
pub mod error;
pub(crate) mod log;
pub mod producer;
pub mod properties;
pub mod topics;
