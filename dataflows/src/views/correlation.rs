//! The correlation of two axes per truck, the implementation of all correlation views.
//!
//! ```text
//! append  records -> sums of the epoch -> (truck; difference = sums and extent) -> totals -> rows, state
//!         restored state -----------------^
//! upsert  corrections -> pre-aggregate -> (truck; difference = sums) -> count_total --.
//!                     `-> extremes: the earliest and latest readings of each truck -- join -> rows
//! ```
//!
//! The accumulation is the difference of the collection, so that differential dataflow's addition merges batches,
//! workers and restarts. For each epoch that changed a truck, the arrangement returns the old and the new total; the
//! new one is the row and the state entry.
//!
//! Sums can be retracted, the latest reading cannot: if readings are retracted, the latest of the remaining ones has
//! to be found.

use std::borrow::Cow;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use differential_dataflow::AsCollection;
use differential_dataflow::difference::{Abelian, IsZero, Semigroup};
use differential_dataflow::hashable::Hashable;
use differential_dataflow::operators::CountTotal;
use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use super::by_key::{Hashed, KeyChange, changes_by_key, totals_by_key};
use super::inputs::Inputs;
use super::settings::{CorrelationTables, Settings};
use super::view::View;
use crate::Epoch;
use crate::accumulation::{Accumulation, Narrow};
use crate::batch::{Batch, ExtraColumn, FieldSpec, Measure, NANO_SCALE, Truck};
use crate::effect::{Effect, Restored};
use crate::epochs::{folded, stream_epoch, when_complete};
use crate::packed::{Pack, pack_numbers, unpack_numbers};
use crate::rows::{Change, Changes, Column, ColumnSpec, NULL, Rows, Type, column};
use crate::state::{entries, push_entry};

/// An axis of the correlated pairs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axis {
    /// Event time; the column has the seconds since the truck's earliest event.
    Time,
    /// A measure.
    Measure(Measure),
    /// A declared numeric field, by its index.
    Extra(usize),
}

impl Axis {
    /// The name of its column.
    fn name(self, fields: &[FieldSpec]) -> Cow<'static, str> {
        match self {
            Self::Time => "time_elapsed".into(),
            Self::Measure(measure) => measure.name().into(),
            Self::Extra(place) => fields[place].name.to_string().into(),
        }
    }

    /// Its values in a batch; [`NULL`] if a record has none.
    fn values(self, batch: &Batch) -> &[i64] {
        match self {
            Self::Time => &batch.time,
            Self::Measure(measure) => batch.measure(measure),
            Self::Extra(place) => match &batch.extras[place] {
                ExtraColumn::Number(values) => values,
                ExtraColumn::Text(_) => unreachable!("the configuration only allows correlations of numbers"),
            },
        }
    }
}

/// A correlation per truck, over the records that have both values.
///
/// ```
/// use dataflows::batch::Measure;
/// use dataflows::views::{Axis, Correlation, Settings};
///
/// let of_fuel = Correlation {
///     name: "fuel_correlation".into(),
///     table: "TRUCK_FUEL_CORRELATION".into(),
///     x: Axis::Time,
///     y: Axis::Measure(Measure::FuelConsumed),
/// };
/// let columns = of_fuel.view(&Settings::default()).columns;
/// assert_eq!([&*columns[0].name, &*columns[1].name], ["fuel_consumed", "time_elapsed"]);
/// ```
#[derive(Clone, Debug)]
pub struct Correlation {
    /// The view's name.
    pub name: Cow<'static, str>,
    /// Its table.
    pub table: Cow<'static, str>,
    /// The first axis.
    pub x: Axis,
    /// The second axis, which is not [`Axis::Time`].
    pub y: Axis,
}

impl Correlation {
    /// The view of this correlation.
    pub fn view(self, settings: &Settings) -> View {
        let decimal =
            |axis: Axis| ColumnSpec { name: axis.name(&settings.fields), column_type: Type::Decimal };
        let (x, y) = (decimal(self.x), decimal(self.y));
        let definition = format!("{} with {}", y.name, x.name);
        let columns = vec![
            y,
            x,
            column("correlation", Type::Real),
            column("truck_id", Type::Text),
            column("samples", Type::Integer),
            column("timestamp", Type::Timestamp),
        ];
        let form = Form {
            axes: (self.x, self.y),
            latest: settings.correlation_tables == CorrelationTables::Latest,
            upserts: settings.upserts(),
        };
        let name = self.name.clone();
        View {
            name: self.name,
            table: self.table,
            columns: columns.into(),
            keyed: form.latest,
            of_readings: true,
            keeps_times: false,
            drops_readings: false,
            definition,
            keeps: Arc::new(move |key, value| read(key, value, form.axes).is_some()),
            build: Arc::new(move |inputs| match form.upserts {
                false => build_append(inputs, &name, form),
                true => build_upsert(inputs, &name, form),
            }),
        }
    }
}

