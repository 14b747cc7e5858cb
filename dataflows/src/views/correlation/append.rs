//! The graph of an append job, whose readings are never retracted.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use differential_dataflow::AsCollection;
use differential_dataflow::difference::Semigroup;
use foldhash::fast::RandomState;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::Operator;

use super::axis::{Axis, pair, points};
use super::rows::{Form, rows};
use super::stored::{restore, state};
use super::tally::{Extent, Tally};
use crate::Epoch;
use crate::accumulation::Narrow;
use crate::batch::{Batch, Entity};
use crate::effect::Effect;
use crate::epochs::{folded, stream_epoch};
use crate::views::by_key::{Hashed, totals_by_key};
use crate::views::inputs::Inputs;

/// The tallies of an open epoch, so that the arrangement gets one per truck, not one per batch.
#[derive(Default)]
struct Open {
    /// Indices of the tallies by the address of a truck's name, so that names are neither hashed nor compared. A name
    /// with two addresses has two tallies, which the arrangement adds up.
    places: HashMap<*const u8, u32, RandomState>,
    /// The clones of names keep their addresses valid.
    tallies: Vec<(Entity, Tally)>,
}

impl Open {
    fn add(&mut self, truck: &Entity, tally: Tally) {
        match self.places.entry(truck.as_ptr()) {
            Entry::Occupied(place) => self.tallies[*place.get() as usize].1.plus_equals(&tally),
            Entry::Vacant(place) => {
                place.insert(self.tallies.len() as u32);
                self.tallies.push((truck.clone(), tally));
            }
        }
    }
}

/// The view of an append job.
pub(super) fn build<'scope>(
    inputs: &Inputs<'scope>,
    name: &str,
    form: Form,
) -> StreamVec<'scope, Epoch, Effect> {
    let fresh = folded(
        inputs.records.clone(),
        Pipeline,
        "PreAggregate",
        stream_epoch,
        move |open: &mut Open, batch: Batch| {
            aggregate(&batch, form.axes).for_each(|(truck, tally)| open.add(truck, tally));
        },
        |epoch, open| open.tallies.into_iter().map(move |(truck, tally)| (Hashed::new(truck), epoch, tally)),
    );
    let (wanted, axes) = (name.to_owned(), form.axes);
    let restored = inputs.restored.clone().unary(Pipeline, "Restore", move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                let mut session = output.session(&cap);
                for restored in containers.flat_map(|container| container.drain(..)) {
                    if *restored.view == *wanted {
                        let tallies = restore(&restored, axes);
                        session
                            .give_iterator(tallies.map(|(truck, tally)| (Hashed::new(truck), epoch, tally)));
                    }
                }
            });
        }
    });
    totals_by_key(fresh.concat(restored).as_collection(), name, inputs.start, move |changes| {
        let added = changes.iter().filter(|change| change.old.is_none()).count() as i64;
        let state = Effect::State { bytes: state(changes, form.axes), added };
        vec![Effect::Rows(rows(changes, form)), state]
    })
}

/// Aggregates a batch per truck; each truck has one tally.
fn aggregate(batch: &Batch, axes: (Axis, Axis)) -> impl Iterator<Item = (&Entity, Tally)> {
    let mut open: Vec<Option<(Narrow, Extent)>> = vec![None; batch.entities.len()];
    for (place, point) in points(batch, axes) {
        let (x, y) = pair(point, axes.0);
        match &mut open[batch.entity[place] as usize] {
            Some((sums, extent)) => {
                sums.push(x, y);
                extent.plus_equals(&Extent::of(point));
            }
            first => *first = Some((Narrow::start(x, y), Extent::of(point))),
        }
    }
    let tally = |(sums, extent): (Narrow, Extent)| (sums.finish(), extent);
    batch.entities.iter().zip(open).filter_map(move |(truck, open)| Some((truck, tally(open?))))
}
