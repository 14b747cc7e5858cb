//! The fields of a record: their names and types, and where a batch has their values.
//!
//! A record has one event time and belongs to one entity, such as a truck. Every other field is a column of units
//! (numbers, integers, booleans, times) or of texts.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// A decimal, stored in nano-units.
    Number,
    /// An integer of 64 bits; the least one is not available, as it is NULL.
    Integer,
    /// True (1) or false (0).
    Boolean,
    /// A text.
    Text,
    /// Microseconds since 1970, UTC.
    Timestamp,
}

impl FieldType {
    /// The name in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Integer => "integer",
            Self::Boolean => "boolean",
            Self::Text => "text",
            Self::Timestamp => "timestamp",
        }
    }
}

/// Where a batch has the values of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Place {
    /// Event time.
    Time,
    /// The name of the entity, which is never NULL.
    Entity,
    /// A column of [`Batch::units`](crate::batch::Batch::units).
    Units(usize),
    /// A column of [`Batch::texts`](crate::batch::Batch::texts).
    Texts(usize),
}

/// A field of the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// The name in expressions, tables and files.
    pub name: Arc<str>,
    /// The type.
    pub field_type: FieldType,
    /// Where its values are.
    pub place: Place,
}

/// The fields of a record.
///
/// ```
/// use dataflows::schema::{FieldType, Place, Schema};
///
/// let schema = Schema::trucks().with("oil_pressure", FieldType::Number).with("driver", FieldType::Text);
/// assert_eq!(schema.field("timestamp").unwrap().place, Place::Time);
/// assert_eq!(schema.field("oil_pressure").unwrap().place, Place::Units(3));
/// assert_eq!((schema.units(), schema.texts()), (4, 1));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    fields: Arc<[Field]>,
    key: Option<usize>,
    units: usize,
    texts: usize,
}

impl Default for Schema {
    /// The fields of [`Schema::trucks`].
    fn default() -> Self {
        Self::trucks()
    }
}

impl Schema {
    /// A record with only its event time; no field names its entity.
    pub fn new(time: &str) -> Self {
        let time = Field { name: time.into(), field_type: FieldType::Timestamp, place: Place::Time };
        Self { fields: [time].into(), key: None, units: 0, texts: 0 }
    }

    /// The readings of trucks: `timestamp`, `distance_covered` in km, `engine_speed`, `fuel_consumed` in litres, and
    /// `truck_id`, which names the entity.
    pub fn trucks() -> Self {
        Self::new("timestamp")
            .with("distance_covered", FieldType::Number)
            .with("engine_speed", FieldType::Number)
            .with("fuel_consumed", FieldType::Number)
            .with_entity("truck_id")
    }

    /// The orientation readings of a phone: `timestamp`, the same time as `time` in nanoseconds since 1970, seconds,
    /// a unit quaternion, angles in radians.
    pub fn orientation() -> Self {
        let numbers = ["seconds_elapsed", "qz", "qy", "qx", "qw", "roll", "pitch", "yaw"];
        let schema = Self::new("timestamp").with("time", FieldType::Integer);
        numbers.into_iter().fold(schema, |schema, name| schema.with(name, FieldType::Number))
    }

    /// Adds a field.
    pub fn with(self, name: &str, field_type: FieldType) -> Self {
        let place = match field_type {
            FieldType::Text => Place::Texts(self.texts),
            _ => Place::Units(self.units),
        };
        self.push(name, field_type, place)
    }

    /// Adds the text that names the entity. It is the key.
    pub fn with_entity(self, name: &str) -> Self {
        let schema = self.push(name, FieldType::Text, Place::Entity);
        Self { key: Some(schema.fields.len() - 1), ..schema }
    }

    /// Names the field whose values, if there are any, name the entities.
    pub fn with_key(self, name: &str) -> Self {
        let key = self.fields.iter().position(|field| &*field.name == name);
        Self { key, ..self }
    }

    fn push(self, name: &str, field_type: FieldType, place: Place) -> Self {
        let (units, texts) = match place {
            Place::Units(_) => (self.units + 1, self.texts),
            Place::Texts(_) => (self.units, self.texts + 1),
            Place::Time | Place::Entity => (self.units, self.texts),
        };
        let field = Field { name: name.into(), field_type, place };
        Self { fields: self.fields.iter().cloned().chain([field]).collect(), key: self.key, units, texts }
    }

    /// The fields, in the order of their declaration.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field with this name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| &*field.name == name)
    }

    /// The field whose values name the entities.
    pub fn key(&self) -> Option<&Field> {
        self.key.map(|key| &self.fields[key])
    }

    /// The column of units of a number.
    pub fn number(&self, name: &str) -> Option<usize> {
        match self.field(name)? {
            Field { field_type: FieldType::Number, place: Place::Units(column), .. } => Some(*column),
            _ => None,
        }
    }

    /// The number of columns of units.
    pub fn units(&self) -> usize {
        self.units
    }

    /// The number of columns of texts.
    pub fn texts(&self) -> usize {
        self.texts
    }

    /// The name of the event time.
    pub fn time(&self) -> &Arc<str> {
        &self.fields.iter().find(|field| field.place == Place::Time).unwrap_or(&self.fields[0]).name
    }
}
