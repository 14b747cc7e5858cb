//! The type that the values of a column have, and which of them are not of it.

use std::collections::BTreeMap;

use super::form::{self, Form, Found};
use super::number::Number;
use super::shape::Column;
use super::strptime;
use super::value::Leaf;
use crate::decode::mapping::FieldMapping;
use crate::text::time::TimeForm;
use dataflows::schema::{FieldType, Place};

use super::words::{names_identifier, names_label, names_moment, names_time, names_unit, words};

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A decimal below 9.2e9.
    Number,
    /// An integer of 64 bits.
    Integer,
    /// True or false.
    Boolean,
    /// A text.
    Text,
    /// A time.
    Time(Form),
}

/// What a field of a type makes of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reads {
    /// A value.
    Value,
    /// NULL.
    Null,
    /// Nothing: the value is bad.
    Bad,
}

/// The type of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Typed {
    /// The type.
    pub(super) kind: Kind,
    /// Texts that stand for no value.
    pub(super) nulls: Vec<String>,
    /// How many values are not of the type, objects and lists included.
    pub(super) bad: usize,
    /// A type that many of the other values have.
    pub(super) other: Option<Kind>,
    /// The other order of day and month, if no value tells which is right.
    pub(super) ambiguous: Option<String>,
}

/// The longest text of a field. Longer ones are contents of files, which no view needs.
pub(super) const MAX_TEXT: usize = 255;
/// Texts that stand for no value.
const MISSING: [&str; 14] =
    ["", "-", "--", "---", "n/a", "#n/a", "na", "n.a.", "null", "none", "nil", "?", "unknown", "undefined"];

impl Kind {
    /// A field of this type, whose texts `nulls` stand for no value.
    pub(super) fn field(&self, nulls: &[String]) -> FieldMapping {
        let field_type = match self {
            Self::Number => FieldType::Number,
            Self::Integer => FieldType::Integer,
            Self::Boolean => FieldType::Boolean,
            Self::Text => FieldType::Text,
            Self::Time(_) => FieldType::Timestamp,
        };
        let time = match self {
            Self::Time(form) => form.reader(),
            _ => TimeForm::iso(),
        };
        FieldMapping { nulls: nulls.to_vec(), time, ..FieldMapping::named("", field_type, Place::Time) }
    }
}

/// What a field makes of a value.
pub(super) fn reads(field: &FieldMapping, leaf: &Leaf) -> Reads {
    match field.has_value(&leaf.scalar()) {
        Ok(true) => Reads::Value,
        Ok(false) => Reads::Null,
        Err(_) => Reads::Bad,
    }
}

/// The words of a place: those of the last key, and of the one before if the last says little.
pub(super) fn words_of(keys: &[&str]) -> Vec<String> {
    let last = keys.last().map(|key| words(key)).unwrap_or_default();
    match keys {
        [.., before, _] if last.len() < 2 => words(before).into_iter().chain(last).collect(),
        _ => last,
    }
}

/// The type of a column; none if it has no values.
pub(super) fn of(column: &Column<'_>) -> Option<Typed> {
    let words = words_of(&column.place.keys());
    let all: Vec<&Leaf> = column.values.iter().map(|(_, leaf)| *leaf).collect();
    if all.is_empty() {
        return None;
    }
    let missing = |leaf: &&&Leaf| matches!(leaf, Leaf::Text(text) if is_missing(text));
    let real: Vec<&Leaf> = all.iter().filter(|leaf| !missing(leaf)).copied().collect();
    let Chosen { kind, other, ambiguous } = choose(&real, &words);
    let nulls = if kind == Kind::Text { Vec::new() } else { markers(all.iter().filter(missing).copied()) };
    let bad = bad(column, &kind, &nulls);
    Some(Typed { kind, nulls, bad, other, ambiguous })
}

/// How many values of a column are not of a type; objects and lists are of none.
pub(super) fn bad(column: &Column<'_>, kind: &Kind, nulls: &[String]) -> usize {
    let field = kind.field(nulls);
    let values = column.values.iter();
    values.filter(|(_, leaf)| reads(&field, leaf) == Reads::Bad).count() + column.containers as usize
}

/// Whether a text stands for no value.
fn is_missing(text: &str) -> bool {
    MISSING.iter().any(|missing| missing.eq_ignore_ascii_case(text.trim()))
}

