//! Proposes `[message]` and `[record]` from sampled messages.
//!
//! ```text
//! Sample -> format -> values -> root -> readings -> columns -> types -> event time, key -> record -> Proposal
//!             |                  ^
//!             `-> csv            `- envelope
//! ```
//!
//! | module | contains |
//! |---|---|
//! | [`format`] | the format of messages; [`csv`], [`unsupported`] |
//! | [`value`], [`parsed`] | values, and messages as values |
//! | [`root`] | where the readings of a message are; [`envelope`] |
//! | [`shape`] | the values of readings by their paths |
//! | [`kind`] | the type of such values; [`number`], [`form`] of times, [`strptime`] |
//! | [`words`], [`names`] | what keys say, and names of fields |
//! | [`candidate`] | fields that may be proposed |
//! | [`event`], [`key`] | which of them is event time, and which names the entity |
//! | [`record`], [`describe`] | the fields with their comments |
//! | [`proposal`], [`toml`] | the result, and its text |
//!
//! The proposal prefers accepting readings to strictness: all fields but event time are optional, and a field of which
//! the sample has bad values makes them NULL.

mod candidate;
mod csv;
mod default;
mod describe;
mod envelope;
mod error;
mod event;
mod facts;
mod form;
mod format;
mod hints;
mod key;
mod kind;
mod names;
mod number;
mod parsed;
mod proposal;
mod record;
mod root;
mod shape;
mod strptime;
#[cfg(test)]
mod tests;
mod toml;
mod unsupported;
mod value;
mod words;

pub use error::Unreadable;
pub use hints::Hints;
pub use proposal::{Field, FieldKind, Format, Input, MessagePart, Proposal, Registry, Source};
pub use value::Value;

use envelope::Envelope;
use facts::Facts;
use format::Detected;
use parsed::{Message, Reading};
use root::Root;
use shape::Step;

use crate::source::sample::Sample;
use crate::text::printable::{count, quantity};

/// Proposes how to read the messages of a sample.
///
/// # Errors
/// The messages have no known format, or one that needs a schema: see [`propose_values`].
pub fn propose(sample: &Sample, hints: &Hints) -> Result<Proposal, Unreadable> {
    let Detected { format, messages } = format::detect(sample, hints)?;
    of_messages(&messages, format, hints)
}

/// Proposes how to read messages whose values a decoder found, such as one of Avro or Protobuf: for each message of the
/// sample its values, none if it cannot be read.
///
/// # Errors
/// No message has a reading.
pub fn propose_values(
    sample: &Sample,
    format: Format,
    values: Vec<Vec<Value>>,
    hints: &Hints,
) -> Result<Proposal, Unreadable> {
    of_messages(&format::messages(sample, values), format, hints)
}

fn of_messages(messages: &[Message], format: Format, hints: &Hints) -> Result<Proposal, Unreadable> {
    let values: Vec<&Value> = messages.iter().flat_map(|message| &message.values).collect();
    let root = root::choose(&values);
    let (readings, others) = parsed::readings(messages, &root);
    if readings.is_empty() {
        return Err(Unreadable::NoReadings);
    }
    let upsert = is_upsert(messages, &root);
    // A null root deletes.
    let unread = if upsert { 0 } else { others };
    let mut notes = vec![origin(messages, &readings, unread, hints)];
    let (candidates, left_out) = candidate::find(messages, &root, &readings);
    if format.name != "csv" && root.path.is_empty() && default::is_default(&candidates, readings.len()) {
        notes.push("They have the default form: no [message] or [record] is needed.".into());
        let input = hints.input.clone();
        return Ok(Proposal { input, message: None, upsert: false, fields: Vec::new(), notes });
    }
    let of_reading =
        |of: fn(&Message) -> bool| readings.iter().filter(|reading| of(&messages[reading.message])).count();
    let root_key = root.key_of_map(&values);
    let facts = Facts {
        readings: readings.len(),
        keyed: of_reading(|message| message.key.is_some()),
        has_timestamps: !hints.input.is_file() && of_reading(|message| message.timestamp.is_some()) > 0,
        is_transport: root.envelopes.iter().any(|envelope| envelope.is_transport())
            || values.iter().any(|value| is_list(&root, value)),
        has_root_key: root_key.is_some(),
    };
    let record = record::of(&candidates, facts, root_key.as_deref());
    notes.extend(
        root.envelopes.iter().map(|envelope| format!("Their envelope is that of {}.", envelope.name())),
    );
    notes.extend(upsert_note(messages, &root, upsert));
    notes.extend(record.notes);
    if root.path.iter().filter(|step| **step == Step::Every).count() > 0 {
        let at = root::pointers(&root.path).concat();
        notes.push(format!(
            "Below `{at}`, only the innermost list is read: what its elements share stands in no field."
        ));
    }
    notes.extend(left_out);
    let pointers = root::pointers(&root.path);
    let root = if pointers.concat().is_empty() && pointers.len() == 1 { Vec::new() } else { pointers };
    let message = Some(MessagePart { format, root, time: record.time, key: record.key });
    Ok(Proposal { input: hints.input.clone(), message, upsert, fields: record.fields, notes })
}

/// Whether the message has several readings in a list.
fn is_list(root: &Root, value: &Value) -> bool {
    !root.path.is_empty()
        && (root.path.contains(&Step::Every) || root.find(value).is_some_and(|found| found.len() > 1))
}

fn origin(messages: &[Message], readings: &[Reading<'_>], others: usize, hints: &Hints) -> String {
    let unread = messages.iter().filter(|message| message.values.is_empty() && !message.is_tombstone).count();
    let mut text = format!(
        "Proposed from {} ({}) of `{}`.",
        quantity(messages.len(), "message"),
        quantity(readings.len(), "reading"),
        hints.input.name(),
    );
    if unread + others > 0 {
        text.push_str(&format!(" {} could not be read.", count(unread + others)));
    }
    text
}

/// Whether messages replace and delete rows by their keys: changes of a table.
fn is_upsert(messages: &[Message], root: &Root) -> bool {
    let is_deletion = |message: &Message| message.is_tombstone || message.values.iter().any(is_change);
    root.envelopes.contains(&Envelope::Debezium)
        && messages.iter().all(|message| message.key.is_some())
        && messages.iter().any(is_deletion)
}

/// Whether a Debezium event updates or deletes a row.
fn is_change(value: &Value) -> bool {
    let event = value.child("payload").unwrap_or(value);
    matches!(event.child("op").and_then(Value::text), Some("u" | "d"))
}

fn upsert_note(messages: &[Message], root: &Root, upsert: bool) -> Option<String> {
    let tombstones = messages.iter().filter(|message| message.is_tombstone).count();
    if upsert {
        return Some(
            "Rows are updated or deleted, so that each message replaces the reading with its key.".into(),
        );
    }
    if root.envelopes.contains(&Envelope::Debezium) {
        if messages.iter().flat_map(|message| &message.values).any(is_change) {
            let note = "Rows are updated or deleted, for which mode = \"upsert\" needs messages with keys.";
            return Some(note.into());
        }
        return Some(
            "No row was updated or deleted. If rows can be, set mode = \"upsert\" at the top.".into(),
        );
    }
    (tombstones > 0).then(|| {
        format!(
            "{} without a value: if they delete what had their key, set mode = \"upsert\" at the top.",
            quantity(tombstones, "message")
        )
    })
}
