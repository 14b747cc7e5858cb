//! The definition of a view, and the common part of views without state.

use std::borrow::Cow;
use std::sync::Arc;

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;

use super::inputs::Inputs;
use crate::Epoch;
use crate::batch::Batch;
use crate::effect::Effect;
use crate::rows::{ColumnSpec, Rows};

/// Builds a view's part of the graph.
pub type Build = Arc<dyn for<'scope> Fn(&Inputs<'scope>) -> StreamVec<'scope, Epoch, Effect> + Send + Sync>;

/// A result that the graph maintains. [The example of the crate](crate) builds one.
#[derive(Clone)]
pub struct View {
    /// The name in the configuration, in metrics and of the CSV file.
    pub name: Cow<'static, str>,
    /// The table.
    pub table: Cow<'static, str>,
    /// The columns of table and CSV, without `id`.
    pub columns: Cow<'static, [ColumnSpec]>,
    /// Whether its rows can be updated and deleted, and so have [`Changes`](crate::rows::Changes).
    pub keyed: bool,
    /// Whether it is based on readings.
    pub of_readings: bool,
    /// Whether rows can disappear, so that its files have a column `change`.
    pub has_change: bool,
    /// Whether its state has times of trucks and of the topic: see [`Recovery`](super::Recovery).
    pub keeps_times: bool,
    /// The longest time from the start of one of its windows to the next, in microseconds; 1 without windows.
    pub slide: i64,
    /// Whether it may drop readings, so that batches need their [`Origin`](crate::origin::Origin).
    pub drops_readings: bool,
    /// The settings on which its state depends: with another text it is another view.
    pub definition: String,
    /// The columns of an index of its table.
    pub index: Vec<String>,
    /// Whether an entry, a key and its value, is valid in its state.
    pub keeps: Keeps,
    /// Builds its part of the graph.
    pub build: Build,
}

/// Whether an entry, a key and its value, is valid in the state of a view.
pub type Keeps = Arc<dyn Fn(&[u8], &[u8]) -> bool + Send + Sync>;

/// For a view without state.
pub(crate) fn keeps_nothing() -> Keeps {
    Arc::new(|_, _| false)
}

/// A stateless view that is not made of readings: its rows are only appended.
pub(super) fn append_only(
    name: &'static str,
    table: &'static str,
    columns: &'static [ColumnSpec],
    build: impl for<'scope> Fn(&Inputs<'scope>) -> StreamVec<'scope, Epoch, Effect> + Send + Sync + 'static,
) -> View {
    View {
        name: name.into(),
        table: table.into(),
        columns: columns.into(),
        keyed: false,
        of_readings: false,
        has_change: false,
        keeps_times: false,
        slide: 1,
        drops_readings: false,
        definition: String::new(),
        index: Vec::new(),
        keeps: keeps_nothing(),
        build: Arc::new(build),
    }
}

/// Builds a stateless view, which renders each batch independently.
pub(crate) fn render_stateless<'scope>(
    inputs: &Inputs<'scope>,
    name: &str,
    rows: impl FnMut(Batch) -> Vec<Rows> + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    render_each(inputs.records.clone(), inputs.start, name, rows)
}

/// Renders each piece of data of the epochs after `start`.
pub(super) fn render_each<'scope, D: Clone + 'static>(
    stream: StreamVec<'scope, Epoch, D>,
    start: Epoch,
    name: &str,
    mut rows: impl FnMut(D) -> Vec<Rows> + 'static,
) -> StreamVec<'scope, Epoch, Effect> {
    stream.unary(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let due = cap.least().is_some_and(|epoch| *epoch > start);
                let mut session = output.session(&cap);
                for data in containers.flat_map(|container| container.drain(..)).filter(|_| due) {
                    let rows = rows(data).into_iter().filter(|rows| !rows.is_empty());
                    session.give_iterator(rows.map(Effect::Rows));
                }
            });
        }
    })
}
