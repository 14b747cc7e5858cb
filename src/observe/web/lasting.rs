//! Connections that may last.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Whether what a connection is asked for takes as long as it likes: the events of a page that takes them.
#[derive(Clone, Debug, Default)]
pub struct Lasting(Arc<AtomicBool>);

impl Lasting {
    /// Whether it does now.
    pub(super) fn does(&self) -> bool {
        self.0.load(SeqCst)
    }

    /// Lets the connection last until the guard is dropped.
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
