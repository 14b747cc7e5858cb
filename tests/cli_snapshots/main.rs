//! The output of the binary for help and for wrong use, complete and with its exit status.
//!
//! `snapshots/` has a page for each test here. After a change, `INSTA_UPDATE=always make test-fast` writes them again.
//! Nothing here needs a server. `tests/all/wrong_use.rs` has the cases that do.
//!
//! | file | pages |
//! |---|---|
//! | `help` | `--help` of every command |
//! | `usage` | arguments that no command takes |
//! | `configuration` | keys, values and definitions that no job takes |
//! | `start` | inputs, outputs, brokers and databases that cannot be used |
//! | `messages` | how messages are read |
//! | `jobs` | commands on a job that another definition or command has left |

mod configuration;
mod help;
mod jobs;
mod messages;
mod session;
mod start;
mod usage;
