//! What is wrong with a configuration.

use std::path::PathBuf;

use thiserror::Error;

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}; correct --config")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file does not say what a job needs.
    #[error("configuration {place}: {reason}; `truckflow config init` shows every key")]
    Parse {
        /// The file and line, or the variable.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A value is out of its range.
    #[error("configuration: {key} = {value}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Something that the job defines for itself is wrong.
    #[error("configuration: {place}: {reason}")]
    Defined {
        /// The thing, such as `views.hot`, and the place in its text.
        place: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

/// A fault of a definition.
pub(crate) fn wrong(place: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::Defined { place: place.into(), reason: reason.into() }
}
