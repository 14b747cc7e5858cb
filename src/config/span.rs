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
        let (least, most) = (range.start(), range.end());
        ConfigError::Value {
            key,
            value: text.to_owned(),
            reason: format!(
                "give a duration from {} to {}, such as `250ms`, `90s`, `5m` or `24h`",
                humantime::format_duration(*least),
                humantime::format_duration(*most)
            ),
        }
    })
}
