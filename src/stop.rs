//! Ending a command cleanly on SIGINT or SIGTERM, and at once on a second one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};

/// Whether the command was asked to end. While it lives, the first SIGINT or SIGTERM only asks; a
/// second one ends the process with the status of a process that the signal killed.
#[derive(Default)]
pub struct Stop {
    requested: Arc<AtomicBool>,
    registrations: Vec<SigId>,
}

impl Stop {
    /// Listens to SIGINT and SIGTERM from now on.
    pub fn on_signals() -> io::Result<Stop> {
        let mut stop = Stop::default();
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal must find the flag still down when it is asked to exit.
            let requested = || Arc::clone(&stop.requested);
            let exit = signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, requested())?;
            let ask = signal_hook::flag::register(signal, requested())?;
            stop.registrations.extend([exit, ask]);
        }
        Ok(stop)
    }

    /// Asks the command to end, as a signal would.
    pub fn request(&self) {
        self.requested.store(true, Ordering::Relaxed);
    }

    /// Whether the command was asked to end.
    pub fn requested(&self) -> bool {
        self.requested.load(Ordering::Relaxed)
    }
}

impl Drop for Stop {
    fn drop(&mut self) {
        for id in self.registrations.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}
