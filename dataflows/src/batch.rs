//! Decoded readings as columns.
//!
//! A batch has the records that one activation of a source decoded, a few thousand. Columns are shared (`Arc`), so
//! that views can pass them on, and sinks render them, without copying.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use serde::{Deserialize, Serialize};

use crate::null::NULL;
use crate::origin::Origin;

/// A truck's name; empty if the topic does not name trucks.
pub type Truck = Arc<str>;

/// Nano-units per unit: measures are decimals stored as `value * 10^9` in an `i64`.
pub const NANO: i64 = 1_000_000_000;
/// Decimal places of a measure.
pub const NANO_SCALE: u8 = 9;

/// The numeric fields of a reading, and their index in [`Batch::measures`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Measure {
    /// Kilometres since the start of the drive.
    DistanceCovered = 0,
    /// The engine's speed.
    EngineSpeed = 1,
    /// Litres since the start of the drive.
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

/// The fields of the default schema whose values can be rounded: the measures by index, then the timestamp.
pub const ROUNDED_FIELDS: [&str; 4] =
    [Measure::DistanceCovered.name(), Measure::EngineSpeed.name(), Measure::FuelConsumed.name(), "timestamp"];

/// The type of a field that the job declares in addition to the default schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// A decimal, stored in nano-units like the measures.
    Number,
    /// A text.
    Text,
}

/// A field that the job declares in addition to the default schema. It is NULL in messages without it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldSpec {
    /// The name in messages.
    pub name: Arc<str>,
    /// The type.
    pub field_type: FieldType,
}

/// The value of a declared field in one reading.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Value {
    /// The field is absent, or null.
    #[default]
    Null,
    /// In nano-units.
    Number(i64),
    /// A text.
    Text(Arc<str>),
}

/// One reading outside a batch, for upserts, tests and the oracle.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Record {
    /// The truck's name.
    pub truck: Truck,
    /// Event time in microseconds since 1970, UTC.
    pub time: i64,
    /// The measures in nano-units, indexed by [`Measure`].
    pub measures: [i64; 3],
    /// The declared fields, in the order of their declaration.
    pub extras: Vec<Value>,
}

/// A declared field as a column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExtraColumn {
    /// In nano-units; [`NULL`] is NULL.
    Number(Arc<Vec<i64>>),
    /// Texts; `None` is NULL.
    Text(Arc<Vec<Option<Arc<str>>>>),
}

impl ExtraColumn {
    /// The `index`-th value.
    fn value(&self, index: usize) -> Value {
        match self {
            Self::Number(values) if values[index] == NULL => Value::Null,
            Self::Number(values) => Value::Number(values[index]),
            Self::Text(values) => values[index].clone().map_or(Value::Null, Value::Text),
        }
    }
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

/// Records as columns. All columns have the same length; `truck` indexes `trucks`.
///
/// ```
/// use dataflows::batch::{Batch, Measure, NANO, Record};
///
/// let record = |truck: &str, time, speed: i64| Record {
///     truck: truck.into(),
///     time,
///     measures: [0, speed * NANO, 0],
///     extras: Vec::new(),
/// };
/// let batch: Batch = [record("a", 0, 80), record("b", 5, 81), record("a", 9, 82)].into_iter().collect();
/// assert_eq!(batch.len(), 3);
/// assert_eq!(**batch.truck, [0, 1, 0]);
/// assert_eq!(batch.measure(Measure::EngineSpeed)[2], 82 * NANO);
/// assert_eq!(batch.record(1), record("b", 5, 81));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// The distinct truck names of this batch.
    pub trucks: Arc<Vec<Truck>>,
    /// For each record, the index of its truck in `trucks`.
    pub truck: Arc<Vec<u32>>,
    /// Event time in microseconds since 1970, UTC.
    pub time: Arc<Vec<i64>>,
    /// The measures in nano-units, indexed by [`Measure`].
    pub measures: [Arc<Vec<i64>>; 3],
    /// The declared fields, in the order of their declaration.
    pub extras: Vec<ExtraColumn>,
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

