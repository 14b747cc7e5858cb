//! One reading: the values of its fields, and what is wrong with it.

use std::sync::Arc;

use dataflows::batch::{Batch, NANO_SCALE};
use dataflows::dead_letter::Reason;
use dataflows::expression::Computed;
use dataflows::rows::NULL;
use dataflows::schema::{FieldType, Place};

use super::found::{Found, Reading};
use super::mapping::{FieldMapping, Kafka, Mapping, Source};
use super::message::Message;
use super::path;
use super::plan::{Plan, Slot};
use super::texts::Texts;
use super::tree::Scalar;
use super::value::{Converted, Value};
use crate::text::number;
use crate::text::time::Unit;

/// The values of the fields of one reading, in the order of the mapping. The memory is used again for the next one.
#[derive(Debug)]
pub(super) struct Row {
    pub cells: Vec<Cell>,
    known: Texts,
    /// For each column of units, the index of its field.
    units: Vec<Option<usize>>,
    /// The same for columns of texts.
    texts: Vec<Option<usize>>,
    /// Bad values that became NULL: the field and the reason.
    pub forgiven: Vec<(usize, Reason)>,
    /// Whether the message's key stands in for a field that is NULL.
    pub key_stands_in: bool,
    /// A batch of this reading alone, for computed fields.
    batch: Batch,
}

/// A field of a reading.
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    pub value: Value,
    pub rounded: bool,
    /// What is wrong with it.
    pub fault: Option<Reason>,
}

/// What a reading is from.
#[derive(Clone, Copy)]
pub(super) struct From<'a> {
    pub message: &'a Message<'a>,
    /// Whether the message's key stands in for fields that say so.
    pub takes_key: bool,
}

/// What becomes of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is a record.
    Accepted,
    /// The job's condition leaves it out.
    Skipped,
    /// It is rejected: for a field, by its index.
    Rejected(Reason, usize),
}

impl Row {
    pub fn new(mapping: &Mapping) -> Self {
        let column = || Arc::new(vec![NULL]);
        let at = |place: Place| mapping.fields.iter().position(|field| field.place == place);
        Self {
            known: Texts::default(),
            units: (0..mapping.schema.units()).map(|column| at(Place::Units(column))).collect(),
            texts: (0..mapping.schema.texts()).map(|column| at(Place::Texts(column))).collect(),
            cells: vec![Cell::default(); mapping.fields.len()],
            forgiven: Vec::new(),
            key_stands_in: false,
            batch: Batch {
                entities: Arc::new([""].into_iter().collect()),
                entity: Arc::new(vec![0]),
                time: column(),
                units: (0..mapping.schema.units()).map(|_| column()).collect(),
                texts: (0..mapping.schema.texts()).map(|_| Arc::new(vec![None])).collect(),
                ..Batch::default()
            },
        }
    }

    /// Begins a reading.
    #[inline]
    pub fn begin(&mut self) {
        self.forgiven.clear();
        self.key_stands_in = false;
    }

