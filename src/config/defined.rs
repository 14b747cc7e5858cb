//! What a job defines for itself: fields of its readings, views and correlations; and which names are
//! free for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use dataflows::batch::{FieldSpec, FieldType, Measure};
use dataflows::views::{self, Axis, Correlation, Settings, View};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::{Config, ConfigError};

/// An entry of `views`: the name of a built-in one, or a definition.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum ViewEntry {
    /// The name of a built-in view.
    Name(String),
    /// A view of the job's own.
    Own(OwnView),
}

/// `[[views]]`: a view of the job's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnView {
    /// The name in configuration, metrics and of the CSV file.
    pub name: String,
    /// The condition that readings have to meet; absent: all are in it.
    #[serde(rename = "where", default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The columns: a field, or `expression AS name`.
    pub columns: Vec<String>,
    /// The table; absent: `TRUCK_` and the name in capitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Whether it begins at the topic's beginning when it comes to a job that runs already.
    #[serde(default)]
    pub backfill: bool,
}

/// `[[correlations]]`: a correlation of the job's own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnCorrelation {
    /// The name in configuration, metrics and of the CSV file.
    pub name: String,
    /// The field of the first axis: a number, or `timestamp`.
    pub x: String,
    /// The field of the second axis: a number.
    pub y: String,
    /// The table; absent: `TRUCK_` and the name in capitals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// Whether it begins at the topic's beginning when it comes to a job that runs already.
    #[serde(default)]
    pub backfill: bool,
}

// By hand, so that an unknown key of a definition is named: serde's untagged enums say only that
// nothing fits.
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
                OwnView::deserialize(MapAccessDeserializer::new(map)).map(ViewEntry::Own)
            }
        }
        deserializer.deserialize_any(Entry)
    }
}

/// What a flag or variable says of `views`: names select, and replace the names selected before;
/// definitions are added to those of the file.
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
        other => return Err(format!("{other} is no list of views; give names separated by commas")),
    };
    let (names, definitions): (Vec<_>, Vec<_>) = entries.into_iter().partition(toml::Value::is_str);
    if definitions.is_empty() || !names.is_empty() {
        let names = names.iter().filter_map(toml::Value::as_str);
        *selected = names.filter(|name| !name.is_empty()).map(str::to_owned).collect();
    }
    let views = table.entry("views").or_insert_with(|| toml::Value::Array(Vec::new()));
    views.as_array_mut().ok_or("`views` is no list")?.extend(definitions);
    Ok(())
}

/// The fields that every reading has.
pub const SEED_FIELDS: [&str; 5] = [
    "timestamp",
    "truck_id",
    Measure::DistanceCovered.name(),
    Measure::EngineSpeed.name(),
    Measure::FuelConsumed.name(),
];

/// Columns that tables and files have beside a view's.
pub const TAKEN_COLUMNS: [&str; 3] = ["id", "row_key", "change"];

/// The columns of a correlation beside its axes.
const CORRELATION_COLUMNS: [&str; 3] = ["correlation", "samples", "time_elapsed"];

/// Whether a text is a name of columns and fields: letters, digits and `_`, at most 60, no digit first.
pub fn is_column_name(name: &str) -> bool {
    (1..=60).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}

fn is_view_name(name: &str) -> bool {
    (1..=48).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        && name.as_bytes()[0].is_ascii_lowercase()
}

fn is_table_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !name.as_bytes()[0].is_ascii_digit()
}

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// A fault of a definition.
pub(crate) fn wrong(place: impl Into<String>, reason: impl Into<String>) -> ConfigError {
    ConfigError::Defined { place: place.into(), reason: reason.into() }
}

/// The table of a definition.
fn table_of(name: &str, table: &Option<String>) -> String {
    table.clone().unwrap_or_else(|| format!("TRUCK_{}", name.to_uppercase()))
}

impl OwnView {
    /// Its table.
    pub fn table(&self) -> String {
        table_of(&self.name, &self.table)
    }
}

impl OwnCorrelation {
    /// Its table.
    pub fn table(&self) -> String {
        table_of(&self.name, &self.table)
    }

    /// The view that keeps it.
    pub fn view(&self, settings: &Settings) -> Result<View, ConfigError> {
        let (x, y) = self.axes(settings)?;
        let (name, table) = (self.name.clone().into(), self.table().into());
        Ok(Correlation { name, table, x, y }.view(settings))
    }

    /// What it correlates.
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

