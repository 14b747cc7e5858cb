//! Durations in a configuration.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::error::ConfigError;

/// Parses a duration such as `250ms`, `5m` or `24h`; it must be a whole number of microseconds.
pub(super) fn duration(
    key: &'static str,
    text: &str,
    range: RangeInclusive<Duration>,
) -> Result<Duration, ConfigError> {
    let parsed = humantime::parse_duration(text.trim()).ok();
    parsed.filter(|time| range.contains(time) && time.subsec_nanos() % 1000 == 0).ok_or_else(|| {
        let is_in =
            |example: &&str| humantime::parse_duration(example).is_ok_and(|time| range.contains(&time));
        let examples: Vec<&str> = ["250ms", "90s", "5m", "24h"].into_iter().filter(is_in).collect();
        ConfigError::Value {
            key,
            value: text.to_owned(),
            reason: format!(
                "give a duration from {} to {}, such as {}",
                shown(*range.start()),
                shown(*range.end()),
                examples.join(", ")
            ),
        }
    })
}

/// The longest span of event time: ten years.
pub(super) const LONGEST_SPAN: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// A span of event time that is at least `least`, in microseconds.
pub(super) fn span(key: &'static str, text: &str, least: Duration) -> Result<i64, ConfigError> {
    // At most ten years: far within 64 bits of microseconds.
    duration(key, text, least..=LONGEST_SPAN).map(|span| span.as_micros() as i64)
}

/// A duration as it can be written in a configuration; days are not converted to years of 365.25 days.
fn shown(time: Duration) -> String {
    const DAY: u64 = 24 * 3600;
    match time.as_secs() / DAY {
        days @ 1.. if time == Duration::from_secs(days * DAY) => format!("{days}d"),
        _ => humantime::format_duration(time).to_string(),
    }
}
