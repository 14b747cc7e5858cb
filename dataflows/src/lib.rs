//! The dataflow graph of truckflow: records in, rows and state changes out.
//!
//! This crate does no I/O: it knows neither Kafka nor SQL, files or clocks. It depends only on timely, differential
//! dataflow, serde and arithmetic, so that Cargo enforces this.
//!
//! | module | contents |
//! |---|---|
//! | [`batch`] | decoded readings as columns, the input of the graph |
//! | [`dedupe`] | drops readings that repeat an earlier one of their partition |
//! | [`dead_letter`] | rejected input, with its bytes and the reason |
//! | [`item`] | the items that sources feed into the graph: batches, dead letters, next offsets |
//! | [`accumulation`] | the exact sums of a correlation, and `r` from them |
//! | [`effect`] | the output of views, and their state at a start |
//! | [`expression`] | conditions and columns of user-defined views, and their evaluation |
//! | [`names`] | the names of the entities of a batch |
//! | [`origin`] | the origin of records, and their bytes |
//! | [`real`] | rounding an exact ratio to `f64`, once |
//! | [`readings`] | the current reading of each message key, in an upsert job |
//! | [`relation`] | views of any shape: plans, and the operators that maintain them |
//! | [`rows`] | the rows of views: typed columns |
//! | [`schema`] | the fields of a record |
//! | [`state`] | the format of a view's state |
//! | [`views`] | what views have in common, and those that are not planned |
//! | [`wide`] | integers of 256 bits |
//! | [`oracle`] | an independent computation of the same results by big rationals, for tests |
//!
//! A small complete dataflow: readings go in by epoch; the correlation of distance with time comes out, as one row
//! for each truck and epoch that changed it.
//!
//! ```
//! use dataflows::Epoch;
//! use dataflows::batch::{BatchBuilder, NANO};
//! use dataflows::item::Item;
//! use dataflows::rows::Column;
//! use dataflows::expression::Expression;
//! use dataflows::relation::{Aggregate, Call, From, Function, PlannedView, Relation, Source};
//! use dataflows::views::{Inputs, Settings};
//! use dataflows::effect::{Effect, Restored};
//! use timely::dataflow::operators::{Input, Inspect, Probe};
//! use timely::dataflow::{InputHandleVec, ProbeHandle};
//!
//! let effects = timely::execute_directly(|worker| {
//!     let settings = Settings::default();
//!     // SELECT truck_id, CORR(distance_covered, timestamp) AS correlation FROM readings GROUP BY truck_id
//!     let field = |name| Expression::field(settings.schema.field(name).unwrap());
//!     let pair = vec![field("distance_covered"), field("timestamp")];
//!     let correlation = Call::new(Function::Corr, pair, false, None).unwrap();
//!     let source = Source { from: From::Readings, filter: None };
//!     let relation = Relation::Aggregate(Box::new(Aggregate {
//!         source,
//!         keys: vec![field("truck_id")],
//!         is_whole: false,
//!         window: None,
//!         calls: vec![correlation],
//!         time: None,
//!     }));
//!     let names = ["truck_id", "correlation"].map(str::to_owned);
//!     let view = PlannedView::new("correlation", "CORRELATION", names, relation).view(&settings);
//!
//!     // The items of sources, and the committed state of an earlier run: here none.
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
//!     // Epoch 1: three readings of a truck that drives 1 km per second.
//!     items.advance_to(1);
//!     let mut batch = BatchBuilder::default();
//!     for n in 0..3 {
//!         batch.push("truck-1", n * 1_000_000, &[n * NANO, 80 * NANO, 0]);
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
//! let Column::Real(correlation) = &rows.unwrap().columns[1] else { unreachable!() };
//! assert_eq!(**correlation, [1.0]);
//! // Next to the rows comes the state that a restart would receive as `restored`.
//! assert!(effects.iter().any(|effect| matches!(effect, Effect::State { added: 1, .. })));
//! ```

#![forbid(unsafe_code)]
#![warn(missing_docs)]
// Dataflow types are long by nature; timely and differential-dataflow allow this, too.
#![allow(clippy::type_complexity)]

pub mod accumulation;
pub mod batch;
pub mod dead_letter;
pub mod dedupe;
pub mod effect;
mod epochs;
pub mod expression;
pub mod item;
pub mod names;
mod null;
pub mod oracle;
pub mod origin;
pub mod readings;
pub mod real;
pub mod relation;
pub mod rows;
pub mod schema;
pub mod state;
pub mod views;
pub mod wide;

/// The timestamp of the dataflow. Every record belongs to one epoch, and the effects of an epoch become durable
/// atomically.
pub type Epoch = u64;

/// Runs the example of the README as a doctest.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
