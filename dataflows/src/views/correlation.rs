//! The correlation of a measure with time, per truck: what both correlation views are made of.
//!
//! ```text
//! records -> pre-aggregate -> (truck; difference = sums and extent) -> count_total -> rows, state
//! restored state -----------------^
//! ```
//!
//! The accumulation is the difference of the collection, so that differential dataflow's own
//! addition merges batches, workers and restarts. `count_total` gives, for each epoch that changed
//! a truck, its old and its new total; the new one is the row and the state entry.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use differential_dataflow::AsCollection;
use differential_dataflow::difference::{IsZero, Semigroup};
use differential_dataflow::operators::CountTotal;
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::Operator;

use super::{Effect, Inputs, Restored, Settings, View};
use crate::Epoch;
use crate::accumulation::{Accumulation, Narrow};
use crate::batch::{Batch, Measure, NANO_SCALE, Truck};
use crate::rows::{Column, ColumnSpec, Rows, Type, column};
use crate::state::{entries, push_entry};

/// The times a truck's records span, and its latest value: the maximum and minimum as a
/// semigroup. It has no inverse; a source that takes readings back must keep them to find the next
/// latest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Extent {
    /// The earliest event time, in microseconds.
    earliest: i64,
    /// The latest event time and the value then; of equal times, the greatest value, so that the
    /// order of arrival does not matter.
    latest: (i64, i64),
}

impl IsZero for Extent {
    fn is_zero(&self) -> bool {
        false
    }
}

impl Semigroup for Extent {
    fn plus_equals(&mut self, other: &Self) {
        self.earliest = self.earliest.min(other.earliest);
        self.latest = self.latest.max(other.latest);
    }
}

/// What is known of one truck: a difference, and its totals.
type Tally = (Accumulation, Extent);

/// What is correlated: an axis of the pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Event time; shown as the seconds since the truck's earliest event.
    Time,
    /// A measure.
    Measure(Measure),
    /// A declared field that is a number, by its place.
    Extra(usize),
}

/// A correlation that a job keeps per truck.
#[derive(Clone, Debug)]
pub struct Correlation {
    /// The view's name.
    pub name: Cow<'static, str>,
    /// Its table.
    pub table: Cow<'static, str>,
    /// The first axis.
    pub x: Axis,
    /// The second axis.
    pub y: Axis,
}

impl Correlation {
    /// The view that keeps it.
    pub fn view(self, settings: &Settings) -> View {
        let name = |axis| match axis {
            Axis::Time => "time_elapsed".into(),
            Axis::Measure(measure) => measure.name().into(),
            Axis::Extra(place) => settings.fields[place].name.to_string().into(),
        };
        let decimal = |axis| ColumnSpec { name: name(axis), column_type: Type::Decimal };
        let columns = vec![
            decimal(self.y),
            decimal(self.x),
            column("correlation", Type::Real),
            column("truck_id", Type::Text),
            column("samples", Type::Integer),
            column("timestamp", Type::Timestamp),
        ];
        let Axis::Measure(measure) = self.y else { unreachable!("for now") };
        let view_name = self.name.clone();
        View {
            name: self.name,
            table: self.table,
            columns: columns.into(),
            keyed: false,
            of_readings: true,
            definition: format!("{} with {}", decimal(self.y).name, decimal(self.x).name),
            build: Arc::new(move |inputs| render(inputs, view_name.clone(), measure)),
        }
    }
}

