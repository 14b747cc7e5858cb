//! What every part of a process uses: time and epochs, how it ends, what it counts, what it must not show.
//!
//! | module | is |
//! |---|---|
//! | [`clock`] | mints epochs, and holds sources back |
//! | [`stop`], [`reload`] | signals: the end of a command, and secrets that are read again |
//! | [`metrics`], [`counts`], [`health`] | what is counted, and whether the job does its work |
//! | [`secret`] | what is never shown |
//! | [`failure`], [`fault`] | two errors that any part may have, and faults that tests inject |
//! | [`folder`], [`process`], `thread`, `pace`, [`mod@print`] | the operating system's |

pub mod clock;
pub mod counts;
pub mod failure;
pub mod fault;
pub mod folder;
pub mod health;
pub mod metrics;
pub(crate) mod pace;
pub mod print;
pub mod process;
pub mod reload;
pub mod secret;
pub mod stop;
pub(crate) mod thread;
