//! Decoded readings as columns.
//!
//! A batch has the records that one activation of a source decoded, a few thousand. Columns are shared (`Arc`), so
//! that views can pass them on, and sinks render them, without copying.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};

pub use crate::names::Entity;
use crate::names::Names;
use crate::null::NULL;
use crate::origin::Origin;
use crate::schema::Schema;

/// Nano-units per unit: measures are decimals stored as `value * 10^9` in an `i64`.
pub const NANO: i64 = 1_000_000_000;
/// Decimal places of a measure.
pub const NANO_SCALE: u8 = 9;

/// One reading outside a batch, for upserts, tests and the oracle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The entity's name.
    pub entity: Entity,
    /// Event time in microseconds since 1970, UTC.
    pub time: i64,
    /// The values of the columns of units; [`NULL`] is NULL.
    pub units: Vec<i64>,
    /// The values of the columns of texts; `None` is NULL.
    pub texts: Vec<Option<Arc<str>>>,
}

/// The corrections that the records of an upsert job make: 1 inserts a reading, -1 retracts it. A reading that
/// replaces another directly follows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Corrections {
    /// 1 or -1 for each record.
    pub signs: Arc<Vec<i8>>,
    /// The message key that identifies each reading.
    pub keys: Arc<Vec<Arc<[u8]>>>,
}

/// Records as columns, in the order of the [`Schema`]. All columns have the same length; `entity` indexes `entities`.
///
/// ```
/// use dataflows::batch::{Batch, NANO, Record};
/// use dataflows::schema::Schema;
///
/// let record = |truck: &str, time, speed: i64| Record {
///     entity: truck.into(),
///     time,
///     units: vec![0, speed * NANO, 0],
///     texts: Vec::new(),
/// };
/// let batch: Batch = [record("a", 0, 80), record("b", 5, 81), record("a", 9, 82)].into_iter().collect();
/// assert_eq!(batch.len(), 3);
/// assert_eq!(**batch.entity, [0, 1, 0]);
/// let speed = Schema::trucks().number("engine_speed").unwrap();
/// assert_eq!(batch.units[speed][2], 82 * NANO);
/// assert_eq!(batch.record(1), record("b", 5, 81));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The distinct names of entities in this batch.
    pub entities: Arc<Names>,
    /// For each record, the index of its entity in `entities`.
    pub entity: Arc<Vec<u32>>,
    /// Event time in microseconds since 1970, UTC.
    pub time: Arc<Vec<i64>>,
    /// Numbers in nano-units, integers, booleans, times; [`NULL`] is NULL.
    pub units: Vec<Arc<Vec<i64>>>,
    /// Texts; `None` is NULL.
    pub texts: Vec<Arc<Vec<Option<Arc<str>>>>>,
    /// Which records insert and which retract; none in an append job, where all insert.
    pub corrections: Option<Corrections>,
    /// The origin and bytes of each record, kept if a view may have to drop it as late.
    pub origin: Option<Arc<Origin>>,
}

impl Batch {
    /// How many records there are.
    #[inline]
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// The `index`-th record.
    pub fn record(&self, index: usize) -> Record {
        Record {
            entity: self.entities.shared()[self.entity[index] as usize].clone(),
            time: self.time[index],
            units: self.units.iter().map(|column| column[index]).collect(),
            texts: self.texts.iter().map(|column| column[index].clone()).collect(),
        }
    }

    /// The records at `rows`, in that order, of a batch without corrections.
    pub(crate) fn only(&self, rows: &[u32]) -> Self {
        let mut entities = Names::default();
        let mut places = vec![None; self.entities.len()];
        let entity = rows.iter().map(|row| {
            let entity = self.entity[*row as usize] as usize;
            *places[entity].get_or_insert_with(|| entities.push(self.entities.get(entity)))
        });
        let entity = Arc::new(entity.collect());
        Self {
            entities: Arc::new(entities),
            entity,
            time: picked(&self.time, rows),
            units: self.units.iter().map(|column| picked(column, rows)).collect(),
            texts: self.texts.iter().map(|column| picked(column, rows)).collect(),
            corrections: None,
            origin: self.origin.as_ref().map(|origin| Arc::new(origin.only(rows))),
        }
    }

