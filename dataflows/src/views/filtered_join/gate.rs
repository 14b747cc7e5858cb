//! Prepares the input of the join of an append job: it drops late and surplus readings, groups the others into
//! blocks, and retracts blocks that are older than the retention, so that the join frees their memory. It retracts
//! them one epoch later, so that all readings of one epoch are joined, whatever time they span.
//!
//! A stretch is discarded as a whole when the horizon has passed its end: until then readings before the horizon are
//! late anyway.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::block::{Block, BlockKey, Reading, end_of, stretch_of};
use crate::Epoch;
use crate::batch::{Batch, Entity};
use crate::dead_letter::Reason;
use crate::effect::Effect;
use crate::state::{push_end, push_entry};
use crate::views::lateness::{BatchId, Dropped, TruckInput, Waiting, truck_key, truck_of_times};
use crate::views::settings::Settings;
use crate::views::watermark::{TOPIC, Watermark};

/// The readings of a truck in a batch, each with its index there.
pub(super) type Part = Vec<(Reading, u32)>;

/// The readings of each truck in a batch.
pub(super) fn parts(batch: &Batch, [distance, speed]: [usize; 2]) -> Vec<(Entity, Part)> {
    let (distance, speed) = (&batch.units[distance], &batch.units[speed]);
    let mut counts = vec![0; batch.entities.len()];
    batch.entity.iter().for_each(|&truck| counts[truck as usize] += 1);
    let parts =
        batch.entities.iter().zip(counts).map(|(truck, count)| (truck.clone(), Vec::with_capacity(count)));
    let mut parts: Vec<(Entity, Part)> = parts.collect();
    for (place, &time) in batch.time.iter().enumerate() {
        let reading = (time, distance[place], speed[place]);
        parts[batch.entity[place] as usize].1.push((reading, place as u32));
    }
    parts
}

/// The stored state of a truck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Kept {
    /// The readings of a stretch from one epoch.
    Block(Epoch, Block),
    /// Its times.
    Times(Times),
}

/// The times of a truck, in microseconds. Both only increase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Times {
    /// The latest event.
    latest: i64,
    /// Readings before this are late.
    horizon: i64,
}

impl Default for Times {
    fn default() -> Self {
        Self { latest: i64::MIN, horizon: i64::MIN }
    }
}

impl Times {
    /// The truck's horizon at a time of the topic.
    fn risen(&self, watermark: &Watermark, retention: i64) -> i64 {
        watermark.horizon(self.horizon, self.latest, retention)
    }
}

/// A block inserted into the join, or retracted from it.
pub(super) type Update = ((BlockKey, Arc<Block>), Epoch, isize);

/// The output of the gate.
#[derive(Clone)]
pub(super) enum Output {
    /// For the join; shared, as several operators filter the output.
    Blocks(Arc<Vec<Update>>),
    Effect(Effect),
    Dropped(Dropped<Vec<u32>>),
}

/// The blocks of a truck by stretch, each with its epoch.
type Blocks = BTreeMap<i64, Vec<(Epoch, Arc<Block>)>>;

/// The readings that can still be joined with later ones, of the trucks that this worker keeps.
pub(super) struct Gate {
    retention: i64,
    limit: usize,
    start: Epoch,
    /// Whether this worker keeps the time of the topic.
    leads: bool,
    watermark: Watermark,
    trucks: HashMap<Entity, (Times, Blocks)>,
    waiting: Waiting,
}

/// A new reading, the index of its part among those of its truck, and its index in the batch.
type Arrived = (Reading, u32, u32);

/// The changes of an epoch.
#[derive(Default)]
struct Done {
    updates: Vec<Update>,
    dropped: Vec<Dropped<Vec<u32>>>,
    state: Vec<u8>,
    added: i64,
}

impl Gate {
    pub fn new(settings: &Settings, start: Epoch, leads: bool) -> Self {
        Self {
            retention: settings.join_retention,
            limit: settings.join_limit,
            start,
            leads,
            watermark: Watermark::new(settings.window_idle),
            trucks: HashMap::new(),
            waiting: Waiting::default(),
        }
    }

