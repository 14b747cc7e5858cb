//! What stands before the join of an append job: it decides what is late or too much, blocks the rest,
//! and takes blocks back from the join when they are older than the retention, so that the join forgets
//! them. It takes them back one epoch later, so that readings of one epoch meet whatever time they span.
//!
//! A stretch is forgotten as a whole, when the horizon has passed its end: until then what comes before
//! the horizon is late anyway.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::block::{Block, Meeting, Reading, end_of, stretch_of};
use crate::Epoch;
use crate::batch::{Batch, Measure, Truck};
use crate::dead_letter::Reason;
use crate::effect::Effect;
use crate::state::{push_end, push_entry};
use crate::views::lateness::{BatchId, GivenUp, Told, Waiting, truck_key, truck_of_times};
use crate::views::settings::Settings;
use crate::views::watermark::Watermark;

/// The readings of a truck in a batch, each with its place there.
pub(super) type Part = Vec<(Reading, u32)>;

/// The readings of each truck in a batch.
pub(super) fn parts(batch: &Batch) -> Vec<(Truck, Part)> {
    let (distance, speed) = (batch.measure(Measure::DistanceCovered), batch.measure(Measure::EngineSpeed));
    let mut counts = vec![0; batch.trucks.len()];
    batch.truck.iter().for_each(|&truck| counts[truck as usize] += 1);
    let parts =
        batch.trucks.iter().zip(counts).map(|(truck, count)| (truck.clone(), Vec::with_capacity(count)));
    let mut parts: Vec<(Truck, Part)> = parts.collect();
    for (place, &time) in batch.time.iter().enumerate() {
        let reading = (time, distance[place], speed[place]);
        parts[batch.truck[place] as usize].1.push((reading, place as u32));
    }
    parts
}

/// What is kept of a truck.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) enum Kept {
    /// What an epoch brought of a stretch.
    Block(Epoch, Block),
    /// Its time.
    Times(Times),
}

/// What is known of a truck's time, in microseconds. Both only rise.
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
    /// The truck's horizon at a time of the topic. What it sends behind its latest event is never late.
    fn risen(&self, watermark: &Watermark, retention: i64) -> i64 {
        let bound = watermark.of_truck(self.latest).saturating_sub(retention);
        self.horizon.max(bound.min(self.latest))
    }
}

/// A block that the join gets, or that is taken back from it.
pub(super) type Update = ((Meeting, Arc<Block>), Epoch, isize);

/// What comes out of the gate.
#[derive(Clone)]
pub(super) enum Output {
    /// For the join; shared, as several operators look for what is theirs.
    Blocks(Arc<Vec<Update>>),
    Effect(Effect),
    GivenUp(GivenUp<Vec<u32>>),
}

/// The blocks of a truck by their stretches, each with the epoch that brought it.
type Blocks = BTreeMap<i64, Vec<(Epoch, Arc<Block>)>>;

/// The readings that may still meet others, of the trucks that this worker keeps.
pub(super) struct Gate {
    retention: i64,
    limit: usize,
    start: Epoch,
    /// Whether this worker keeps the time of the topic.
    leads: bool,
    watermark: Watermark,
    trucks: HashMap<Truck, (Times, Blocks)>,
    waiting: Waiting,
}

/// A reading that an epoch brought, the place of its part among those of its truck, and its own there.
type Arrived = (Reading, u32, u32);

/// What an epoch did.
#[derive(Default)]
struct Done {
    updates: Vec<Update>,
    given_up: Vec<GivenUp<Vec<u32>>>,
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

