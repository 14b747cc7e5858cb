//! An explanation as text: a table for each reading, and a sentence that says what becomes of it.

use std::fmt::Write;

use super::given::{Given, Origin};
use crate::decode::{Explanation, FieldExplained, Mapping, Outcome, ReadingExplained, Rejected};
use crate::runtime::counts::rejection;
use crate::text::printable::{printable, quantity, shortened};
use crate::text::time::TimeWriter;

/// The most characters in a cell.
const CELL: usize = 48;
const HEADER: [&str; 5] = ["field", "type", "looked for at", "found", "value"];

/// The explanation of a message.
pub(super) fn of(given: &Given, mapping: &Mapping, explanation: &Explanation) -> String {
    let mut out = heading(given);
    if let Some(root) = mapping.root_text() {
        _ = writeln!(out, "its readings are at the root {}", printable(&root));
    }
    match explanation {
        Explanation::Rejected(rejected) => _ = writeln!(out, "\n{}", dead_letter(rejected)),
        Explanation::Deletes => {
            _ = writeln!(out, "\naccepted: it deletes the reading of its key, if there is one")
        }
        Explanation::Readings(readings) if readings.is_empty() => {
            _ = writeln!(out, "\naccepted: it has no readings");
        }
        Explanation::Readings(readings) => {
            for (place, reading) in readings.iter().enumerate() {
                out.push('\n');
                if readings.len() > 1 {
                    _ = writeln!(out, "reading {} of {} (place {place})", place + 1, readings.len());
                }
                describe(reading, &mut out);
            }
        }
    }
    out
}

/// What is read, and what Kafka says of it.
fn heading(given: &Given) -> String {
    let message = &given.message;
    let topic = match message.topic.as_deref() {
        Some(topic) => format!("topic `{}`", printable(topic)),
        None => "one of the job's topics".to_owned(),
    };
    let mut out = match given.origin {
        Origin::Topic => format!("message of {topic}"),
        Origin::AsInTopic => format!("read as if it arrived now in {topic}"),
        Origin::AsInFile => "read as a line of the job's file".to_owned(),
    };
    if given.origin != Origin::AsInFile {
        _ = write!(out, ", partition {}, offset {}", message.partition, message.offset);
    }
    if let (Origin::Topic, Some(millis)) = (given.origin, message.timestamp) {
        let text = TimeWriter::default().text(millis.saturating_mul(1000));
        _ = write!(out, ", Kafka timestamp {}", String::from_utf8_lossy(&text));
    }
    match &message.key {
        Some(key) => _ = write!(out, ", key `{}`", shortened(&String::from_utf8_lossy(key), CELL)),
        None => out.push_str(", without a key"),
    }
    if !message.headers.0.is_empty() {
        _ = write!(out, ", {}", quantity(message.headers.0.len(), "header"));
    }
    match &message.payload {
        Some(payload) => _ = writeln!(out, ", {}", quantity(payload.len(), "byte")),
        None => out.push_str(", without a value\n"),
    }
    out
}

/// The table of a reading, and what becomes of it.
fn describe(reading: &ReadingExplained, out: &mut String) {
    if !reading.fields.is_empty() {
        let rows: Vec<[String; 5]> = std::iter::once(HEADER.map(str::to_owned))
            .chain(
                reading
                    .fields
                    .iter()
                    .map(|field| cells(field).map(|cell| shortened(&cell, CELL).into_owned())),
            )
            .collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
        for row in &rows {
            let cell = |(cell, width): (&String, &usize)| format!("{cell:<width$}");
            let line: Vec<String> = row.iter().zip(&widths).map(cell).collect();
            _ = writeln!(out, "{}", line.join("  ").trim_end());
        }
    }
    let said = match &reading.outcome {
        Outcome::Record { entity, time } if entity.is_empty() => {
            format!("accepted: a record without an entity, at {time}")
        }
        Outcome::Record { entity, time } => {
            format!("accepted: a record of the entity `{}`, at {time}", printable(entity))
        }
        Outcome::Skipped => "skipped: message.only is not true for it".into(),
        Outcome::Rejected(rejected) => dead_letter(rejected),
    };
    _ = writeln!(out, "{said}");
}

fn cells(field: &FieldExplained) -> [String; 5] {
    let value = match (&field.value, field.forgiven) {
        (Ok(Some(value)), _) if value.is_empty() => "\"\"".into(),
        (Ok(Some(value)), _) => value.clone(),
        (Ok(None), None) => "NULL".into(),
        (Ok(None), Some(reason)) => format!("NULL, as it is bad: {}", reason.name()),
        (Err(reason), _) => reason.name().into(),
    };
    let found = field.found.clone().unwrap_or_else(|| "-".into());
    [field.name.to_string(), field.field_type.name().into(), field.from.clone(), found, value]
}

/// Why something is a dead letter.
fn dead_letter(rejected: &Rejected) -> String {
    format!("dead letter {}: {}", rejection(rejected.reason, &rejected.field), rejected.said)
}
