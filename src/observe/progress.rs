//! Progress bars and lines on standard error.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};

use crate::runtime::print;

/// Computes the completed share of a job with a finite input from the number of decoded messages.
pub type Share = Box<dyn Fn(u64) -> f64 + Send>;

/// The progress line of a job.
pub struct Progress {
    line: ProgressBar,
    started: Instant,
    share: Option<Share>,
}

impl Progress {
    /// Starts the line; hidden if standard error is not a terminal.
    pub fn start(share: Option<Share>) -> Self {
        let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        line.set_style(styled("{spinner} {elapsed} {human_pos} records, {rate}, {msg}"));
        line.enable_steady_tick(Duration::from_millis(200));
        Self { line, started: Instant::now(), share }
    }

    /// Shows the records decoded and the last commit.
    pub fn show(&self, records: u64, epoch: u64) {
        if self.line.is_hidden() {
            return;
        }
        let share = self.share.as_ref().map(|share| share(records));
        self.line.set_position(records);
        self.line.set_message(format!("{}epoch {epoch} committed", done(share, self.started.elapsed())));
    }
}

/// The completed share and the estimated remaining time.
fn done(share: Option<f64>, elapsed: Duration) -> String {
    match share {
        Some(share) if share > 0.0 => {
            let share = share.min(1.0);
            format!("{:.0} %, {} left, ", share * 100.0, left(share, elapsed))
        }
        _ => String::new(),
    }
}

/// The remaining time, if this share took `elapsed`.
pub fn left(share: f64, elapsed: Duration) -> HumanDuration {
    let left = Duration::try_from_secs_f64(elapsed.as_secs_f64() * (1.0 - share) / share);
    HumanDuration(left.unwrap_or(Duration::MAX))
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.line.finish_and_clear();
    }
}

/// Without a terminal, a transfer logs its progress this often.
const REPORT_EACH: Duration = Duration::from_secs(10);

/// The progress of sending messages from a file or pipe: a bar on a terminal, otherwise an occasional line.
pub struct Transfer {
    bar: ProgressBar,
    /// Bytes of the whole input, if known and finite.
    total: Option<u64>,
    started: Instant,
    reported: Instant,
}

impl Transfer {
    /// Starts it, with the bytes of the whole input, if known.
    pub fn start(total: Option<u64>) -> Self {
        let template = match total {
            Some(_) => "{bar:30} {bytes} of {total_bytes}, {msg}, {eta} left",
            None => "{spinner} {bytes}, {msg}",
        };
        let bar = match (print::notes_are_on_terminal(), total) {
            (false, _) => ProgressBar::hidden(),
            (true, Some(total)) => ProgressBar::new(total),
            (true, None) => ProgressBar::new_spinner(),
        };
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        let now = Instant::now();
        Self { bar: bar.with_style(style), total, started: now, reported: now }
    }

    /// Shows the number of messages sent and of input bytes read.
    pub fn at(&mut self, messages: u64, bytes: u64) {
        let each = if self.bar.is_hidden() { REPORT_EACH } else { Duration::from_millis(100) };
        if self.reported.elapsed() < each {
            return;
        }
        self.reported = Instant::now();
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = messages as f64 / seconds;
        if !self.bar.is_hidden() {
            self.bar.set_message(format!("{messages} messages, {rate:.0}/s"));
            self.bar.set_position(bytes);
            return;
        }
        let left = self.total.filter(|_| bytes > 0).map_or(String::new(), |total| {
            let share = (bytes as f64 / total as f64).min(1.0);
            format!(" of {}, {} left", HumanBytes(total), left(share, self.started.elapsed()))
        });
        print::note(format_args!("{messages} messages, {rate:.0}/s, {}{left}", HumanBytes(bytes)));
    }

    /// Ends it.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// A progress bar up to `total` items called `name`, with rate and remaining time; hidden if standard error is not a
/// terminal.
pub fn counted(total: u64, name: &str) -> ProgressBar {
    let template = format!("{{bar:30}} {{human_pos}} of {{human_len}} {name}, {{rate}}, {{eta}} left");
    ProgressBar::new(total).with_style(styled(&template))
}

/// A template with the rate as a whole number.
fn styled(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template).expect("the template is well formed");
    style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        // If this fails, the line is drawn without the rate.
        let _ = write!(out, "{:.0}/s", state.per_sec());
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_time_is_extrapolated() {
        let after = |share| done(share, Duration::from_secs(30));
        assert_eq!(after(Some(0.25)), "25 %, 2 minutes left, ");
        assert_eq!(after(Some(1.5)), "100 %, 0 seconds left, ");
        assert_eq!(after(Some(0.0)), "");
        assert_eq!(after(None), "");
    }
}
