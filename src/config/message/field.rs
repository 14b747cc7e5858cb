//! One field of the mapping.

use crate::decode::mapping::{FieldMapping, Kafka, Source};
use crate::decode::path::{Path, Pointer};
use crate::text::time::{TimeForm, Unit};
use dataflows::expression::{Expression, Kind};
use dataflows::schema::{Field, FieldType, Schema};

use super::texts::Texts;
use super::written::{Bad, FieldWritten, Format, MessageSettings, TimeUnit, Within};
use crate::config::error::{ConfigError, wrong};
use crate::config::sql;

/// A way into a message from its pointers.
pub(super) fn pointers(place: &str, texts: &Texts) -> Result<Vec<Pointer>, ConfigError> {
    if texts.0.is_empty() {
        return Err(wrong(place, "the list is empty; give at least one JSON Pointer"));
    }
    let parse = |text: &String| Pointer::parse(text).map_err(|bad| wrong(place, format!("`{text}` {bad}")));
    texts.0.iter().map(parse).collect()
}

fn path_of(place: &str, texts: &Texts) -> Result<Path, ConfigError> {
    let mut all = pointers(place, texts)?.into_iter();
    Ok(Path { first: all.next().unwrap_or_default(), then: all.collect() })
}

/// The type of a field: as it is written, that of the preset, or that of its expression.
pub(super) fn type_of(
    name: &str,
    written: &FieldWritten,
    preset: Option<FieldType>,
) -> Result<FieldType, ConfigError> {
    let place = format!("record.{name}");
    match (written.field_type, preset) {
        (Some(given), Some(known)) if given != known => Err(wrong(
            place,
            format!(
                "the preset declares it as {}; leave out `type`, use another name, or set message.preset = \"none\"",
                known.name()
            ),
        )),
        (Some(given), _) => Ok(given),
        (None, Some(known)) => Ok(known),
        (None, None) => {
            Err(wrong(place, "has no type; add `type`: number, integer, boolean, text or timestamp"))
        }
    }
}

/// How a field is read. `schema` has all fields.
pub(super) fn field(
    field: &Field,
    written: &FieldWritten,
    message: &MessageSettings,
    schema: &Schema,
) -> Result<FieldMapping, ConfigError> {
    let place = format!("record.{}", field.name);
    let refuse = |reason: String| Err(wrong(&*place, reason));
    let source = source(&place, field, written, schema)?;
    let is_computed = matches!(source, Source::Computed(_));
    let is_of_kafka = matches!(source, Source::Kafka(Kafka::Timestamp));
    for (key, is_given) in [
        ("null", written.null.is_some()),
        ("unit", written.unit.is_some()),
        ("zone", written.zone.is_some()),
        ("format", written.format.is_some()),
    ] {
        if is_given && is_computed {
            return refuse(format!("a field with `sql` reads no value of the message; leave out `{key}`"));
        }
        if is_given && key != "null" && is_of_kafka {
            return refuse(format!("Kafka's timestamp is a time already; leave out `{key}`"));
        }
        if is_given && key != "null" && field.field_type != FieldType::Timestamp {
            return refuse(format!(
                "`{key}` is for times, but it is a {}; leave it out or set type = \"timestamp\"",
                field.field_type.name()
            ));
        }
    }
    if message.format == Format::Csv {
        check_csv(&place, written, &source)?;
    }
    let mut mapping = FieldMapping::named(&field.name, field.field_type, field.place);
    mapping.source = source;
    mapping.bad_is_null = written.bad == Some(Bad::Null);
    mapping.nulls = written.null.clone().unwrap_or_else(|| message.null.clone());
    mapping.time = time(&place, written)?;
    Ok(mapping)
}

/// Refuses a way that no line of CSV has.
fn check_csv(place: &str, written: &FieldWritten, source: &Source) -> Result<(), ConfigError> {
    if written.within.is_some() {
        return Err(wrong(place, "a line of CSV has no root, so `in` has no meaning; leave it out"));
    }
    match source {
        Source::Value { path, .. } if path.first.0.len() != 1 => {
            let reason = "a value of CSV has no parts, so a path is the name of a column; leave out the slash at \
                          its start, or write ~1 for a slash in a name";
            Err(wrong(place, reason))
        }
        _ => Ok(()),
    }
}

