//! How `[message]` and `[record]` read messages: the rules of docs/messages.md, row by row.
//!
//! | module | rules about |
//! |---|---|
//! | `values` | numbers, integers, booleans, texts, NULL |
//! | `times` | texts and counts that are times |
//! | `roots` | where the readings of a message are, and texts within texts |
//! | `rejected` | required fields, bad values, the order of errors, conditions |
//! | `computed` | fields with `sql` |
//! | `lines` | CSV |
//! | `kafka` | keys, headers and other properties of a message |
//! | `upserts` | keyed readings |
//! | `views` | which built-in views a record has |
//! | `docs` | the examples of docs/messages.md |

mod computed;
mod docs;
mod kafka;
mod lines;
mod rejected;
mod roots;
mod times;
mod upserts;
mod values;
mod views;

use std::fmt::Write;
use std::sync::Arc;

use dataflows::batch::Record;
use dataflows::item::Item;
use dataflows::rows::NULL;
use dataflows::schema::{FieldType, Place, Schema};
use truckflow::config::Job;
use truckflow::decode::{Counted, Decode, Decoder, Headers, Mapping, Message};
use truckflow::text::time::TimeWriter;

/// A job with this configuration.
#[track_caller]
fn job(config: &str) -> Job {
    match Job::read(config, "job.toml", std::iter::empty(), Vec::new()) {
        Ok(job) => job,
        Err(error) => panic!("{config}\n{error}"),
    }
}

/// Only event time `t`, in seconds, and the fields of `record`.
fn only(message: &str, record: &str) -> String {
    format!(
        "[message]\npreset = \"none\"\ntime = \"t\"\n{message}\n[record]\nt = {{ type = \"timestamp\", unit = \"s\" }}\n{record}\n"
    )
}

/// What a job makes of messages, in their order: `field=value` for each value of a record, or `reason field` for a dead
/// letter, with the place and the bytes of a part. Parts are separated by semicolons.
#[track_caller]
fn read_all(config: &str, messages: &[Message<'_>]) -> String {
    let job = job(config);
    let mut reader = Reader::new(&job);
    let read: Vec<String> = messages.iter().map(|message| reader.read(message)).collect();
    read.join("; ")
}

/// The same of one message without key.
#[track_caller]
fn read(config: &str, payload: &str) -> String {
    read_all(config, &[message(payload.as_bytes())])
}

fn message(payload: &[u8]) -> Message<'_> {
    Message { timestamp: Some(1_500), payload: Some(payload), ..Message::default() }
}

struct Reader {
    mapping: Arc<Mapping>,
    decoder: Decoder,
}

impl Reader {
    fn new(job: &Job) -> Self {
        let mapping = job.mapping.clone();
        let decoder = Decoder::new("topic".into(), mapping.clone()).with_mode(job.mode);
        Self { mapping, decoder }
    }

    fn read(&mut self, message: &Message<'_>) -> String {
        self.decoder.decode(message);
        let mut items = Vec::new();
        self.decoder.take(&mut items);
        let mut read = Vec::new();
        for item in items {
            match item {
                Item::Records(batch) => {
                    let record = |index| shown(&batch.record(index), &self.mapping.schema);
                    read.extend((0..batch.len()).map(record));
                }
                Item::Upserts(upserts) => {
                    read.extend(upserts.into_iter().map(|upsert| {
                        let key = String::from_utf8_lossy(&upsert.key).into_owned();
                        let record = upsert.record.map(|record| shown(&record, &self.mapping.schema));
                        format!("{key}: {}", record.unwrap_or_else(|| "deleted".into()))
                    }));
                }
                Item::DeadLetters(letters) => read.extend(letters.into_iter().map(|letter| {
                    let mut text = format!("{} {}", letter.reason.name(), letter.field).trim_end().to_owned();
                    if let Some(place) = letter.place {
                        let bytes = letter.payload.unwrap_or_default();
                        write!(text, " @{place} {}", String::from_utf8_lossy(&bytes)).unwrap();
                    }
                    text
                })),
                _ => {}
            }
        }
        read.join("; ")
    }

    /// What was counted.
    fn counts(&mut self) -> String {
        let mut counts = Vec::new();
        self.decoder.take_counts(&mut |counted, count| {
            counts.push(match counted {
                Counted::Rounded(field) => format!("{field} rounded {count}"),
                Counted::Forgiven(field, reason) => format!("{field} {} {count}", reason.name()),
                Counted::Skipped => format!("skipped {count}"),
            });
        });
        counts.join("; ")
    }
}

/// The values of a record that are not NULL, without an event time of 0.
fn shown(record: &Record, schema: &Schema) -> String {
    let mut shown = Vec::new();
    if !record.entity.is_empty() && schema.fields().iter().all(|field| field.place != Place::Entity) {
        shown.push(format!("entity={}", record.entity));
    }
    for field in schema.fields() {
        let units = match field.place {
            Place::Time if record.time == 0 => continue,
            Place::Time => record.time,
            Place::Units(column) => record.units[column],
            Place::Texts(column) => {
                let text = record.texts[column].as_ref();
                shown.extend(text.map(|text| format!("{}={text}", field.name)));
                continue;
            }
            Place::Entity => {
                if !record.entity.is_empty() {
                    shown.push(format!("{}={}", field.name, record.entity));
                }
                continue;
            }
        };
        if units != NULL {
            shown.push(format!("{}={}", field.name, value(units, field.field_type)));
        }
    }
    if shown.is_empty() { "nothing".into() } else { shown.join(" ") }
}

fn value(units: i64, field_type: FieldType) -> String {
    match field_type {
        FieldType::Number => {
            let sign = if units < 0 { "-" } else { "" };
            let (integer, rest) =
                (units.unsigned_abs() / 1_000_000_000, units.unsigned_abs() % 1_000_000_000);
            let text = format!("{sign}{integer}.{rest:09}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        FieldType::Timestamp => {
            let mut text = Vec::new();
            TimeWriter::default().write(units, &mut text);
            String::from_utf8(text).unwrap()
        }
        FieldType::Integer | FieldType::Boolean | FieldType::Text => units.to_string(),
    }
}

/// Headers of a message.
struct These<'a>(&'a [(&'a str, Option<&'a [u8]>)]);

impl Headers for These<'_> {
    fn last(&self, name: &str) -> Option<Option<&[u8]>> {
        self.0.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

/// Compares what values of a field `v` become, each alone in a message: `NULL` of nothing.
#[track_caller]
fn values(message: &str, field: &str, rows: &[(&str, &str)]) {
    let config = only(message, &format!("v = {field}"));
    for (source, expected) in rows {
        let read = read(&config, &format!("{{\"t\": 0, \"v\": {source}}}"));
        let value = match &*read {
            "nothing" => "NULL",
            other => other.strip_prefix("v=").or(other.strip_suffix(" v")).unwrap_or(other),
        };
        assert_eq!(value, *expected, "{source} as {field}");
    }
}
