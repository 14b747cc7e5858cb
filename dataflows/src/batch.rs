//! Decoded readings, as columns.
//!
//! A batch is what one activation of a source decoded, a few thousand records. Columns are shared
//! (`Arc`), so that a view which passes a column on, and the sinks which render it, copy nothing.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// A truck's name; the empty name is the one truck of a topic that names none.
pub type Truck = Arc<str>;

/// Units in one: measures are decimals held as `value * 10^9` in an `i64`.
pub const NANO: i64 = 1_000_000_000;
/// Decimal places of a measure.
pub const NANO_SCALE: u8 = 9;

/// The numeric fields of a reading, and their place in [`Batch::measures`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// Kilometres since the drive began.
    DistanceCovered = 0,
    /// The engine's speed.
    EngineSpeed = 1,
    /// Litres since the drive began.
    FuelConsumed = 2,
}

impl Measure {
    /// Every measure, in the order of [`Batch::measures`].
    pub const ALL: [Measure; 3] = [Self::DistanceCovered, Self::EngineSpeed, Self::FuelConsumed];

    /// The field's name in messages, tables and files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::DistanceCovered => "distance_covered",
            Self::EngineSpeed => "engine_speed",
            Self::FuelConsumed => "fuel_consumed",
        }
    }
}

/// One reading, outside a batch: what a decoder gives, and what tests and the oracle work on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The truck's name.
    pub truck: Truck,
    /// Event time in microseconds since 1970, UTC.
    pub time: i64,
    /// The measures in nano-units, indexed by [`Measure`].
    pub measures: [i64; 3],
}

/// Records as columns. All columns have the same length; `truck` indexes `trucks`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Batch {
    /// The distinct truck names of this batch.
    pub trucks: Arc<Vec<Truck>>,
    /// For each record, its truck's place in `trucks`.
    pub truck: Arc<Vec<u32>>,
    /// Event time in microseconds since 1970, UTC.
    pub time: Arc<Vec<i64>>,
    /// The measures in nano-units, indexed by [`Measure`].
    pub measures: [Arc<Vec<i64>>; 3],
}

impl Batch {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// One measure's column.
    pub fn measure(&self, measure: Measure) -> &Arc<Vec<i64>> {
        &self.measures[measure as usize]
    }

    /// The `index`-th record.
    pub fn record(&self, index: usize) -> Record {
        Record {
            truck: self.trucks[self.truck[index] as usize].clone(),
            time: self.time[index],
            measures: Measure::ALL.map(|m| self.measure(m)[index]),
        }
    }
}

impl FromIterator<Record> for Batch {
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut builder = BatchBuilder::default();
        for record in records {
            builder.push(&record.truck, record.time, record.measures);
        }
        builder.take()
    }
}

/// Collects records into a [`Batch`], giving each distinct truck name one allocation for as long
/// as the builder lives.
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// Every name met so far, with its place in `names`.
    known: HashMap<Truck, u32>,
    names: Vec<Name>,
    /// The name of the last record: most neighbours are of one truck.
    last: Option<u32>,
    batch: u64,
    trucks: Vec<Truck>,
    truck: Vec<u32>,
    time: Vec<i64>,
    measures: [Vec<i64>; 3],
}

#[derive(Debug)]
struct Name {
    truck: Truck,
    /// The number of the batch in which `index` holds.
    batch: u64,
    index: u32,
}

/// Names kept between batches; past this the builder forgets them and begins again, so that a
/// topic with ever new names does not grow it without bound.
const NAMES_KEPT: usize = 1 << 21;

impl BatchBuilder {
    /// Adds a record: its truck's name, event time in microseconds, measures in nano-units.
    #[inline]
    pub fn push(&mut self, truck: &str, time: i64, measures: [i64; 3]) {
        let index = self.index_of(truck);
        self.truck.push(index);
        self.time.push(time);
        for (column, value) in self.measures.iter_mut().zip(measures) {
            column.push(value);
        }
    }

    #[inline]
    fn index_of(&mut self, truck: &str) -> u32 {
        if let Some(last) = self.last {
            let name = &self.names[last as usize];
            if name.batch == self.batch && &*name.truck == truck {
                return name.index;
            }
        }
        self.look_up(truck)
    }

    fn look_up(&mut self, truck: &str) -> u32 {
        let id = match self.known.get(truck) {
            Some(&id) => id,
            None => {
                let truck: Truck = truck.into();
                let id = self.names.len() as u32;
                // A batch number that is never reached: the name is in no batch yet.
                self.names.push(Name { truck: truck.clone(), batch: u64::MAX, index: 0 });
                self.known.insert(truck, id);
                id
            }
        };
        self.last = Some(id);
        let name = &mut self.names[id as usize];
        if name.batch != self.batch {
            name.batch = self.batch;
            name.index = self.trucks.len() as u32;
            self.trucks.push(name.truck.clone());
        }
        name.index
    }

    /// How many records were pushed since the last [`take`](Self::take).
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether none were.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// The records pushed since the last call, as a batch.
    pub fn take(&mut self) -> Batch {
        let records = self.time.len();
        let batch = Batch {
            trucks: Arc::new(std::mem::take(&mut self.trucks)),
            truck: Arc::new(std::mem::replace(&mut self.truck, Vec::with_capacity(records))),
            time: Arc::new(std::mem::replace(&mut self.time, Vec::with_capacity(records))),
            measures: std::mem::take(&mut self.measures).map(Arc::new),
        };
        self.measures = std::array::from_fn(|_| Vec::with_capacity(records));
        self.batch += 1;
        if self.names.len() > NAMES_KEPT {
            self.known.clear();
            self.names.clear();
            self.last = None;
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_holds_the_records_pushed_and_each_name_once() {
        let mut builder = BatchBuilder::default();
        for round in 0..2 {
            for (truck, time) in [("a", 1), ("b", 2), ("a", 3), ("", 4)] {
                builder.push(truck, time, [time * 10, time * 20, round]);
            }
            let batch = builder.take();
            assert_eq!(batch.trucks.len(), 3);
            let got: Vec<_> = (0..batch.len()).map(|i| batch.record(i)).collect();
            assert_eq!(got[2], Record { truck: "a".into(), time: 3, measures: [30, 60, round] });
            assert_eq!(&*got[3].truck, "");
            assert_eq!(got.into_iter().collect::<Batch>(), batch);
        }
        assert!(builder.take().is_empty());
    }
}
