//! How one message is read, field by field.

use std::sync::Arc;

use dataflows::dead_letter::Reason;
use dataflows::schema::FieldType;

use super::decoder::Decoder;
use super::found::Kind;
use super::mapping::{FieldMapping, Kafka, Source};
use super::message::Message;
use super::outcome::{Judged, Unreadable};
use super::path::Path;
use super::plan::Slot;
use super::tree::{Scalar, Tree};
use super::value::{Value, text_of};
use crate::text::time::TimeWriter;

/// How a message is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// Why nothing of it can be read: the reason, and the field or `key`.
    pub rejected: Option<(Reason, Arc<str>)>,
    /// The readings that it has.
    pub readings: Vec<ReadingExplained>,
}

/// How one reading is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadingExplained {
    /// Whether there is an object or list in its place.
    pub is_object: bool,
    /// Its fields, in the order in which errors are reported.
    pub fields: Vec<FieldExplained>,
    /// Whether the job's condition leaves it out.
    pub is_skipped: bool,
    /// Why it is rejected: the reason, and the field or `key`.
    pub rejected: Option<(Reason, Arc<str>)>,
}

/// How one field is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldExplained {
    /// The field.
    pub name: Arc<str>,
    /// Its type.
    pub field_type: FieldType,
    /// Where its value is looked for.
    pub from: String,
    /// What is there, as JSON; none if nothing is.
    pub found: Option<String>,
    /// Its value as a text, none for NULL; or what is wrong.
    pub value: Result<Option<String>, Reason>,
}

impl FieldMapping {
    /// Where its value is looked for, such as `/can/rpm`.
    pub fn from(&self) -> String {
        let pointers = |path: &Path| {
            let all = std::iter::once(&path.first).chain(&path.then);
            all.map(|pointer| if pointer.0.is_empty() { "the whole".into() } else { pointer.to_string() })
                .collect::<Vec<_>>()
                .join(" in ")
        };
        match &self.source {
            Source::Value { path, of_message: false } => pointers(path),
            Source::Value { path, of_message: true } => format!("{} of the message", pointers(path)),
            Source::RootKey => "root.key".into(),
            Source::Kafka(Kafka::Key(None)) => "kafka.key".into(),
            Source::Kafka(Kafka::Key(Some(path))) => format!("{} of kafka.key", pointers(path)),
            Source::Kafka(Kafka::Timestamp) => "kafka.timestamp".into(),
            Source::Kafka(Kafka::Topic) => "kafka.topic".into(),
            Source::Kafka(Kafka::Partition) => "kafka.partition".into(),
            Source::Kafka(Kafka::Offset) => "kafka.offset".into(),
            Source::Kafka(Kafka::Header(name)) => format!("kafka.header.{name}"),
            Source::Computed(_) => "sql".into(),
        }
    }
}

impl Decoder {
    /// Reads a message, and says how. Nothing is added to the batch.
    pub fn explain(&mut self, message: &Message<'_>) -> Explanation {
        let mut readings = Vec::new();
        let result = self.visit(message, &mut |decoder, found, (number, reading), part| {
            let mapping = decoder.mapping.clone();
            if reading.kind != Kind::Object {
                readings.push(ReadingExplained {
                    is_object: false,
                    fields: Vec::new(),
                    is_skipped: false,
                    rejected: Some((Reason::NotAnObject, "".into())),
                });
                return;
            }
            let outcome = decoder.judge(found, (number, reading), message, part);
            let mut times = TimeWriter::default();
            let fields = mapping.fields.iter().enumerate().map(|(index, field)| {
                let scalar = match decoder.plan.places[index] {
                    Slot::Reading(slot) => found.of_reading(number, slot),
                    Slot::Message(slot) => found.of_message(reading, slot),
                    Slot::Nowhere => None,
                };
                let value = match (decoder.row.faults[index], &decoder.row.values[index]) {
                    (Some(reason), _) => Err(reason),
                    (None, Value::Null) => Ok(None),
                    (None, Value::Text(text)) => Ok(Some(text.to_string())),
                    (None, Value::Units(units)) => Ok(Some(text_of(field.field_type, *units, &mut times))),
                };
                FieldExplained {
                    name: field.name.clone(),
                    field_type: field.field_type,
                    from: field.from(),
                    found: scalar.map(shown),
                    value,
                }
            });
            let fields = fields.collect();
            readings.push(ReadingExplained {
                is_object: true,
                fields,
                is_skipped: outcome == Ok(Judged::Skipped),
                rejected: outcome.err().map(|rejection| (rejection.reason, rejection.field)),
            });
        });
        let rejected = match result {
            Ok(()) => None,
            Err(Unreadable::Deleted) => None,
            Err(Unreadable::Rejected(rejection)) => Some((rejection.reason, rejection.field)),
        };
        Explanation { rejected, readings }
    }
}

/// A value as JSON.
fn shown(scalar: &Scalar<'_>) -> String {
    match scalar {
        Scalar::Nested => "an object or a list".into(),
        Scalar::Bytes => "bytes".into(),
        scalar => Tree::Scalar(scalar.clone()).to_json(),
    }
}