    /// Processes the input of an epoch.
    pub fn pass(&mut self, epoch: Epoch, inputs: Vec<TruckInput<Part, Kept>>) -> Vec<Output> {
        let mut done = Done::default();
        let mut parts: BTreeMap<Entity, Vec<(BatchId, Part)>> = BTreeMap::new();
        let mut times_before: BTreeMap<Entity, Option<Times>> = BTreeMap::new();
        let mut updates = Vec::new();
        for input in inputs {
            match input {
                TruckInput::Kept(truck, Kept::Block(brought, block)) => {
                    times_before.entry(truck.clone()).or_default();
                    let stretch = block.times().next().map_or(0, stretch_of);
                    self.keep((truck, stretch), epoch, brought, block, &mut done);
                }
                TruckInput::Kept(truck, Kept::Times(times)) => {
                    self.trucks.entry(truck.clone()).or_default().0 = times;
                    times_before.insert(truck, Some(times));
                }
                TruckInput::Watermark(update) => updates.push(update),
                TruckInput::Part(batch, truck, readings) => {
                    parts.entry(truck).or_default().push((batch, readings))
                }
            }
        }
        let mut fresh = Vec::new();
        for (truck, parts) in parts {
            let before = self.trucks.get(&truck).map(|(times, _)| *times);
            times_before.entry(truck.clone()).or_insert(before);
            for (stretch, block) in self.arrive(&truck, parts, &mut done) {
                fresh.push((truck.clone(), stretch));
                self.keep((truck.clone(), stretch), epoch, epoch, block, &mut done);
            }
        }
        updates.into_iter().for_each(|update| self.watermark.update(update));
        for truck in self.waiting.due(&self.watermark) {
            let times = self.trucks.get(&truck).map(|(times, _)| *times);
            times_before.entry(truck).or_insert(times);
        }
        if epoch > self.start {
            for (truck, before) in &times_before {
                self.forget(truck, *before, epoch, &mut done);
            }
            self.write(fresh, epoch, &mut done);
            if self.leads {
                done.added += self.watermark.keep(TOPIC, &mut done.state);
            }
        }
        for truck in times_before.keys() {
            self.wait(truck);
        }
        let mut output: Vec<Output> = done.dropped.into_iter().map(Output::Dropped).collect();
        if !done.updates.is_empty() {
            output.push(Output::Blocks(Arc::new(done.updates)));
        }
        if !done.state.is_empty() {
            output.push(Output::Effect(Effect::State { bytes: done.state, added: done.added }));
        }
        output
    }

    /// Keeps a block of epoch `brought`, and inserts it into the join.
    fn keep(&mut self, key: BlockKey, epoch: Epoch, brought: Epoch, block: Block, done: &mut Done) {
        let block = Arc::new(block);
        let (_, kept) = self.trucks.entry(key.0.clone()).or_default();
        kept.entry(key.1).or_default().push((brought, block.clone()));
        done.updates.push(((key, block), epoch, 1));
    }

    /// Groups the new readings of a truck into blocks by stretch, without dropped ones.
    fn arrive(
        &mut self,
        truck: &Entity,
        mut parts: Vec<(BatchId, Part)>,
        done: &mut Done,
    ) -> Vec<(i64, Block)> {
        // The choice of surplus readings at one timestamp must not depend on the order of arrival.
        parts.sort_unstable_by_key(|(batch, _)| *batch);
        let mut arrived: Vec<Arrived> = Vec::with_capacity(parts.iter().map(|(_, part)| part.len()).sum());
        for (at, (_, part)) in (0..).zip(&parts) {
            arrived.extend(part.iter().map(|&(reading, place)| (reading, at, place)));
        }
        // Parts are mostly sorted, and follow each other: the sort detects and merges such runs.
        arrived.sort();
        let (times, kept) = self.trucks.entry(truck.clone()).or_default();
        times.horizon = times.risen(&self.watermark, self.retention);
        let (late, timely) =
            arrived.split_at(arrived.partition_point(|((time, ..), ..)| *time < times.horizon));
        let mut drop_all = |arrived: &[Arrived], reason| {
            done.dropped.extend(arrived.iter().map(|&(_, at, place)| Dropped {
                batch: parts[at as usize].0,
                reason,
                part: vec![place],
            }));
        };
        drop_all(late, Reason::Late);
        let mut blocks = Vec::new();
        for of_stretch in timely.chunk_by(|a, b| stretch_of(a.0.0) == stretch_of(b.0.0)) {
            let (first, last) = (of_stretch[0].0.0, of_stretch[of_stretch.len() - 1].0.0);
            let stretch = stretch_of(first);
            let near: Vec<&Block> = kept
                .get(&stretch)
                .into_iter()
                .flatten()
                .map(|(_, block)| &**block)
                .filter(|block| block.reaches(first, last))
                .collect();
            let mut readings = Vec::with_capacity(of_stretch.len());
            for at_once in of_stretch.chunk_by(|a, b| a.0.0 == b.0.0) {
                let time = at_once[0].0.0;
                let known: usize = near.iter().map(|block| block.count(time)).sum();
                let room = self.limit.saturating_sub(known).min(at_once.len());
                let (taken, refused) = at_once.split_at(room);
                readings.extend(taken.iter().map(|(reading, ..)| *reading));
                drop_all(refused, Reason::TooLarge);
            }
            if let Some((latest, ..)) = readings.last() {
                times.latest = times.latest.max(*latest);
            }
            blocks.extend(Block::of(readings).map(|block| (stretch, block)));
        }
        blocks
    }

