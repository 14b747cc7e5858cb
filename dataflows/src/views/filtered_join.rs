//! The readings above the threshold, joined with every reading of the truck with the same timestamp.
//!
//! ```text
//! records --(truck)--> gate --> blocks (truck, stretch of time) -- join with themselves -> rows
//!                       `-> state; late and surplus readings (see `lateness`)
//! ```
//!
//! The join is that of differential dataflow, on blocks of readings ([`block`]); the [`gate`] inserts blocks into it,
//! and retracts them when they are old.
//!
//! In an upsert job all readings are kept, so there is no gate: readings are joined individually, and rows are
//! retracted with their readings.

mod block;
mod gate;

use std::collections::HashMap;
use std::sync::Arc;

use differential_dataflow::consolidation::consolidate;
use differential_dataflow::hashable::Hashable;
use differential_dataflow::{AsCollection, VecCollection};
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::{Exchange, Pipeline};
use timely::dataflow::operators::Concat;
use timely::dataflow::operators::generic::Operator;
use timely::dataflow::operators::vec::Map;

use super::by_key::{KeyChange, changes_by_key};
use super::inputs::Inputs;
use super::lateness::{by_truck, write_dead_letters};
use super::settings::Settings;
use super::view::View;
use super::watermark::TopicTimes;
use crate::Epoch;
use crate::batch::{Batch, Entity, NANO_SCALE};
use crate::dead_letter::{DeadLetter, Reason};
use crate::effect::Effect;
use crate::epochs::when_complete;
use crate::rows::{Change, Changes, Column, ColumnSpec, Rows, Type, column};
use block::{Block, BlockKey};
use gate::{Gate, Output};

/// The view's name.
pub const NAME: &str = "filtered_join";
/// Its table.
pub const TABLE: &str = "TRUCK_FILTERED_JOIN";
/// The fields that it reads.
pub const FIELDS: [&str; 4] = ["timestamp", "distance_covered", "engine_speed", "truck_id"];

const COLUMNS: &[ColumnSpec] = &[
    column("timestamp", Type::Timestamp),
    column("distance_covered", Type::Decimal),
    column("engine_speed", Type::Decimal),
    column("truck_id", Type::Text),
];

/// The columns of distance and speed.
type Measured = [usize; 2];

/// The view itself; none if the record lacks fields.
pub fn view(settings: &Settings) -> Option<View> {
    let schema = &settings.schema;
    let [time, distance, speed, truck] = FIELDS;
    let measured = [schema.number(distance)?, schema.number(speed)?];
    schema.field(time).and(schema.field(truck))?;
    let settings = settings.clone();
    Some(View {
        name: NAME.into(),
        table: TABLE.into(),
        columns: COLUMNS.into(),
        keyed: settings.upserts(),
        of_readings: true,
        has_change: settings.upserts(),
        keeps_times: !settings.upserts(),
        slide: 1,
        drops_readings: !settings.upserts(),
        definition: format!("engine_speed > {} nano", settings.above_speed),
        index: Vec::new(),
        keeps: Arc::new(|key, value| {
            TopicTimes::of_entry(key, value).is_some() || gate::read(key, value).is_some()
        }),
        build: Arc::new(move |inputs| match settings.upserts() {
            false => build_append(inputs, measured, &settings),
            true => build_upsert(inputs, measured, &settings),
        }),
    })
}

/// The content of a row: the timestamp, the distance of one reading, the speed of the other, and the truck.
type Joined = (i64, i64, i64, Entity);

/// The number of rows passed on at once, so that they are rendered and written while the next ones are joined.
const ROWS_AT_ONCE: usize = 1 << 14;

