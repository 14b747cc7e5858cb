//! The field that names the entity: the truck, vehicle or device of a reading.

use std::collections::HashSet;

use super::candidate::Candidate;
use super::facts::Facts;
use super::kind::{self, Kind, MAX_TEXT, Reads};
use super::shape::Place;
use super::words::{ends_with_id, words};

/// Words of names of entities, the best first. All words of an entry have to be there.
const NAMES: [&[&str]; 37] = [
    &["truck", "id"],
    &["vehicle", "id"],
    &["truck"],
    &["vehicle"],
    &["asset", "id"],
    &["asset"],
    &["car"],
    &["fahrzeug"],
    &["vehicule"],
    &["vehiculo"],
    &["camion"],
    &["device", "id"],
    &["object"],
    &["unit", "id"],
    &["tracker", "id"],
    &["terminal", "id"],
    &["imei"],
    &["ident"],
    &["vin"],
    &["device", "name"],
    &["device"],
    &["tracker"],
    &["terminal"],
    &["thing"],
    &["plate"],
    &["kennzeichen"],
    &["immatriculation"],
    &["matricula"],
    &["placa"],
    &["registration"],
    &["serial"],
    &["client", "id"],
    &["node"],
    &["subject"],
    &["entity"],
    &["host"],
    &["tid"],
];
/// Words of identifiers of something else.
const OTHERS: [&str; 44] = [
    "account",
    "alarm",
    "alert",
    "application",
    "cell",
    "channel",
    "client",
    "company",
    "context",
    "correlation",
    "customer",
    "deduplication",
    "diagnostic",
    "driver",
    "event",
    "fleet",
    "gateway",
    "geofence",
    "group",
    "log",
    "measurement",
    "message",
    "metric",
    "network",
    "order",
    "organization",
    "parent",
    "protocol",
    "request",
    "route",
    "schema",
    "session",
    "signal",
    "site",
    "span",
    "subscription",
    "tenant",
    "trace",
    "track",
    "transaction",
    "trip",
    "user",
    "row",
    "record",
];
/// Words behind the name of an entity.
const BEHIND: [&str; 14] = [
    "code", "eui", "id", "ident", "key", "name", "no", "nr", "number", "plate", "ref", "serial", "uid",
    "uuid",
];

/// Where the name of the entity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Key {
    /// The first of these fields that a reading has.
    Fields(Vec<usize>),
    /// The key of the message.
    Message,
    /// The key that leads to the reading.
    Root,
    /// Nothing: no field names an entity.
    None,
}

/// The rank of the names that surely mean an entity.
const SURE: usize = 33;

/// Chooses the key of readings.
pub(super) fn choose(candidates: &[Candidate<'_>], facts: Facts) -> Key {
    let Facts { readings, keyed, .. } = facts;
    let is_metric = names_metrics(candidates);
    let mut named: Vec<(usize, &Candidate<'_>, usize)> = candidates
        .iter()
        .enumerate()
        .filter(|(_, candidate)| can_name(candidate, readings))
        .filter_map(|(at, candidate)| Some((rank(candidate, is_metric)?, candidate, at)))
        .collect();
    let there = |candidate: &Candidate<'_>| candidate.column.values.len();
    named.sort_by_key(|(rank, candidate, at)| (there(candidate) * 2 < readings, *rank, *at));
    let is_keyed = keyed * 10 >= readings * 9 && readings > 0;
    if facts.has_root_key && named.first().is_none_or(|(rank, ..)| *rank >= SURE) {
        return Key::Root;
    }
    match named.first() {
        Some((rank, ..)) if *rank >= SURE && is_keyed => Key::Message,
        Some((_, first, at)) => {
            let mut fields = vec![*at];
            let mut covered: HashSet<u32> = first.column.values.iter().map(|(reading, _)| *reading).collect();
            for (rank, candidate, at) in &named {
                let more =
                    candidate.column.values.iter().filter(|(reading, _)| !covered.contains(reading)).count();
                if more > 0 && *rank < SURE && fields.len() < 4 && covered.len() * 10 < readings * 9 {
                    covered.extend(candidate.column.values.iter().map(|(reading, _)| *reading));
                    fields.push(*at);
                }
            }
            Key::Fields(fields)
        }
        None if is_keyed => Key::Message,
        None => Key::None,
    }
}

/// Whether the values can be names of entities: short texts or integers, some of them more than once.
fn can_name(candidate: &Candidate<'_>, readings: usize) -> bool {
    let values = &candidate.column.values;
    let is_name = match candidate.kind {
        Kind::Text | Kind::Integer => true,
        // A number such as 17 may be a name, but not one with a fraction.
        Kind::Number => {
            values.iter().all(|(_, leaf)| kind::reads(&Kind::Integer.field(&[]), leaf) == Reads::Value)
        }
        Kind::Boolean | Kind::Time(_) => false,
    };
    let written: HashSet<_> = values.iter().map(|(_, leaf)| leaf.written()).collect();
    let is_short = values.iter().all(|(_, leaf)| leaf.length() <= MAX_TEXT);
    let repeats = values.len() < 20 || written.len() * 10 < values.len() * 9;
    let is_empty =
        values.iter().filter(|(_, leaf)| leaf.written().trim().is_empty()).count() * 2 > values.len();
    is_name
        && is_short
        && repeats
        && !is_empty
        && candidate.column.containers == 0
        && values.len() * 4 >= readings
}

/// How well a column is named for an entity; less is better.
fn rank(candidate: &Candidate<'_>, is_metric: bool) -> Option<usize> {
    let keys = candidate.column.place.keys();
    if matches!(candidate.column.place, Place::Header(_) | Place::Key(_)) {
        return None;
    }
    let mut last = words(keys.last()?);
    let parent = keys.len().checked_sub(2).map(|at| words(keys[at])).unwrap_or_default();
    let is_value = last.concat() == "value";
    let is_general = is_value
        || matches!(&*last.concat(), "id" | "name" | "uid" | "uniqueid" | "key" | "number" | "plate");
    if is_value {
        last.clear();
    }
    let all: Vec<String> = if is_general { parent.into_iter().chain(last).collect() } else { last };
    let end = all.last()?;
    let is_like = |own: &str, word: &str| own == word || word.len() > 3 && own.starts_with(word);
    let is_named = |name: &[&str]| {
        // `vehicle_speed` and `device_status` are no names.
        let ends = BEHIND.contains(&&**end) || name.iter().any(|word| is_like(end, word));
        ends && name.iter().all(|word| all.iter().any(|own| is_like(own, word)))
    };
    let is_other = all.iter().any(|own| OTHERS.iter().any(|word| is_like(own, word)));
    let last_resort = match &*all.concat() {
        "id" | "uid" => Some(NAMES.len() + 2),
        "name" => (!is_metric).then_some(NAMES.len() + 1),
        _ if !is_other && (end == "id" || end == "eui" || ends_with_id(end)) => Some(NAMES.len()),
        _ => None,
    };
    NAMES.iter().position(|name| is_named(name)).or(last_resort)
}

/// Whether readings name what they measure, in a field of its own.
fn names_metrics(candidates: &[Candidate<'_>]) -> bool {
    const VALUES: [&str; 6] = ["value", "v", "val", "unit", "dataType", "datatype"];
    candidates.iter().any(|candidate| {
        let keys = candidate.column.place.keys();
        keys.last().is_some_and(|last| VALUES.contains(last)) || keys.first() == Some(&"fields")
    })
}
