//! The readings above the threshold, joined to every reading of the truck with the same timestamp.
//!
//! ```text
//! records --(truck)--> gate --> blocks (truck, stretch of time) -- join with themselves -> rows
//!                       `-> state; what is late or too much (see `lateness`)
//! ```
//!
//! The join is differential dataflow's, of blocks of readings ([`block`]); the [`gate`] gives it each block
//! and takes it back when it is old.
//!
//! Where readings can be taken back they are all kept, so there is no gate, readings meet one by one, and
//! rows end as readings do.

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
use super::lateness::{bury, by_truck};
use super::settings::Settings;
use super::view::View;
use super::watermark::TopicTimes;
use crate::Epoch;
use crate::batch::{Batch, Measure, NANO_SCALE, Truck};
use crate::dead_letter::{DeadLetter, Reason};
use crate::effect::Effect;
use crate::epochs::when_complete;
use crate::rows::{Change, Changes, Column, ColumnSpec, Rows, Type, column};
use block::{Block, Meeting};
use gate::{Gate, Output};

const NAME: &str = "filtered_join";

const COLUMNS: &[ColumnSpec] = &[
    column("timestamp", Type::Timestamp),
    column("distance_covered", Type::Decimal),
    column("engine_speed", Type::Decimal),
    column("truck_id", Type::Text),
];

pub(super) fn view(settings: &Settings) -> View {
    let settings = settings.clone();
    View {
        name: NAME.into(),
        table: "TRUCK_FILTERED_JOIN".into(),
        columns: COLUMNS.into(),
        keyed: settings.upserts(),
        of_readings: true,
        keeps_times: !settings.upserts(),
        gives_up: !settings.upserts(),
        definition: format!("engine_speed > {} nano", settings.above_speed),
        keeps: Arc::new(|key, value| {
            TopicTimes::of_entry(key, value).is_some() || gate::read(key, value).is_some()
        }),
        build: Arc::new(move |inputs| match settings.upserts() {
            false => build_append(inputs, &settings),
            true => build_upsert(inputs, &settings),
        }),
    }
}

/// What a row is made of: the timestamp, the distance of the one reading, the speed of the other.
type Joined = (i64, i64, i64, Truck);

/// Rows that are given at once: while they are rendered and written, the next ones are made.
const ROWS_AT_ONCE: usize = 1 << 14;

fn build_append<'scope>(inputs: &Inputs<'scope>, settings: &Settings) -> StreamVec<'scope, Epoch, Effect> {
    let mut gate = Gate::new(settings, inputs.start, inputs.records.scope().index() == 0);
    let (batches, output) =
        by_truck(inputs, NAME, gate::parts, gate::read, move |epoch, told| gate.pass(epoch, told));
    let effects = output.clone().flat_map(|output| match output {
        Output::Effect(effect) => Some(effect),
        _ => None,
    });
    let given_up = output.clone().flat_map(|output| match output {
        Output::GivenUp(given_up) => Some(given_up),
        _ => None,
    });
    let blocks = output.flat_map(|output| match output {
        Output::Blocks(updates) => Arc::unwrap_or_clone(updates),
        _ => Vec::new(),
    });
    let blocks = blocks.as_collection().arrange_by_key();
    let met = blocks.clone().join_core(blocks, |(truck, _): &Meeting, above: &Arc<Block>, all| {
        above.overlaps(all).then(|| (truck.clone(), above.clone(), all.clone()))
    });
    rows_that_begin(met, settings.above_speed, inputs.start).concat(effects).concat(bury(
        batches,
        given_up,
        NAME,
        |_, places: &Vec<u32>| places.clone(),
    ))
}

/// Blocks of a truck that meet: of the first only the readings above the threshold count.
type Met = (Truck, Arc<Block>, Arc<Block>);