fn build_append<'scope>(
    inputs: &Inputs<'scope>,
    measured: Measured,
    settings: &Settings,
) -> StreamVec<'scope, Epoch, Effect> {
    let mut gate = Gate::new(settings, inputs.start, inputs.records.scope().index() == 0);
    let (batches, output) = by_truck(
        inputs,
        NAME,
        move |batch| gate::parts(batch, measured),
        gate::read,
        move |epoch, inputs| gate.pass(epoch, inputs),
    );
    let effects = output.clone().flat_map(|output| match output {
        Output::Effect(effect) => Some(effect),
        _ => None,
    });
    let dropped = output.clone().flat_map(|output| match output {
        Output::Dropped(dropped) => Some(dropped),
        _ => None,
    });
    let blocks = output.flat_map(|output| match output {
        Output::Blocks(updates) => Arc::unwrap_or_clone(updates),
        _ => Vec::new(),
    });
    let blocks = blocks.as_collection().arrange_by_key();
    let joined = blocks.clone().join_core(blocks, |(truck, _): &BlockKey, above: &Arc<Block>, all| {
        above.overlaps(all).then(|| (truck.clone(), above.clone(), all.clone()))
    });
    inserted_rows(joined, settings.above_speed, inputs.start).concat(effects).concat(write_dead_letters(
        batches,
        dropped,
        NAME,
        |_, places: &Vec<u32>| places.clone(),
    ))
}

/// Two overlapping blocks of a truck: of the first only readings above the threshold count.
type JoinedBlocks = (Entity, Arc<Block>, Arc<Block>);

/// The rows that the join inserts. Retractions are ignored, as the gate only retracts blocks to free memory. If both
/// blocks of a pair are retracted, the join sends updates of both signs, so only their sum counts.
fn inserted_rows<'scope>(
    joined: VecCollection<'scope, Epoch, JoinedBlocks, isize>,
    threshold: i64,
    start: Epoch,
) -> StreamVec<'scope, Epoch, Effect> {
    when_complete(
        joined.inner,
        Pipeline,
        "JoinRows",
        |(_, time, _), _| *time,
        move |epoch, updates| {
            if epoch <= start {
                return Vec::new();
            }
            let mut updates: Vec<(JoinedBlocks, isize)> =
                updates.into_iter().map(|(joined, _, diff)| (joined, diff)).collect();
            if updates.iter().any(|(_, diff)| *diff < 0) {
                consolidate(&mut updates);
            }
            let mut effects = Vec::new();
            let mut rows = JoinedRows::default();
            for ((truck, above, all), diff) in updates.into_iter().filter(|(_, diff)| *diff > 0) {
                for _ in 0..diff {
                    rows.add(&truck, &above, &all, threshold);
                    if rows.times.len() >= ROWS_AT_ONCE {
                        effects.push(Effect::Rows(std::mem::take(&mut rows).finish()));
                    }
                }
            }
            if !rows.times.is_empty() {
                effects.push(Effect::Rows(rows.finish()));
            }
            effects
        },
    )
}

/// Rows under construction, as columns.
#[derive(Default)]
struct JoinedRows {
    trucks: Vec<Entity>,
    places: HashMap<Entity, u32>,
    times: Vec<i64>,
    distances: Vec<i64>,
    speeds: Vec<i64>,
    index: Vec<u32>,
}

impl JoinedRows {
    fn add(&mut self, truck: &Entity, above: &Block, all: &Block, threshold: i64) {
        let place = match self.places.get(truck) {
            Some(&place) => place,
            None => {
                let place = self.trucks.len() as u32;
                self.trucks.push(truck.clone());
                self.places.insert(truck.clone(), place);
                place
            }
        };
        above.for_each_pair(all, threshold, |above, other| {
            self.times.push(above.0);
            self.distances.push(above.1);
            self.speeds.push(other.2);
        });
        self.index.resize(self.times.len(), place);
    }

    fn finish(self) -> Rows {
        columns(self.times, self.distances, self.speeds, Arc::new(self.trucks), self.index).into()
    }
}

fn columns(
    times: Vec<i64>,
    distances: Vec<i64>,
    speeds: Vec<i64>,
    names: Arc<Vec<Entity>>,
    index: Vec<u32>,
) -> Vec<Column> {
    let decimal = |values| Column::Decimal { scale: NANO_SCALE, values: Arc::new(values) };
    vec![
        Column::Timestamp(Arc::new(times)),
        decimal(distances),
        decimal(speeds),
        Column::Name { names, index: Arc::new(index) },
    ]
}

/// The join key of readings: the truck and the timestamp.
type JoinKey = (Entity, i64);

/// A reading: its message key, its distance and its speed.
type Named = (Arc<[u8]>, i64, i64);