/// Builds the view named `name`: `measure` against event time.
fn render<'scope>(
    inputs: &Inputs<'scope>,
    name: Cow<'static, str>,
    measure: Measure,
) -> StreamVec<'scope, Epoch, Effect> {
    let fresh = inputs.records.clone().unary(Pipeline, "PreAggregate", move |_, _| {
        let mut per_truck = Vec::new();
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                let mut session = output.session(&cap);
                for batch in containers.flat_map(|container| container.drain(..)) {
                    aggregate(&batch, measure, &mut per_truck);
                    for (truck, tally) in per_truck.drain(..) {
                        session.give((truck, epoch, tally));
                    }
                }
            });
        }
    });
    let wanted = name.clone();
    let restored = inputs.restored.clone().unary(Pipeline, "Restore", move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                let mut session = output.session(&cap);
                for restored in containers.flat_map(|container| container.drain(..)) {
                    if *restored.view == *wanted {
                        session.give_iterator(restore(&restored).map(|(truck, tally)| (truck, epoch, tally)));
                    }
                }
            });
        }
    });
    let start = inputs.start;
    fresh.concat(restored).as_collection().count_total().inner.unary(Pipeline, &name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let mut totals: Vec<(Epoch, Truck, Tally)> = Vec::new();
                // Old totals that end, per epoch: a truck without one is new.
                let mut ended: BTreeMap<Epoch, i64> = BTreeMap::new();
                for ((truck, tally), epoch, change) in containers.flat_map(|container| container.drain(..)) {
                    if epoch <= start {
                        continue;
                    }
                    if change > 0 {
                        totals.push((epoch, truck, tally));
                    } else {
                        *ended.entry(epoch).or_default() += 1;
                    }
                }
                totals.sort_unstable_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
                for epoch in totals.chunk_by(|a, b| a.0 == b.0) {
                    let time = epoch[0].0;
                    let added = epoch.len() as i64 - ended.get(&time).copied().unwrap_or(0);
                    let cap = cap.delayed(&time, 0);
                    let mut session = output.session(&cap);
                    session.give(Effect::Rows(rows(epoch)));
                    session.give(Effect::State { bytes: state(epoch), added });
                }
            });
        }
    })
}

/// Sums a batch per truck; a truck's tally appears once.
fn aggregate(batch: &Batch, measure: Measure, per_truck: &mut Vec<(Truck, Tally)>) {
    let mut open: Vec<Option<(Narrow, Extent)>> = vec![None; batch.trucks.len()];
    let values = batch.measure(measure);
    for ((&truck, &time), &value) in batch.truck.iter().zip(batch.time.iter()).zip(values.iter()) {
        match &mut open[truck as usize] {
            Some((sums, extent)) => {
                sums.push(time, value);
                extent.earliest = extent.earliest.min(time);
                extent.latest = extent.latest.max((time, value));
            }
            first => {
                *first = Some((Narrow::start(time, value), Extent { earliest: time, latest: (time, value) }))
            }
        }
    }
    for (truck, tally) in batch.trucks.iter().zip(open) {
        if let Some((sums, extent)) = tally {
            per_truck.push((truck.clone(), (sums.finish(), extent)));
        }
    }
}

fn rows(totals: &[(Epoch, Truck, Tally)]) -> Rows {
    fn column<T>(
        totals: &[(Epoch, Truck, Tally)],
        f: impl FnMut(&(Epoch, Truck, Tally)) -> T,
    ) -> Arc<Vec<T>> {
        Arc::new(totals.iter().map(f).collect())
    }
    vec![
        Column::Decimal { scale: NANO_SCALE, values: column(totals, |(_, _, (_, extent))| extent.latest.1) },
        Column::Decimal {
            scale: 6, // microseconds, shown as seconds
            values: column(totals, |(_, _, (_, extent))| extent.latest.0.saturating_sub(extent.earliest)),
        },
        Column::Real(column(totals, |(_, _, (sums, _))| sums.r().unwrap_or(f64::NAN))),
        Column::Name {
            names: column(totals, |(_, truck, _)| truck.clone()),
            index: Arc::new((0u32..).take(totals.len()).collect()),
        },
        Column::Integer(column(totals, |(_, _, (sums, _))| sums.samples())),
        Column::Timestamp(column(totals, |(_, _, (_, extent))| extent.latest.0)),
    ]
    .into()
}

fn state(totals: &[(Epoch, Truck, Tally)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (_, truck, (sums, extent)) in totals {
        push_entry(&mut bytes, truck.as_bytes(), |out| {
            for field in [extent.earliest, extent.latest.0, extent.latest.1] {
                out.extend_from_slice(&field.to_le_bytes());
            }
            sums.write(out);
        });
    }
    bytes
}

/// The tallies of a committed state change. Its checksum was verified when it was loaded, so what
/// does not parse is a bug of ours.
fn restore(restored: &Restored) -> impl Iterator<Item = (Truck, Tally)> {
    entries(&restored.bytes).map(|entry| {
        entry
            .ok()
            .and_then(|(key, mut value)| {
                let truck = std::str::from_utf8(key).ok()?;
                let mut field = || {
                    let (bytes, rest) = value.split_first_chunk::<8>()?;
                    value = rest;
                    Some(i64::from_le_bytes(*bytes))
                };
                let extent = Extent { earliest: field()?, latest: (field()?, field()?) };
                Some((truck.into(), (Accumulation::read(&mut value)?, extent)))
            })
            .expect("state that passed its checksum parses")
    })
}
