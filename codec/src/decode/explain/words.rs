//! What was found, and what was expected, as a sentence.

use std::borrow::Cow;

use dataflows::dead_letter::Reason;
use dataflows::schema::FieldType;

use super::body::body;
use super::explanation::FieldExplained;
use super::syntax::{Unparsed, unparsed};
use crate::decode::confluent;
use crate::decode::mapping::{FieldMapping, Format, Kafka, Mapping, Source};
use crate::decode::message::{MAX_ENTITY_BYTES, Message};
use crate::decode::path::Pointer;
use crate::text::printable::shortened;

/// The most characters of a text of others in a sentence.
const SHOWN: usize = 60;

/// Pointers into each other's texts, the innermost first.
fn nested<'p>(pointers: impl DoubleEndedIterator<Item = &'p Pointer>) -> String {
    let pointer = |pointer: &Pointer| match pointer.0.is_empty() {
        true => "the whole".to_owned(),
        false => pointer.to_string(),
    };
    pointers.rev().map(pointer).collect::<Vec<_>>().join(" in the text at ")
}

impl FieldMapping {
    /// Where its value is looked for, such as `/can/rpm`: from the root, unless it says otherwise.
    pub fn from(&self) -> String {
        match &self.source {
            Source::Value { path, of_message } => {
                let path = nested(std::iter::once(&path.first).chain(&path.then));
                if *of_message { format!("{path} of the message") } else { path }
            }
            Source::RootKey => "root.key".into(),
            Source::Kafka(Kafka::Key(None)) => "kafka.key".into(),
            Source::Kafka(Kafka::Key(Some(path))) => {
                format!("{} of kafka.key", nested(std::iter::once(&path.first).chain(&path.then)))
            }
            Source::Kafka(Kafka::Timestamp) => "kafka.timestamp".into(),
            Source::Kafka(Kafka::Topic) => "kafka.topic".into(),
            Source::Kafka(Kafka::Partition) => "kafka.partition".into(),
            Source::Kafka(Kafka::Offset) => "kafka.offset".into(),
            Source::Kafka(Kafka::Header(name)) => format!("kafka.header.{name}"),
            Source::Computed(_) => "sql".into(),
        }
    }

    /// What a good value of it is.
    fn expected(&self, reason: Reason) -> Cow<'static, str> {
        match (reason, self.field_type) {
            (Reason::NotFinite, _) => "a finite number".into(),
            (Reason::OutOfRange, FieldType::Integer) => "an integer of 64 bits".into(),
            (Reason::OutOfRange, _) => "a number within ±9.2e9".into(),
            (_, FieldType::Number) => "a number".into(),
            (_, FieldType::Integer) => "an integer".into(),
            (_, FieldType::Boolean) => "true or false".into(),
            (_, FieldType::Text) => "a text".into(),
            (_, FieldType::Timestamp) => self.time.to_string().into(),
        }
    }
}

impl Mapping {
    /// The root of the readings, such as `/data/readings`; none if it is the whole message.
    pub fn root_text(&self) -> Option<String> {
        (!self.root.is_empty()).then(|| nested(self.root.iter()))
    }

    /// Where the value of a field is looked for, in the whole message; none if there is no such field, or if only its
    /// own name at the top of the message leads to it.
    pub fn looked_for(&self, field: &str) -> Option<String> {
        let mapping = self.fields.iter().find(|mapping| *mapping.name == *field)?;
        let place = self.place(mapping);
        (place != Pointer(vec![field.into()]).to_string()).then_some(place)
    }

    /// Where the value of a field is looked for, in the whole message.
    fn place(&self, field: &FieldMapping) -> String {
        match (&field.source, self.root_text()) {
            (Source::Value { of_message: false, .. }, Some(root)) => {
                format!("{} under the root {root}", field.from())
            }
            _ => field.from(),
        }
    }
}

