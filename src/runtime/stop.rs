//! Signals: graceful shutdown, and reloading of secrets.
//!
//! | signal | effect |
//! |---|---|
//! | SIGINT, SIGTERM | asks the command to stop; a second signal ends the process immediately |
//! | SIGHUP, ignored at the start (`nohup`) | nothing |
//! | SIGHUP, with a controlling terminal at the start | asks the command to stop: the terminal was closed |
//! | SIGHUP otherwise | see [`Hangup`]: a job reloads its secrets |
//!
//! All waits go through [`Stop`], so that they end as soon as the command is asked to stop.

use std::fs;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::{Handle, Signals};

use crate::runtime::failure::{Bug, SystemError};
use crate::runtime::reload::Reloads;
use crate::runtime::thread::spawn;

/// The effect of SIGHUP if it is not ignored and there is no terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hangup {
    /// Asks the command to stop.
    Stops,
    /// Reloads secrets and certificates.
    Reloads,
    /// Ends the process, also with a terminal: a command that only displays has nothing to finish.
    Kills,
}

/// Work on its own thread that has no result.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    /// The thread cannot be started.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The thread panicked.
    #[error(transparent)]
    Bug(#[from] Bug),
}

/// Whether the command was asked to stop. Handles signals for as long as it lives.
#[derive(Default)]
pub struct Stop {
    shared: Arc<Shared>,
    reloads: Reloads,
    listening: Option<Listening>,
}

#[derive(Default)]
struct Shared {
    requested: AtomicBool,
    /// Held while a condition is checked and while a change is announced, so that no wakeup is missed.
    lock: Mutex<()>,
    changed: Condvar,
}

impl Shared {
    fn request(&self) {
        self.requested.store(true, SeqCst);
        self.notify();
    }

    fn notify(&self) {
        let _held = unpoisoned(&self.lock);
        self.changed.notify_all();
    }

    /// Waits until the command is asked to stop, or until `is_done`, for at most `at_most`.
    fn wait(&self, at_most: Duration, is_done: impl Fn() -> bool) {
        let waits = |(): &mut ()| !self.requested.load(SeqCst) && !is_done();
        drop(self.changed.wait_timeout_while(unpoisoned(&self.lock), at_most, waits));
    }
}

struct Listening {
    second: Vec<SigId>,
    signals: Handle,
    thread: Option<JoinHandle<()>>,
}

impl Stop {
    /// Starts to handle signals.
    pub fn on_signals(hangup: Hangup) -> Result<Stop, SystemError> {
        Self::listen(hangup).map_err(|source| SystemError { verb: "listen to signals", source })
    }

