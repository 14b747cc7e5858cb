//! The rate at which records are sent (`--rate`), kept without busy waiting.

use std::str::FromStr;
use std::time::{Duration, Instant};

/// Records are sent up to this much early, so that at high rates one sleep is followed by several records.
const EARLY: Duration = Duration::from_millis(1);

/// A rate as given on the command line: records per second, or `max`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// As fast as the output accepts them.
    Max,
    /// Records per second; finite and above zero.
    PerSecond(f64),
}

/// A text that is not a [`Rate`].
#[derive(Debug, thiserror::Error)]
#[error("expected `max` or a number of records per second above 0")]
pub struct NotARate;

impl FromStr for Rate {
    type Err = NotARate;

    fn from_str(text: &str) -> Result<Rate, NotARate> {
        match text.parse::<f64>() {
            _ if text == "max" => Ok(Rate::Max),
            Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(Rate::PerSecond(rate)),
            _ => Err(NotARate),
        }
    }
}

/// A schedule of deadlines: record n is due n / rate seconds after the start, however long earlier records
/// took, so that the mean rate is kept.
pub struct Pace {
    rate: Rate,
    start: Instant,
}

impl Pace {
    /// A schedule that starts now.
    pub fn start(rate: Rate) -> Pace {
        Pace { rate, start: Instant::now() }
    }

    /// How long record number `n` (from 0) has to wait; `None` if it may be sent now.
    pub fn wait(&self, n: u64) -> Option<Duration> {
        match self.rate {
            Rate::Max => None,
            Rate::PerSecond(rate) => {
                let due = Duration::try_from_secs_f64(n as f64 / rate).unwrap_or(Duration::MAX);
                due.checked_sub(self.start.elapsed()).filter(|wait| *wait > EARLY)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_max_or_positive_numbers() {
        assert_eq!("max".parse::<Rate>().unwrap(), Rate::Max);
        assert_eq!("250".parse::<Rate>().unwrap(), Rate::PerSecond(250.0));
        assert_eq!("0.5".parse::<Rate>().unwrap(), Rate::PerSecond(0.5));
        for wrong in ["", "0", "-1", "inf", "NaN", "fast"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_record_waits_until_it_is_due() {
        let pace = Pace::start(Rate::PerSecond(0.001));
        assert_eq!(pace.wait(0), None);
        let wait = pace.wait(10).unwrap();
        assert!(wait > Duration::from_secs(1_000) && wait <= Duration::from_secs(10_000));
        assert_eq!(Pace::start(Rate::Max).wait(u64::MAX), None);
        assert!(Pace::start(Rate::PerSecond(1e-300)).wait(u64::MAX).is_some());
    }
}
