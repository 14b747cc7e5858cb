//! What a job reads of its messages: how bytes become an object, and which of its values become fields.

use std::sync::Arc;

use dataflows::expression::Expression;
use dataflows::schema::{FieldType, Place, Schema};

use super::path::{Path, Pointer};
use super::schema::{Schema as MessageSchema, SchemaFormat};
use crate::text::time::{TimeForm, Unit};

/// How the messages of a job are read.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// The fields of the record.
    pub schema: Schema,
    /// How bytes become values.
    pub format: Format,
    /// Where the readings of a message are: a pointer, and others into the texts that each one finds. A part `*` goes
    /// through all elements; an array at the end has many readings.
    pub root: Vec<Pointer>,
    /// The fields, in the order in which their errors are reported: event time first.
    pub fields: Vec<FieldMapping>,
    /// The indices in `fields` of computed ones, in the order in which they are computed.
    pub computed: Vec<usize>,
    /// Which readings count; none: all.
    pub only: Option<Only>,
    /// The index in `fields` of the one that names the entity. Without it, or where it is NULL, the message's key does.
    pub key: Option<usize>,
}

/// How bytes become values.
#[derive(Clone, Debug)]
pub enum Format {
    /// JSON, or dicts in the format of Python's `str`.
    Text,
    /// Lines of values.
    Csv {
        /// The byte between values.
        separator: u8,
        /// The names of the values; none: the first line has them.
        columns: Option<Vec<String>>,
    },
    /// Whatever this schema describes.
    Schema(Arc<MessageSchema>),
    /// Whatever the schema describes whose id is in the message, in a registry that has schemas of this format.
    Registry(SchemaFormat),
}

/// The part of a root that goes through all elements of an array or object.
pub const EACH: &str = "*";

/// A condition on readings.
#[derive(Clone, Debug)]
pub struct Only {
    /// The condition.
    pub condition: Expression,
    /// The indices of the fields that it uses.
    pub uses: Vec<usize>,
}

/// How a field is read.
#[derive(Clone, Debug)]
pub struct FieldMapping {
    /// The name.
    pub name: Arc<str>,
    /// The type.
    pub field_type: FieldType,
    /// Where its values are in a batch.
    pub place: Place,
    /// Where its value comes from.
    pub source: Source,
    /// Whether a reading without it is rejected.
    pub required: bool,
    /// Whether a bad value is NULL, and counted.
    pub bad_is_null: bool,
    /// Texts that are NULL.
    pub nulls: Vec<String>,
    /// How a time is written.
    pub time: TimeForm,
    /// Whether the message's key, or the empty text, stands in for NULL.
    pub or_key: bool,
}

/// Where the value of a field comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A value of the message.
    Value {
        /// Where it is.
        path: Path,
        /// Whether the path begins at the whole message, not at the root.
        of_message: bool,
    },
    /// The key that a `*` in the root met.
    RootKey,
    /// What Kafka says of the message.
    Kafka(Kafka),
    /// Computed from other fields.
    Computed(Expression),
}

/// What Kafka says of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kafka {
    /// The key, or a value in it.
    Key(Option<Path>),
    /// The timestamp.
    Timestamp,
    /// The topic.
    Topic,
    /// The partition.
    Partition,
    /// The offset.
    Offset,
    /// The last header with this name.
    Header(String),
}

impl FieldMapping {
    /// A field that is looked up by its name at the root.
    pub fn named(name: &str, field_type: FieldType, place: Place) -> Self {
        let first = Pointer(vec![name.into()]);
        Self {
            name: name.into(),
            field_type,
            place,
            source: Source::Value { path: Path { first, then: Vec::new() }, of_message: false },
            required: false,
            bad_is_null: false,
            nulls: Vec::new(),
            time: TimeForm::iso(),
            or_key: false,
        }
    }

    /// Whether it is exactly what [`named`](Self::named) makes, so that the scanner may leave it NULL.
    fn is_plain(&self) -> bool {
        let Source::Value { path, of_message: false } = &self.source else { return false };
        path.then.is_empty() && *path.first.0 == [Box::from(&*self.name)] && !self.or_key
    }
}

/// The preset's fields, in the order of the columns that the scanner fills.
const SCANNED: [&str; 4] = ["timestamp", "distance_covered", "engine_speed", "fuel_consumed"];

impl Mapping {
    /// The readings of trucks, in their default form.
    pub fn trucks() -> Self {
        Self::preset(Schema::trucks(), &SCANNED)
    }

    /// A record whose fields have their names in messages; `required` of them, and the event time, must be there.
    pub fn preset(schema: Schema, required: &[&str]) -> Self {
        let field = |field: &dataflows::schema::Field| {
            let mapping = FieldMapping::named(&field.name, field.field_type, field.place);
            let required = field.place == Place::Time || required.contains(&&*field.name);
            FieldMapping { required, or_key: field.place == Place::Entity, ..mapping }
        };
        let fields: Vec<_> = schema.fields().iter().map(field).collect();
        let key = schema.key().and_then(|key| fields.iter().position(|field| field.name == key.name));
        Self { schema, format: Format::Text, root: Vec::new(), fields, computed: Vec::new(), only: None, key }
    }

    /// The readings of trucks with other fields, which are optional and have their names in messages.
    pub fn trucks_and(others: &[(&str, FieldType)]) -> Self {
        let schema = others.iter().fold(Schema::trucks(), |schema, (name, kind)| schema.with(name, *kind));
        Self::preset(schema, &SCANNED)
    }

    /// The orientation readings of a phone. Sensor Logger's `time` counts nanoseconds.
    pub fn orientation() -> Self {
        let schema = Schema::orientation();
        let names: Vec<_> = schema.fields().iter().map(|field| field.name.clone()).collect();
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        let mut mapping = Self::preset(schema, &names);
        let first = Pointer(vec!["time".into()]);
        mapping.fields[0].source =
            Source::Value { path: Path { first, then: Vec::new() }, of_message: false };
        mapping.fields[0].time = TimeForm::unit(Unit::Nanos);
        mapping
    }

    /// The name of the event time.
    pub fn time(&self) -> &str {
        &self.fields[0].name
    }

    /// Whether the scanner of the default form may read messages: it finds the fields of trucks as they are, and
    /// everything else is NULL in such a message.
    pub(super) fn is_scanned(&self) -> bool {
        let is_default = |field: &FieldMapping, (name, place): (&str, Place)| {
            *field.name == *name
                && field.place == place
                && field.required
                && field.is_plain()
                && field.nulls.is_empty()
        };
        let places = [Place::Time, Place::Units(0), Place::Units(1), Place::Units(2)];
        let [time, distance, speed, fuel, truck, others @ ..] = &self.fields[..] else { return false };
        let scanned = [time, distance, speed, fuel];
        let is_truck = *truck.name == *"truck_id"
            && truck.place == Place::Entity
            && truck.or_key
            && !truck.required
            && truck.nulls.is_empty()
            && matches!(&truck.source, Source::Value { path, of_message: false }
                if path.then.is_empty() && *path.first.0 == [Box::from("truck_id")]);
        matches!(self.format, Format::Text)
            && self.root.is_empty()
            && self.only.is_none()
            && scanned
                .into_iter()
                .zip(SCANNED.into_iter().zip(places))
                .all(|(field, to)| is_default(field, to))
            && time.time.is_default()
            && is_truck
            && self.key == Some(4)
            && others.iter().all(|field| !field.required && field.is_plain())
    }
}
