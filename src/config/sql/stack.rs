//! A stack that is large enough for the parser.

use std::panic::resume_unwind;
use std::thread;

/// Enough for a text within the parser's limits, also without optimization, where it needs large stack frames.
const STACK: usize = 32 << 20;

/// Runs the parser on a stack that is large enough.
pub(super) fn with_stack<T: Send>(run: impl Fn() -> T + Sync) -> T {
    let compiled = thread::scope(|scope| {
        let compiling = thread::Builder::new().name("sql".into()).stack_size(STACK);
        Some(compiling.spawn_scoped(scope, &run).ok()?.join())
    });
    match compiled {
        Some(result) => result.unwrap_or_else(|panic| resume_unwind(panic)),
        None => run(),
    }
}