/// The rows that the join gives. What ends here is forgotten, not untrue. A pair whose blocks are both
/// taken back is given in parts of either sign, so only their sum tells.
fn rows_that_begin<'scope>(
    met: VecCollection<'scope, Epoch, Met, isize>,
    threshold: i64,
    start: Epoch,
) -> StreamVec<'scope, Epoch, Effect> {
    when_complete(
        met.inner,
        Pipeline,
        "JoinRows",
        |(_, time, _), _| *time,
        move |epoch, updates| {
            if epoch <= start {
                return Vec::new();
            }
            let mut updates: Vec<(Met, isize)> =
                updates.into_iter().map(|(met, _, diff)| (met, diff)).collect();
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

/// Rows that are being made, as columns.
#[derive(Default)]
struct JoinedRows {
    trucks: Vec<Truck>,
    places: HashMap<Truck, u32>,
    times: Vec<i64>,
    distances: Vec<i64>,
    speeds: Vec<i64>,
    index: Vec<u32>,
}

impl JoinedRows {
    fn add(&mut self, truck: &Truck, above: &Block, all: &Block, threshold: i64) {
        let place = match self.places.get(truck) {
            Some(&place) => place,
            None => {
                let place = self.trucks.len() as u32;
                self.trucks.push(truck.clone());
                self.places.insert(truck.clone(), place);
                place
            }
        };
        above.meet(all, threshold, |above, other| {
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
    names: Arc<Vec<Truck>>,
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

/// Readings meet when they share this: the truck and the timestamp.
type Moment = (Truck, i64);

/// The key of a reading, its distance and its speed.
type Named = (Arc<[u8]>, i64, i64);

fn build_upsert<'scope>(inputs: &Inputs<'scope>, settings: &Settings) -> StreamVec<'scope, Epoch, Effect> {
    let readings = inputs.records.clone().unary(Pipeline, "JoinReadings", |_, _| {
        |input, output| {
            input.for_each_stamp(|cap, containers| {
                let Some(&epoch) = cap.least() else { return };
                let mut session = output.session(&cap);
                for batch in containers.flat_map(|container| container.drain(..)) {
                    session.give_iterator(named(&batch).map(|(entry, sign)| (entry, epoch, sign)));
                }
            });
        }
    });
    // The first by their keys, so that which readings are too many does not depend on what was there.
    let limit = settings.join_limit;
    let readings = readings.as_collection().reduce(move |_, readings: &[(&Named, isize)], kept| {
        kept.extend(
            readings.iter().zip(1..).map(|((named, _), place)| (((*named).clone(), place > limit), 1isize)),
        );
    });
    let (threshold, start) = (settings.above_speed, inputs.start);
    let all = readings
        .clone()
        .flat_map(|(moment, ((key, _, speed), surplus))| (!surplus).then_some((moment, (key, speed))));
    let above = readings.clone().flat_map(move |(moment, ((key, distance, speed), surplus))| {
        (!surplus && speed > threshold).then_some((moment, (key, distance)))
    });
    let joined = above.join_map(all, |(truck, time), (key, distance), (other, speed)| {
        ((key.clone(), other.clone()), (*time, *distance, *speed, truck.clone()))
    });
    let by_pair =
        Exchange::new(|((pair, _), _, _): &(((Arc<[u8]>, Arc<[u8]>), Joined), Epoch, isize)| pair.hashed());
    let surplus = readings.inner.flat_map(move |((_, ((key, _, _), surplus)), epoch, diff)| {
        (surplus && diff > 0 && epoch > start).then(|| Effect::DeadLetters(vec![too_many(&key)]))
    });
    changes_by_key(joined, by_pair, NAME, start, |changes| vec![Effect::Rows(changed_rows(&changes))])
        .concat(surplus)
}

/// The readings of a batch of corrections.
fn named(batch: &Batch) -> impl Iterator<Item = ((Moment, Named), isize)> {
    let corrections = batch.corrections.as_ref();
    let (distance, speed) = (batch.measure(Measure::DistanceCovered), batch.measure(Measure::EngineSpeed));
    (0..batch.len()).filter_map(move |place| {
        let corrections = corrections?;
        let moment = (batch.trucks[batch.truck[place] as usize].clone(), batch.time[place]);
        let named = (corrections.keys[place].clone(), distance[place], speed[place]);
        Some(((moment, named), isize::from(corrections.signs[place])))
    })
}

/// A reading that is one too many at its timestamp. Its message is the latest of its key.
fn too_many(key: &Arc<[u8]>) -> DeadLetter {
    DeadLetter {
        topic: NAME.into(),
        partition: -1,
        offset: -1,
        kafka_timestamp: None,
        key: Some(key.to_vec()),
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