    /// Whether the record inserts (1) or retracts (-1).
    #[inline]
    pub fn sign(&self, index: usize) -> i8 {
        self.corrections.as_ref().map_or(1, |corrections| corrections.signs[index])
    }
}

impl FromIterator<Record> for Batch {
    /// Readings of trucks, without other fields.
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut builder = BatchBuilder::default();
        records.into_iter().for_each(|record| builder.push_record(record));
        builder.take()
    }
}

/// Collects records into a [`Batch`].
///
/// ```
/// use dataflows::batch::{BatchBuilder, NANO};
/// use dataflows::rows::NULL;
/// use dataflows::schema::{FieldType, Schema};
///
/// let schema = Schema::trucks().with("oil_pressure", FieldType::Number);
/// let mut builder = BatchBuilder::new(&schema);
/// builder.push("a", 0, &[0, 80 * NANO, 0, 3 * NANO]);
/// builder.push("a", 1, &[NANO, 81 * NANO, 0]); // without oil pressure
/// let batch = builder.take();
/// assert_eq!(batch.record(0).units, [0, 80 * NANO, 0, 3 * NANO]);
/// assert_eq!(batch.record(1).units[3], NULL);
/// assert!(builder.is_empty());
/// ```
#[derive(Debug)]
pub struct BatchBuilder {
    entities: Names,
    /// The index of each of them, by the hash of the name. Only the names of this batch are here, so that all is in a cache
    /// however many entities there are.
    known: HashTable<u32>,
    hasher: RandomState,
    /// The index of the last record's name: neighbouring records are mostly of the same entity.
    last: u32,
    entity: Vec<u32>,
    time: Vec<i64>,
    units: Vec<Vec<i64>>,
    texts: Vec<Vec<Option<Arc<str>>>>,
    signs: Vec<i8>,
    keys: Vec<Arc<[u8]>>,
}

impl Default for BatchBuilder {
    /// A builder for readings of trucks.
    fn default() -> Self {
        Self::new(&Schema::trucks())
    }
}