    /// Takes what an epoch brought.
    pub fn pass(&mut self, epoch: Epoch, told: Vec<Told<Part, Kept>>) -> Vec<Output> {
        let mut done = Done::default();
        let mut parts: BTreeMap<Truck, Vec<(BatchId, Part)>> = BTreeMap::new();
        let mut times_before: BTreeMap<Truck, Option<Times>> = BTreeMap::new();
        let mut updates = Vec::new();
        for told in told {
            match told {
                Told::Kept(truck, Kept::Block(brought, block)) => {
                    times_before.entry(truck.clone()).or_default();
                    let stretch = block.times().next().map_or(0, stretch_of);
                    self.keep((truck, stretch), epoch, brought, block, &mut done);
                }
                Told::Kept(truck, Kept::Times(times)) => {
                    self.trucks.entry(truck.clone()).or_default().0 = times;
                    times_before.insert(truck, Some(times));
                }
                Told::Watermark(update) => updates.push(update),
                Told::Part(batch, truck, readings) => parts.entry(truck).or_default().push((batch, readings)),
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
                done.added += self.watermark.keep(&mut done.state);
            }
        }
        for truck in times_before.keys() {
            self.wait(truck);
        }
        let mut output: Vec<Output> = done.given_up.into_iter().map(Output::GivenUp).collect();
        if !done.updates.is_empty() {
            output.push(Output::Blocks(Arc::new(done.updates)));
        }
        if !done.state.is_empty() {
            output.push(Output::Effect(Effect::State { bytes: done.state, added: done.added }));
        }
        output
    }

    /// Gives the join a block that epoch `brought` brought, and keeps it.
    fn keep(&mut self, meeting: Meeting, epoch: Epoch, brought: Epoch, block: Block, done: &mut Done) {
        let block = Arc::new(block);
        let (_, kept) = self.trucks.entry(meeting.0.clone()).or_default();
        kept.entry(meeting.1).or_default().push((brought, block.clone()));
        done.updates.push(((meeting, block), epoch, 1));
    }

