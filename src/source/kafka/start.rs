//! Where a job that has not committed yet begins to read its topics.

use std::fmt;
use std::time::Duration;

use jiff::Timestamp;

/// Where a new job begins to read its topics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// At the earliest offset.
    #[default]
    Earliest,
    /// At the end.
    Latest,
    /// At the first message whose Kafka timestamp is this or later, in milliseconds since 1970.
    Time(i64),
    /// The same, this long before the job starts.
    Ago(Duration),
}

impl Start {
    /// The earliest Kafka timestamp to read if the job starts `now`, in milliseconds since 1970; none if offsets alone
    /// decide. Brokers do not accept a negative one.
    pub fn timestamp(self, now: i64) -> Option<i64> {
        let millis = match self {
            Self::Earliest | Self::Latest => return None,
            Self::Time(millis) => millis,
            Self::Ago(span) => now.saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        };
        Some(millis.max(0))
    }
}

/// The text that is kept with the job: the same for two ways to write a value.
impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DAY: u64 = 24 * 3600;
        match self {
            Self::Earliest => f.write_str("earliest"),
            Self::Latest => f.write_str("latest"),
            Self::Time(millis) => match Timestamp::from_millisecond(*millis) {
                Ok(time) => write!(f, "{time}"),
                Err(_) => write!(f, "{millis} ms"),
            },
            Self::Ago(span) if span.subsec_nanos() == 0 && span.as_secs() % DAY == 0 => {
                write!(f, "-{}d", span.as_secs() / DAY)
            }
            Self::Ago(span) => write!(f, "-{}", humantime::format_duration(*span)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_goes_back_from_now_and_a_time_is_absolute() {
        let hour = Start::Ago(Duration::from_secs(3600));
        assert_eq!(hour.timestamp(3_600_001), Some(1));
        assert_eq!(hour.timestamp(0), Some(0));
        assert_eq!(Start::Time(5).timestamp(3), Some(5));
        assert_eq!(Start::Time(-5).timestamp(3), Some(0));
        assert_eq!([Start::Earliest, Start::Latest].map(|start| start.timestamp(3)), [None, None]);
    }

    #[test]
    fn a_start_is_shown_as_it_is_written() {
        let ago = |seconds| Start::Ago(Duration::from_secs(seconds)).to_string();
        assert_eq!([ago(7 * 86400), ago(5400)], ["-7d", "-1h 30m"]);
        assert_eq!(Start::Time(1_714_521_600_000).to_string(), "2024-05-01T00:00:00Z");
        assert_eq!(Start::default().to_string(), "earliest");
    }
}
