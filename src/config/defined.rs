//! Built-in views and user-defined correlations.

use std::fmt;

use dataflows::schema::{FieldType, Place};
use dataflows::views::{Axis, Correlation, Settings, View};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::error::{ConfigError, wrong};
use super::names::{CORRELATION_COLUMNS, RESERVED_COLUMNS, is_one_of};

/// Which built-in views a job maintains.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum BuiltinViews {
    /// All or none.
    All(bool),
    /// Those with these names.
    Names(Vec<String>),
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

// By hand, so that the error names what is expected; a text is a list with commas, as variables have it.
impl<'de> Deserialize<'de> for BuiltinViews {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Views;
        impl<'de> Visitor<'de> for Views {
            type Value = BuiltinViews;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true, false or a list of names of built-in views")
            }

            fn visit_bool<E: Error>(self, all: bool) -> Result<BuiltinViews, E> {
                Ok(BuiltinViews::All(all))
            }

            fn visit_str<E: Error>(self, list: &str) -> Result<BuiltinViews, E> {
                let names = list.split(',').map(|name| name.trim().to_owned());
                Ok(BuiltinViews::Names(names.filter(|name| !name.is_empty()).collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<BuiltinViews, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = list.next_element()? {
                    names.push(name);
                }
                Ok(BuiltinViews::Names(names))
            }
        }
        deserializer.deserialize_any(Views)
    }
}

impl CorrelationDefinition {
    /// Its table.
    pub fn table(&self) -> String {
        self.table.clone().unwrap_or_else(|| format!("TRUCK_{}", self.name.to_uppercase()))
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