/// The axes, and the kind of rows.
#[derive(Clone, Copy, Debug)]
struct Form {
    axes: (Axis, Axis),
    /// Whether a truck's row replaces the previous one.
    latest: bool,
    /// Whether readings can be retracted.
    upserts: bool,
}

/// Event time, then the values of the second and the first axis. Of equal times the greatest values count as the
/// latest, so that the order of arrival does not matter. The first axis is 0 if it is time.
type Point = (i64, i64, i64);

/// The time span of a truck's records, and its latest values: minimum and maximum as a semigroup without inverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
struct Extent {
    /// The earliest event time, in microseconds.
    earliest: i64,
    /// The latest event and its values.
    latest: Point,
}

impl Extent {
    fn of(point: Point) -> Self {
        Self { earliest: point.0, latest: point }
    }
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

/// The sums and extent of a truck, both as a difference and as a total.
type Tally = (Accumulation, Extent);

/// Packed in 128-bit numbers if possible, otherwise in the format of state.
impl Pack for Tally {
    fn pack(&self, out: &mut Vec<u8>) {
        let (sums, Extent { earliest, latest: (time, second, first) }) = *self;
        match sums.to_narrow() {
            Some([n, x, y, xx, xy, yy]) => {
                out.push(NARROW);
                let since = time.wrapping_sub(earliest);
                let [time, since, second, first] = [time, since, second, first].map(i128::from);
                pack_numbers([n, x, y, xx, xy, yy, time, since, second, first], out);
            }
            None => {
                out.push(WIDE);
                for field in [earliest, time, second, first] {
                    out.extend_from_slice(&field.to_le_bytes());
                }
                sums.write(out);
            }
        }
    }

    fn unpack(bytes: &[u8]) -> Self {
        let (&form, mut bytes) = bytes.split_first().expect("a packed tally is not empty");
        if form == NARROW {
            let [n, x, y, xx, xy, yy, time, since, second, first] = unpack_numbers(bytes);
            let [time, since, second, first] = [time, since, second, first].map(|field| field as i64);
            let extent = Extent { earliest: time.wrapping_sub(since), latest: (time, second, first) };
            return (Accumulation::from_narrow([n, x, y, xx, xy, yy]), extent);
        }
        let [earliest, time, second, first] = std::array::from_fn(|_| {
            let (field, rest) = bytes.split_first_chunk().expect("a tally has four fields");
            bytes = rest;
            i64::from_le_bytes(*field)
        });
        let sums = Accumulation::read(&mut bytes).expect("sums that were written parse");
        (sums, Extent { earliest, latest: (time, second, first) })
    }
}

/// The first byte of a packed tally whose sums fit 128 bits.
const NARROW: u8 = 0;
/// The first byte of any other.
const WIDE: u8 = 1;

/// The tallies of an open epoch, so that the arrangement gets one per truck, not one per batch.
#[derive(Default)]
struct Open {
    /// Indices of the tallies by the address of a truck's name, so that names are neither hashed nor compared. A name
    /// with two addresses has two tallies, which the arrangement adds up.
    places: HashMap<*const u8, u32, RandomState>,
    /// The clones of names keep their addresses valid.
    tallies: Vec<(Truck, Tally)>,
}

impl Open {
    fn add(&mut self, truck: &Truck, tally: Tally) {
        match self.places.entry(truck.as_ptr()) {
            Entry::Occupied(place) => self.tallies[*place.get() as usize].1.plus_equals(&tally),
            Entry::Vacant(place) => {
                place.insert(self.tallies.len() as u32);
                self.tallies.push((truck.clone(), tally));
            }
        }
    }
}

/// The view of an append job, whose readings are never retracted.
fn build_append<'scope>(inputs: &Inputs<'scope>, name: &str, form: Form) -> StreamVec<'scope, Epoch, Effect> {
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

