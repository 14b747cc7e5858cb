//! Whether a job does its work now: what `/readyz` says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Says that the job is ready while it reads, and nothing that it needs is away.
#[derive(Debug, Default)]
pub struct Health {
    reading: AtomicBool,
    /// What does not answer, or cannot do its part now: by name, with the reason.
    away: Mutex<BTreeMap<String, String>>,
}

impl Health {
    /// Says whether the job reads: all was opened, and it did not end yet.
    pub fn set_reading(&self, reading: bool) {
        self.reading.store(reading, SeqCst);
    }

    /// Says that `what` cannot do its part, and why; whether that is news.
    pub fn lost(&self, what: &str, reason: impl ToString) -> bool {
        self.away().insert(what.to_owned(), reason.to_string()).is_none()
    }

    /// Says that `what` does its part again; whether that is news.
    pub fn found(&self, what: &str) -> bool {
        self.away().remove(what).is_some()
    }

    /// Whether `what` cannot do its part.
    pub fn is_away(&self, what: &str) -> bool {
        self.away().contains_key(what)
    }

    /// Nothing if the job is ready, else why it is not, in one line.
    pub fn ready(&self) -> Result<(), String> {
        match self.missing() {
            Some(reasons) => Err(reasons),
            None if self.reading.load(SeqCst) => Ok(()),
            None => Err("the job is not reading: it is starting or stopping".into()),
        }
    }

    /// Why what is away does not do its part, if something is.
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
    fn a_job_is_ready_when_it_reads_and_nothing_is_away() {
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
