//! Splits the items of sources into the input streams of views.

use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use super::settings::Settings;
use crate::Epoch;
use crate::batch::Batch;
use crate::dead_letter::DeadLetter;
use crate::effect::{Effect, Restored};
use crate::item::Item;
use crate::{dedupe, readings};

/// The input streams of a view.
#[derive(Clone)]
pub struct Inputs<'scope> {
    /// The decoded readings.
    pub records: StreamVec<'scope, Epoch, Batch>,
    /// Rejected input.
    pub dead_letters: StreamVec<'scope, Epoch, Vec<DeadLetter>>,
    /// The state of the views at the last commit, in epoch `start`.
    pub restored: StreamVec<'scope, Epoch, Restored>,
    /// How far the workers' partitions are behind: see [`Item::Behind`].
    pub behind: StreamVec<'scope, Epoch, i64>,
    /// When the latest messages arrived: see [`Item::Arrived`].
    pub arrived: StreamVec<'scope, Epoch, i64>,
    /// In an upsert job, the state changes of the readings.
    pub readings: Option<StreamVec<'scope, Epoch, Effect>>,
    /// In a job that drops repetitions, the state changes of [`dedupe`](crate::dedupe).
    pub dedupe: Option<StreamVec<'scope, Epoch, Effect>>,
    /// The last committed epoch. Only later epochs have effects.
    pub start: Epoch,
}

impl<'scope> Inputs<'scope> {
    /// Splits the items of sources into the input streams of views.
    pub fn new(
        items: StreamVec<'scope, Epoch, Item>,
        restored: StreamVec<'scope, Epoch, Restored>,
        start: Epoch,
        settings: &Settings,
    ) -> Self {
        let (records, readings, dedupe) = if settings.upserts() {
            let upserts = pick(&items, "Upserts", |item| match item {
                Item::Upserts(upserts) => Some(upserts),
                _ => None,
            });
            let upserts = upserts.flat_map(|upserts| upserts);
            let schema = settings.schema.clone();
            let (records, readings) =
                readings::build(upserts, restored.clone(), start, schema, settings.one_after_another);
            (records, Some(readings), None)
        } else {
            let records = pick(&items, "Records", |item| match item {
                Item::Records(batch) => Some(batch),
                _ => None,
            });
            match &settings.dedupe {
                None => (records, None, None),
                Some(of) => {
                    let is_file = settings.one_after_another;
                    let (records, changes) = dedupe::build(records, restored.clone(), start, of, is_file);
                    (records, None, Some(changes))
                }
            }
        };
        let behind = pick(&items, "Behind", |item| match item {
            Item::Behind(time) => Some(time),
            _ => None,
        });
        let arrived = pick(&items, "Arrived", |item| match item {
            Item::Arrived(time) => Some(time),
            _ => None,
        });
        let dead_letters = pick(&items, "DeadLetters", |item| match item {
            Item::DeadLetters(letters) => Some(letters),
            _ => None,
        });
        Self { records, dead_letters, restored, behind, arrived, readings, dedupe, start }
    }

    /// The same inputs, for a view whose effects start after another epoch.
    pub fn beginning_after(&self, start: Epoch) -> Self {
        Self { start, ..self.clone() }
    }
}

/// The items of one kind.
fn pick<'scope, D: Clone + 'static>(
    items: &StreamVec<'scope, Epoch, Item>,
    name: &str,
    kind: impl Fn(Item) -> Option<D> + 'static,
) -> StreamVec<'scope, Epoch, D> {
    items.clone().unary(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, items| {
                let found = items.flat_map(|items| items.drain(..)).filter_map(&kind);
                output.session(&cap).give_iterator(found);
            });
        }
    })
}