fn build_upsert<'scope>(
    inputs: &Inputs<'scope>,
    measured: Measured,
    settings: &Settings,
) -> StreamVec<'scope, Epoch, Effect> {
    let readings = inputs.records.clone().unary(Pipeline, "JoinReadings", move |_, _| {
        move |input, output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                let mut session = output.session(&cap);
                for batch in containers.flat_map(|container| container.drain(..)) {
                    session.give_iterator(named(&batch, measured).map(|(entry, sign)| (entry, epoch, sign)));
                }
            });
        }
    });
    // The first ones in the order of keys, so that the choice of surplus readings does not depend on earlier ones.
    let limit = settings.join_limit;
    let readings = readings.as_collection().reduce(move |_, readings: &[(&Named, isize)], kept| {
        kept.extend(
            readings.iter().zip(1..).map(|((named, _), place)| (((*named).clone(), place > limit), 1isize)),
        );
    });
    let (threshold, start) = (settings.above_speed, inputs.start);
    let all = readings
        .clone()
        .flat_map(|(join_key, ((key, _, speed), surplus))| (!surplus).then_some((join_key, (key, speed))));
    let above = readings.clone().flat_map(move |(join_key, ((key, distance, speed), surplus))| {
        (!surplus && speed > threshold).then_some((join_key, (key, distance)))
    });
    let joined = above.join_map(all, |(truck, time), (key, distance), (other, speed)| {
        ((key.clone(), other.clone()), (*time, *distance, *speed, truck.clone()))
    });
    let by_pair =
        Exchange::new(|((pair, _), _, _): &(((Arc<[u8]>, Arc<[u8]>), Joined), Epoch, isize)| pair.hashed());
    let surplus = readings.inner.flat_map(move |((_, ((key, _, _), surplus)), epoch, diff)| {
        (surplus && diff > 0 && epoch > start).then(|| Effect::DeadLetters(vec![surplus_letter(&key)]))
    });
    changes_by_key(joined, by_pair, NAME, start, |changes| vec![Effect::Rows(changed_rows(&changes))])
        .concat(surplus)
}

/// The readings of a batch of corrections.
fn named(batch: &Batch, [distance, speed]: Measured) -> impl Iterator<Item = ((JoinKey, Named), isize)> {
    let corrections = batch.corrections.as_ref();
    let (distance, speed) = (&batch.units[distance], &batch.units[speed]);
    (0..batch.len()).filter_map(move |place| {
        let corrections = corrections?;
        let join_key = (batch.entities[batch.entity[place] as usize].clone(), batch.time[place]);
        let named = (corrections.keys[place].clone(), distance[place], speed[place]);
        Some(((join_key, named), isize::from(corrections.signs[place])))
    })
}

/// The dead letter of a surplus reading at its timestamp. Its message is the latest of its key.
fn surplus_letter(key: &Arc<[u8]>) -> DeadLetter {
    DeadLetter {
        topic: NAME.into(),
        partition: -1,
        offset: -1,
        kafka_timestamp: None,
        key: Some(key.to_vec()),
        place: None,
        payload: None,
        reason: Reason::TooLarge,
        field: NAME.into(),
    }
}

fn changed_rows(changes: &[KeyChange<(Arc<[u8]>, Arc<[u8]>), Joined>]) -> Rows {
    let kept: Vec<(Arc<[u8]>, &Joined, Change)> = changes
        .iter()
        .flat_map(|change| {
            let (above, other) = &change.key;
            let key: Arc<[u8]> = [&(above.len() as u32).to_be_bytes()[..], above, other].concat().into();
            change.rows(true).map(move |(joined, kind)| (key.clone(), joined, kind))
        })
        .collect();
    let changes = Changes {
        kinds: Arc::new(kept.iter().map(|(_, _, kind)| *kind).collect()),
        keys: Arc::new(kept.iter().map(|(key, _, _)| key.clone()).collect()),
    };
    let values = |value: fn(&Joined) -> i64| kept.iter().map(|(_, joined, _)| value(joined)).collect();
    let names = Arc::new(kept.iter().map(|(_, joined, _)| joined.3.clone()).collect());
    let index = (0u32..).take(kept.len()).collect();
    let columns = columns(
        values(|joined| joined.0),
        values(|joined| joined.1),
        values(|joined| joined.2),
        names,
        index,
    );
    Rows { columns, changes: Some(changes) }
}
