//! Shared by all parts of a process: epochs, signals, metrics, health and secrets.
//!
//! | module | is |
//! |---|---|
//! | [`clock`] | mints epochs, and applies backpressure to sources |
//! | [`stop`], [`reload`] | signals: shutdown, and reloading of secrets |
//! | [`metrics`], [`counts`], [`health`] | metrics and counters, and whether the job is ready |
//! | [`retry`] | retries with growing pauses |
//! | [`events`] | what a job reports to the process that started it |
//! | [`secret`] | values that are never printed |
//! | [`failure`], [`fault`] | two errors that can occur anywhere, and faults that tests inject |
//! | [`folder`], [`process`], `thread`, `pace`, [`mod@print`] | access to the operating system |

pub mod clock;
pub mod counts;
pub mod events;
pub mod failure;
pub mod fault;
pub mod folder;
pub mod growth;
pub mod health;
pub mod metrics;
pub(crate) mod pace;
pub mod print;
pub mod process;
pub mod reload;
pub mod retry;
pub mod secret;
pub mod stop;
pub(crate) mod thread;
