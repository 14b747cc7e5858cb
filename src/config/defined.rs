//! User-defined views and correlations.

use std::fmt;

use dataflows::schema::{FieldType, Place};
use dataflows::views::{Axis, Correlation, Settings, View};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::error::{ConfigError, wrong};
use super::names::{CORRELATION_COLUMNS, RESERVED_COLUMNS, is_one_of};

/// An entry of `views`: the name of a built-in view, or a definition.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ViewEntry {
    /// The name of a built-in view.
    Name(String),
    /// A user-defined view.
    Definition(ViewDefinition),
}

/// `[[views]]`: a user-defined view.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ViewDefinition {
    /// The name in the configuration, in metrics and of the CSV file.
    pub name: String,
    /// Which readings the view contains; absent: all.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The columns: a field, or `expression AS name`.
    pub columns: Vec<String>,
    /// The table; absent: `TRUCK_` and the name in capitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Whether it is filled from the beginning of the topic when it is added to an existing job.
    #[serde(default)]
    pub backfill: bool,
}

/// `[[correlations]]`: a user-defined correlation.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CorrelationDefinition {
    /// The name in the configuration, in metrics and of the CSV file.
    pub name: String,
    /// The field of the first axis: a number, or `timestamp`.
    pub x: String,
    /// The field of the second axis: a number.
    pub y: String,
    /// The table; absent: `TRUCK_` and the name in capitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Whether it is filled from the beginning of the topic when it is added to an existing job.
    #[serde(default)]
    pub backfill: bool,
}

// By hand, so that the error names an unknown key of a definition: serde's untagged enums only report that no
// variant matches.
impl<'de> Deserialize<'de> for ViewEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entry;
        impl<'de> Visitor<'de> for Entry {
            type Value = ViewEntry;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the name of a view, or a table that defines one")
            }

            fn visit_str<E>(self, name: &str) -> Result<ViewEntry, E> {
                Ok(ViewEntry::Name(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ViewEntry, A::Error> {
                ViewDefinition::deserialize(MapAccessDeserializer::new(map)).map(ViewEntry::Definition)
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

/// Applies a flag or variable to `views`. Names replace the names selected before; definitions are added to those
/// of the file.
pub(super) fn select(
    table: &mut toml::Table,
    value: toml::Value,
    selected: &mut Vec<String>,
) -> Result<(), String> {
    let entries = match value {
        toml::Value::Array(entries) => entries,
        toml::Value::String(list) => {
            list.split(',').map(|name| toml::Value::String(name.trim().to_owned())).collect()
        }
        other => return Err(format!("{other} is not a list of views; give names separated by commas")),
    };
    let (names, definitions): (Vec<_>, Vec<_>) = entries.into_iter().partition(toml::Value::is_str);
    if definitions.is_empty() || !names.is_empty() {
        let names = names.iter().filter_map(toml::Value::as_str);
        *selected = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    }
    let views = table.entry("views").or_insert_with(|| toml::Value::Array(Vec::new()));
    views.as_array_mut().ok_or("`views` is not a list")?.extend(definitions);
    Ok(())
}

/// The table of a user-defined view or correlation.
fn table_of(name: &str, table: &Option<String>) -> String {
    table.clone().unwrap_or_else(|| format!("TRUCK_{}", name.to_uppercase()))
}

impl ViewDefinition {
    /// Its table.
    pub fn table(&self) -> String {
        table_of(&self.name, &self.table)
    }
}

impl CorrelationDefinition {
    /// Its table.
    pub fn table(&self) -> String {
        table_of(&self.name, &self.table)
    }

    /// The view of this correlation.
    pub fn view(&self, settings: &Settings) -> Result<View, ConfigError> {
        let (x, y) = self.axes(settings)?;
        let (name, table) = (self.name.clone().into(), self.table().into());
        Ok(Correlation { name, table, x, y }.view(settings))
    }

    /// The two fields that it correlates.
    pub fn axes(&self, settings: &Settings) -> Result<(Axis, Axis), ConfigError> {
        let (x, y) = (self.axis("x", &self.x, settings)?, self.axis("y", &self.y, settings)?);
        let place = format!("correlations.{}", self.name);
        if x == y {
            return Err(wrong(place, format!("x and y are both `{}`; give two fields", self.x)));
        }
        if y == Axis::Time {
            return Err(wrong(
                place,
                format!("y is `timestamp`; swap them: x = \"timestamp\", y = \"{}\"", self.x),
            ));
        }
        Ok((x, y))
    }

    fn axis(&self, key: &str, name: &str, settings: &Settings) -> Result<Axis, ConfigError> {
        let schema = &settings.schema;
        let fail = |reason: String| {
            let numbers = schema.fields().iter().filter(|field| field.field_type == FieldType::Number);
            let known: Vec<&str> =
                std::iter::once(&**schema.time()).chain(numbers.map(|field| &*field.name)).collect();
            wrong(
                format!("correlations.{} {key}", self.name),
                format!("{reason}; expected one of {}, or a number declared in [record]", known.join(", ")),
            )
        };
        if is_one_of(&RESERVED_COLUMNS, name) || is_one_of(&CORRELATION_COLUMNS, name) {
            return Err(fail(format!("`{name}` is another column of its table")));
        }
        match schema.field(name).map(|field| (field.field_type, field.place)) {
            Some((_, Place::Time)) => Ok(Axis::Time),
            Some((FieldType::Number, Place::Units(column))) => Ok(Axis::Number(column)),
            Some(_) => Err(fail(format!("`{name}` is not a number"))),
            None => Err(fail(format!("unknown field `{name}`"))),
        }
    }
}