impl BatchBuilder {
    /// A builder for records with these fields.
    pub fn new(schema: &Schema) -> Self {
        Self {
            entities: Names::default(),
            known: HashTable::new(),
            hasher: RandomState::default(),
            last: 0,
            entity: Vec::new(),
            time: Vec::new(),
            units: vec![Vec::new(); schema.units()],
            texts: vec![Vec::new(); schema.texts()],
            signs: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Adds a record.
    pub fn push_record(&mut self, record: Record) {
        self.push_with(&record.entity, record.time, record.units, record.texts);
    }

    /// Adds a correction: inserts (`sign` 1) or retracts (-1) a reading.
    pub fn push_correction(&mut self, record: Record, sign: i8, key: Arc<[u8]>) {
        self.push_record(record);
        self.signs.push(sign);
        self.keys.push(key);
    }

    /// Adds a record: the name of its entity, its event time in microseconds, the values of the columns of units.
    /// Columns without a value are NULL, as are all texts.
    #[inline]
    pub fn push(&mut self, entity: &str, time: i64, units: &[i64]) {
        self.push_with(entity, time, units.iter().copied(), []);
    }

    /// Like [`push`](Self::push), with the values of the columns of texts.
    #[inline]
    pub fn push_with(
        &mut self,
        entity: &str,
        time: i64,
        units: impl IntoIterator<Item = i64>,
        texts: impl IntoIterator<Item = Option<Arc<str>>>,
    ) {
        let index = self.index_of(entity);
        self.entity.push(index);
        self.time.push(time);
        let mut columns = self.units.iter_mut();
        for (value, column) in units.into_iter().zip(&mut columns) {
            column.push(value);
        }
        columns.for_each(|column| column.push(NULL));
        if !self.texts.is_empty() {
            let mut texts = texts.into_iter();
            self.texts.iter_mut().for_each(|column| column.push(texts.next().flatten()));
        }
    }

    #[inline]
    fn index_of(&mut self, entity: &str) -> u32 {
        let last = self.last as usize;
        if last < self.entities.len() && self.entities.get(last) == entity {
            return self.last;
        }
        self.last = self.look_up(entity);
        self.last
    }

    fn look_up(&mut self, entity: &str) -> u32 {
        let hash = self.hasher.hash_one(entity);
        let names = &mut self.entities;
        if let Some(&index) = self.known.find(hash, |index| names.get(*index as usize) == entity) {
            return index;
        }
        let index = names.push(entity);
        let hash_of = |index: &u32| self.hasher.hash_one(names.get(*index as usize));
        *self.known.insert_unique(hash, index, hash_of).get()
    }

    /// How many records were pushed since the last [`take`](Self::take).
    #[inline]
    pub fn len(&self) -> usize {
        self.time.len()
    }

    /// Whether no records were pushed since then.
    pub fn is_empty(&self) -> bool {
        self.time.is_empty()
    }

    /// The records pushed since the last call, as a batch.
    pub fn take(&mut self) -> Batch {
        let records = self.time.len();
        self.known.clear();
        self.last = 0;
        Batch {
            entities: Arc::new(self.entities.take()),
            entity: Arc::new(std::mem::replace(&mut self.entity, Vec::with_capacity(records))),
            time: Arc::new(std::mem::replace(&mut self.time, Vec::with_capacity(records))),
            units: self.units.iter_mut().map(|column| taken(column, records)).collect(),
            texts: self.texts.iter_mut().map(|column| taken(column, records)).collect(),
            corrections: (!self.keys.is_empty()).then(|| Corrections {
                signs: Arc::new(std::mem::take(&mut self.signs)),
                keys: Arc::new(std::mem::take(&mut self.keys)),
            }),
            origin: None,
        }
    }
}

/// The values of a column at `rows`.
fn picked<T: Clone>(column: &[T], rows: &[u32]) -> Arc<Vec<T>> {
    Arc::new(rows.iter().map(|row| column[*row as usize].clone()).collect())
}

/// Takes a column, and leaves an empty one for as many records.
fn taken<T>(column: &mut Vec<T>, records: usize) -> Arc<Vec<T>> {
    Arc::new(std::mem::replace(column, Vec::with_capacity(records)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::FieldType;

    #[test]
    fn a_batch_has_the_pushed_records_and_each_name_once() {
        let mut builder = BatchBuilder::default();
        for round in 0..2 {
            for (truck, time) in [("a", 1), ("b", 2), ("a", 3), ("", 4)] {
                builder.push(truck, time, &[time * 10, time * 20, round]);
            }
            let batch = builder.take();
            assert_eq!(batch.entities.len(), 3);
            let got: Vec<_> = (0..batch.len()).map(|i| batch.record(i)).collect();
            assert_eq!(
                got[2],
                Record { entity: "a".into(), time: 3, units: vec![30, 60, round], texts: vec![] }
            );
            assert_eq!(&*got[3].entity, "");
            assert_eq!(got.into_iter().collect::<Batch>(), batch);
        }
        assert!(builder.take().is_empty());
    }

    #[test]
    fn some_records_of_a_batch_have_only_their_own_entities() {
        let schema = Schema::trucks().with("driver", FieldType::Text);
        let mut builder = BatchBuilder::new(&schema);
        for (truck, time) in [("a", 1), ("b", 2), ("c", 3), ("b", 4)] {
            builder.push_with(truck, time, [time], [Some(truck.into())]);
        }
        let batch = builder.take();
        let only = batch.only(&[3, 0]);
        assert_eq!([only.record(0), only.record(1)], [batch.record(3), batch.record(0)]);
        assert_eq!(only.entities.iter().collect::<Vec<_>>(), ["b", "a"]);
    }

    #[test]
    fn declared_fields_and_corrections_are_columns() {
        let schema = Schema::trucks().with("oil", FieldType::Number).with("driver", FieldType::Text);
        let mut builder = BatchBuilder::new(&schema);
        let record = |oil, driver: Option<&str>| Record {
            entity: "a".into(),
            time: 1,
            units: vec![1, 2, 3, oil],
            texts: vec![driver.map(Arc::from)],
        };
        let records = [record(5, Some("x")), record(NULL, None)];
        builder.push_correction(records[0].clone(), -1, Arc::from(&b"k"[..]));
        builder.push_correction(records[1].clone(), 1, Arc::from(&b"k"[..]));
        let batch = builder.take();
        assert_eq!([batch.record(0), batch.record(1)], records);
        assert_eq!((batch.sign(0), batch.sign(1)), (-1, 1));
        assert!(builder.take().corrections.is_none());
    }
}
