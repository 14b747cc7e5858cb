//! The mapping that decoders use.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::decode::mapping::{self, EACH, FieldMapping, Mapping, Only, Source};
use crate::decode::path::Pointer;
use crate::decode::protobuf::ProtobufSchema;
use crate::decode::{Schema, SchemaFormat};
use crate::registry::{Login, RegistryOptions};
use dataflows::schema::{self, FieldType};
use dataflows::views::Mode;

use super::field::{field, pointers, type_of};
use super::texts::Texts;
use super::written::{Bad, FieldWritten, Format, MessageSettings, Preset};
use crate::config::error::{ConfigError, wrong};
use crate::config::names::is_column_name;
use crate::config::raw::Config;
use crate::config::sql;

/// A field that the record will have.
struct Wanted {
    name: String,
    field_type: FieldType,
    written: FieldWritten,
    /// Whether the preset declares it.
    of_preset: bool,
    /// Whether it is in `[record]`.
    is_written: bool,
}

/// The mapping of a configuration.
pub fn mapping(config: &Config) -> Result<Mapping, ConfigError> {
    let message = &config.message;
    check_keys(config)?;
    let preset = match message.preset {
        Preset::Trucks => Some(Mapping::trucks()),
        Preset::Orientation => Some(Mapping::orientation()),
        Preset::None => None,
    };
    let wanted = wanted(config, preset.as_ref())?;
    let time = time(config, &wanted)?;
    let key = key(config, &wanted)?;
    let schema = schema_of(&wanted, &time, key.as_deref());
    let mut fields = Vec::with_capacity(wanted.len());
    // The order in which errors are reported, and for each field its place in the order of declaration.
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by_key(|&index| {
        let one = &wanted[index];
        (one.name != time, one.is_written || !one.of_preset)
    });
    for &index in &order {
        let one = &wanted[index];
        fields.push(compiled(one, &schema, preset.as_ref(), message, one.name == time)?);
    }
    let position = |index: usize| order.iter().position(|&at| at == index);
    let is_computed = |index: &usize| matches!(fields[*index].source, Source::Computed(_));
    let computed: Vec<usize> = (0..wanted.len()).filter_map(position).filter(is_computed).collect();
    check_order(&fields, &computed)?;
    let root = root(config)?;
    let has_each = root.iter().any(|pointer| pointer.0.iter().any(|part| **part == *EACH));
    if let Some(field) =
        fields.iter().find(|field| matches!(field.source, Source::RootKey)).filter(|_| !has_each)
    {
        let reason =
            "reads root.key, but message.root has no `*`; add one to the root, or leave out the field";
        return Err(wrong(format!("record.{}", field.name), reason));
    }
    if config.mode == Mode::Upsert && has_each {
        let reason = "has a `*`, but with mode = \"upsert\" a message is one reading; leave out the `*`";
        return Err(wrong("message.root", reason));
    }
    Ok(Mapping {
        only: only(config, &schema, &fields, &computed)?,
        key: key.and_then(|key| fields.iter().position(|field| *field.name == *key)),
        format: format(config)?,
        schema,
        root,
        fields,
        computed,
    })
}

/// The fields in the order of their declaration: those of the preset, then those of `[record]`.
fn wanted(config: &Config, preset: Option<&Mapping>) -> Result<Vec<Wanted>, ConfigError> {
    let mut seen = BTreeSet::new();
    let mut wanted = Vec::new();
    let declared: &[FieldMapping] = preset.map_or(&[], |preset| &preset.fields);
    for field in declared {
        let entry = config.record.get(&*field.name);
        let written = entry.map(|entry| entry.written()).unwrap_or_default();
        let field_type = type_of(&field.name, &written, Some(field.field_type))?;
        let (name, is_written) = (field.name.to_string(), entry.is_some());
        seen.insert(name.to_lowercase());
        wanted.push(Wanted { name, field_type, written, of_preset: true, is_written });
    }
    for (name, entry) in &config.record {
        let place = format!("record.{name}");
        if wanted.iter().any(|one| one.name == *name) {
            continue;
        }
        if !is_column_name(name) {
            return Err(wrong(place, "use letters, digits and `_`, at most 60, not starting with a digit"));
        }
        if !seen.insert(name.to_lowercase()) {
            let reason = "another field differs only in case, which SQL ignores; rename one of them";
            return Err(wrong(place, reason));
        }
        let written = entry.written();
        let field_type = type_of(name, &written, None)?;
        let name = name.clone();
        wanted.push(Wanted { name, field_type, written, of_preset: false, is_written: true });
    }
    // Fields of the preset that are in [record] have their place there.
    let place = |one: &Wanted| config.record.get_index_of(&one.name).map_or(0, |at| at + 1);
    wanted.sort_by_key(place);
    Ok(wanted)
}

