//! Merges file, variables and flags; later ones override earlier ones.

use std::path::Path;

use super::error::ConfigError;
use super::place::Places;
use super::raw::Config;
use super::variables::keys_of;

/// Reads the file, then the variables, then `flags` (`key = value` with dotted keys). Also returns where keys were set.
pub(super) fn load(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    flags: Vec<(String, toml::Value)>,
) -> Result<(Config, Places), ConfigError> {
    let Some(path) = file else { return read("", "", variables, flags) };
    let text = read_file(path)?;
    let (mut config, places) = read(&text, &path.display().to_string(), variables, flags)?;
    // Paths of [message] and of the views begin at the folder of the file; without one, at the working directory.
    let folder = match path.to_str() {
        Some("/dev/stdin") => Path::new(""),
        _ => path.parent().unwrap_or(Path::new("")),
    };
    let message = &mut config.message;
    let paths = [&mut message.schema, &mut message.registry_ca, &mut message.registry_password_file];
    for path in paths.into_iter().flatten().chain(&mut config.views) {
        *path = folder.join(&*path);
    }
    Ok((config, places))
}

/// Like [`load`], with the text of the file; `name` is used in errors.
pub(super) fn read(
    text: &str,
    name: &str,
    variables: impl Iterator<Item = (String, String)>,
    flags: Vec<(String, toml::Value)>,
) -> Result<(Config, Places), ConfigError> {
    // Checked alone first, so that an error has its line.
    if let Err(error) = toml::from_str::<Config>(text) {
        let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
        let place = format!("{name} line {line}");
        return Err(ConfigError::Parse { place, reason: one_line(error.message()) });
    }
    let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Parse {
        place: name.to_owned(),
        reason: one_line(error.message()),
    })?;
    let mut places = Places::of_file(name, text);
    let mut override_key = |place: String, key: &str, value| {
        places.set(key, &place);
        set(&mut table, key, value)
            .and_then(|()| check(&table))
            .map_err(|reason| ConfigError::Parse { place, reason })
    };
    for (key, name, value) in keys_of(variables) {
        let value = value_of(&key, &value);
        override_key(name, &key, value)?;
    }
    for (key, value) in flags {
        override_key(format!("--set {key}"), &key, value)?;
    }
    let config: Config = table.try_into().map_err(|error: toml::de::Error| ConfigError::Parse {
        place: "flags".into(),
        reason: one_line(error.message()),
    })?;
    Ok((config, places))
}

pub(super) fn read_file(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

/// The text of a variable as a TOML value, or else as a string.
fn parse_value(text: &str) -> toml::Value {
    let parsed = format!("v = {text}").parse::<toml::Table>().ok();
    parsed.and_then(|mut table| table.remove("v")).unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// The text of a variable or flag as the value of `key`. librdkafka properties stay strings, so that a password
/// of digits does not become a number.
pub fn value_of(key: &str, text: &str) -> toml::Value {
    match parse_value(text) {
        toml::Value::String(text) => toml::Value::String(text),
        _ if key.starts_with("kafka.propert") => toml::Value::String(text.to_owned()),
        value => value,
    }
}

/// Sets a dotted key.
fn set(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<(), String> {
    // The rest of the key is the name of one librdkafka property, including its dots.
    let property = ["kafka.properties.", "kafka.property_files."].into_iter().find_map(|table| {
        let name = key.strip_prefix(table)?;
        Some((table.split_terminator('.').collect(), name))
    });
    let (path, last): (Vec<&str>, &str) = match property {
        Some(property) => property,
        None => {
            let mut path: Vec<&str> = key.split('.').collect();
            let last = path.pop().unwrap_or_default();
            (path, last)
        }
    };
    let mut at = table;
    for step in path {
        at = at
            .entry(step)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("`{step}` is not a table"))?;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

fn check(table: &toml::Table) -> Result<(), String> {
    table.clone().try_into::<Config>().map(drop).map_err(|error| one_line(error.message()))
}

/// The terms of Rust and serde in the parser's messages, and their names in TOML.
const TERMS: [(&str, &str); 6] = [
    ("unknown field ", "unknown key "),
    ("missing field ", "missing key "),
    ("unknown variant ", "unknown value "),
    ("invalid type: map", "invalid type: table"),
    ("invalid type: sequence", "invalid type: list"),
    (", expected ", "; expected "),
];

/// The same for the expected type, at the end of the message.
const EXPECTED: [(&str, &str); 6] = [
    ("expected path string", "expected a path"),
    ("expected usize", "expected an integer of at least 0"),
    ("expected u64", "expected an integer of at least 0"),
    ("expected a sequence", "expected a list"),
    ("expected a map", "expected a table"),
    ("expected a boolean", "expected true or false"),
];

/// The parser's message in one line, without the string that it found, which may be a secret. The line of the error
/// is enough to find it.
fn one_line(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    const FOUND: &str = "string \"";
    if let Some(at) = text.find(FOUND)
        && let Some(length) = text[at + FOUND.len()..].rfind('"')
    {
        text.replace_range(at..at + FOUND.len() + length + 1, "a string");
    }
    for (theirs, ours) in TERMS {
        text = text.replacen(theirs, ours, 1);
    }
    match EXPECTED.iter().find_map(|(theirs, ours)| Some((text.strip_suffix(theirs)?, ours))) {
        Some((before, ours)) => format!("{before}{ours}"),
        None => text,
    }
}
