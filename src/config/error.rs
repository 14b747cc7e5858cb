//! Errors in a configuration.

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
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The file or a variable cannot be parsed.
    #[error("configuration {place}: {reason}; `truckflow config init` shows every key")]
    Parse {
        /// The file and line, or the variable.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A value is out of range.
    #[error("configuration: {key} = {value}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong, and the next step.
        reason: String,
    },
    /// A user-defined view, correlation or field is wrong.
    #[error("configuration: {place}: {reason}")]
    Defined {
        /// The definition, such as `views.hot`, and the position in its text.
        place: String,
        /// What is wrong, and the next step.
        reason: String,
    },
}

/// An error in a definition.
pub(crate) fn wrong(place: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::Defined { place: place.into(), reason: reason.into() }
}
