//! The fields of a record: of each candidate one, and those that are computed of several.

use super::candidate::Candidate;
use super::describe;
use super::event::{self, EventTime};
use super::facts::Facts;
use super::form::Form;
use super::key::{self, Key};
use super::kind::{self, Kind, MAX_TEXT};
use super::names::Names;
use super::proposal::{Field, FieldKind, Source};
use super::root::pointers;
use super::shape::{Place, Step};

/// The fields of a record, its event time and its key.
pub(super) struct Record {
    /// The fields, those of event time and key first.
    pub(super) fields: Vec<Field>,
    /// The name of the event time.
    pub(super) time: String,
    /// The name of the key; none: the message's key names the entity.
    pub(super) key: Option<String>,
    /// What a person should know.
    pub(super) notes: Vec<String>,
}

/// Fields beyond these are only mentioned.
const MAX_FIELDS: usize = 120;

/// Makes a record of candidates.
pub(super) fn of(candidates: &[Candidate<'_>], facts: Facts, root_key: Option<&str>) -> Record {
    let (times, kafka) = match event::choose(candidates, facts) {
        EventTime::Kafka => (Vec::new(), true),
        EventTime::Fields { fields, kafka } => (fields, kafka),
    };
    let key = key::choose(candidates, facts);
    let of_key = match &key {
        Key::Fields(fields) => fields.clone(),
        Key::Message | Key::Root | Key::None => Vec::new(),
    };
    let mut names = Names::default();
    // The event time and the key get their names first, then the others in the order of the message.
    let first: Vec<usize> = times.iter().chain(&of_key).copied().collect();
    let rest: Vec<usize> =
        (0..candidates.len()).filter(|at| !first.contains(at) && is_mentioned(&candidates[*at])).collect();
    let mut named = vec![String::new(); candidates.len()];
    for &at in first.iter().chain(&rest) {
        let before = at.checked_sub(1).map(|before| named[before].clone());
        named[at] = name(&candidates[at], before.unwrap_or_default(), &mut names);
    }
    let list = |fields: &[usize]| fields.iter().map(|at| named[*at].clone()).collect::<Vec<_>>();

    let mut notes = Vec::new();
    let mut fields = Vec::new();
    let make = |at: usize| field(&candidates[at], named[at].clone(), facts.readings);
    let is_alone = times.len() == 1 && !kafka;
    fields.extend(times.iter().map(|at| {
        let field = make(*at);
        // A required field cannot be NULL.
        let required = Field {
            required: true,
            bad_is_null: false,
            nulls: Vec::new(),
            is_comment: false,
            ..field.clone()
        };
        if is_alone { required } else { field }
    }));
    let mut sources = list(&times);
    if kafka {
        let received = received(names.of("received"));
        sources.push(received.name.clone());
        let required = times.is_empty();
        notes.push(describe::without_time(&times, facts));
        fields.push(Field { required, ..received });
    }
    let time = match &*sources {
        [only] => only.clone(),
        _ => {
            let event = coalesced(names.of("event_time"), FieldKind::Timestamp, &sources);
            fields.push(Field { required: true, ..event });
            names_of_last(&fields)
        }
    };
    fields.extend(of_key.iter().map(|at| {
        // Names are texts, whatever they are made of.
        let candidate = &candidates[*at];
        let bad_is_null = kind::bad(&candidate.column, &Kind::Text, &[]) > 0;
        Field { kind: FieldKind::Text, nulls: Vec::new(), bad_is_null, ..make(*at) }
    }));
    let mut key_name = match &*of_key {
        [] => None,
        [only] => Some(named[*only].clone()),
        _ => {
            fields.push(coalesced(names.of("entity"), FieldKind::Text, &list(&of_key)));
            Some(names_of_last(&fields))
        }
    };
    if let Some(map) = root_key {
        let name = names.of_keys(&[map, "key"]);
        if key == Key::Root {
            key_name = Some(name.clone());
        }
        let found = "the key that leads to the reading".into();
        fields.push(Field { found, ..plain(name, FieldKind::Text, Source::From("root.key".into())) });
    }
    if facts.keyed > 0 {
        let is_used = key == Key::Message;
        let name = names.of("message_key");
        key_name = key_name.or_else(|| is_used.then(|| name.clone()));
        let kafka = Source::From("kafka.key".into());
        let found = describe::share(facts.keyed, facts.readings);
        fields.push(Field { is_comment: !is_used, found, ..plain(name, FieldKind::Text, kafka) });
    }
    fields.extend(rest.iter().map(|at| make(*at)));
    if facts.has_timestamps && !kafka {
        let comment = received(names.of("received"));
        fields.push(Field { is_comment: true, ..comment });
    }
    let live = fields.iter_mut().filter(|field| !field.is_comment);
    live.skip(MAX_FIELDS).for_each(|field| field.is_comment = true);
    let proposed: Vec<(&Candidate<'_>, &str)> =
        first.iter().chain(&rest).map(|at| (&candidates[*at], &*named[*at])).collect();
    notes.extend(describe::of_all(&proposed));
    notes.extend(describe::without_key(&key_name));
    Record { fields, time, key: key_name, notes }
}

fn names_of_last(fields: &[Field]) -> String {
    fields.last().map(|field| field.name.clone()).unwrap_or_default()
}

/// Whether a candidate that is neither event time nor key is mentioned: not the second form of a time.
fn is_mentioned(candidate: &Candidate<'_>) -> bool {
    let is_whole_key = candidate.column.place == Place::Key(Vec::new());
    let is_second_time = candidate.is_second && matches!(candidate.kind, Kind::Time(_));
    !is_whole_key && !is_second_time
}

/// A name for a candidate. One for the other values under a key is named after the one `before`.
fn name(candidate: &Candidate<'_>, before: String, names: &mut Names) -> String {
    if candidate.is_second && !before.is_empty() {
        let suffix = match candidate.kind {
            Kind::Number | Kind::Integer => "number",
            Kind::Time(_) => "time",
            Kind::Text | Kind::Boolean => "text",
        };
        return names.of(&format!("{before}_{suffix}"));
    }
    let keys = candidate.column.place.keys();
    match candidate.column.place {
        Place::Key(_) => names.of_keys(&[&format!("key {}", keys.join(" "))]),
        _ => names.of_keys(&keys),
    }
}

/// The field of a candidate.
fn field(candidate: &Candidate<'_>, name: String, readings: usize) -> Field {
    let place = &candidate.column.place;
    let kind = match &candidate.kind {
        Kind::Number => FieldKind::Number,
        Kind::Integer => FieldKind::Integer,
        Kind::Boolean => FieldKind::Boolean,
        Kind::Text => FieldKind::Text,
        Kind::Time(Form::Iso | Form::Declared) => FieldKind::Timestamp,
        Kind::Time(Form::Epoch(unit)) => FieldKind::Count(*unit),
        Kind::Time(Form::Format(format)) => FieldKind::Format(format.clone()),
    };
    let source = match place {
        Place::Reading(path) => Source::Reading(path_of(path)),
        Place::Message(path) => Source::Message(path_of(path)),
        Place::Key(path) => Source::Key(path_of(path)),
        Place::Header(name) => Source::From(format!("kafka.header.{name}")),
    };
    let values = &candidate.column.values;
    let longest = values.iter().map(|(_, leaf)| leaf.length()).max().unwrap_or(0);
    let is_long = matches!(candidate.kind, Kind::Text) && longest > MAX_TEXT;
    let containers = candidate.column.containers as usize;
    let is_rare = values.len() <= containers || candidate.bad >= values.len() + containers;
    Field {
        bad_is_null: candidate.bad > 0,
        nulls: candidate.nulls.clone(),
        // Nothing is known of a field that is always null, and nothing good of one that is always bad.
        is_comment: is_rare || is_long || is_internal(place),
        found: describe::found(candidate, readings),
        notes: describe::notes(candidate),
        ..plain(name, kind, source)
    }
}

/// Headers by which clients and tracers talk to each other.
fn is_internal(place: &Place) -> bool {
    let Place::Header(name) = place else { return false };
    let known = [
        "__",
        "b3",
        "contentType",
        "spring_",
        "traceparent",
        "tracestate",
        "uber-trace",
        "X-B3-",
        "x-datadog",
    ];
    known.iter().any(|start| name.starts_with(start))
}

/// JSON Pointers, or a key at the top that is easier to read without one.
fn path_of(path: &[Step]) -> Vec<String> {
    match path {
        [] => Vec::new(),
        [Step::Key(key)] if !key.is_empty() && !key.starts_with('/') => vec![key.to_string()],
        path => pointers(path),
    }
}

fn plain(name: String, kind: FieldKind, source: Source) -> Field {
    Field {
        name,
        kind,
        source,
        required: false,
        bad_is_null: false,
        nulls: Vec::new(),
        is_comment: false,
        found: String::new(),
        notes: Vec::new(),
    }
}

fn received(name: String) -> Field {
    let found = "when Kafka got the message".into();
    Field { found, ..plain(name, FieldKind::Timestamp, Source::From("kafka.timestamp".into())) }
}

/// The first of some fields that is not NULL.
fn coalesced(name: String, kind: FieldKind, fields: &[String]) -> Field {
    plain(name, kind, Source::Sql(format!("COALESCE({})", fields.join(", "))))
}