/// The view of an upsert job, whose readings can be retracted.
fn build_upsert<'scope>(inputs: &Inputs<'scope>, name: &str, form: Form) -> StreamVec<'scope, Epoch, Effect> {
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
                (batch.trucks[batch.truck[place] as usize].clone(), point, batch.sign(place))
            })
            .collect::<Vec<_>>()
    });
    let by_truck = Exchange::new(|(truck, _, _): &(Truck, Point, i8)| truck.hashed());
    let mut left: HashMap<Truck, BTreeMap<Point, i64>> = HashMap::new();
    let extents = when_complete(points, by_truck, "Extremes", stream_epoch, move |epoch, points| {
        extremes(&mut left, epoch, points)
    });
    let totals = sums.as_collection().count_total();
    let tallies = totals
        .join_map(extents.as_collection(), |truck: &Truck, sums, extent| (truck.clone(), (*sums, *extent)));
    changes_by_key(tallies, Pipeline, name, inputs.start, move |changes| {
        vec![Effect::Rows(rows(&changes, form))]
    })
}

/// The records that have both values, each with its index.
fn points(batch: &Batch, (x, y): (Axis, Axis)) -> impl Iterator<Item = (usize, Point)> {
    let (first, second) = (x.values(batch), y.values(batch));
    (0..batch.len()).filter(move |&place| first[place] != NULL && second[place] != NULL).map(move |place| {
        let first = if x == Axis::Time { 0 } else { first[place] };
        (place, (batch.time[place], second[place], first))
    })
}

/// The first and the second value of a pair.
fn pair((time, y, x): Point, axis: Axis) -> (i64, i64) {
    (if axis == Axis::Time { time } else { x }, y)
}

/// Aggregates a batch per truck; each truck has one tally.
fn aggregate(batch: &Batch, axes: (Axis, Axis)) -> impl Iterator<Item = (&Truck, Tally)> {
    let mut open: Vec<Option<(Narrow, Extent)>> = vec![None; batch.trucks.len()];
    for (place, point) in points(batch, axes) {
        let (x, y) = pair(point, axes.0);
        match &mut open[batch.truck[place] as usize] {
            Some((sums, extent)) => {
                sums.push(x, y);
                extent.plus_equals(&Extent::of(point));
            }
            first => *first = Some((Narrow::start(x, y), Extent::of(point))),
        }
    }
    let tally = |(sums, extent): (Narrow, Extent)| (sums.finish(), extent);
    batch.trucks.iter().zip(open).filter_map(move |(truck, open)| Some((truck, tally(open?))))
}