    /// Fills the fields with the values of a reading.
    pub fn fill(
        &mut self,
        mapping: &Mapping,
        plan: &Plan,
        found: &Found<'_>,
        (number, reading): (usize, &Reading<'_>),
        from: From<'_>,
    ) {
        self.begin();
        for (index, slot) in plan.places.iter().enumerate() {
            let scalar = match *slot {
                Slot::Reading(slot) => found.of_reading(number, slot),
                Slot::Message(slot) => found.of_message(reading, slot),
                Slot::Nowhere => None,
            };
            self.fill_field(mapping, index, scalar, reading.key.as_deref(), from);
        }
        self.compute(mapping);
    }

    /// Fills a field with the value that its path finds. `key` is the one that a `*` in the root met.
    #[inline]
    pub fn fill_field(
        &mut self,
        mapping: &Mapping,
        index: usize,
        scalar: Option<&Scalar<'_>>,
        key: Option<&str>,
        from: From<'_>,
    ) {
        let (field, cell) = (&mapping.fields[index], &mut self.cells[index]);
        let converted = match (&field.source, scalar) {
            (Source::Value { path, .. }, Some(scalar)) if path.then.is_empty() => {
                field.convert(scalar, &mut self.known)
            }
            (_, scalar) => other(field, scalar, key, from.message, &mut self.known),
        };
        let forgiven = cell.set(field, converted);
        self.forgiven.extend(forgiven.map(|reason| (index, reason)));
        if field.or_key && matches!(cell.value, Value::Null) && cell.fault.is_none() {
            let text = match from.message.key.map(std::str::from_utf8) {
                Some(Err(_)) if from.takes_key => Err(Reason::WrongType),
                Some(Ok(key)) if from.takes_key => Ok(key),
                _ => Ok(""),
            };
            self.key_stands_in = from.takes_key && from.message.key.is_some();
            let converted = text.and_then(|text| field.convert(&Scalar::Text(text.into()), &mut self.known));
            let forgiven = cell.set(field, converted);
            self.forgiven.extend(forgiven.map(|reason| (index, reason)));
        }
    }

    /// Computes the computed fields, in the order of their declaration, once all others are filled.
    #[inline]
    pub fn compute(&mut self, mapping: &Mapping) {
        if mapping.computed.is_empty() && mapping.only.is_none() {
            return;
        }
        self.compute_all(mapping);
    }

    fn compute_all(&mut self, mapping: &Mapping) {
        for index in 0..mapping.fields.len() {
            self.show(mapping, index);
        }
        for &index in &mapping.computed {
            let Source::Computed(expression) = &mapping.fields[index].source else { continue };
            let computed = convert(expression.first(&self.batch), mapping.fields[index].field_type);
            let forgiven = self.cells[index].set(&mapping.fields[index], computed);
            self.forgiven.extend(forgiven.map(|reason| (index, reason)));
            self.show(mapping, index);
        }
    }

    /// Puts the value of a field into the batch.
    fn show(&mut self, mapping: &Mapping, index: usize) {
        let units = match self.cells[index].value {
            Value::Units(units) => units,
            _ => NULL,
        };
        let text = || match &self.cells[index].value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        // Nothing else holds the columns.
        fn first<T>(column: &mut Arc<Vec<T>>) -> Option<&mut T> {
            Arc::get_mut(column)?.first_mut()
        }
        match mapping.fields[index].place {
            Place::Time => first(&mut self.batch.time).into_iter().for_each(|value| *value = units),
            Place::Units(column) => {
                first(&mut self.batch.units[column]).into_iter().for_each(|value| *value = units);
            }
            Place::Texts(column) => {
                let text = text();
                first(&mut self.batch.texts[column]).into_iter().for_each(|value| *value = text.clone());
            }
            Place::Entity => {
                let text = text().unwrap_or_default();
                if let Some(names) = Arc::get_mut(&mut self.batch.entities) {
                    names.clear();
                    names.push(&text);
                }
            }
        }
    }

    /// The event time, if there is one.
    pub fn time(&self) -> Option<i64> {
        match self.cells[0].value {
            Value::Units(time) => Some(time),
            _ => None,
        }
    }

    /// What becomes of the reading, apart from its time.
    pub fn verdict(&self, mapping: &Mapping) -> Verdict {
        if let Some(only) = &mapping.only {
            let bad =
                |index: &usize| self.cells[*index].fault.map(|reason| Verdict::Rejected(reason, *index));
            if let Some(rejected) = only.uses.iter().find_map(bad) {
                return rejected;
            }
            if !only.condition.is_true(&self.batch) {
                return Verdict::Skipped;
            }
        }
        for (index, (cell, field)) in self.cells.iter().zip(&mapping.fields).enumerate() {
            if let Some(reason) = cell.fault {
                return Verdict::Rejected(reason, index);
            }
            if field.required && matches!(cell.value, Value::Null) {
                return Verdict::Rejected(Reason::MissingField, index);
            }
        }
        Verdict::Accepted
    }

    /// The values of the columns of units.
    pub fn units(&self) -> impl Iterator<Item = i64> {
        self.units.iter().map(|field| match field.map(|field| &self.cells[field].value) {
            Some(Value::Units(units)) => *units,
            _ => NULL,
        })
    }

    /// The values of the columns of texts.
    pub fn texts(&self) -> impl Iterator<Item = Option<Arc<str>>> {
        self.texts.iter().map(|field| match field.map(|field| &self.cells[field].value) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        })
    }
}

impl Cell {
    /// Takes a value, or what is wrong with it. Returns that if NULL is taken instead.
    #[inline]
    fn set(&mut self, field: &FieldMapping, converted: Converted) -> Option<Reason> {
        let mut forgiven = None;
        (self.value, self.rounded, self.fault) = match converted {
            Ok((value, rounded)) => (value, rounded, None),
            Err(reason) if field.bad_is_null => {
                forgiven = Some(reason);
                (Value::Null, false, None)
            }
            Err(reason) => (Value::Null, false, Some(reason)),
        };
        forgiven
    }
}

/// The value of a field that is not just at a place of the message.
fn other(
    field: &FieldMapping,
    scalar: Option<&Scalar<'_>>,
    key: Option<&str>,
    message: &Message<'_>,
    texts: &mut Texts,
) -> Converted {
    let null = Ok((Value::Null, false));
    match (&field.source, scalar) {
        (Source::Value { path, .. }, Some(Scalar::Text(text))) => match path::follow(text, &path.then) {
            Some(scalar) => field.convert(&scalar, texts),
            None => null,
        },
        // There is no value, or no text to follow a pointer into.
        (Source::Value { .. } | Source::Computed(_), _) => null,
        (Source::RootKey, _) => match key {
            Some(key) => field.convert(&Scalar::Text(key.into()), texts),
            None => null,
        },
        (Source::Kafka(kafka), _) => match of_kafka(kafka, message)? {
            Some(scalar) => field.convert(&scalar, texts),
            None => null,
        },
    }
}

