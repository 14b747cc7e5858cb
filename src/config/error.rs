//! Errors in a configuration.

use std::path::PathBuf;

use thiserror::Error;

use super::place::Places;

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
    /// The file of the views cannot be read.
    #[error("cannot read the views {path}: {source}; correct `views` or --sql")]
    ReadViews {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// A view is wrong.
    #[error("configuration {place}: {reason}")]
    Views {
        /// The file, line and column.
        place: String,
        /// What is wrong, and the next step.
        reason: String,
        /// The line of the file, and below it a caret at the column; for terminals.
        excerpt: Option<String>,
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
    #[error("configuration{}: {place}: {reason}", behind_a_blank(.written))]
    Defined {
        /// The file and line, the variable or the flag; none if it is not known.
        written: Option<String>,
        /// The definition, such as `views.hot`, and the position in its text.
        place: String,
        /// What is wrong, and the next step.
        reason: String,
    },
}

/// An error in a definition.
pub(crate) fn wrong(place: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::Defined { written: None, place: place.into(), reason: reason.into() }
}

fn behind_a_blank(text: &Option<String>) -> String {
    text.as_ref().map(|text| format!(" {text}")).unwrap_or_default()
}

impl ConfigError {
    /// The same error with the place where the key at fault was written, if it is one of `[message]` or `[record]`.
    /// `fields` are the names in `[record]`.
    pub(super) fn located(self, places: &Places, fields: &[String]) -> Self {
        let Self::Defined { written: None, place, reason } = self else { return self };
        // A place has a key, maybe one within it behind a blank, maybe a position behind a comma.
        let ends = |rest: &str| rest.is_empty() || rest.starts_with([' ', ',']);
        let of_field = |name: &&String| {
            let rest = place.strip_prefix("record.").and_then(|place| place.strip_prefix(&***name));
            rest.is_some_and(ends)
        };
        let key = match fields.iter().filter(of_field).max_by_key(|name| name.len()) {
            Some(name) => {
                let table = format!("record.{name}");
                let within = place[table.len()..].trim_start().split([' ', ',']).next().unwrap_or_default();
                Some(if within.is_empty() { table } else { format!("{table}.{within}") })
            }
            None if place.starts_with("message.") => place.split([' ', ',']).next().map(str::to_owned),
            None => None,
        };
        let written = key.and_then(|key| places.of(&key));
        Self::Defined { written, place, reason }
    }
}