/// The texts that stand for no value, as they are written, the most common first.
fn markers<'v>(missing: impl Iterator<Item = &'v Leaf>) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for leaf in missing {
        *counts.entry(leaf.written().into_owned()).or_default() += 1;
    }
    let mut markers: Vec<(String, usize)> = counts.into_iter().collect();
    markers.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    markers.into_iter().take(8).map(|(text, _)| text).collect()
}

struct Chosen {
    kind: Kind,
    other: Option<Kind>,
    ambiguous: Option<String>,
}

fn choose(real: &[&Leaf], words: &[String]) -> Chosen {
    let chosen = |kind: Kind| Chosen { kind, other: None, ambiguous: None };
    if real.is_empty() {
        return chosen(Kind::Text);
    }
    if let Some((first, second)) = times(real, words) {
        let Found { form, ambiguous, .. } = first;
        return Chosen {
            other: second.map(|found| Kind::Time(found.form)),
            ambiguous,
            ..chosen(Kind::Time(form))
        };
    }
    let share = |kind: &Kind| {
        let field = kind.field(&[]);
        real.iter().filter(|leaf| reads(&field, leaf) == Reads::Value).count()
    };
    let booleans = real.iter().filter(|leaf| is_boolean(leaf)).count();
    if booleans > 0 && share(&Kind::Boolean) * 10 >= real.len() * 9 {
        return chosen(Kind::Boolean);
    }
    let numeric: Vec<(&Leaf, Number)> = real
        .iter()
        .filter_map(|leaf| match leaf {
            Leaf::Number(text) | Leaf::Text(text) => Number::parse(text).map(|number| (*leaf, number)),
            _ => None,
        })
        .collect();
    let rest = real.len() - numeric.len();
    let kind = if numeric.len() * 2 >= real.len() { numeric_kind(&numeric, rest, words) } else { Kind::Text };
    // Measurements of several kinds under one key: numbers of some, texts of others.
    let minor = if kind == Kind::Text { numeric.len() } else { rest };
    let is_mixed = minor >= 3 && minor * 10 >= real.len() && rest > 0 && !names_identifier(words);
    let other = match kind {
        Kind::Text
            if is_mixed && numeric.iter().all(|(_, number)| number.is_in_range() && !number.is_padded) =>
        {
            Some(Kind::Number)
        }
        Kind::Number | Kind::Integer if is_mixed && share(&Kind::Text) >= minor => Some(Kind::Text),
        _ => None,
    };
    Chosen { other, ..chosen(kind) }
}

fn is_boolean(leaf: &Leaf) -> bool {
    match leaf {
        Leaf::Boolean(_) => true,
        Leaf::Text(text) => matches!(&**text, "true" | "false"),
        _ => false,
    }
}

/// The forms of times that most of the values have.
fn times(real: &[&Leaf], words: &[String]) -> Option<(Found, Option<Found>)> {
    let named = names_time(words) || names_unit(words) || names_moment(words);
    if !named && names_label(words) {
        return None;
    }
    let mut found = form::find(real, named).into_iter();
    let first = found.next()?;
    match &first.form {
        Form::Format(format) if !named && strptime::is_short(format) => return None,
        _ => {}
    }
    // What one unit reads, another may read as well.
    Some((first, found.next()))
}

