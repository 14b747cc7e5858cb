//! SIGHUP makes a job reload secrets and certificates for new connections. The configuration is not reloaded.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};

type Read<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

/// A value that is read from files, and read again at each reload.
pub struct Reloaded<T> {
    what: &'static str,
    /// None for a value that never changes.
    read: Option<Read<T>>,
    value: RwLock<Arc<T>>,
    version: AtomicU64,
}

impl<T> Reloaded<T> {
    /// A value that is never reloaded.
    pub fn fixed(value: T) -> Arc<Self> {
        Arc::new(Self::new("", None, value))
    }

    fn new(what: &'static str, read: Option<Read<T>>, value: T) -> Self {
        Self { what, read, value: RwLock::new(Arc::new(value)), version: AtomicU64::new(0) }
    }

    /// The value as it was last read.
    pub fn get(&self) -> Arc<T> {
        self.value.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How often it was reloaded. Read the version before the value, so that a concurrent reload is noticed later.
    pub fn version(&self) -> u64 {
        self.version.load(SeqCst)
    }
}

trait Reload: Send + Sync {
    fn reload(&self);
}

impl<T: Send + Sync> Reload for Reloaded<T> {
    fn reload(&self) {
        match self.read.as_ref().map(|read| read()) {
            Some(Ok(value)) => {
                *self.value.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
                self.version.fetch_add(1, SeqCst);
            }
            Some(Err(error)) => {
                tracing::warn!("cannot read the {} again: {error}; the old value stays in use", self.what);
            }
            None => {}
        }
    }
}

/// All values that are reloaded.
#[derive(Clone, Default)]
pub struct Reloads(Arc<Mutex<Vec<Weak<dyn Reload>>>>);

impl Reloads {
    /// Reads a value now, and again at each reload while it is in use. `what` is its name in the log.
    ///
    /// # Errors
    /// The value cannot be read now.
    pub fn watch<T: Send + Sync + 'static, E: Display>(
        &self,
        what: &'static str,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
    ) -> Result<Arc<Reloaded<T>>, E> {
        let value = read()?;
        let again: Read<T> = Box::new(move || read().map_err(|error| error.to_string()));
        let reloaded = Arc::new(Reloaded::new(what, Some(again), value));
        let weak: Weak<Reloaded<T>> = Arc::downgrade(&reloaded);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(weak);
        Ok(reloaded)
    }

    /// Reloads all values. One that cannot be read keeps its old value, with a warning in the log.
    pub fn reload(&self) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|reloaded| match reloaded.upgrade() {
            Some(reloaded) => {
                reloaded.reload();
                true
            }
            None => false,
        });
        tracing::info!("SIGHUP: secrets and certificates were re-read; new connections use them");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_value_is_replaced_unless_it_cannot_be_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let reloads = Reloads::default();
        let read = {
            let path = path.clone();
            move || fs::read_to_string(&path)
        };
        assert!(reloads.watch("secret", read.clone()).is_err(), "there is none");
        fs::write(&path, "one").unwrap();
        let secret = reloads.watch("secret", read).unwrap();
        let fixed = Reloaded::fixed(1);
        fs::write(&path, "two").unwrap();
        assert_eq!((&**secret.get(), secret.version()), ("one", 0));
        reloads.reload();
        assert_eq!((&**secret.get(), secret.version()), ("two", 1));
        fs::remove_file(&path).unwrap();
        reloads.reload();
        assert_eq!((&**secret.get(), secret.version()), ("two", 1));
        assert_eq!((*fixed.get(), fixed.version()), (1, 0));
        drop(secret);
        reloads.reload();
        assert!(reloads.0.lock().unwrap().is_empty(), "unused values are not reloaded");
    }
}
