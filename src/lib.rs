//! truckflow: exact correlations of truck telemetry, from Kafka to SQL and CSV, exactly once.
//!
//! ```text
//! Kafka or file -> source -> decode -> graph: views -> render -> commit -> store, CSV files
//!                    ^--- start offsets, read once; pressure (clock) <--------'
//! ```
//!
//! The folders, from top to bottom. A module imports from its own folder, from the folders below it, and from
//! the crates `codec` and `dataflows`, never upward; `tests/structure.rs` checks that.
//!
//! | folder | contains |
//! |---|---|
//! | [`command`] | one entry per subcommand; the top-level error, and the exit status |
//! | [`cli`] | commands and flags |
//! | [`job`] | a job: launch, workers, the graph around the views, commits, clusters |
//! | [`config`] | file, variables and flags, parsed into one validated job; the SQL of user-defined views |
//! | [`observe`] | progress, the live page and HTTP of a running job |
//! | [`source`] | Kafka topics, files, the embedded broker: bytes |
//! | [`sink`] | CSV files, the dead letter topic |
//! | [`store`] | the database: rows, bookkeeping, schema, on MySQL, MariaDB and SQLite |
//! | [`state`] | the format of views' state, and its export |
//! | [`registry`] | the client of a schema registry |
//! | [`kafka`] | shared by all Kafka clients |
//! | [`runtime`] | epochs, signals, metrics, health, secrets, the operating system |
//!
//! The crate [`codec`] has what is done for each record outside the graph: [`decode`], [`render`], [`text`].

#![warn(missing_docs)]
// Module docs describe private modules, too.
#![allow(rustdoc::private_intra_doc_links)]

pub mod cli;
pub mod command;
pub mod config;
pub mod job;
pub mod kafka;
pub mod observe;
pub mod registry;
pub mod runtime;
pub mod sink;
pub mod source;
pub mod state;
pub mod store;

pub use codec::{decode, render, text};
