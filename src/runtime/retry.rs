//! Retries with back-off: the pauses between attempts double, from the first to the longest.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use super::stop::Stop;

/// The pauses between attempts, without end.
#[derive(Debug)]
pub struct Pauses {
    longest: Duration,
    pauses: ExponentialBackoff,
}

impl Pauses {
    /// Pauses from `first` to `longest`.
    pub fn new(first: Duration, longest: Duration) -> Self {
        let pauses = ExponentialBuilder::new().with_min_delay(first).with_max_delay(longest).with_factor(2.0);
        Self { longest, pauses: pauses.without_max_times().build() }
    }

    /// The next pause.
    pub fn pause(&mut self) -> Duration {
        self.pauses.next().unwrap_or(self.longest)
    }
}

/// Pauses for a server that is unavailable at the start of a job.
fn at_start() -> Pauses {
    Pauses::new(Duration::from_millis(250), Duration::from_secs(5))
}

/// Runs `attempt` until it succeeds, its error is not one that `may_pass`, or the command is asked to stop.
///
/// `may_pass` returns what to log.
pub fn until_stopped<T, E>(
    stop: &Stop,
    mut attempt: impl FnMut() -> Result<T, E>,
    may_pass: impl Fn(&E) -> Option<String>,
) -> Result<T, E> {
    let mut pauses = at_start();
    loop {
        match attempt() {
            Err(error) if !stop.requested() => {
                let Some(said) = may_pass(&error) else { return Err(error) };
                tracing::warn!("{said}; trying again");
                stop.wait(pauses.pause());
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::new(Duration::from_millis(100), Duration::from_secs(1));
        let taken: Vec<_> = (0..70).map(|_| pauses.pause().as_millis()).collect();
        assert_eq!(taken[..6], [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(taken[69], 1000);
    }

    #[test]
    fn only_errors_that_may_pass_are_retried() {
        let stop = Stop::default();
        let mut attempts = 0;
        let mut fail_twice = || {
            attempts += 1;
            if attempts < 3 { Err("away") } else { Err("denied") }
        };
        let away = |error: &&str| (*error == "away").then(|| (*error).to_owned());
        assert_eq!(until_stopped(&stop, &mut fail_twice, away), Err::<(), _>("denied"));
        stop.request();
        assert_eq!(until_stopped(&stop, || Err::<(), _>("away"), away), Err("away"));
        assert_eq!(attempts, 3);
    }
}
