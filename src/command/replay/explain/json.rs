//! An explanation as JSON.

use serde_json::{Value, json};

use super::given::{Given, Origin};
use crate::decode::{Explanation, FieldExplained, Mapping, Outcome, ReadingExplained, Rejected};

/// The explanation of a message: its origin, what becomes of it, and its readings.
pub(super) fn of(given: &Given, mapping: &Mapping, explanation: &Explanation) -> Value {
    let message = &given.message;
    let text =
        |bytes: &Option<Vec<u8>>| bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let mut object = json!({
        "topic": message.topic.as_deref(),
        "partition": (given.origin != Origin::AsInFile).then_some(message.partition),
        "offset": (given.origin != Origin::AsInFile).then_some(message.offset),
        "kafka_timestamp_ms": message.timestamp,
        "key": text(&message.key),
        "bytes": message.payload.as_ref().map(Vec::len),
        "root": mapping.root_text(),
    });
    let (outcome, readings) = match explanation {
        Explanation::Rejected(rejected) => (dead_letter(rejected), Vec::new()),
        Explanation::Deletes => (json!({ "outcome": "deletes" }), Vec::new()),
        Explanation::Readings(readings) => {
            let readings = readings.iter().enumerate().map(|(place, reading)| explained(place, reading));
            (json!({ "outcome": "readings" }), readings.collect())
        }
    };
    extend(&mut object, outcome);
    extend(&mut object, json!({ "readings": readings }));
    object
}

fn explained(place: usize, reading: &ReadingExplained) -> Value {
    let mut object = json!({ "place": place });
    extend(
        &mut object,
        match &reading.outcome {
            Outcome::Record { entity, time } => {
                json!({ "outcome": "record", "entity": entity, "time": time })
            }
            Outcome::Skipped => json!({ "outcome": "skipped" }),
            Outcome::Rejected(rejected) => dead_letter(rejected),
        },
    );
    let fields: Vec<Value> = reading.fields.iter().map(field).collect();
    extend(&mut object, json!({ "fields": fields }));
    object
}

fn field(field: &FieldExplained) -> Value {
    let problem = field.value.as_ref().err().copied().or(field.forgiven);
    json!({
        "field": field.name,
        "type": field.field_type.name(),
        "from": field.from,
        "found": field.found,
        "value": field.value.as_ref().ok(),
        "problem": problem.map(|reason| reason.name()),
    })
}

fn dead_letter(rejected: &Rejected) -> Value {
    let Rejected { reason, field, said } = rejected;
    json!({ "outcome": "dead_letter", "reason": reason.name(), "field": field, "said": said })
}

/// Adds the members of another object.
fn extend(object: &mut Value, other: Value) {
    if let (Value::Object(object), Value::Object(other)) = (object, other) {
        object.extend(other);
    }
}
