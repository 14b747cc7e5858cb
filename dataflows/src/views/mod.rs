//! The views: one file each, and the one list of them.
//!
//! A view is a function from the [`Inputs`] to a stream of [`Effect`]s. A new view is a file here
//! and a line in [`ALL`]; sinks, tables, files and metrics follow from its columns.

mod above_speed;
mod correlation;
mod dead_letters;
mod distance_correlation;
mod engine_speed_correlation;
mod parameter_map;
mod transformed;

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use crate::Epoch;
use crate::batch::{Batch, NANO};
use crate::dead_letter::DeadLetter;
use crate::item::Item;
use crate::real::Factor;
use crate::rows::{ColumnSpec, Rows};

/// A result that the graph maintains.
#[derive(Clone, Copy)]
pub struct View {
    /// The name in configuration, metrics and of the CSV file.
    pub name: &'static str,
    /// The table.
    pub table: &'static str,
    /// The columns of table and CSV, without `id`.
    pub columns: &'static [ColumnSpec],
    /// Builds the view's part of the graph.
    pub render: for<'scope> fn(&Inputs<'scope>) -> StreamVec<'scope, Epoch, Effect>,
}

/// Every view, in the order in which they are shown.
pub const ALL: &[View] = &[
    parameter_map::VIEW,
    distance_correlation::VIEW,
    engine_speed_correlation::VIEW,
    transformed::VIEW,
    above_speed::VIEW,
    dead_letters::VIEW,
];

/// The view of dead letters, which sinks add to when a row is refused.
pub use dead_letters::{NAME as DEAD_LETTERS, rows as dead_letter_rows};

/// What is configurable about the views.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// `above_speed` keeps engine speeds strictly above this, in nano-units.
    pub above_speed: i64,
    /// `transformed` multiplies the engine's speed by this.
    pub speed_factor: Factor,
}

impl Default for Settings {
    fn default() -> Self {
        let speed_factor = Factor::new(12, 1).unwrap_or_default();
        Self { above_speed: 80 * NANO, speed_factor }
    }
}

/// State of one view as it was committed, fed to the graph at the start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Restored {
    /// The view's name.
    pub view: Arc<str>,
    /// A state change: see [`crate::state`].
    pub bytes: Vec<u8>,
}

/// The streams and settings that a view is built from.
pub struct Inputs<'scope> {
    /// The decoded readings.
    pub records: StreamVec<'scope, Epoch, Batch>,
    /// Input that could not be used.
    pub dead_letters: StreamVec<'scope, Epoch, Vec<DeadLetter>>,
    /// What the views held at the last commit, at epoch `start`.
    pub restored: StreamVec<'scope, Epoch, Restored>,
    /// The last committed epoch. Effects are due after it only.
    pub start: Epoch,
    /// What is configurable.
    pub settings: Settings,
}

impl<'scope> Inputs<'scope> {
    /// Splits what sources feed into the streams that views are built from.
    pub fn new(
        items: StreamVec<'scope, Epoch, Item>,
        restored: StreamVec<'scope, Epoch, Restored>,
        start: Epoch,
        settings: Settings,
    ) -> Self {
        let records = items.clone().unary(Pipeline, "Records", |_, _| {
            |input, output| {
                input.for_each_stamp(|cap, items| {
                    output.session(&cap).give_iterator(items.flat_map(|items| items.drain(..)).filter_map(
                        |item| match item {
                            Item::Records(batch) => Some(batch),
                            _ => None,
                        },
                    ));
                });
            }
        });
        let dead_letters = items.unary(Pipeline, "DeadLetters", |_, _| {
            |input, output| {
                input.for_each_stamp(|cap, items| {
                    output.session(&cap).give_iterator(items.flat_map(|items| items.drain(..)).filter_map(
                        |item| match item {
                            Item::DeadLetters(letters) => Some(letters),
                            _ => None,
                        },
                    ));
                });
            }
        });
        Self { records, dead_letters, restored, start, settings }
    }
}

/// What a view does in an epoch.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Effect {
    /// Rows for the sinks.
    Rows(Rows),
    /// A change of the view's state.
    State {
        /// The changed entries: see [`crate::state`].
        bytes: Vec<u8>,
        /// How many of them are of keys that had no entry before, less those that ended.
        added: i64,
    },
}

/// Builds a view that needs no state: each batch gives its rows by itself.
fn render_stateless<'scope, D: Clone + 'static>(
    stream: StreamVec<'scope, Epoch, D>,
    name: &str,
    mut rows: impl FnMut(D) -> Rows + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    stream.unary(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let mut session = output.session(&cap);
                for batch in containers.flat_map(|container| container.drain(..)) {
                    let rows = rows(batch);
                    if !rows.is_empty() {
                        session.give(Effect::Rows(rows));
                    }
                }
            });
        }
    })
}
