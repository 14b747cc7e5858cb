//! The graph of an upsert job, whose readings can be retracted.

use std::collections::{BTreeMap, HashMap};

use differential_dataflow::AsCollection;
use differential_dataflow::difference::{Abelian, IsZero, Semigroup};
use differential_dataflow::hashable::Hashable;
use differential_dataflow::operators::CountTotal;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use super::axis::{Axis, Point, pair, points};
use super::rows::{Form, rows};
use super::tally::Extent;
use crate::Epoch;
use crate::accumulation::{Accumulation, Narrow};
use crate::batch::{Batch, Entity};
use crate::effect::Effect;
use crate::epochs::{stream_epoch, when_complete};
use crate::views::by_key::changes_by_key;
use crate::views::inputs::Inputs;

/// The view of an upsert job.
pub(super) fn build<'scope>(
    inputs: &Inputs<'scope>,
    name: &str,
    form: Form,
) -> StreamVec<'scope, Epoch, Effect> {
    let sums = inputs.records.clone().unary(Pipeline, "PreAggregate", move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                let mut session = output.session(&cap);
                for batch in containers.flat_map(|container| container.drain(..)) {
                    for (truck, sums) in signed_sums(&batch, form.axes) {
                        session.give((truck, epoch, sums));
                    }
                }
            });
        }
    });
    let points = inputs.records.clone().flat_map(move |batch| {
        points(&batch, form.axes)
            .map(|(place, point)| {
                (batch.entities[batch.entity[place] as usize].clone(), point, batch.sign(place))
            })
            .collect::<Vec<_>>()
    });
    let by_truck = Exchange::new(|(truck, _, _): &(Entity, Point, i8)| truck.hashed());
    let mut left: HashMap<Entity, BTreeMap<Point, i64>> = HashMap::new();
    let extents = when_complete(points, by_truck, "Extremes", stream_epoch, move |epoch, points| {
        extremes(&mut left, epoch, points)
    });
    let totals = sums.as_collection().count_total();
    let tallies = totals
        .join_map(extents.as_collection(), |truck: &Entity, sums, extent| (truck.clone(), (*sums, *extent)));
    changes_by_key(tallies, Pipeline, name, inputs.start, move |changes| {
        vec![Effect::Rows(rows(&changes, form))]
    })
}

/// The sums of a batch of corrections: inserted minus retracted.
fn signed_sums(batch: &Batch, axes: (Axis, Axis)) -> impl Iterator<Item = (Entity, Accumulation)> {
    let mut open: Vec<[Option<Narrow>; 2]> = vec![[None; 2]; batch.entities.len()];
    for (place, point) in points(batch, axes) {
        let (x, y) = pair(point, axes.0);
        match &mut open[batch.entity[place] as usize][usize::from(batch.sign(place) < 0)] {
            Some(sums) => sums.push(x, y),
            first => *first = Some(Narrow::start(x, y)),
        }
    }
    let trucks = batch.entities.clone();
    (0..).zip(open).filter_map(move |(truck, [added, taken]): (usize, _)| {
        let mut sums = added.map(Narrow::finish).unwrap_or_default();
        if let Some(taken) = taken {
            let mut taken = taken.finish();
            taken.negate();
            sums.plus_equals(&taken);
        }
        (!sums.is_zero()).then(|| (trucks[truck].clone(), sums))
    })
}

/// Inserts and retracts points, and returns the changes of the trucks' extents.
fn extremes(
    left: &mut HashMap<Entity, BTreeMap<Point, i64>>,
    epoch: Epoch,
    points: Vec<(Entity, Point, i8)>,
) -> Vec<((Entity, Extent), Epoch, isize)> {
    let extent = |points: &BTreeMap<Point, i64>| {
        let (first, last) = (points.first_key_value()?, points.last_key_value()?);
        Some(Extent { earliest: first.0.0, latest: *last.0 })
    };
    let mut before: HashMap<Entity, Option<Extent>> = HashMap::new();
    for (truck, point, sign) in points {
        let points = left.entry(truck.clone()).or_default();
        before.entry(truck).or_insert_with(|| extent(points));
        let count = points.entry(point).or_insert(0);
        *count += i64::from(sign);
        if *count == 0 {
            points.remove(&point);
        }
    }
    let mut changes = Vec::new();
    for (truck, old) in before {
        let new = left.get(&truck).and_then(extent);
        if new.is_none() {
            left.remove(&truck);
        }
        if old != new {
            for (extent, diff) in [(old, -1), (new, 1)] {
                changes.extend(extent.map(|extent| ((truck.clone(), extent), epoch, diff)));
            }
        }
    }
    changes
}
