//! `[message]` and `[record]` as they are written.

use std::fmt;
use std::path::PathBuf;

use dataflows::schema::FieldType;
use indexmap::IndexMap;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::texts::Texts;

/// The fields of `[record]`, in their order.
pub type RecordFields = IndexMap<String, FieldEntry>;

/// `[message]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MessageSettings {
    /// How bytes become values.
    pub format: Format,
    /// JSON Pointers to the readings.
    pub root: Option<Texts>,
    /// The fields that are declared without `[record]`.
    pub preset: Preset,
    /// The field that is event time; absent: `timestamp`.
    pub time: Option<String>,
    /// The field that names the entity; absent: `truck_id` if the record has it, else the message's key.
    pub key: Option<String>,
    /// Which readings count.
    pub only: Option<String>,
    /// Texts that are NULL.
    pub null: Vec<String>,
    /// CSV: the names of the values, if the first line does not have them.
    pub columns: Option<Vec<String>>,
    /// CSV: the character between values.
    pub separator: Option<String>,
    /// The schema registry.
    pub registry: Option<String>,
    /// The user of the schema registry.
    pub registry_user: Option<String>,
    /// A file with the password of that user.
    pub registry_password_file: Option<PathBuf>,
    /// A file with the certificates that the schema registry's is signed with.
    pub registry_ca: Option<PathBuf>,
    /// A file with the schema, if there is no registry.
    pub schema: Option<PathBuf>,
    /// Protobuf: the message type in that file.
    pub message_type: Option<String>,
    /// Which readings are repetitions of others.
    pub dedupe: Option<Dedupe>,
}

/// How bytes become values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// JSON, or dicts in the format of Python's `str`.
    #[default]
    Auto,
    /// JSON.
    Json,
    /// Lines of values.
    Csv,
    /// Avro.
    Avro,
    /// Protobuf.
    Protobuf,
}

impl Format {
    /// The name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Json => "json",
            Self::Csv => "csv",
            Self::Avro => "avro",
            Self::Protobuf => "protobuf",
        }
    }
}

/// The fields that are declared without `[record]`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Those of trucks.
    #[default]
    Trucks,
    /// Those of a phone's orientation.
    Orientation,
    /// None.
    None,
}

/// `message.dedupe`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dedupe {
    /// The fields that are equal in a repetition.
    pub fields: Vec<String>,
    /// How far apart in event time a repetition may be.
    pub within: String,
}

/// A field of `[record]`: a type, or a definition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FieldEntry {
    /// An optional field of this type, with its own name in messages.
    Type(FieldType),
    /// A field that is described in full.
    Written(Box<FieldWritten>),
}

impl FieldEntry {
    /// What makes its values what they are, as text.
    pub fn meaning(&self) -> String {
        let written = match self {
            Self::Type(field_type) => return field_type.name().to_owned(),
            Self::Written(written) => written,
        };
        // The others say which readings are accepted.
        let meaning = FieldWritten { optional: None, bad: None, null: None, ..(**written).clone() };
        serde_json::to_string(&meaning).expect("its keys are strings")
    }
}

/// A definition of a field.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FieldWritten {
    /// The type; absent: that of the preset's field with this name.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub field_type: Option<FieldType>,
    /// JSON Pointers to the value, or a key; absent: the name of the field.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<Texts>,
    /// Where the path begins: `message`; absent: at the root.
    #[serde(rename = "in", skip_serializing_if = "Option::is_none")]
    pub within: Option<Within>,
    /// Something else than a value of the message, such as `kafka.key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// An expression over other fields.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// Whether a reading without it is accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optional: Option<bool>,
    /// What a bad value is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad: Option<Bad>,
    /// Texts that are NULL, instead of those of `[message]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null: Option<Vec<String>>,
    /// Times: the unit of a number since 1970, or `text`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<TimeUnit>,
    /// Times: the time zone of a text without offset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Times: the format of a text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
}

/// Where a path begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Within {
    /// At the whole message.
    Message,
}

/// What a bad value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bad {
    /// NULL; it is counted.
    Null,
    /// A reason to reject the reading.
    Reject,
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimeUnit {
    /// As a text.
    Text,
    /// In seconds since 1970.
    S,
    /// In milliseconds since 1970.
    Ms,
    /// In microseconds since 1970.
    Us,
    /// In nanoseconds since 1970.
    Ns,
}

// By hand, so that the error names an unknown key or type.
impl<'de> Deserialize<'de> for FieldEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = FieldEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a type, or a table that describes a field")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<FieldEntry, E> {
                FieldType::deserialize(StrDeserializer::new(name)).map(FieldEntry::Type)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<FieldEntry, A::Error> {
                let written = FieldWritten::deserialize(MapAccessDeserializer::new(map))?;
                Ok(FieldEntry::Written(Box::new(written)))
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

impl FieldEntry {
    /// The definition in full.
    pub fn written(&self) -> FieldWritten {
        match self {
            Self::Type(field_type) => {
                FieldWritten { field_type: Some(*field_type), ..FieldWritten::default() }
            }
            Self::Written(written) => (**written).clone(),
        }
    }
}
