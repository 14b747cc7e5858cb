//! Shared by all Kafka clients.
//!
//! | module | is |
//! |---|---|
//! | [`properties`] | librdkafka properties, from the configuration and from files |
//! | [`producer`] | sends messages, and tracks which were acknowledged |
//! | [`errors`] | which errors are transient, and which are not |
//! | `log` | writes librdkafka's log lines to our log |

pub mod errors;
pub(crate) mod log;
pub mod producer;
pub mod properties;