    /// Retracts the blocks of a truck that the horizon has passed.
    fn forget(&mut self, truck: &Entity, before: Option<Times>, epoch: Epoch, done: &mut Done) {
        let Some((times, kept)) = self.trucks.get_mut(truck) else { return };
        times.horizon = times.risen(&self.watermark, self.retention);
        while let Some(entry) = kept.first_entry().filter(|entry| end_of(*entry.key()) <= times.horizon) {
            let (stretch, blocks) = entry.remove_entry();
            for (brought, block) in blocks {
                // A block of this epoch is not in the state yet.
                if brought != epoch {
                    push_end(&mut done.state, &block_key(truck, stretch, brought));
                    done.added -= 1;
                }
                done.updates.push((((truck.clone(), stretch), block), epoch + 1, -1));
            }
        }
        if before != Some(*times) {
            push_entry(&mut done.state, &truck_key(truck), |out| {
                for time in [times.latest, times.horizon] {
                    out.extend_from_slice(&time.to_le_bytes());
                }
            });
            done.added += i64::from(before.is_none());
        }
    }

    /// Writes the new blocks to the state, unless they were discarded immediately.
    fn write(&self, fresh: Vec<BlockKey>, epoch: Epoch, done: &mut Done) {
        for (truck, stretch) in fresh {
            let blocks = self.trucks.get(&truck).and_then(|(_, kept)| kept.get(&stretch));
            // The new block is the last one of its stretch.
            let Some((_, block)) = blocks.and_then(|blocks| blocks.last()) else { continue };
            push_entry(&mut done.state, &block_key(&truck, stretch, epoch), |out| block.write(out));
            done.added += 1;
        }
    }

    /// Schedules when a truck's blocks have to be retracted if it has no input.
    fn wait(&mut self, truck: &Entity) {
        let Some((times, kept)) = self.trucks.get(truck) else { return };
        // The latest readings stay: readings after them are never late.
        let oldest = kept.first_key_value().map(|(stretch, _)| end_of(*stretch));
        let point = oldest.filter(|end| *end <= times.latest).map(|end| end.saturating_add(self.retention));
        self.waiting.set(truck, times.latest, point.into_iter());
    }
}

const BLOCK: u8 = b'b';

fn block_key(truck: &Entity, stretch: i64, epoch: Epoch) -> Vec<u8> {
    [&[BLOCK][..], &stretch.to_be_bytes(), &epoch.to_be_bytes(), truck.as_bytes()].concat()
}

/// Parses an entry of the state.
pub(super) fn read(key: &[u8], value: &[u8]) -> Option<(Entity, Kept)> {
    let (numbers, []) = value.as_chunks::<8>() else { return None };
    let mut numbers = numbers.iter().map(|number| i64::from_le_bytes(*number));
    if let Some(truck) = truck_of_times(key) {
        let times = Times { latest: numbers.next()?, horizon: numbers.next()? };
        return numbers.next().is_none().then_some((truck, Kept::Times(times)));
    }
    let (_, key) = key.strip_prefix(&[BLOCK])?.split_first_chunk::<8>()?;
    let (epoch, truck) = key.split_first_chunk::<8>()?;
    let block = Kept::Block(Epoch::from_be_bytes(*epoch), Block::read(numbers)?);
    Some((std::str::from_utf8(truck).ok()?.into(), block))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::entries;
    use crate::views::watermark::WatermarkUpdate;

    #[test]
    fn blocks_are_read_back() {
        let truck: Entity = "näher".into();
        let block = Block::of(vec![(-5, 1, -2), (-5, i64::MAX, 0)]).unwrap();
        let mut value = Vec::new();
        block.write(&mut value);
        let read_back = read(&block_key(&truck, stretch_of(-5), 7), &value);
        assert_eq!(read_back, Some((truck, Kept::Block(7, block))));
        assert!(read(b"b1234567", &value).is_none() && read(b"t", &value).is_none());
    }

    #[test]
    fn a_restored_block_is_inserted_and_later_deleted_by_its_own_key() {
        let mut gate = Gate::new(&Settings { join_retention: 1, ..Settings::default() }, 5, false);
        let truck: Entity = "t".into();
        let times = Times { latest: end_of(0) + 9, horizon: 0 };
        let block = Block::of(vec![(10, 1, 2), (20, 3, 4)]).unwrap();
        let kept = [Kept::Block(3, block.clone()), Kept::Times(times)];
        let input = |kept| TruckInput::Kept(truck.clone(), kept);
        let updates = |output: &Output| match output {
            Output::Blocks(updates) => (**updates).clone(),
            _ => Vec::new(),
        };
        let block = Arc::new(block);
        let update = |epoch, diff| (((truck.clone(), 0), block.clone()), epoch, diff);
        let given: Vec<_> = gate.pass(5, kept.map(input).into()).iter().flat_map(updates).collect();
        assert_eq!(given, [update(5, 1)]);

        // No partition is behind any more, so the time of the truck counts.
        let output = gate.pass(6, vec![TruckInput::Watermark(WatermarkUpdate::Behind(0, i64::MAX))]);
        assert_eq!(output.iter().flat_map(updates).collect::<Vec<_>>(), [update(7, -1)]);
        let Some(Output::Effect(Effect::State { bytes, added })) = output.last() else { panic!("no state") };
        let ended: Vec<_> = entries(bytes).flatten().filter(|(_, value)| value.is_empty()).collect();
        assert_eq!(ended, [(&*block_key(&truck, 0, 3), &b""[..])]);
        assert_eq!(*added, -1);
    }
}