    fn axis(&self, key: &str, field: &str, settings: &Settings) -> Result<Axis, ConfigError> {
        let fail = |reason: &str| {
            let numbers = settings.fields.iter().filter(|field| field.field_type == FieldType::Number);
            let there: Vec<&str> = std::iter::once("timestamp")
                .chain(Measure::ALL.map(Measure::name))
                .chain(numbers.map(|field| &*field.name))
                .collect();
            wrong(
                format!("correlations.{} {key}", self.name),
                format!("`{field}` {reason}; there are {}, and what [record] declares", there.join(", ")),
            )
        };
        if field == "timestamp" {
            return Ok(Axis::Time);
        }
        if let Some(measure) = Measure::ALL.into_iter().find(|measure| measure.name() == field) {
            return Ok(Axis::Measure(measure));
        }
        if is_one_of(&TAKEN_COLUMNS, field) || is_one_of(&CORRELATION_COLUMNS, field) {
            return Err(fail("is the name of another column of its table"));
        }
        match settings.fields.iter().position(|declared| &*declared.name == field) {
            None => Err(fail("is no field")),
            Some(place) if settings.fields[place].field_type == FieldType::Number => Ok(Axis::Extra(place)),
            Some(_) => Err(fail("is no number")),
        }
    }
}

/// The declared fields, in the order of their names.
pub(super) fn fields(record: &BTreeMap<String, FieldType>) -> Result<Arc<[FieldSpec]>, ConfigError> {
    let mut seen = BTreeSet::new();
    for name in record.keys() {
        let place = format!("record.{name}");
        if !is_column_name(name) {
            return Err(wrong(place, "give a name of letters, digits and `_`, at most 60, no digit first"));
        }
        if is_one_of(&SEED_FIELDS, name) {
            return Err(wrong(place, "every reading has this field; declare only those beyond it"));
        }
        if !seen.insert(name.to_lowercase()) {
            return Err(wrong(
                place,
                "another field differs only in capitals, which SQL does not tell apart",
            ));
        }
    }
    Ok(record
        .iter()
        .map(|(name, &field_type)| FieldSpec { name: name.as_str().into(), field_type })
        .collect())
}

/// The names of the views that a job could keep.
pub(super) struct Names(Vec<String>);

impl Names {
    /// Refuses a name that no view has.
    pub(super) fn check_known<'a>(
        &self,
        key: &'static str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ConfigError> {
        match names.into_iter().find(|name| !self.0.iter().any(|known| known == name)) {
            None => Ok(()),
            Some(name) => Err(ConfigError::Value {
                key,
                value: name.to_owned(),
                reason: format!("no such view; there are {}", self.0.join(", ")),
            }),
        }
    }
}

impl Config {
    /// The views that the file defines.
    pub fn own_views(&self) -> impl Iterator<Item = &OwnView> {
        self.views.iter().filter_map(|entry| match entry {
            ViewEntry::Own(view) => Some(view),
            ViewEntry::Name(_) => None,
        })
    }

    /// Whether a view begins at the topic's beginning when it comes to a job that runs already.
    pub fn is_backfilled(&self, view: &str) -> bool {
        self.own_views().any(|own| own.name == view && own.backfill)
            || self.correlations.iter().any(|own| own.name == view && own.backfill)
    }

    /// The names of all views, built-in and defined; refuses those that are not free.
    pub(super) fn names(&self) -> Result<Names, ConfigError> {
        let built_in = views::all(&Settings::default());
        let mut names: Vec<String> = views::NAMES.iter().map(|&name| name.into()).collect();
        let mut tables: Vec<String> = built_in.iter().map(|view| view.table.to_string()).collect();
        // An upsert job keeps its readings under this name.
        let kept_readings = views::readings_view(&Settings::default()).name;
        let own_views = self.own_views().map(|own| ("views", &own.name, own.table()));
        let own_correlations = self.correlations.iter().map(|own| ("correlations", &own.name, own.table()));
        for (key, name, table) in own_correlations.chain(own_views) {
            let place = format!("{key}.{name}");
            if !is_view_name(name) {
                let rule = "give a name of small letters, digits and `_`, at most 48, a letter first";
                return Err(wrong(place, rule));
            }
            if names.contains(name) || *name == kept_readings {
                return Err(wrong(place, "another view has this name; give it one of its own"));
            }
            if !is_table_name(&table) || table.to_lowercase().starts_with("truckflow_") {
                let rule = "give letters, digits and `_`, at most 64, no digit and no `truckflow_` first";
                return Err(wrong(format!("{place} table"), format!("`{table}` is no name for it; {rule}")));
            }
            if tables.iter().any(|other| other.eq_ignore_ascii_case(&table)) {
                let reason = format!("another view has the table {table}; give `table = \"…\"`");
                return Err(wrong(format!("{place} table"), reason));
            }
            names.push(name.clone());
            tables.push(table);
        }
        Ok(Names(names))
    }
}
