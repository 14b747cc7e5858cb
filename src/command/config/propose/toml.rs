//! Writes a proposal as TOML with comments.

use std::fmt::{self, Display};
use std::path::PathBuf;

use super::proposal::{Field, FieldKind, Format, Input, MessagePart, Proposal, Registry, Source};
use crate::text::printable::printable;
use crate::text::time::Unit;

/// The column at which what was found of a field is written, if its definition is shorter.
const FOUND: usize = 60;

impl Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            comment(f, note)?;
        }
        writeln!(f)?;
        if let Input::File(path) = &self.input {
            writeln!(f, "input = {}", quoted(path))?;
        }
        if self.upsert {
            writeln!(f, "mode = \"upsert\"")?;
        }
        if let Input::Topic { name, brokers } = &self.input {
            let blank = if self.upsert { "\n" } else { "" };
            writeln!(f, "{blank}[kafka]\nbrokers = {}\ntopic = {}", quoted(brokers), quoted(name))?;
        }
        let Some(message) = &self.message else { return Ok(()) };
        write!(f, "\n{message}\n[record]\n")?;
        self.fields.iter().try_for_each(|field| write!(f, "{field}"))
    }
}

impl Display for MessagePart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Format { name, separator, columns, registry } = &self.format;
        writeln!(f, "[message]\nformat = {}", quoted(name))?;
        if let Some(separator) = separator {
            writeln!(f, "separator = {}", quoted(&separator.to_string()))?;
        }
        if let Some(columns) = columns {
            writeln!(f, "columns = {}", list(columns))?;
        }
        if let Some(registry) = registry {
            let Registry { url, user, password_file, authority } = registry;
            match url {
                Some(url) => writeln!(f, "registry = {}", quoted(url))?,
                None => {
                    writeln!(f, "registry = \"http://127.0.0.1:8081\"  # the URL of your schema registry")?
                }
            }
            let path = |path: &PathBuf| quoted(&path.display().to_string());
            let others = [
                ("registry_user", user.as_ref().map(|user| quoted(user))),
                ("registry_password_file", password_file.as_ref().map(path)),
                ("registry_ca", authority.as_ref().map(path)),
            ];
            for (key, value) in others {
                if let Some(value) = value {
                    writeln!(f, "{key} = {value}")?;
                }
            }
        }
        if !self.root.is_empty() {
            writeln!(f, "root = {}", one_or_list(&self.root))?;
        }
        writeln!(f, "preset = \"none\"\ntime = {}", quoted(&self.time))?;
        match &self.key {
            Some(key) => writeln!(f, "key = {}", quoted(key)),
            None => Ok(()),
        }
    }
}

impl Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for note in &self.notes {
            comment(f, note)?;
        }
        let definition =
            format!("{}{} = {}", if self.is_comment { "# " } else { "" }, self.name, self.value());
        if self.found.is_empty() {
            return writeln!(f, "{definition}");
        }
        writeln!(f, "{definition:FOUND$}  # {}", printable(&self.found))
    }
}

impl Field {
    /// The value in TOML.
    fn value(&self) -> String {
        let mut parts = Vec::new();
        let mut add = |key: &str, value: String| parts.push(format!("{key} = {value}"));
        let (kind, unit, format) = match &self.kind {
            FieldKind::Number => ("number", None, None),
            FieldKind::Integer => ("integer", None, None),
            FieldKind::Boolean => ("boolean", None, None),
            FieldKind::Text => ("text", None, None),
            FieldKind::Timestamp => ("timestamp", None, None),
            FieldKind::Count(unit) => ("timestamp", Some(unit_name(*unit)), None),
            FieldKind::Format(format) => ("timestamp", None, Some(format)),
        };
        add("type", quoted(kind));
        match &self.source {
            Source::Reading(pointers) if *pointers == [self.name.clone()] => {}
            Source::Reading(pointers) => add("path", one_or_list(pointers)),
            Source::Message(pointers) => {
                add("path", one_or_list(pointers));
                add("in", quoted("message"));
            }
            Source::Key(pointers) => {
                add("from", quoted("kafka.key"));
                if !pointers.is_empty() {
                    add("path", one_or_list(pointers));
                }
            }
            Source::From(from) => add("from", quoted(from)),
            Source::Sql(expression) => add("sql", quoted(expression)),
        }
        if let Some(unit) = unit {
            add("unit", quoted(unit));
        }
        if let Some(format) = format {
            add("format", quoted(format));
        }
        if self.required {
            add("optional", "false".into());
        }
        if !self.nulls.is_empty() {
            add("null", list(&self.nulls));
        }
        if self.bad_is_null {
            add("bad", quoted("null"));
        }
        match &*parts {
            [only] if only.starts_with("type") => quoted(kind),
            _ => format!("{{ {} }}", parts.join(", ")),
        }
    }
}

fn unit_name(unit: Unit) -> &'static str {
    match unit {
        Unit::Seconds => "s",
        Unit::Millis => "ms",
        Unit::Micros => "us",
        Unit::Nanos => "ns",
    }
}

fn comment(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    writeln!(f, "# {}", printable(text))
}

/// A basic string, in one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for char in text.chars() {
        match char {
            '"' | '\\' => quoted.extend(['\\', char]),
            '\t' => quoted.push_str("\\t"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            char if char.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(char))),
            char => quoted.push(char),
        }
    }
    quoted + "\""
}

fn list(texts: &[String]) -> String {
    let quoted: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[{}]", quoted.join(", "))
}

fn one_or_list(texts: &[String]) -> String {
    match texts {
        [one] => quoted(one),
        _ => list(texts),
    }
}
