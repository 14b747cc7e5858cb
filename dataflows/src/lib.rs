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
//! | [`effect`] | what the views send out, and what they get back at a start |
//! | [`expression`] | conditions and columns of a user's own views, and how they are evaluated |
//! | [`origin`] | where records came from, and their bytes |
//! | [`real`] | rounding an exact ratio to `f64`, once |
//! | [`readings`] | what each message key names, in a job whose messages correct earlier ones |
//! | [`rows`] | what a view gives a sink: typed columns |
//! | [`state`] | how a view's state is written down, and read back at a start |
//! | [`views`] | one file per view, and the one list of them |
//! | [`oracle`] | the same results by another path (big rationals), to test against |
//!
//! A small dataflow as a whole: readings go in, in epochs; the correlation of distance and time comes out, a
//! row for each truck and epoch that changed it.
//!
//! ```
//! use dataflows::Epoch;
//! use dataflows::batch::{BatchBuilder, NANO};
//! use dataflows::item::Item;
//! use dataflows::rows::Column;
//! use dataflows::views::{Inputs, Settings, all};
//! use dataflows::effect::{Effect, Restored};
//! use timely::dataflow::operators::{Input, Inspect, Probe};
//! use timely::dataflow::{InputHandleVec, ProbeHandle};
//!
//! let effects = timely::execute_directly(|worker| {
//!     let settings = Settings::default();
//!     let views = all(&settings);
//!     let view = views.iter().find(|view| view.name == "distance_correlation").unwrap();
//!
//!     // What sources feed, and what a job that stopped before has committed: here nothing.
//!     let mut items = InputHandleVec::<Epoch, Item>::new();
//!     let mut restored = InputHandleVec::<Epoch, Restored>::new();
//!     let (sender, effects) = std::sync::mpsc::channel();
//!     let probe = ProbeHandle::new();
//!     worker.dataflow(|scope| {
//!         let restored = scope.input_from(&mut restored);
//!         let inputs = Inputs::new(scope.input_from(&mut items), restored, 0, &settings);
//!         (view.build)(&inputs)
//!             .inspect(move |effect| sender.send(effect.clone()).unwrap())
//!             .probe_with(&probe);
//!     });
//!     restored.close();
//!
//!     // Epoch 1: three readings of a truck, which drives 1 km in each of two seconds.
//!     items.advance_to(1);
//!     let mut batch = BatchBuilder::default();
//!     for n in 0..3 {
//!         batch.push("truck-1", n * 1_000_000, [n * NANO, 80 * NANO, 0]);
//!     }
//!     items.send(Item::Records(batch.take()));
//!     items.close();
//!     worker.step_while(|| !probe.done());
//!     effects.try_iter().collect::<Vec<_>>()
//! });
//!
//! let rows = effects.iter().find_map(|effect| match effect {
//!     Effect::Rows(rows) => Some(rows),
//!     _ => None,
//! });
//! // Its columns: distance_covered, time_elapsed, correlation, truck_id, samples, timestamp.
//! let Column::Real(correlation) = &rows.unwrap().columns[2] else { unreachable!() };
//! assert_eq!(**correlation, [1.0]);
//! // Beside the rows comes what a restart would be given as `restored`.
//! assert!(effects.iter().any(|effect| matches!(effect, Effect::State { added: 1, .. })));
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]
// Graph types are long by nature; both engine crates allow this too.
#![allow(clippy::type_complexity)]

pub mod accumulation;
pub mod batch;
pub mod dead_letter;
pub mod effect;
mod epochs;
pub mod expression;
pub mod item;
mod null;
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

/// The example of the README is one.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
