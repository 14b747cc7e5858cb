//! Threads with a name, so that a debugger and a crash say which one it is.

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
