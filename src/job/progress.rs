//! The thread that forwards a stop request to the clock, and updates gauges and the progress line.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::job::error::JobError;
use crate::observe::board::{Board, Doing};
use crate::observe::progress::{Progress, Share};
use crate::runtime::clock::Clock;
use crate::runtime::metrics::Metrics;
use crate::runtime::stop::Stop;
use crate::runtime::thread::spawn;

/// The running thread.
pub(super) struct ProgressThread {
    ended: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl ProgressThread {
    const EVERY: Duration = Duration::from_millis(50);

    pub(super) fn start(
        stop: Arc<Stop>,
        clock: Arc<Clock>,
        metrics: Metrics,
        records: Arc<AtomicU64>,
        board: Option<Arc<Board>>,
        share: Option<Share>,
    ) -> Result<Self, JobError> {
        let ended = Arc::new(AtomicBool::new(false));
        let over = ended.clone();
        let thread = spawn("progress", move || {
            let progress = Progress::start(share);
            while !over.load(SeqCst) {
                if stop.requested() && !clock.is_stopping() {
                    tracing::info!("stopping after the open epoch");
                    board.iter().for_each(|board| board.set_doing(Doing::Stopping));
                    clock.stop();
                }
                metrics.epochs_in_flight.set(clock.in_flight() as i64);
                metrics.bytes_in_flight.set(clock.bytes_in_flight() as i64);
                metrics.source_paused.set(i64::from(!clock.may_read()));
                progress.show(records.load(SeqCst), clock.committed());
                std::thread::park_timeout(Self::EVERY);
            }
        })?;
        Ok(Self { ended, thread })
    }

    pub(super) fn finish(self) {
        self.ended.store(true, SeqCst);
        self.thread.thread().unpark();
        if self.thread.join().is_err() {
            tracing::error!(
                "the progress thread panicked; this is a bug in truckflow, please report it (the job is not affected)"
            );
        }
    }
}