/// Why a reading is rejected for a field, or for `key`.
pub(super) fn of_field(
    mapping: &Mapping,
    fields: &[FieldExplained],
    message: &Message<'_>,
    reason: Reason,
    name: &str,
) -> String {
    let found = mapping.fields.iter().zip(fields).find(|(field, _)| *field.name == *name);
    let too_long = |bytes: usize| {
        format!("the name of the entity has {bytes} bytes; expected at most {MAX_ENTITY_BYTES}")
    };
    let Some((field, explained)) = found else {
        let key = message.key.unwrap_or_default();
        return match reason {
            Reason::TooLarge => too_long(key.len()),
            _ => "the message's key is not UTF-8; expected a text".into(),
        };
    };
    let value = explained.value.as_ref().ok().and_then(Option::as_deref);
    match reason {
        Reason::TooLarge => return too_long(value.map_or(0, str::len)),
        Reason::InTheFuture => {
            let time = value.unwrap_or_default();
            return format!(
                "{time} is after both the clock and the message's Kafka timestamp by more than limits.max_ahead"
            );
        }
        _ => {}
    }
    let expected = field.expected(reason);
    if matches!(field.source, Source::Computed(_)) {
        let has = if reason == Reason::MissingField { "is NULL" } else { "has another value" };
        return format!("its sql {has}; expected {expected}");
    }
    let found = explained.found.as_deref().map_or("nothing".into(), |found| shortened(found, SHOWN));
    format!("at {} there is {found}; expected {expected}", shortened(&mapping.place(field), 2 * SHOWN))
}

/// Why there is no object in the place of a reading; `source` is what the message has for it, if that is known.
pub(super) fn of_no_object(mapping: &Mapping, source: Option<&str>) -> String {
    if let (Format::Csv { .. }, Some(line)) = (&mapping.format, source) {
        let line = shortened(line, SHOWN);
        return format!("`{line}` has another number of values than there are names of columns");
    }
    let root = mapping.root_text();
    let found = match source {
        // The whole message, as nothing is at its root.
        Some(source) if root.is_some() && source.starts_with(['{', '[', '(']) => "nothing".into(),
        Some(source) => shortened(source, SHOWN),
        None => "another value".into(),
    };
    let place = root.map_or_else(String::new, |root| format!("at the root {root} "));
    format!("{place}there is {found}; expected an object or a list")
}

/// Why nothing of a message can be read.
pub(super) fn of_message(
    mapping: &Mapping,
    message: &Message<'_>,
    reason: Reason,
    max_bytes: usize,
) -> String {
    let Some(payload) = message.payload else {
        return match reason {
            Reason::MissingField => NO_KEY.into(),
            _ => "it has no value; expected a reading".into(),
        };
    };
    match reason {
        Reason::MissingField => return NO_KEY.into(),
        Reason::TooLarge => {
            return format!(
                "it has {} bytes; expected at most limits.message_bytes = {max_bytes}",
                payload.len()
            );
        }
        _ => {}
    }
    if reason == Reason::Undecodable {
        return match (&mapping.format, confluent::split(payload)) {
            (Format::Registry(_), Err(_)) => {
                "it does not begin with 0 and the id of a schema; expected a message of a Confluent serializer".into()
            }
            (Format::Registry(format), Ok((id, _))) => {
                format!("its schema has the id {id}; expected a schema of {} that can read it", format.name())
            }
            _ => "message.schema cannot read it; expected a message of that schema".into(),
        };
    }
    match unparsed(body(mapping, payload)) {
        Some(Unparsed::NotUtf8(at)) => format!("it is not UTF-8 from byte {at} on; expected text"),
        Some(Unparsed::NotJson(at, "")) => {
            format!("it ends too early, at byte {at}; expected JSON, or a dict as Python writes it")
        }
        Some(Unparsed::NotJson(at, rest)) => format!(
            "it cannot be read from byte {at} on, `{}`; expected JSON, or a dict as Python writes it",
            shortened(rest, SHOWN)
        ),
        None => "it has several readings; with mode = \"upsert\" a message has one".into(),
    }
}

const NO_KEY: &str =
    "the message has no key, which names the reading; with mode = \"upsert\" every message has one";