fn time(place: &str, written: &FieldWritten) -> Result<TimeForm, ConfigError> {
    let unit = match written.unit {
        None | Some(TimeUnit::Text) => {
            let form = TimeForm::text(written.zone.as_deref(), written.format.as_deref());
            return form.map_err(|error| wrong(place, error.to_string()));
        }
        Some(TimeUnit::S) => Unit::Seconds,
        Some(TimeUnit::Ms) => Unit::Millis,
        Some(TimeUnit::Us) => Unit::Micros,
        Some(TimeUnit::Ns) => Unit::Nanos,
    };
    if written.zone.is_some() || written.format.is_some() {
        let reason = "`unit` counts since 1970, so it has no `zone` or `format`; leave out one or the other";
        return Err(wrong(place, reason));
    }
    Ok(TimeForm::unit(unit))
}

fn source(
    place: &str,
    field: &Field,
    written: &FieldWritten,
    schema: &Schema,
) -> Result<Source, ConfigError> {
    let refuse = |reason: &str| Err(wrong(place, reason));
    let path = written.path.as_ref().map(|texts| path_of(place, texts)).transpose()?;
    let of_message = written.within == Some(Within::Message);
    match (&written.sql, &written.from) {
        (Some(_), Some(_)) => refuse("has both `sql` and `from`; leave out one of them"),
        (Some(_), None) if path.is_some() || of_message => {
            refuse("a field with `sql` reads no value of the message; leave out `path` and `in`")
        }
        (Some(text), None) => {
            let expression = sql::of_field(place, text, schema)?;
            check_kind(place, field.field_type, &expression)?;
            Ok(Source::Computed(expression))
        }
        (None, Some(_)) if of_message => refuse("has both `from` and `in`; leave out one of them"),
        (None, Some(from)) => of_source(place, from, path, field.field_type),
        (None, None) => {
            let own = || Path { first: Pointer(vec![(&*field.name).into()]), then: Vec::new() };
            Ok(Source::Value { path: path.unwrap_or_else(own), of_message })
        }
    }
}

fn check_kind(place: &str, field_type: FieldType, expression: &Expression) -> Result<(), ConfigError> {
    let fits = match field_type {
        FieldType::Number | FieldType::Integer => matches!(expression.kind(), Kind::Number(_) | Kind::Real),
        FieldType::Boolean => expression.kind() == Kind::Truth,
        FieldType::Text => expression.kind() == Kind::Text,
        FieldType::Timestamp => expression.kind() == Kind::Timestamp,
    };
    if fits {
        return Ok(());
    }
    let (found, wanted) = (expression.kind(), field_type.name());
    Err(wrong(place, format!("its `sql` is {found}, but its type is {wanted}; change one of them")))
}

const SOURCES: &str = "expected kafka.key, kafka.timestamp, kafka.topic, kafka.partition, kafka.offset, \
                       kafka.header.NAME or root.key";

/// What `from` names.
fn of_source(
    place: &str,
    from: &str,
    path: Option<Path>,
    field_type: FieldType,
) -> Result<Source, ConfigError> {
    if path.is_some() && from != "kafka.key" {
        return Err(wrong(place, "only `from = \"kafka.key\"` takes a `path`; leave out one of them"));
    }
    let kafka = match from {
        "root.key" => return Ok(Source::RootKey),
        "kafka.key" => Kafka::Key(path),
        "kafka.timestamp" => Kafka::Timestamp,
        "kafka.topic" => Kafka::Topic,
        "kafka.partition" => Kafka::Partition,
        "kafka.offset" => Kafka::Offset,
        other => match other.strip_prefix("kafka.header.").filter(|name| !name.is_empty()) {
            Some(name) => Kafka::Header(name.into()),
            None => return Err(wrong(place, format!("unknown source `{from}`; {SOURCES}"))),
        },
    };
    let fits = match kafka {
        Kafka::Timestamp => matches!(field_type, FieldType::Timestamp | FieldType::Integer),
        Kafka::Partition | Kafka::Offset => {
            matches!(field_type, FieldType::Integer | FieldType::Number | FieldType::Text)
        }
        Kafka::Topic => field_type == FieldType::Text,
        Kafka::Key(_) | Kafka::Header(_) => true,
    };
    if fits {
        return Ok(Source::Kafka(kafka));
    }
    Err(wrong(place, format!("{from} is no {}; change `type`", field_type.name())))
}
