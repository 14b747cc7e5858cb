//! What all clients of Kafka share.
//!
//! | module | is |
//! |---|---|
//! | [`properties`] | properties of librdkafka, from the configuration and from files |
//! | [`producer`] | sends messages, and knows which were acknowledged |
//! | [`errors`] | which errors pass, and which do not |
//! | `log` | librdkafka's log lines as ours |

pub mod errors;
pub(crate) mod log;
pub mod producer;
pub mod properties;
