//! How one message is read, field by field.
//!
//! | file | contents |
//! |---|---|
//! | `body` | the bytes that are read |
//! | `explanation` | how it is read, as data |
//! | `words` | what was found, and what was expected, as a sentence |
//! | `syntax` | where a text stops being JSON |

mod body;
mod explanation;
mod syntax;
mod words;

use std::borrow::Cow;

use dataflows::dead_letter::Reason;
use dataflows::schema::FieldType;
use dataflows::views::Mode;

use self::body::body;
pub use self::explanation::{Explanation, FieldExplained, Outcome, ReadingExplained, Rejected};
use super::decoder::Decoder;
use super::found::{self, Found, Kind, Reading};
use super::mapping::{FieldMapping, Mapping, Source};
use super::message::Message;
use super::outcome::{Judged, Part, Rejection, Unreadable};
use super::path;
use super::plan::Slot;
use super::row::of_kafka;
use super::scalar::json_text;
use super::tree::{Scalar, Tree};
use super::value::{Value, text_of};
use crate::text::time::TimeWriter;

impl Decoder {
    /// Reads a message, and says how. Nothing is added to the batch.
    pub fn explain(&mut self, message: &Message<'_>) -> Explanation {
        let mut readings = Vec::new();
        let result = self.visit(message, &mut |decoder, found, reading, part| {
            readings.push(decoder.explain_reading(found, reading, message, part));
        });
        match result {
            Ok(()) => Explanation::Readings(readings),
            Err(Unreadable::Deleted) => Explanation::Deletes,
            Err(Unreadable::Rejected(Rejection { reason, field })) => {
                let said = words::of_message(&self.mapping, message, reason, self.max_bytes);
                Explanation::Rejected(Rejected { reason, field, said })
            }
        }
    }

    /// Reads one reading, and says how.
    pub(super) fn explain_reading(
        &mut self,
        found: &Found<'_>,
        (number, reading): (usize, &Reading<'_>),
        message: &Message<'_>,
        part: Option<Part<'_>>,
    ) -> ReadingExplained {
        if reading.kind != Kind::Object {
            let said = words::of_no_object(&self.mapping, source(&self.mapping, reading, message).as_deref());
            let rejected = Rejected { reason: Reason::NotAnObject, field: "".into(), said };
            return ReadingExplained { fields: Vec::new(), outcome: Outcome::Rejected(rejected) };
        }
        let judged = self.fill(found, (number, reading), message).and_then(|()| self.judge(message, part));
        let mut times = TimeWriter::default();
        let fields: Vec<FieldExplained> = (0..self.mapping.fields.len())
            .map(|index| self.explain_field(index, found, (number, reading), message, &mut times))
            .collect();
        let outcome = match judged {
            Ok(Judged::Record(entity, time)) => {
                let time = text_of(FieldType::Timestamp, time, &mut times);
                Outcome::Record { entity, time }
            }
            Ok(Judged::Skipped) => Outcome::Skipped,
            Err(Rejection { reason, field }) => {
                let said = words::of_field(&self.mapping, &fields, message, reason, &field);
                Outcome::Rejected(Rejected { reason, field, said })
            }
        };
        ReadingExplained { fields, outcome }
    }

    /// How a field of the reading in the row was read.
    fn explain_field(
        &self,
        index: usize,
        found: &Found<'_>,
        (number, reading): (usize, &Reading<'_>),
        message: &Message<'_>,
        times: &mut TimeWriter,
    ) -> FieldExplained {
        let field = &self.mapping.fields[index];
        let scalar = match self.plan.places[index] {
            Slot::Reading(slot) => found.of_reading(number, slot),
            Slot::Message(slot) => found.of_message(reading, slot),
            Slot::Nowhere => None,
        };
        let mut from = field.from();
        let mut shown = found_by(field, scalar, reading, message).map(|scalar| shown(&scalar));
        let value = match (self.row.cells[index].fault, &self.row.cells[index].value) {
            (Some(reason), _) => Err(reason),
            (None, Value::Null) if field.required => Err(Reason::MissingField),
            (None, Value::Null) => Ok(None),
            (None, Value::Text(text)) => Ok(Some(text.to_string())),
            (None, Value::Units(units)) if field.field_type == FieldType::Boolean => {
                Ok(Some((*units == 1).to_string()))
            }
            (None, Value::Units(units)) => Ok(Some(text_of(field.field_type, *units, times))),
        };
        if field.or_key && self.mode == Mode::Append && self.row.key_stands_in {
            from = format!("kafka.key, as nothing is at {from}");
            shown = message.key.map(|key| json_text(&String::from_utf8_lossy(key)));
        }
        let forgiven = self.row.forgiven.iter().find(|(bad, _)| *bad == index).map(|(_, reason)| *reason);
        FieldExplained {
            name: field.name.clone(),
            field_type: field.field_type,
            from,
            found: shown,
            value,
            forgiven,
        }
    }
}

/// What is at the place where a field is looked for. `scalar` is what its first pointer finds.
fn found_by<'a>(
    field: &FieldMapping,
    scalar: Option<&Scalar<'a>>,
    reading: &Reading<'a>,
    message: &'a Message<'_>,
) -> Option<Scalar<'a>> {
    match &field.source {
        Source::Value { path, .. } => match scalar? {
            Scalar::Text(text) if !path.then.is_empty() => path::follow(text, &path.then),
            _ if !path.then.is_empty() => None,
            scalar => Some(scalar.clone()),
        },
        Source::RootKey => reading.key.clone().map(Scalar::Text),
        Source::Kafka(kafka) => of_kafka(kafka, message).unwrap_or(Some(Scalar::Bytes)),
        Source::Computed(_) => None,
    }
}

/// The text that a message has for a reading, if it is known.
fn source<'r>(mapping: &Mapping, reading: &'r Reading<'_>, message: &'r Message<'_>) -> Option<Cow<'r, str>> {
    match &reading.source {
        found::Source::Bytes(range) => {
            Some(String::from_utf8_lossy(body(mapping, message.payload?).get(range.clone())?))
        }
        found::Source::Json(text) => Some(Cow::Borrowed(&**text)).filter(|text| !text.is_empty()),
    }
}

/// A value as JSON.
fn shown(scalar: &Scalar<'_>) -> String {
    match scalar {
        Scalar::Nested => "an object or a list".into(),
        Scalar::Bytes => "bytes".into(),
        Scalar::Time { nanos, unit, .. } => nanos.div_euclid(unit.nanos()).to_string(),
        scalar => Tree::Scalar(scalar.clone()).to_json(),
    }
}
