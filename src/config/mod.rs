//! What a job is told: a TOML file, `TRUCKFLOW_…` variables over it, flags over both.
//!
//! Every key is in [`Config`]; a key that is not is refused. `TRUCKFLOW_KAFKA__BROKERS` is the key
//! `kafka.brokers`, which has the short variable `TRUCKFLOW_BROKERS` as well, and `--set kafka.brokers=…` sets any key that has no flag of its own.
//! What a job defines for itself (fields, views, correlations) is in [`defined`].
//! What can be used is a [`Job`], which is made once.

pub mod defined;
pub mod error;
mod job;
mod known;
mod load;
mod names;
pub mod origin;
mod raw;
pub mod reference;
mod secrets;
mod span;
pub mod sql;
#[cfg(test)]
mod tests;
mod variables;

pub use error::ConfigError;
pub use job::{Job, Reads};
pub use load::value_of;
pub(crate) use raw::{BROKERS, TOPIC};
pub use raw::{Config, CsvSink, DeadLetters, Kafka, LimitSettings, Orientation, Sink, ViewSettings};
pub(crate) use secrets::read_secret;
pub use secrets::with_password;
pub(crate) use variables::variable_of;
pub use variables::variables;
