//! Long-lived connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Whether a connection is exempt from the time limit, because it streams events to a page that reads them.
#[derive(Clone, Debug, Default)]
pub struct Lasting(Arc<AtomicBool>);

impl Lasting {
    /// Whether it is exempt now.
    pub(super) fn is_active(&self) -> bool {
        self.0.load(SeqCst)
    }

    /// Exempts the connection until the guard is dropped.
    pub fn lasts(&self) -> impl Drop + Send + use<> {
        struct Lasts(Lasting);
        impl Drop for Lasts {
            fn drop(&mut self) {
                self.0.0.store(false, SeqCst);
            }
        }
        self.0.store(true, SeqCst);
        Lasts(self.clone())
    }
}
