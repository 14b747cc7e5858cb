//! truckflow: exact correlations of truck telemetry, from Kafka to SQL and CSV, exactly once.
//!
//! ```text
//! Kafka or file -> source -> decode -> graph: views -> render -> commit -> store, CSV files
//!                    ^--- start offsets, read once; pressure (clock) <--------'
//! ```
//!
//! | module | does |
//! |---|---|
//! | [`cli`], [`config`] | what the user says: flags, variables, a TOML file |
//! | [`expression`] | the text of a user's own view to typed expressions |
//! | [`run`] | launches a job; the one place that sees all parts |
//! | [`backfill`] | what a view that is new to a running job is given |
//! | `restore` | the views' state at a start, set back where it is too far ahead |
//! | [`inputs`] | the topics and files that a job reads, opened and dealt to the workers |
//! | [`worker`] | one worker thread: polls its inputs, feeds and steps the graph |
//! | [`clock`] | mints epochs, and holds sources back |
//! | [`cluster`] | several processes that work on one job |
//! | [`source`], [`decode`] | bytes to batches of records, or dead letters |
//! | [`kafka`] | what all clients of Kafka share: which errors pass |
//! | [`graph`] | the dataflow: the views of the crate `dataflows`, and what carries rows out |
//! | [`render`] | columns to CSV lines and SQL values |
//! | [`commit`] | makes an epoch durable, all at once |
//! | [`store`], [`state`], [`sink`] | the database, the format of state in it, CSV files |
//! | [`counts`], [`metrics`], [`health`], [`board`], [`web`], [`top`], [`progress`], [`summary`] | what is seen |
//! | [`simulate`], [`replay`], [`mod@bench`], [`check`], [`verify`], [`explain`], [`state_command`], [`producer`] | the other commands |
//! | [`secret`], [`properties`], [`reload`] | what is read from files, and again at a SIGHUP, and is never shown |
//! | [`error`], [`stop`], [`mod@print`], [`printable`] | how a command ends, and what it prints |

#![warn(missing_docs)]
// A file's first lines are a map of what is in it, private modules too.
#![allow(rustdoc::private_intra_doc_links)]

pub mod cli;
pub mod command;
pub mod config;
pub mod decode;
pub mod job;
pub mod kafka;
pub mod observe;
pub mod render;
pub mod runtime;
pub mod sink;
pub mod source;
pub mod state;
pub mod store;
pub mod text;
