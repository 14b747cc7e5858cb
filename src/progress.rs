//! The progress line of a job, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line on standard error that says how far a job is.
pub struct Progress(ProgressBar);

impl Progress {
    /// Starts the line; hidden where standard error is not a terminal.
    pub fn start() -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(5));
        if let Ok(style) =
            ProgressStyle::with_template("{spinner} {elapsed} {human_pos} records, {per_sec}, {msg}")
        {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    /// Shows the records decoded and the last commit.
    pub fn show(&self, records: u64, epoch: u64) {
        self.0.set_position(records);
        self.0.set_message(format!("epoch {epoch} committed"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
