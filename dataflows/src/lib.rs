//! The graph of truckflow, and nothing else: records in, rows and state changes out.
//!
//! This crate does no I/O and knows no Kafka, SQL, file or clock; its dependencies are timely,
//! differential dataflow, serde and arithmetic, so that Cargo itself keeps I/O out.
//!
//! | module | holds |
//! |---|---|
//! | [`batch`] | decoded readings, as columns: what flows into the graph |
//! | [`dead_letter`] | input that could not be used, with its bytes and the reason |
//! | [`orientation`] | decoded orientation readings of a phone, as columns |
//! | [`item`] | what a source feeds the graph: batches, dead letters, next offsets |
//! | [`accumulation`] | the exact sums of a correlation, and `r` from them |
//! | [`expression`] | conditions and columns of a user's own views, and how they are evaluated |
//! | [`origin`] | where records came from, and their bytes |
//! | [`real`] | rounding an exact ratio to `f64`, once |
//! | [`readings`] | what each message key names, in a job whose messages correct earlier ones |
//! | [`rows`] | what a view gives a sink: typed columns |
//! | [`state`] | how a view's state is written down, and read back at a start |
//! | [`views`] | one file per view, and the one list of them |
//! | [`oracle`] | the same results by another path (big rationals), to test against |

#![forbid(unsafe_code)]
#![warn(missing_docs)]
// Graph types are long by nature; both engine crates allow this too.
#![allow(clippy::type_complexity)]

pub mod accumulation;
pub mod batch;
pub mod dead_letter;
mod epochs;
pub mod expression;
pub mod item;
pub mod oracle;
pub mod orientation;
pub mod origin;
mod packed;
pub mod readings;
pub mod real;
pub mod rows;
pub mod state;
pub mod views;

/// The timestamp of the dataflow. Every record belongs to one epoch, and an epoch's effects become
/// durable all at once.
pub type Epoch = u64;