/// The name of the event time.
fn time(config: &Config, wanted: &[Wanted]) -> Result<String, ConfigError> {
    let name = config.message.time.as_deref().unwrap_or("timestamp");
    match wanted.iter().find(|one| one.name == name) {
        Some(one) if one.field_type == FieldType::Timestamp => Ok(name.to_owned()),
        Some(one) => Err(wrong(
            "message.time",
            format!("`{name}` is a {}; name a field of type timestamp", one.field_type.name()),
        )),
        None => Err(wrong(
            "message.time",
            format!("the record has no field `{name}`; {}", available(wanted, Some(FieldType::Timestamp))),
        )),
    }
}

/// The name of the field that names the entity, if there is one.
fn key(config: &Config, wanted: &[Wanted]) -> Result<Option<String>, ConfigError> {
    let has = |name: &str| wanted.iter().any(|one| one.name == name);
    match &config.message.key {
        None => Ok(has("truck_id").then(|| "truck_id".to_owned())),
        Some(name) if has(name) => Ok(Some(name.clone())),
        Some(name) => Err(wrong(
            "message.key",
            format!("the record has no field `{name}`; {}", available(wanted, None)),
        )),
    }
}

fn available(wanted: &[Wanted], field_type: Option<FieldType>) -> String {
    let fits = |one: &&Wanted| field_type.is_none_or(|field_type| one.field_type == field_type);
    let names: Vec<&str> = wanted.iter().filter(fits).map(|one| one.name.as_str()).collect();
    match names.is_empty() {
        true => "declare one in [record]".into(),
        false => format!("expected one of {}", names.join(", ")),
    }
}

/// The schema: the preset's columns in their order, then the others.
fn schema_of(wanted: &[Wanted], time: &str, key: Option<&str>) -> schema::Schema {
    let mut schema = schema::Schema::new(time);
    let (of_preset, others): (Vec<_>, Vec<_>) = wanted.iter().partition(|one| one.of_preset);
    let others = others.into_iter().filter(|one| one.name != time);
    let order = ["distance_covered", "engine_speed", "fuel_consumed", "truck_id"];
    let mut of_preset: Vec<_> = of_preset.into_iter().filter(|one| one.name != time).collect();
    of_preset.sort_by_key(|one| order.iter().position(|name| *name == one.name));
    for one in of_preset.into_iter().chain(others) {
        // Only the preset's `truck_id` is never NULL.
        schema = match one.of_preset && one.name == "truck_id" && key == Some("truck_id") {
            true => schema.with_entity(&one.name),
            false => schema.with(&one.name, one.field_type),
        };
    }
    match key {
        Some(key) => schema.with_key(key),
        None => schema,
    }
}

