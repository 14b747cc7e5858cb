//! What a person should know of a proposal: comments on its fields.

use super::candidate::Candidate;
use super::facts::Facts;
use super::form::micros;
use super::kind::{self, Kind, MAX_TEXT, Reads};
use super::number::Number;
use super::value::Leaf;
use super::words::words;

/// The longest example.
const MAX_EXAMPLE: usize = 32;

/// A share of readings: `all`, `98 %`.
pub(super) fn share(part: usize, all: usize) -> String {
    match part {
        _ if part >= all => "all".into(),
        0 => "none".into(),
        _ => match part * 100 / all {
            0 => "under 1 %".into(),
            percent => format!("{percent} %"),
        },
    }
}

/// How often a field was there, and its values, in a few words.
pub(super) fn found(candidate: &Candidate<'_>, readings: usize) -> String {
    let column = &candidate.column;
    if column.values.is_empty() {
        return "always null".into();
    }
    let mut parts = vec![share(column.values.len(), readings)];
    if column.nulls > 0 {
        parts.push(format!("null in {}", share(column.nulls as usize, readings)));
    }
    parts.extend(values(candidate));
    if candidate.bad > 0 && !candidate.is_second {
        parts.push(format!("{} bad: {}", candidate.bad, bad_example(candidate)));
    }
    parts.join(", ")
}

/// The range of numbers and times, or examples of texts.
fn values(candidate: &Candidate<'_>) -> Option<String> {
    let written = |leaf: &Leaf| shortened(&leaf.written());
    let values = candidate.column.values.iter().map(|(_, leaf)| *leaf);
    let sorted: Vec<(f64, &Leaf)> = match &candidate.kind {
        Kind::Number | Kind::Integer => {
            values.filter_map(|leaf| Some((Number::parse(&leaf.written())?.value, leaf))).collect()
        }
        Kind::Time(form) => {
            let reader = form.reader();
            values.filter_map(|leaf| Some((micros(&reader, leaf)? as f64, leaf))).collect()
        }
        Kind::Boolean => return None,
        Kind::Text => return Some(examples(candidate)),
    };
    let min = sorted.iter().min_by(|(a, _), (b, _)| a.total_cmp(b))?;
    let max = sorted.iter().max_by(|(a, _), (b, _)| a.total_cmp(b))?;
    let (min, max) = (written(min.1), written(max.1));
    Some(if min == max { min } else { format!("{min} to {max}") })
}

fn examples(candidate: &Candidate<'_>) -> String {
    let mut examples: Vec<String> = Vec::new();
    for (_, leaf) in &candidate.column.values {
        let example = format!("\"{}\"", shortened(&leaf.written()));
        if !examples.contains(&example) {
            examples.push(example);
        }
        if examples.len() > 3 {
            return format!("such as {}", examples[..2].join(", "));
        }
    }
    examples.join(", ")
}

fn bad_example(candidate: &Candidate<'_>) -> String {
    let field = candidate.kind.field(&candidate.nulls);
    let bad = candidate.column.values.iter().find(|(_, leaf)| kind::reads(&field, leaf) == Reads::Bad);
    match bad {
        Some((_, leaf)) => shortened(&leaf.written()),
        None => "an object or a list".into(),
    }
}

fn shortened(text: &str) -> String {
    let mut chars = text.chars();
    let start: String = chars.by_ref().take(MAX_EXAMPLE).collect();
    if chars.next().is_some() { format!("{start}…") } else { start }
}

/// Comments on a field.
pub(super) fn notes(candidate: &Candidate<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    let values = || candidate.column.values.iter().map(|(_, leaf)| *leaf);
    let longest = values().map(|leaf| leaf.length()).max().unwrap_or(0);
    match &candidate.kind {
        Kind::Text if longest > MAX_TEXT => notes.push(format!("Left out: a text of up to {longest} bytes.")),
        Kind::Text if has_decimal_commas(candidate) => {
            notes.push("Numbers with a decimal comma are not read as numbers.".to_owned());
        }
        _ => {}
    }
    if let Some(other) = &candidate.ambiguous {
        notes.push(format!("No value tells day from month; the other order is format = \"{other}\"."));
    }
    if candidate.is_second {
        notes.push("Values of several types are under this key; the field above has the others.".to_owned());
    }
    notes
}

/// Comments on several fields: candidates with their names.
pub(super) fn of_all(named: &[(&Candidate<'_>, &str)]) -> Vec<String> {
    let list = |names: Vec<String>| names.join(", ");
    let is_local = |candidate: &Candidate<'_>| matches!(candidate.kind, Kind::Time(_)) && !candidate.has_zone;
    let local: Vec<String> = named
        .iter()
        .filter(|(candidate, _)| is_local(candidate))
        .map(|(_, name)| (*name).to_owned())
        .collect();
    let measures: Vec<String> = named
        .iter()
        .filter_map(|(candidate, name)| Some((measure(candidate)?, name)))
        .filter(|(measure, name)| measure != *name)
        .map(|(measure, name)| format!("{name} ({measure})"))
        .collect();
    let mut notes = Vec::new();
    if !local.is_empty() {
        notes.push(format!(
            "No zone in the text, so that it is read as UTC: {}. If it is a local time, add its zone, such as zone = \
             \"Europe/Berlin\".",
            list(local)
        ));
    }
    if !measures.is_empty() {
        notes.push(format!(
            "The built-in views read distance_covered (km), engine_speed and fuel_consumed (litres). These may be such fields \
             under another name, or in another unit: {}.",
            list(measures)
        ));
    }
    notes
}

fn has_decimal_commas(candidate: &Candidate<'_>) -> bool {
    let mut texts = candidate.column.values.iter().filter_map(|(_, leaf)| match leaf {
        Leaf::Text(text) if !text.is_empty() => Some(text),
        _ => None,
    });
    let has_comma =
        |text: &str| text.matches(',').count() == 1 && Number::parse(&text.replace(',', ".")).is_some();
    let is_number = |text: &str| has_comma(text) || Number::parse(text).is_some();
    texts.clone().any(|text| has_comma(text)) && texts.all(|text| is_number(text))
}

/// Which field of the built-in views a number may be.
fn measure(candidate: &Candidate<'_>) -> Option<&'static str> {
    if candidate.kind != Kind::Number || candidate.is_second {
        return None;
    }
    let keys = candidate.column.place.keys();
    let all: Vec<String> = keys.iter().rev().take(2).rev().flat_map(|key| words(key)).collect();
    let has = |word: &str| all.iter().any(|own| own == word);
    match () {
        () if has("rpm") || has("engine") && has("speed") => Some("engine_speed"),
        () if has("fuel") && ["consumed", "consumption", "total", "used"].iter().any(|word| has(word)) => {
            Some("fuel_consumed")
        }
        () if has("odometer") || has("mileage") || has("distance") && !has("to") => Some("distance_covered"),
        () => None,
    }
}

/// What to say of readings without a time of their own.
pub(super) fn without_time(times: &[usize], facts: Facts) -> String {
    match (times, facts.has_timestamps) {
        ([], true) => "The readings have no time of their own: event time is Kafka's timestamp.".into(),
        ([], false) => "No time was found in the readings, so that event time is Kafka's timestamp, which lines of a file do \
                        not have."
            .into(),
        _ => "Some readings have no time of their own: event time is then Kafka's timestamp.".into(),
    }
}

/// What to say if no field names the entity.
pub(super) fn without_key(key: &Option<String>) -> Option<String> {
    let note =
        "No field names the truck or vehicle of a reading; set key to the field that does, if there is one.";
    key.is_none().then(|| note.to_owned())
}