/// What Kafka says of a message. A text that is not UTF-8 is bad.
pub(super) fn of_kafka<'a>(kafka: &Kafka, message: &'a Message<'_>) -> Result<Option<Scalar<'a>>, Reason> {
    let text = |bytes: &'a [u8]| std::str::from_utf8(bytes).map_err(|_| Reason::WrongType);
    let integer = |value: i64| Ok(Some(Scalar::Integer(value.into())));
    match kafka {
        Kafka::Key(path) => {
            let Some(key) = message.key else { return Ok(None) };
            let key = text(key)?;
            match path {
                None => Ok(Some(Scalar::Text(key.into()))),
                Some(path) => {
                    let pointers: Vec<_> = std::iter::once(&path.first).chain(&path.then).cloned().collect();
                    Ok(path::follow(key, &pointers))
                }
            }
        }
        Kafka::Timestamp => Ok(message.timestamp.map(|ms| Scalar::Time {
            nanos: i128::from(ms) * 1_000_000,
            unit: Unit::Millis,
            local: false,
        })),
        Kafka::Topic => Ok(message.topic.map(|topic| Scalar::Text((&**topic).into()))),
        Kafka::Partition | Kafka::Offset if message.topic.is_none() => Ok(None),
        Kafka::Partition => integer(message.partition.into()),
        Kafka::Offset => integer(message.offset),
        Kafka::Header(name) => match message.header(name) {
            Some(value) => Ok(Some(Scalar::Text(text(value)?.into()))),
            None => Ok(None),
        },
    }
}

/// The value of a computed field.
fn convert(computed: Computed, field_type: FieldType) -> Converted {
    let units = |units: i64| Ok((Value::Units(units), false));
    match (field_type, computed) {
        (_, Computed::Null) => Ok((Value::Null, false)),
        (FieldType::Number, Computed::Decimal { units, scale }) => {
            let (units, rounded) = rescaled(units, scale).ok_or(Reason::OutOfRange)?;
            Ok((Value::Units(units), rounded))
        }
        (FieldType::Number, Computed::Real(value)) => {
            let text = ryu::Buffer::new().format_finite(value).to_owned();
            let (units, rounded) = number::nano(text.as_bytes()).ok_or(Reason::OutOfRange)?;
            Ok((Value::Units(units), rounded))
        }
        (FieldType::Integer, Computed::Decimal { units: value, scale }) => {
            let unit = 10i128.pow(scale.into());
            if value % unit != 0 {
                return Err(Reason::WrongType);
            }
            let value = i64::try_from(value / unit).ok().filter(|value| *value != NULL);
            units(value.ok_or(Reason::OutOfRange)?)
        }
        (FieldType::Integer, Computed::Real(value)) => {
            let text = ryu::Buffer::new().format_finite(value).to_owned();
            match number::integer(text.as_bytes()) {
                Ok(value) => units(value),
                Err(number::NoInteger::Fraction) => Err(Reason::WrongType),
                Err(number::NoInteger::OutOfRange) => Err(Reason::OutOfRange),
            }
        }
        (FieldType::Boolean, Computed::Truth(value)) => units(value.into()),
        (FieldType::Timestamp, Computed::Time(time)) => units(time),
        (FieldType::Text, Computed::Text(text)) => Ok((Value::Text(text), false)),
        // The configuration gives a computed field an expression of its type.
        _ => Err(Reason::WrongType),
    }
}

/// A decimal in nano-units, rounded half to even, and whether digits were lost; none if it is too large.
fn rescaled(units: i128, scale: u8) -> Option<(i64, bool)> {
    let (value, rounded) = match scale.checked_sub(NANO_SCALE) {
        None => (units.checked_mul(10i128.pow((NANO_SCALE - scale).into()))?, false),
        Some(places) => {
            let unit = 10i128.pow(places.into());
            let (value, lost) = (units.div_euclid(unit), units.rem_euclid(unit));
            let twice = lost.unsigned_abs() * 2;
            let up = twice > unit.unsigned_abs() || twice == unit.unsigned_abs() && value % 2 != 0;
            (value + i128::from(up), lost != 0)
        }
    };
    let value = i64::try_from(value).ok().filter(|value| number::is_measure(*value))?;
    Some((value, rounded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computed_decimal_is_rounded_half_to_even() {
        for (units, scale, expected) in [
            (5, 0, Some((5_000_000_000, false))),
            (1_500, 12, Some((2, true))),
            (2_500, 12, Some((2, true))),
            (-1_500, 12, Some((-2, true))),
            (-2_500, 12, Some((-2, true))),
            (-2_501, 12, Some((-3, true))),
            (2_501, 12, Some((3, true))),
            (7_000, 12, Some((7, false))),
            (9_200_000_000, 0, None),
            (i128::MAX, 38, Some((1_701_411_835, true))),
            (i128::MAX, 0, None),
        ] {
            assert_eq!(rescaled(units, scale), expected, "{units} {scale}");
        }
    }
}