/// How a field is read.
fn compiled(
    one: &Wanted,
    schema: &schema::Schema,
    preset: Option<&Mapping>,
    message: &MessageSettings,
    is_time: bool,
) -> Result<FieldMapping, ConfigError> {
    let place = format!("record.{}", one.name);
    let declared = schema.field(&one.name).expect("the schema has every field");
    let of_preset = preset.and_then(|preset| preset.fields.iter().find(|field| *field.name == *one.name));
    let mut mapping = field(declared, &one.written, message, schema)?;
    let written = &one.written;
    if let Some(preset) = of_preset {
        let is_moved = written.path.is_some() || written.from.is_some() || written.sql.is_some();
        if !is_moved {
            mapping.source = preset.source.clone();
        }
        if !is_moved && written.unit.is_none() && written.zone.is_none() && written.format.is_none() {
            mapping.time = preset.time.clone();
        }
        mapping.or_key = preset.or_key;
    }
    mapping.required = match written.optional {
        Some(true) if is_time => {
            return Err(wrong(place, "event time is always required; leave out `optional`"));
        }
        Some(optional) => !optional,
        None => is_time || of_preset.is_some_and(|preset| preset.required),
    };
    if mapping.required && written.bad == Some(Bad::Null) {
        let reason = "is required, so a bad value cannot be NULL; leave out `bad`, or set optional = true";
        return Err(wrong(place, reason));
    }
    Ok(mapping)
}

fn root(config: &Config) -> Result<Vec<Pointer>, ConfigError> {
    let Some(texts) = &config.message.root else { return Ok(Vec::new()) };
    let root = pointers("message.root", texts)?;
    if config.message.format == Format::Csv {
        return Err(wrong("message.root", "a line of CSV has no root; leave it out"));
    }
    // The whole message.
    if *texts == Texts(vec![String::new()]) {
        return Ok(Vec::new());
    }
    Ok(root)
}

fn only(
    config: &Config,
    schema: &schema::Schema,
    fields: &[FieldMapping],
    computed: &[usize],
) -> Result<Option<Only>, ConfigError> {
    let Some(text) = &config.message.only else { return Ok(None) };
    let condition = sql::condition("message.only", text, schema)?;
    let mut is_used: Vec<bool> = fields.iter().map(|field| condition.uses(field.place)).collect();
    // A computed field uses only those above it.
    for &index in computed.iter().rev() {
        if let (Source::Computed(expression), true) = (&fields[index].source, is_used[index]) {
            for (field, is_used) in fields.iter().zip(&mut is_used) {
                *is_used |= expression.uses(field.place);
            }
        }
    }
    let uses = (0..fields.len()).filter(|&index| is_used[index]).collect();
    Ok(Some(Only { condition, uses }))
}

/// Refuses a computed field that uses itself or one that is computed below it.
fn check_order(fields: &[FieldMapping], computed: &[usize]) -> Result<(), ConfigError> {
    for (place, &index) in computed.iter().enumerate() {
        let Source::Computed(expression) = &fields[index].source else { continue };
        let is_late = |&&later: &&usize| expression.uses(fields[later].place);
        if let Some(&later) = computed[place..].iter().find(is_late) {
            let reason = match later == index {
                true => "it uses itself; name the field with its value differently".to_owned(),
                false => format!(
                    "it uses `{0}`, which is computed below it; move `{0}` above it",
                    fields[later].name
                ),
            };
            return Err(wrong(format!("record.{} sql", fields[index].name), reason));
        }
    }
    Ok(())
}

fn format(config: &Config) -> Result<mapping::Format, ConfigError> {
    let message = &config.message;
    match message.format {
        Format::Csv => Ok(mapping::Format::Csv {
            separator: separator(message.separator.as_deref())?,
            columns: message.columns.clone(),
        }),
        Format::Auto => Ok(mapping::Format::Text),
        Format::Json if message.registry.is_none() => Ok(mapping::Format::Text),
        Format::Json => Ok(mapping::Format::Registry(SchemaFormat::Json)),
        Format::Avro | Format::Protobuf => of_schema(config),
    }
}

/// The schema registry of a configuration, if messages have schemas there.
pub fn registry(config: &Config, format: SchemaFormat) -> Option<RegistryOptions> {
    let message = &config.message;
    let login = message
        .registry_user
        .clone()
        .map(|user| Login { user, password_file: message.registry_password_file.clone() });
    let (urls, authority) = (message.registry.clone()?, message.registry_ca.clone());
    Some(RegistryOptions { urls, format, login, authority })
}

