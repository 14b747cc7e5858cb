//! Named threads, so that debuggers and panic messages identify them.

use std::thread::JoinHandle;

use crate::runtime::failure::SystemError;

/// Starts a thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<JoinHandle<T>, SystemError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .map_err(|source| SystemError { verb: "start a thread", source })
}
