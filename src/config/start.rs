//! `kafka.start`: where a new job begins to read its topics.

use std::time::Duration;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error};

use super::error::ConfigError;
use super::span::{LONGEST_SPAN, duration};
use crate::source::kafka::Start;

const KEY: &str = "kafka.start";

/// Reads a text, or a time that TOML knows as such.
pub(super) fn text_or_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    match toml::Value::deserialize(deserializer)? {
        toml::Value::String(text) => Ok(text),
        toml::Value::Datetime(time) => Ok(time.to_string()),
        other => {
            Err(D::Error::custom(format!("invalid type: {}, expected a string or a time", other.type_str())))
        }
    }
}

/// Parses `earliest`, `latest`, a time with its offset from UTC, or a span before now such as `-7d`.
pub(super) fn start(text: &str) -> Result<Start, ConfigError> {
    match text.trim() {
        "earliest" => return Ok(Start::Earliest),
        "latest" => return Ok(Start::Latest),
        _ => {}
    }
    if let Some(span) = text.trim().strip_prefix('-') {
        const SHORTEST: Duration = Duration::from_millis(1);
        return duration(KEY, span, SHORTEST..=LONGEST_SPAN).map(Start::Ago).map_err(|error| match error {
            ConfigError::Value { key, reason, .. } => {
                let reason = reason.replacen("give a duration", "give `-` and a duration", 1);
                ConfigError::Value { key, value: text.to_owned(), reason }
            }
            other => other,
        });
    }
    let wrong = || {
        ConfigError::Value {
        key: KEY,
        value: text.to_owned(),
        reason: "give earliest, latest, a time with its offset such as 2024-05-01T00:00:00Z, or a span before now such as -7d".into(),
    }
    };
    let time: Timestamp = text.trim().parse().map_err(|_| wrong())?;
    // Kafka's timestamps are milliseconds: the first one that is not before the time.
    let millis =
        time.as_nanosecond().div_euclid(1_000_000) + i128::from(time.as_nanosecond() % 1_000_000 != 0);
    i64::try_from(millis).map(Start::Time).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Start, String> {
        start(text).map_err(|error| error.to_string())
    }

    #[test]
    fn a_start_is_a_word_a_time_or_a_span() {
        let day = Duration::from_secs(24 * 3600);
        for (text, expected) in [
            ("earliest", Start::Earliest),
            (" latest ", Start::Latest),
            ("-7d", Start::Ago(7 * day)),
            ("- 1h 30m", Start::Ago(Duration::from_secs(5400))),
            ("2024-05-01T02:00:00+02:00", Start::Time(1_714_521_600_000)),
            ("2024-05-01 00:00:00.0000001Z", Start::Time(1_714_521_600_001)),
            ("1969-12-31T23:59:59.9995Z", Start::Time(0)),
        ] {
            assert_eq!(parsed(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn any_other_text_is_refused_with_examples() {
        for text in ["", "now", "7d", "2024-05-01", "2024-05-01T00:00:00", "1714521600000", "Earliest"] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains("kafka.start = ") && error.contains("-7d"), "{error}");
        }
        for text in ["-", "-7", "-3661d", "-0s"] {
            let error = parsed(text).unwrap_err();
            assert!(
                error.contains(&format!("kafka.start = {text}: give `-` and a duration from 1ms to 3660d")),
                "{error}"
            );
        }
    }
}
