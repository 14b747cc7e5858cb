//! What a view is, and what the views without state have in common.

use std::borrow::Cow;
use std::sync::Arc;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::inputs::Inputs;
use super::settings::Settings;
use crate::Epoch;
use crate::batch::Batch;
use crate::effect::Effect;
use crate::rows::{ColumnSpec, Rows};

/// Builds a view's part of the graph.
pub type Build = Arc<dyn for<'scope> Fn(&Inputs<'scope>) -> StreamVec<'scope, Epoch, Effect> + Send + Sync>;

/// A result that the graph maintains. [The crate's example](crate) builds one.
#[derive(Clone)]
pub struct View {
    /// The name in configuration, metrics and of the CSV file.
    pub name: Cow<'static, str>,
    /// The table.
    pub table: Cow<'static, str>,
    /// The columns of table and CSV, without `id`.
    pub columns: Cow<'static, [ColumnSpec]>,
    /// Whether its rows may change and end, and so carry [`Changes`].
    pub keyed: bool,
    /// Whether it is made of readings: in an upsert job its files then say what each line does.
    pub of_readings: bool,
    /// Whether its state has times of trucks and of the topic: see [`Recovery`](super::Recovery).
    pub keeps_times: bool,
    /// Whether it may give records up, so that batches need their [`Origin`](crate::origin::Origin).
    pub gives_up: bool,
    /// What its state depends on beside its name: another text is another view.
    pub definition: String,
    /// Whether an entry of state, a key and its value, is one that it keeps.
    pub keeps: Keeps,
    /// Builds its part of the graph.
    pub build: Build,
}

/// Whether an entry of state, a key and its value, is one that a view keeps.
pub type Keeps = Arc<dyn Fn(&[u8], &[u8]) -> bool + Send + Sync>;

/// Of a view without state.
pub(super) fn keeps_nothing() -> Keeps {
    Arc::new(|_, _| false)
}

/// A view of readings, whose rows change and end in an upsert job, and which needs no state.
pub(super) fn of_readings(
    settings: &Settings,
    name: &'static str,
    table: &'static str,
    columns: &'static [ColumnSpec],
    build: impl for<'scope> Fn(&Inputs<'scope>) -> StreamVec<'scope, Epoch, Effect> + Send + Sync + 'static,
) -> View {
    View {
        name: name.into(),
        table: table.into(),
        columns: columns.into(),
        keyed: settings.upserts(),
        of_readings: true,
        keeps_times: false,
        gives_up: false,
        definition: String::new(),
        keeps: keeps_nothing(),
        build: Arc::new(build),
    }
}

/// Builds a view that needs no state: each batch gives its rows by itself.
pub(super) fn render_stateless<'scope>(
    inputs: &Inputs<'scope>,
    name: &str,
    rows: impl FnMut(Batch) -> Rows + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    render_each(inputs.records.clone(), inputs.start, name, rows)
}

/// Gives the rows of each piece of data in an epoch after `start`.
pub(super) fn render_each<'scope, D: Clone + 'static>(
    stream: StreamVec<'scope, Epoch, D>,
    start: Epoch,
    name: &str,
    mut rows: impl FnMut(D) -> Rows + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    stream.unary(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let due = cap.least().is_some_and(|epoch| *epoch > start);
                let mut session = output.session(&cap);
                for data in containers.flat_map(|container| container.drain(..)).filter(|_| due) {
                    let rows = rows(data);
                    if !rows.is_empty() {
                        session.give(Effect::Rows(rows));
                    }
                }
            });
        }
    })
}

/// The places of all records of a batch.
pub(super) fn places(batch: &Batch) -> Vec<u32> {
    (0..batch.len() as u32).collect()
}
