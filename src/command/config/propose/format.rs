//! Which format messages have, and their values.

use super::csv;
use super::error::Unreadable;
use super::hints::Hints;
use super::parsed::Message;
use super::proposal::Format;
use super::unsupported;
use super::value::Value;
use crate::decode::tree::Tree;
use crate::source::sample::{Sample, Sampled};

/// The messages of a sample in the format that most of them have.
pub(super) struct Detected {
    /// The format.
    pub(super) format: Format,
    /// The messages, in the order of the sample.
    pub(super) messages: Vec<Message>,
}

/// The first byte of Confluent's header, behind which the id of a schema has four bytes.
const MAGIC: u8 = 0;
/// The length of that header.
const HEADER: usize = 5;

/// Finds the format of a sample.
pub(super) fn detect(sample: &Sample, hints: &Hints) -> Result<Detected, Unreadable> {
    let is_file = hints.input.is_file();
    let there =
        |message: &&Sampled| message.payload.as_deref().is_some_and(|bytes| !bytes.trim_ascii().is_empty());
    let payloads: Vec<&[u8]> =
        sample.messages.iter().filter(there).filter_map(|message| message.payload.as_deref()).collect();
    if payloads.is_empty() {
        let tombstones = sample.messages.iter().any(|message| message.payload.is_none());
        return Err(if tombstones { Unreadable::Tombstones } else { Unreadable::Empty });
    }
    let ids = schema_ids(&payloads);
    let headed = !ids.is_empty();
    let texts: Vec<Option<&str>> =
        sample.messages.iter().map(|message| text(message.payload.as_deref()?, headed)).collect();
    let values: Vec<Vec<Value>> = texts.iter().map(|text| text.map(values_of).unwrap_or_default()).collect();
    let read = values.iter().filter(|values| !values.is_empty()).count();
    if sample.header.is_none() && read * 3 >= payloads.len() {
        let strict =
            texts.iter().zip(&values).all(|(text, values)| values.is_empty() || text.is_some_and(is_json));
        let registry = headed.then(|| hints.registry.clone().unwrap_or_default());
        let name = if strict || headed { "json" } else { "auto" };
        let format = Format { name, separator: None, columns: None, registry };
        return Ok(Detected { format, messages: messages(sample, values) });
    }
    if headed {
        return Err(Unreadable::Registry { ids });
    }
    if let Some(name) = unsupported::name(&payloads) {
        return Err(Unreadable::Unsupported(name));
    }
    let lines: Vec<&str> = texts.iter().flatten().copied().collect();
    if is_file && is_document(&lines) {
        return Err(Unreadable::Document);
    }
    let header = sample.header.as_deref().and_then(|header| std::str::from_utf8(header).ok());
    let table = csv::table(&lines, header, is_file).ok_or_else(|| unknown(&payloads))?;
    let separator = Some(table.separator).filter(|separator| *separator != ',');
    let format = Format { name: "csv", separator, columns: table.columns, registry: None };
    let messages = match is_file {
        true => {
            let sampled = Sampled { payload: Some(Vec::new()), ..Sampled::default() };
            table.messages.into_iter().map(|values| Message::new(&sampled, values)).collect()
        }
        false => {
            let mut tables = table.messages.into_iter();
            let values = texts.iter().map(|text| text.and_then(|_| tables.next()).unwrap_or_default());
            messages(sample, values.collect())
        }
    };
    Ok(Detected { format, messages })
}

/// The messages of a sample with their values.
pub(super) fn messages(sample: &Sample, values: Vec<Vec<Value>>) -> Vec<Message> {
    sample.messages.iter().zip(values).map(|(sampled, values)| Message::new(sampled, values)).collect()
}

/// The ids of schemas, if most messages begin with one.
fn schema_ids(payloads: &[&[u8]]) -> Vec<u32> {
    let id = |bytes: &&[u8]| match **bytes {
        [MAGIC, a, b, c, d, _, ..] => Some(u32::from_be_bytes([a, b, c, d])),
        _ => None,
    };
    let mut ids: Vec<u32> = payloads.iter().filter_map(id).collect();
    if ids.len() * 2 <= payloads.len() {
        return Vec::new();
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

fn text(payload: &[u8], headed: bool) -> Option<&str> {
    let payload = if headed { payload.get(HEADER..)? } else { payload };
    std::str::from_utf8(payload).ok()
}

/// The objects and lists that a text is; none if it is something else.
fn values_of(text: &str) -> Vec<Value> {
    let values: Vec<Value> = Tree::parse(text).unwrap_or_default().iter().map(Value::from).collect();
    if values.iter().all(|value| matches!(value, Value::Leaf(_))) { Vec::new() } else { values }
}

/// Whether a text is strictly JSON.
fn is_json(text: &str) -> bool {
    serde_json::Deserializer::from_str(text).into_iter::<serde::de::IgnoredAny>().all(|value| value.is_ok())
}

/// Whether lines are a JSON document together, and not one by one.
fn is_document(lines: &[&str]) -> bool {
    lines.first().is_some_and(|line| line.trim_start().starts_with(['{', '[']))
        && lines.iter().any(|line| line.starts_with([' ', '\t']) || line.trim() == "{" || line.trim() == "[")
}

fn unknown(payloads: &[&[u8]]) -> Unreadable {
    let first = payloads.first().map(|bytes| String::from_utf8_lossy(bytes)).unwrap_or_default();
    Unreadable::Unknown(first.chars().take(60).collect())
}