    /// One measure's column.
    #[inline]
    pub fn measure(&self, measure: Measure) -> &Arc<Vec<i64>> {
        &self.measures[measure as usize]
    }

    /// The `index`-th record.
    pub fn record(&self, index: usize) -> Record {
        Record {
            truck: self.trucks[self.truck[index] as usize].clone(),
            time: self.time[index],
            measures: Measure::ALL.map(|m| self.measure(m)[index]),
            extras: self.extras.iter().map(|extra| extra.value(index)).collect(),
        }
    }

    /// Whether the record inserts (1) or retracts (-1).
    #[inline]
    pub fn sign(&self, index: usize) -> i8 {
        self.corrections.as_ref().map_or(1, |corrections| corrections.signs[index])
    }
}

impl FromIterator<Record> for Batch {
    /// Records of a job that declares no fields.
    fn from_iter<I: IntoIterator<Item = Record>>(records: I) -> Self {
        let mut builder = BatchBuilder::default();
        records.into_iter().for_each(|record| builder.push_record(record));
        builder.take()
    }
}

/// Collects records into a [`Batch`]. Each distinct truck name is allocated once in the lifetime of the builder.
///
/// ```
/// use dataflows::batch::{BatchBuilder, FieldSpec, FieldType, NANO, Value};
///
/// let oil = FieldSpec { name: "oil_pressure".into(), field_type: FieldType::Number };
/// let mut builder = BatchBuilder::new(&[oil]);
/// builder.push("a", 0, [0, 80 * NANO, 0]);
/// builder.push_extras([Value::Number(3 * NANO)]);
/// builder.push("a", 1, [NANO, 81 * NANO, 0]);
/// builder.push_extras([]); // NULL
/// let batch = builder.take();
/// assert_eq!(batch.record(0).extras, [Value::Number(3 * NANO)]);
/// assert_eq!(batch.record(1).extras, [Value::Null]);
/// assert!(builder.is_empty());
/// ```
#[derive(Debug, Default)]
pub struct BatchBuilder {
    /// Every name so far, with its index in `names`.
    known: HashMap<Truck, u32, RandomState>,
    names: Vec<Name>,
    /// The name of the last record: neighbouring records are mostly of the same truck.
    last: Option<u32>,
    batch: u64,
    trucks: Vec<Truck>,
    truck: Vec<u32>,
    time: Vec<i64>,
    measures: [Vec<i64>; 3],
    extras: Vec<ExtraBuilder>,
    signs: Vec<i8>,
    keys: Vec<Arc<[u8]>>,
}

/// Collects the values of a declared field.
#[derive(Debug)]
enum ExtraBuilder {
    Number(Vec<i64>),
    Text(Vec<Option<Arc<str>>>),
}

impl ExtraBuilder {
    fn of(field: &FieldSpec) -> Self {
        match field.field_type {
            FieldType::Number => Self::Number(Vec::new()),
            FieldType::Text => Self::Text(Vec::new()),
        }
    }

    /// A value of the wrong type, which decoders never produce, becomes NULL.
    fn push(&mut self, value: Value) {
        match (self, value) {
            (Self::Number(values), Value::Number(value)) => values.push(value),
            (Self::Number(values), _) => values.push(NULL),
            (Self::Text(values), Value::Text(text)) => values.push(Some(text)),
            (Self::Text(values), _) => values.push(None),
        }
    }

    fn take(&mut self) -> ExtraColumn {
        match self {
            Self::Number(values) => ExtraColumn::Number(Arc::new(std::mem::take(values))),
            Self::Text(values) => ExtraColumn::Text(Arc::new(std::mem::take(values))),
        }
    }
}

