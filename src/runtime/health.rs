//! Whether a job is ready, as `/readyz` reports it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A job is ready while it reads and all services that it needs are available.
#[derive(Debug, Default)]
pub struct Health {
    reading: AtomicBool,
    /// The unavailable services by name, each with the reason.
    away: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// Sets whether the job reads: between its start and its end.
    pub fn set_reading(&self, reading: bool) {
        self.reading.store(reading, SeqCst);
    }

    /// Marks `what` as unavailable, with the reason. Returns whether it was available before.
    pub fn lost(&self, what: &str, reason: impl ToString) -> bool {
        self.away().insert(what.to_owned(), reason.to_string()).is_none()
    }

    /// Marks `what` as available. Returns whether it was unavailable before.
    pub fn found(&self, what: &str) -> bool {
        self.away().remove(what).is_some()
    }

    /// Whether `what` is unavailable.
    pub fn is_away(&self, what: &str) -> bool {
        self.away().contains_key(what)
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
        let away = self.away();
        (!away.is_empty()).then(|| away.values().cloned().collect::<Vec<_>>().join("; "))
    }

    fn away(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.away.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert!(health.lost("database", "a") && !health.lost("database", "b") && health.lost("broker", "c"));
        assert!(health.is_away("broker") && !health.is_away("brokers"));
        assert_eq!(health.ready(), Err("c; b".into()));
        assert!(health.found("broker") && !health.found("broker"));
        assert_eq!((health.ready(), health.missing()), (Err("b".into()), Some("b".into())));
        health.found("database");
        assert_eq!(health.ready(), Ok(()));
        health.set_reading(false);
        assert!(health.ready().is_err() && health.missing().is_none());
    }
}