/// The type of a column in which most values are numbers.
fn numeric_kind(numeric: &[(&Leaf, Number)], others: usize, words: &[String]) -> Kind {
    let count = |of: &dyn Fn(&Leaf, &Number) -> bool| {
        numeric.iter().filter(|(leaf, number)| of(leaf, number)).count()
    };
    let all = numeric.len();
    let as_text = count(&|leaf, _| matches!(leaf, Leaf::Text(_)));
    let integers = count(&|_, number| number.is_integer);
    let padded = count(&|leaf, number| matches!(leaf, Leaf::Text(_)) && number.is_padded);
    let is_identifier = names_identifier(words);
    let integer = Kind::Integer.field(&[]);
    let fits = |leaf: &Leaf| reads(&integer, leaf) == Reads::Value;
    // An identifier that is written as a text is one: its zeros count, and others may have letters.
    if as_text > 0 && (is_identifier || padded > 0) || is_identifier && others > 0 {
        return Kind::Text;
    }
    if as_text == all && integers == all && count(&|_, number| number.digits < 10) == 0 {
        return Kind::Text;
    }
    let large = count(&|_, number| !number.is_in_range());
    match () {
        () if large == 0 && integers == all && names_label(words) => Kind::Integer,
        () if large == 0 => Kind::Number,
        () if integers == all && count(&|leaf, _| fits(leaf)) * 2 >= all => Kind::Integer,
        () if large * 2 > all => Kind::Text,
        () => Kind::Number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::config::propose::shape;
    use crate::command::config::propose::value::Value;
    use crate::decode::tree::Tree;
    use crate::text::time::Unit;

    /// The type of values under a key.
    fn typed(key: &str, values: &[&str]) -> Typed {
        let readings: Vec<Value> = values
            .iter()
            .map(|value| Value::from(&Tree::parse(&format!("{{\"{key}\": {value}}}")).unwrap()[0]))
            .collect();
        let shape = shape::of_readings(&readings);
        of(&shape.columns[0]).unwrap()
    }

    fn kind(key: &str, values: &[&str]) -> Kind {
        typed(key, values).kind
    }

    #[test]
    fn numbers_stay_numbers_whatever_they_are_written_as() {
        assert_eq!(kind("rpm", &["1438", "\"1500.5\""]), Kind::Number);
        assert_eq!(kind("rpm", &["1438", "1500"]), Kind::Number, "the next one may have a fraction");
        assert_eq!(kind("lat", &["\"43.81\"", "\"-7.0\""]), Kind::Number);
        assert_eq!(kind("sequence", &["1", "2"]), Kind::Integer);
        assert_eq!(kind("hours_ms", &["26271198000", "5"]), Kind::Integer);
        assert_eq!(kind("size", &["26271198000.5", "26271198001.5"]), Kind::Text);
        assert_eq!(kind("total", &["18446744073709551615"]), Kind::Text);
    }

    #[test]
    fn identifiers_are_texts_if_one_of_them_is_a_text() {
        assert_eq!(kind("imei", &["\"860000000000001\""]), Kind::Text);
        assert_eq!(kind("device_id", &["17"]), Kind::Integer);
        assert_eq!(kind("device_id", &["17", "\"A7\""]), Kind::Text);
        assert_eq!(kind("unit", &["\"0042\"", "\"17\""]), Kind::Text);
        assert_eq!(kind("ext", &["\"860000000000001\""]), Kind::Text);
    }

    #[test]
    fn texts_that_stand_for_no_value_are_null_and_others_are_bad() {
        let found = typed("coolant", &["89", "\"-\"", "\"n/a\"", "\"-\"", "\"hot\"", "{\"raw\": 1}", "91"]);
        assert_eq!((found.kind, found.nulls, found.bad), (Kind::Number, vec!["-".into(), "n/a".into()], 2));
        let found = typed("note", &["\"-\"", "\"x\""]);
        assert_eq!((found.kind, found.nulls.len(), found.bad), (Kind::Text, 0, 0));
    }

    #[test]
    fn values_of_several_types_have_two() {
        let values = ["62.5", "17", "3", "\"DRIVE\"", "\"PARK\"", "\"R\"", "4"];
        let found = typed("value", &values);
        assert_eq!((found.kind, found.other, found.bad), (Kind::Number, Some(Kind::Text), 3));
        let found = typed("value", &["62.5", "17", "3", "\"DRIVE\"", "\"PARK\"", "\"R\"", "true"]);
        assert_eq!((found.kind, found.other, found.bad), (Kind::Text, Some(Kind::Number), 0));
    }

    #[test]
    fn booleans_may_be_written_as_texts_and_digits() {
        assert_eq!(kind("ignition", &["true", "false"]), Kind::Boolean);
        assert_eq!(kind("ignition", &["\"true\"", "\"0\"", "1"]), Kind::Boolean);
        assert_eq!(kind("ignition", &["0", "1"]), Kind::Number);
        assert_eq!(kind("ignition", &["\"ON\"", "\"OFF\""]), Kind::Text);
    }

    #[test]
    fn a_time_is_known_by_its_name_or_its_look() {
        assert_eq!(kind("ts", &["1681088547"]), Kind::Time(Form::Epoch(Unit::Seconds)));
        assert_eq!(kind("odometer", &["1076760590.66"]), Kind::Number);
        assert_eq!(kind("imei", &["990000862471854"]), Kind::Integer);
        assert_eq!(kind("x", &["\"2023-04-10T01:02:27Z\""]), Kind::Time(Form::Iso));
        let found = typed("ts", &["\"2023-04-10T01:02:27Z\"", "\"n/a\"", "\"soon\""]);
        assert_eq!((found.nulls.len(), found.bad), (1, 1));
    }
}