#[derive(Debug)]
struct Name {
    truck: Truck,
    /// The number of the batch for which `index` is valid.
    batch: u64,
    index: u32,
}

/// The maximum number of names kept between batches; beyond it the builder clears them, so that a topic with ever new
/// names does not grow it without bound.
const NAMES_KEPT: usize = 1 << 21;

impl BatchBuilder {
    /// A builder for records with these fields in addition to the default schema.
    pub fn new(fields: &[FieldSpec]) -> Self {
        Self { extras: fields.iter().map(ExtraBuilder::of).collect(), ..Self::default() }
    }

    /// Adds a record with its declared fields.
    pub fn push_record(&mut self, record: Record) {
        self.push(&record.truck, record.time, record.measures);
        self.push_extras(record.extras);
    }

    /// Adds a correction: inserts (`sign` 1) or retracts (-1) a reading.
    pub fn push_correction(&mut self, record: Record, sign: i8, key: Arc<[u8]>) {
        self.push_record(record);
        self.signs.push(sign);
        self.keys.push(key);
    }

    /// Sets the declared fields of the last record; missing ones are NULL.
    #[inline]
    pub fn push_extras(&mut self, values: impl IntoIterator<Item = Value>) {
        if !self.extras.is_empty() {
            let mut values = values.into_iter();
            self.extras.iter_mut().for_each(|extra| extra.push(values.next().unwrap_or_default()));
        }
    }

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
                // No batch has this number: the name is in no batch yet.
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
        let batch = Batch {
            trucks: Arc::new(std::mem::take(&mut self.trucks)),
            truck: Arc::new(std::mem::replace(&mut self.truck, Vec::with_capacity(records))),
            time: Arc::new(std::mem::replace(&mut self.time, Vec::with_capacity(records))),
            measures: std::mem::take(&mut self.measures).map(Arc::new),
            extras: self.extras.iter_mut().map(ExtraBuilder::take).collect(),
            corrections: (!self.keys.is_empty()).then(|| Corrections {
                signs: Arc::new(std::mem::take(&mut self.signs)),
                keys: Arc::new(std::mem::take(&mut self.keys)),
            }),
            origin: None,
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
    fn a_batch_has_the_pushed_records_and_each_name_once() {
        let mut builder = BatchBuilder::default();
        for round in 0..2 {
            for (truck, time) in [("a", 1), ("b", 2), ("a", 3), ("", 4)] {
                builder.push(truck, time, [time * 10, time * 20, round]);
            }
            let batch = builder.take();
            assert_eq!(batch.trucks.len(), 3);
            let got: Vec<_> = (0..batch.len()).map(|i| batch.record(i)).collect();
            assert_eq!(
                got[2],
                Record { truck: "a".into(), time: 3, measures: [30, 60, round], extras: vec![] }
            );
            assert_eq!(&*got[3].truck, "");
            assert_eq!(got.into_iter().collect::<Batch>(), batch);
        }
        assert!(builder.take().is_empty());
    }

    #[test]
    fn declared_fields_and_corrections_are_columns() {
        let field = |name: &str, field_type| FieldSpec { name: name.into(), field_type };
        let fields = [field("oil", FieldType::Number), field("driver", FieldType::Text)];
        let mut builder = BatchBuilder::new(&fields);
        let record = |oil, driver: Value| Record {
            truck: "a".into(),
            time: 1,
            measures: [1, 2, 3],
            extras: vec![oil, driver],
        };
        let records = [record(Value::Number(5), Value::Text("x".into())), record(Value::Null, Value::Null)];
        builder.push_correction(records[0].clone(), -1, Arc::from(&b"k"[..]));
        builder.push_correction(records[1].clone(), 1, Arc::from(&b"k"[..]));
        let batch = builder.take();
        assert_eq!([batch.record(0), batch.record(1)], records);
        assert_eq!((batch.sign(0), batch.sign(1)), (-1, 1));
        assert!(builder.take().corrections.is_none());
    }
}