    /// Sorts what an epoch brought of a truck into blocks by their stretches, without what is given up.
    fn arrive(
        &mut self,
        truck: &Truck,
        mut parts: Vec<(BatchId, Part)>,
        done: &mut Done,
    ) -> Vec<(i64, Block)> {
        // Which readings are too many at one timestamp must not depend on the order of arrival.
        parts.sort_unstable_by_key(|(batch, _)| *batch);
        let mut arrived: Vec<Arrived> = Vec::with_capacity(parts.iter().map(|(_, part)| part.len()).sum());
        for (at, (_, part)) in (0..).zip(&parts) {
            arrived.extend(part.iter().map(|&(reading, place)| (reading, at, place)));
        }
        // Parts mostly are in order, and follow each other: such runs are found and merged.
        arrived.sort();
        let (times, kept) = self.trucks.entry(truck.clone()).or_default();
        times.horizon = times.risen(&self.watermark, self.retention);
        let (late, timely) =
            arrived.split_at(arrived.partition_point(|((time, ..), ..)| *time < times.horizon));
        let mut give_up = |arrived: &[Arrived], reason| {
            done.given_up.extend(arrived.iter().map(|&(_, at, place)| GivenUp {
                batch: parts[at as usize].0,
                reason,
                part: vec![place],
            }));
        };
        give_up(late, Reason::Late);
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
                let met: usize = near.iter().map(|block| block.count(time)).sum();
                let room = self.limit.saturating_sub(met).min(at_once.len());
                let (taken, refused) = at_once.split_at(room);
                readings.extend(taken.iter().map(|(reading, ..)| *reading));
                give_up(refused, Reason::TooLarge);
            }
            if let Some((latest, ..)) = readings.last() {
                times.latest = times.latest.max(*latest);
            }
            blocks.extend(Block::of(readings).map(|block| (stretch, block)));
        }
        blocks
    }

    /// Takes back the blocks of a truck that the horizon has passed.
    fn forget(&mut self, truck: &Truck, before: Option<Times>, epoch: Epoch, done: &mut Done) {
        let Some((times, kept)) = self.trucks.get_mut(truck) else { return };
        times.horizon = times.risen(&self.watermark, self.retention);
        while let Some(entry) = kept.first_entry().filter(|entry| end_of(*entry.key()) <= times.horizon) {
            let (stretch, blocks) = entry.remove_entry();
            for (brought, block) in blocks {
                // One of this epoch was not written yet.
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

    /// Writes down what an epoch brought, where it was not forgotten at once.
    fn write(&self, fresh: Vec<Meeting>, epoch: Epoch, done: &mut Done) {
        for (truck, stretch) in fresh {
            let blocks = self.trucks.get(&truck).and_then(|(_, kept)| kept.get(&stretch));
            // It is the last one of its stretch.
            let Some((_, block)) = blocks.and_then(|blocks| blocks.last()) else { continue };
            push_entry(&mut done.state, &block_key(&truck, stretch, epoch), |out| block.write(out));
            done.added += 1;
        }
    }

    /// Notes when a truck's blocks have to be taken back, should nothing of it come.
    fn wait(&mut self, truck: &Truck) {
        let Some((times, kept)) = self.trucks.get(truck) else { return };
        // The latest readings stay: what the truck sends behind them is never late.
        let oldest = kept.first_key_value().map(|(stretch, _)| end_of(*stretch));
        let point = oldest.filter(|end| *end <= times.latest).map(|end| end.saturating_add(self.retention));
        self.waiting.set(truck, times.latest, point.into_iter());
    }
}

const BLOCK: u8 = b'b';

fn block_key(truck: &Truck, stretch: i64, epoch: Epoch) -> Vec<u8> {
    [&[BLOCK][..], &stretch.to_be_bytes(), &epoch.to_be_bytes(), truck.as_bytes()].concat()
}

/// What an entry of the state keeps.
pub(super) fn read(key: &[u8], value: &[u8]) -> Option<(Truck, Kept)> {
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
    fn blocks_are_read_as_they_were_written() {
        let truck: Truck = "näher".into();
        let block = Block::of(vec![(-5, 1, -2), (-5, i64::MAX, 0)]).unwrap();
        let mut value = Vec::new();
        block.write(&mut value);
        let read_back = read(&block_key(&truck, stretch_of(-5), 7), &value);
        assert_eq!(read_back, Some((truck, Kept::Block(7, block))));
        assert!(read(b"b1234567", &value).is_none() && read(b"t", &value).is_none());
    }

    #[test]
    fn a_block_of_the_state_goes_on_and_ends_by_its_own_key() {
        let mut gate = Gate::new(&Settings { join_retention: 1, ..Settings::default() }, 5, false);
        let truck: Truck = "t".into();
        let times = Times { latest: end_of(0) + 9, horizon: 0 };
        let block = Block::of(vec![(10, 1, 2), (20, 3, 4)]).unwrap();
        let kept = [Kept::Block(3, block.clone()), Kept::Times(times)];
        let told = |kept| Told::Kept(truck.clone(), kept);
        let updates = |output: &Output| match output {
            Output::Blocks(updates) => (**updates).clone(),
            _ => Vec::new(),
        };
        let block = Arc::new(block);
        let update = |epoch, diff| (((truck.clone(), 0), block.clone()), epoch, diff);
        let given: Vec<_> = gate.pass(5, kept.map(told).into()).iter().flat_map(updates).collect();
        assert_eq!(given, [update(5, 1)]);

        // Nothing is behind any more: the time of the truck counts.
        let output = gate.pass(6, vec![Told::Watermark(WatermarkUpdate::Behind(0, i64::MAX))]);
        assert_eq!(output.iter().flat_map(updates).collect::<Vec<_>>(), [update(7, -1)]);
        let Some(Output::Effect(Effect::State { bytes, added })) = output.last() else { panic!("no state") };
        let ended: Vec<_> = entries(bytes).flatten().filter(|(_, value)| value.is_empty()).collect();
        assert_eq!(ended, [(&*block_key(&truck, 0, 3), &b""[..])]);
        assert_eq!(*added, -1);
    }
}
