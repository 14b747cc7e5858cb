//! What all clients of Kafka share.

pub mod errors;
pub(crate) mod log;