/// The sums of a batch of corrections: inserted minus retracted.
fn signed_sums(batch: &Batch, axes: (Axis, Axis)) -> impl Iterator<Item = (Truck, Accumulation)> {
    let mut open: Vec<[Option<Narrow>; 2]> = vec![[None; 2]; batch.trucks.len()];
    for (place, point) in points(batch, axes) {
        let (x, y) = pair(point, axes.0);
        match &mut open[batch.truck[place] as usize][usize::from(batch.sign(place) < 0)] {
            Some(sums) => sums.push(x, y),
            first => *first = Some(Narrow::start(x, y)),
        }
    }
    let trucks = batch.trucks.clone();
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
    left: &mut HashMap<Truck, BTreeMap<Point, i64>>,
    epoch: Epoch,
    points: Vec<(Truck, Point, i8)>,
) -> Vec<((Truck, Extent), Epoch, isize)> {
    let extent = |points: &BTreeMap<Point, i64>| {
        let (first, last) = (points.first_key_value()?, points.last_key_value()?);
        Some(Extent { earliest: first.0.0, latest: *last.0 })
    };
    let mut before: HashMap<Truck, Option<Extent>> = HashMap::new();
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

/// The rows of changed trucks. The history of a truck whose readings are all retracted ends with a row of zero
/// samples.
fn rows(changes: &[KeyChange<Truck, Tally>], form: Form) -> Rows {
    let mut kept: Vec<(&Truck, Option<&Tally>, Change)> = Vec::with_capacity(changes.len());
    for change in changes {
        if form.latest {
            let rows = change.rows(form.upserts);
            kept.extend(rows.map(|(tally, kind)| (&change.key, Some(tally), kind)));
        } else {
            kept.push((&change.key, change.new.as_ref(), Change::Insert));
        }
    }
    fn column<T>(
        kept: &[(&Truck, Option<&Tally>, Change)],
        null: T,
        value: impl Fn(&Accumulation, &Extent) -> T,
    ) -> Arc<Vec<T>>
    where
        T: Copy,
    {
        let value = |tally: Option<&Tally>| tally.map_or(null, |(sums, extent)| value(sums, extent));
        Arc::new(kept.iter().map(|(_, tally, _)| value(*tally)).collect())
    }
    let first = match form.axes.0 {
        Axis::Time => Column::Decimal {
            scale: 6, // microseconds as seconds
            values: column(&kept, NULL, |_, extent| extent.latest.0.saturating_sub(extent.earliest)),
        },
        _ => Column::Decimal { scale: NANO_SCALE, values: column(&kept, NULL, |_, extent| extent.latest.2) },
    };
    let columns = vec![
        Column::Decimal { scale: NANO_SCALE, values: column(&kept, NULL, |_, extent| extent.latest.1) },
        first,
        Column::Real(column(&kept, f64::NAN, |sums, _| sums.r().unwrap_or(f64::NAN))),
        Column::Name {
            names: Arc::new(kept.iter().map(|(truck, _, _)| (*truck).clone()).collect()),
            index: Arc::new((0u32..).take(kept.len()).collect()),
        },
        Column::Integer(column(&kept, 0, |sums, _| sums.samples())),
        Column::Timestamp(column(&kept, NULL, |_, extent| extent.latest.0)),
    ];
    let changes = form.latest.then(|| Changes {
        kinds: Arc::new(kept.iter().map(|(_, _, kind)| *kind).collect()),
        keys: Arc::new(kept.iter().map(|(truck, _, _)| truck.as_bytes().into()).collect()),
    });
    Rows { columns, changes }
}

/// The rows of a committed state, one per truck, with the columns of [`Correlation::view`].
pub fn committed_rows(restored: &Restored, axes: (Axis, Axis)) -> Rows {
    let form = Form { axes, latest: false, upserts: false };
    let change = |(key, tally)| KeyChange { key, old: None, new: Some(tally) };
    rows(&restore(restored, axes).map(change).collect::<Vec<_>>(), form)
}

fn state(changes: &[KeyChange<Truck, Tally>], (x, _): (Axis, Axis)) -> Vec<u8> {
    let mut bytes = Vec::new();
    for change in changes {
        let Some((sums, extent)) = &change.new else { continue };
        push_entry(&mut bytes, change.key.as_bytes(), |out| {
            let (time, second, first) = extent.latest;
            let fields = [extent.earliest, time, second, first];
            // If the first axis is time, its value is known already.
            for field in &fields[..if x == Axis::Time { 3 } else { 4 }] {
                out.extend_from_slice(&field.to_le_bytes());
            }
            sums.write(out);
        });
    }
    bytes
}

/// The tallies of a committed state change. It was validated when it was loaded, so a parse error is a bug.
fn restore(restored: &Restored, axes: (Axis, Axis)) -> impl Iterator<Item = (Truck, Tally)> {
    entries(&restored.bytes).map(move |entry| {
        let tally = entry.ok().and_then(|(key, value)| read(key, value, axes));
        tally.expect("validated state parses")
    })
}

/// Parses an entry of the state.
fn read(key: &[u8], mut value: &[u8], (x, _): (Axis, Axis)) -> Option<(Truck, Tally)> {
    let truck = std::str::from_utf8(key).ok()?;
    let mut field = || {
        let (bytes, rest) = value.split_first_chunk::<8>()?;
        value = rest;
        Some(i64::from_le_bytes(*bytes))
    };
    let (earliest, time, second) = (field()?, field()?, field()?);
    let first = if x == Axis::Time { 0 } else { field()? };
    let extent = Extent { earliest, latest: (time, second, first) };
    Some((truck.into(), (Accumulation::read(&mut value)?, extent)))
}

#[cfg(test)]
mod tests {
    use differential_dataflow::difference::Multiply;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_packed_tally_is_unpacked(
            points in prop::collection::vec(any::<(i64, i64, i64)>(), 1..9),
            near in prop::collection::vec((-9i64..9, -9i64..9, 0i64..9), 1..9),
            copies in prop_oneof![Just(1isize), Just(-1), 1isize << 40..isize::MAX],
        ) {
            for points in [points, near] {
                let mut tally: Tally = (Accumulation::default(), Extent::of(points[0]));
                for point in points {
                    tally.plus_equals(&(Accumulation::of(point.0, point.1), Extent::of(point)));
                }
                tally.0 = tally.0.multiply(&copies);
                let mut bytes = Vec::new();
                tally.pack(&mut bytes);
                prop_assert_eq!(bytes[0] == NARROW, tally.0.to_narrow().is_some());
                prop_assert_eq!(Tally::unpack(&bytes), tally);
            }
        }
    }
}