/// The schema of a file, or those of a registry.
fn of_schema(config: &Config) -> Result<mapping::Format, ConfigError> {
    let message = &config.message;
    let (format, name) = match message.format {
        Format::Avro => (SchemaFormat::Avro, "avro"),
        _ => (SchemaFormat::Protobuf, "protobuf"),
    };
    let path = match (&message.schema, &message.registry) {
        (Some(_), Some(_)) => {
            return Err(wrong("message.schema", "message.registry is set as well; leave out one of them"));
        }
        (None, None) => {
            let reason =
                format!("format = \"{name}\" needs a schema; set message.registry or message.schema");
            return Err(wrong("message.format", reason));
        }
        (None, Some(_)) => return Ok(mapping::Format::Registry(format)),
        (Some(path), None) => path,
    };
    let cannot = |reason: String| wrong("message.schema", format!("{}: {reason}", path.display()));
    let bytes = std::fs::read(path).map_err(|error| cannot(format!("{error}; give a readable file")))?;
    let schema = match format {
        SchemaFormat::Avro => {
            let text =
                String::from_utf8(bytes).map_err(|_| cannot("it is not UTF-8 text; give JSON".into()))?;
            Schema::parse(SchemaFormat::Avro, &text, &[])
        }
        _ => {
            let Some(message_type) = &message.message_type else {
                let reason = "is not set; name a message of the descriptor set, such as \"fleet.Position\"";
                return Err(wrong("message.message_type", reason));
            };
            ProtobufSchema::of_descriptor_set(&bytes, message_type).map(Schema::Protobuf)
        }
    };
    let schema = schema.map_err(|error| cannot(format!("{error}; correct the schema")))?;
    Ok(mapping::Format::Schema(Arc::new(schema)))
}

fn separator(text: Option<&str>) -> Result<u8, ConfigError> {
    match text.map(str::as_bytes) {
        None => Ok(b','),
        Some([byte]) if byte.is_ascii() && !b"\"\r\n".contains(byte) => Ok(*byte),
        Some(_) => Err(wrong("message.separator", "give one character other than a quote, such as \";\"")),
    }
}

/// Refuses keys that other keys give no meaning.
fn check_keys(config: &Config) -> Result<(), ConfigError> {
    let message = &config.message;
    let format = message.format;
    let is_csv = format == Format::Csv;
    let has_schema = matches!(format, Format::Avro | Format::Protobuf);
    let takes_registry = has_schema || format == Format::Json;
    for (key, is_given, fits, needs) in [
        ("columns", message.columns.is_some(), is_csv, "format = \"csv\""),
        ("separator", message.separator.is_some(), is_csv, "format = \"csv\""),
        ("registry", message.registry.is_some(), takes_registry, "format avro, protobuf or json"),
        ("registry_user", message.registry_user.is_some(), message.registry.is_some(), "message.registry"),
        (
            "registry_password_file",
            message.registry_password_file.is_some(),
            message.registry_user.is_some(),
            "message.registry_user",
        ),
        ("registry_ca", message.registry_ca.is_some(), message.registry.is_some(), "message.registry"),
        ("schema", message.schema.is_some(), has_schema, "format avro or protobuf"),
        (
            "message_type",
            message.message_type.is_some(),
            format == Format::Protobuf && message.schema.is_some(),
            "format = \"protobuf\" and message.schema",
        ),
    ] {
        if is_given && !fits {
            return Err(wrong(format!("message.{key}"), format!("is for {needs}; leave it out")));
        }
    }
    if message.columns.as_ref().is_some_and(Vec::is_empty) {
        return Err(wrong("message.columns", "is empty; name the values of a line, or leave it out"));
    }
    if is_csv && config.key_separator.is_some() {
        return Err(wrong("key_separator", "a line of CSV has no key; leave it out"));
    }
    let is_binary = has_schema || message.registry.is_some();
    if is_binary && config.input.is_some() {
        let reason = "messages with a schema come from Kafka; Avro container files and the like are not supported: leave out --input";
        return Err(wrong("message.format", reason));
    }
    if is_csv && config.embedded {
        return Err(wrong("embedded", "the embedded broker is not fed from CSV; leave out --embedded"));
    }
    Ok(())
}
