//! The configuration of a job: a TOML file, overridden by `TRUCKFLOW_…` variables, overridden by flags.
//!
//! [`Config`] has every key; unknown keys are refused. `TRUCKFLOW_KAFKA__BROKERS` sets the key `kafka.brokers`, as does
//! the short variable `TRUCKFLOW_BROKERS`. `--set kafka.brokers=…` works for every key, also for those without a flag.
//! The configuration is validated once, into a [`Job`].

mod builtin_views;
pub mod error;
mod job;
mod known;
mod load;
pub mod message;
pub mod names;
pub mod origin;
mod place;
mod raw;
pub mod reference;
mod secrets;
mod span;
pub mod sql;
mod start;
#[cfg(test)]
mod tests;
mod variables;

pub use error::ConfigError;
pub use job::Job;
pub use load::value_of;
pub(crate) use raw::{BROKERS, TOPIC};
pub use raw::{Config, CsvSink, DeadLetters, Kafka, LimitSettings, TableSink};
pub(crate) use secrets::read_secret;
pub use secrets::with_password;
pub(crate) use variables::variable_of;
pub use variables::variables;
