//! Whether a job is ready, as `/readyz` reports it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A job is ready while it reads and all services that it needs are available.
#[derive(Debug, Default)]
pub struct Health {
    reading: AtomicBool,
    /// The unavailable services by name, each with the reason.
    unavailable: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// Sets whether the job reads: between its start and its end.
    pub fn set_reading(&self, reading: bool) {
        self.reading.store(reading, SeqCst);
    }

    /// Marks `what` as unavailable, with the reason. Returns whether it was available before.
    pub fn set_unavailable(&self, what: &str, reason: impl ToString) -> bool {
        self.unavailable().insert(what.to_owned(), reason.to_string()).is_none()
    }

    /// Marks `what` as available. Returns whether it was unavailable before.
    pub fn set_available(&self, what: &str) -> bool {
        self.unavailable().remove(what).is_some()
    }

    /// Whether `what` is unavailable.
    pub fn is_unavailable(&self, what: &str) -> bool {
        self.unavailable().contains_key(what)
    }

    /// Ok if the job is ready, otherwise the reasons in one line.
    pub fn ready(&self) -> Result<(), String> {
        match self.missing() {
            Some(reasons) => Err(reasons),
            None if self.reading.load(SeqCst) => Ok(()),
            None => Err("the job is not reading: it is starting or stopping".into()),
        }
    }

    /// The reasons of all unavailable services, if there are any.
    pub fn missing(&self) -> Option<String> {
        let unavailable = self.unavailable();
        (!unavailable.is_empty()).then(|| unavailable.values().cloned().collect::<Vec<_>>().join("; "))
    }

    fn unavailable(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.unavailable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_ready_when_it_reads_and_all_services_are_available() {
        let health = Health::default();
        assert!(health.ready().is_err());
        health.set_reading(true);
        assert_eq!(health.ready(), Ok(()));
        assert!(
            health.set_unavailable("database", "a")
                && !health.set_unavailable("database", "b")
                && health.set_unavailable("broker", "c")
        );
        assert!(health.is_unavailable("broker") && !health.is_unavailable("brokers"));
        assert_eq!(health.ready(), Err("c; b".into()));
        assert!(health.set_available("broker") && !health.set_available("broker"));
        assert_eq!((health.ready(), health.missing()), (Err("b".into()), Some("b".into())));
        health.set_available("database");
        assert_eq!(health.ready(), Ok(()));
        health.set_reading(false);
        assert!(health.ready().is_err() && health.missing().is_none());
    }
}