    fn listen(hangup: Hangup) -> io::Result<Stop> {
        let mut stop = Stop::default();
        let asked = Arc::new(AtomicBool::new(false));
        let mut second = Vec::new();
        for signal in [SIGINT, SIGTERM] {
            // In this order: when the first signal runs the exit handler, the flag must not be set yet.
            let exit = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())?;
            let ask = signal_hook::flag::register(signal, asked.clone())?;
            second.extend([exit, ask]);
        }
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        if hangup != Hangup::Kills && !is_hangup_ignored() {
            signals.add_signal(SIGHUP)?;
        }
        let hangup = if has_terminal() { Hangup::Stops } else { hangup };
        let (handle, shared, reloads) = (signals.handle(), stop.shared.clone(), stop.reloads.clone());
        let listen = move || {
            for signal in signals.forever() {
                match (signal, hangup) {
                    (SIGHUP, Hangup::Reloads) => reloads.reload(),
                    _ => shared.request(),
                }
            }
        };
        let thread = std::thread::Builder::new().name("signals".into()).spawn(listen)?;
        stop.listening = Some(Listening { second, signals: handle, thread: Some(thread) });
        Ok(stop)
    }

    /// Asks the command to stop, as a signal would.
    pub fn request(&self) {
        self.shared.request();
    }

    /// Whether the command was asked to stop.
    pub fn requested(&self) -> bool {
        self.shared.requested.load(SeqCst)
    }

    /// Waits for `at_most`, or until the command is asked to stop. Returns whether it was.
    pub fn wait(&self, at_most: Duration) -> bool {
        self.shared.wait(at_most, || false);
        self.requested()
    }

    /// Runs work that may block on its own thread. None if the command was asked to stop before the work was
    /// done; the thread is then abandoned, and [`exit`] ends the process with it.
    ///
    /// # Errors
    /// The thread cannot be started, or panicked.
    pub fn unless_requested<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, WorkError> {
        let done = Arc::new(Mutex::new(None));
        let (result, shared) = (done.clone(), self.shared.clone());
        spawn("start", move || {
            let worked = catch_unwind(AssertUnwindSafe(work));
            *unpoisoned(&result) = Some(worked);
            shared.notify();
        })?;
        self.shared.wait(Duration::MAX, || unpoisoned(&done).is_some());
        let worked = unpoisoned(&done).take();
        if self.requested() {
            LEFT_WORK.fetch_or(worked.is_none(), SeqCst);
            return Ok(None);
        }
        Ok(worked.transpose().map_err(|_| Bug("the start"))?)
    }

    /// The values that SIGHUP reloads.
    pub fn reloads(&self) -> &Reloads {
        &self.reloads
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        let Some(Listening { second, signals, thread }) = self.listening.take() else { return };
        for id in second {
            signal_hook::low_level::unregister(id);
        }
        signals.close();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the signal thread panicked; the command itself is not affected");
        }
    }
}

/// Whether a thread was abandoned while it worked.
static LEFT_WORK: AtomicBool = AtomicBool::new(false);

/// Records that a thread is abandoned, so that the process ends with it.
pub fn leave_work() {
    LEFT_WORK.store(true, SeqCst);
}

/// The status that `main` returns. If a thread was abandoned, the process ends here without the exit handlers of
/// libraries, which would free memory that the thread still uses.
pub fn exit(status: u8) -> ExitCode {
    if LEFT_WORK.load(SeqCst) {
        signal_hook::low_level::exit(status.into());
    }
    ExitCode::from(status)
}

/// Whether the process was started with SIGHUP ignored, as by `nohup`. Only Linux reports it.
fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(is_in_mask)
}

fn is_in_mask(mask: u64) -> bool {
    mask & (1 << (SIGHUP - 1)) != 0
}

/// Whether the process has a controlling terminal: only then can `/dev/tty` be opened.
fn has_terminal() -> bool {
    fs::File::open("/dev/tty").is_ok()
}

/// Nothing panics while these locks are held, so poisoning can be ignored.
fn unpoisoned<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    #[test]
    fn a_wait_ends_when_the_command_is_asked_to_stop() {
        let stop = Arc::new(Stop::default());
        assert!(!stop.wait(Duration::ZERO));
        let waits = stop.clone();
        let waiting = std::thread::spawn(move || waits.wait(Duration::MAX));
        stop.request();
        assert!(waiting.join().unwrap() && stop.wait(Duration::MAX));
    }

    #[test]
    fn blocked_work_is_abandoned_when_the_command_is_asked_to_stop() {
        let stop = Arc::new(Stop::default());
        assert_eq!(stop.unless_requested(|| 5).unwrap(), Some(5));
        assert!(matches!(
            stop.unless_requested(|| panic!("as a test")),
            Err(WorkError::Bug(Bug("the start")))
        ));
        let (ends, never) = channel::<()>();
        let asks = stop.clone();
        let left = stop.unless_requested(move || {
            asks.request();
            never.recv()
        });
        assert_eq!(left.unwrap(), None);
        // After the request, finished work is ignored, too.
        assert_eq!(stop.unless_requested(|| 5).unwrap(), None);
        drop(ends);
    }

    #[test]
    fn an_ignored_hangup_is_the_lowest_bit_of_the_mask() {
        assert!(is_in_mask(0x1001) && !is_in_mask(0x1000));
    }
}
