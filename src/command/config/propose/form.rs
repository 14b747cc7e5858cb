//! How a time is written: as ISO 8601, as a count since 1970, or in a form of `strptime`.

use std::collections::HashSet;

use crate::text::time::{TimeForm, Unit};

use super::number::Number;
use super::strptime;
use super::value::Leaf;

/// How a time is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As in ISO 8601.
    Iso,
    /// A count since 1970.
    Epoch(Unit),
    /// As this format of `strptime` says.
    Format(String),
    /// As the schema declares.
    Declared,
}

/// A form that most of the values have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The form.
    pub(super) form: Form,
    /// How many values have it.
    pub(super) read: usize,
    /// The other order of day and month, if no value tells which is right.
    pub(super) ambiguous: Option<String>,
}

/// The seconds since 1970 of the years 2000 to 2040, in which times of telemetry are.
const PLAUSIBLE: std::ops::Range<f64> = 946_684_800.0..2_208_988_800.0;
/// Values that are tried on every format.
const TRIED: usize = 12;

impl Form {
    /// What reads times that are written so.
    pub(super) fn reader(&self) -> TimeForm {
        match self {
            Self::Iso | Self::Declared => TimeForm::iso(),
            Self::Epoch(unit) => TimeForm::unit(*unit),
            // A format was found because it reads something.
            Self::Format(format) => TimeForm::text(None, Some(format)).unwrap_or(TimeForm::iso()),
        }
    }

    /// Whether the text says its distance from UTC, or counts from an instant.
    pub(super) fn has_zone(&self, values: &[&Leaf]) -> bool {
        match self {
            Self::Iso => values.iter().any(|leaf| strptime::iso_has_zone(&leaf.written())),
            Self::Epoch(_) => true,
            Self::Declared => values.iter().all(|leaf| !matches!(leaf, Leaf::Time { local: true, .. })),
            Self::Format(format) => {
                ["%z", "UTC", "GMT"].iter().any(|zone| format.contains(zone)) || format.ends_with('Z')
            }
        }
    }
}

/// The microseconds since 1970 that a value means to a reader of times; none if it is written otherwise.
pub(super) fn micros(reader: &TimeForm, leaf: &Leaf) -> Option<i64> {
    let read = match leaf {
        Leaf::Time { nanos, local, .. } => reader.nanos(*nanos, *local),
        Leaf::Text(text) => reader.read(text),
        Leaf::Number(text) if reader.unit_of().is_some() => reader.read(text),
        _ => None,
    };
    read.map(|(micros, _)| micros)
}

/// The form that most values have, and of the rest the form that most of it has. With `named`, the key is that of a
/// time.
pub(super) fn find(values: &[&Leaf], named: bool) -> Vec<Found> {
    let mut rest: Vec<&Leaf> = values.to_vec();
    let mut found: Vec<Found> = Vec::new();
    while found.len() < 2
        && let Some(best) = best(&rest, named)
        && best.read * if found.is_empty() { 2 } else { 8 } >= values.len()
    {
        let reader = best.form.reader();
        rest.retain(|leaf| micros(&reader, leaf).is_none());
        found.push(best);
    }
    found
}

fn best(values: &[&Leaf], named: bool) -> Option<Found> {
    let declared = values.iter().filter(|leaf| matches!(leaf, Leaf::Time { .. })).count();
    let iso = TimeForm::iso();
    let is_iso = |leaf: &&&Leaf| matches!(leaf, Leaf::Text(_)) && micros(&iso, leaf).is_some();
    let found = |form: Form, read: usize| Found { form, read, ambiguous: None };
    let mut all =
        vec![found(Form::Declared, declared), found(Form::Iso, values.iter().filter(is_iso).count())];
    all.extend(epoch(values, named));
    all.extend(formats(values));
    // Of equal ones the first.
    all.into_iter().rev().max_by_key(|found| found.read).filter(|found| found.read > 0)
}

/// The unit in which most numbers are times of this century.
fn epoch(values: &[&Leaf], named: bool) -> Option<Found> {
    let numbers: Vec<f64> = values
        .iter()
        .filter_map(|leaf| match leaf {
            Leaf::Number(text) | Leaf::Text(text) => Number::parse(text).map(|number| number.value),
            _ => None,
        })
        .collect();
    let units = [Unit::Seconds, Unit::Millis, Unit::Micros, Unit::Nanos];
    let plausible = |unit: Unit| {
        let seconds = unit.nanos() as f64 / 1e9;
        numbers.iter().filter(|number| PLAUSIBLE.contains(&(**number * seconds))).count()
    };
    let unit = units.into_iter().rev().max_by_key(|unit| plausible(*unit))?;
    let read = plausible(unit);
    if read == 0 || read * 2 < numbers.len() {
        return None;
    }
    if !named {
        // A counter or an odometer may have as many digits as seconds have, and an identifier repeats.
        let distinct: HashSet<u64> = numbers.iter().map(|number| number.to_bits()).collect();
        if unit == Unit::Seconds || distinct.len() < 2 || distinct.len() * 4 < numbers.len() {
            return None;
        }
    }
    Some(Found { form: Form::Epoch(unit), read: numbers.len(), ambiguous: None })
}

/// The format that most texts have.
fn formats(values: &[&Leaf]) -> Option<Found> {
    let texts: Vec<&str> = values
        .iter()
        .filter_map(|leaf| match leaf {
            Leaf::Text(text) if strptime::may_be_time(text) => Some(&**text),
            _ => None,
        })
        .collect();
    let step = texts.len().div_ceil(TRIED).max(1);
    let formats: HashSet<String> =
        texts.iter().step_by(step).flat_map(|text| strptime::formats_of(text)).collect();
    let times = |format: &str| -> Vec<i64> {
        let reader = strptime::Reader::new(format);
        texts.iter().filter_map(|text| reader.as_ref()?.read(text)).collect()
    };
    let mut all: Vec<(String, Vec<i64>)> = formats
        .into_iter()
        .map(|format| (times(&format), format))
        .map(|(times, format)| (format, times))
        .collect();
    // Most values, then the shortest period: readings follow each other.
    let period = |times: &[i64]| times.iter().max().zip(times.iter().min()).map_or(0, |(max, min)| max - min);
    let order = |format: &str| strptime::preference(format);
    all.sort_by(|(a, a_times), (b, b_times)| {
        (b_times.len().cmp(&a_times.len()))
            .then(period(a_times).cmp(&period(b_times)))
            .then(order(a).cmp(&order(b)))
            .then(a.cmp(b))
    });
    let mut all = all.into_iter();
    let (format, read) = all.next()?;
    let ambiguous = all.next().filter(|(_, times)| times.len() == read.len()).map(|(format, _)| format);
    Some(Found { form: Form::Format(format), read: read.len(), ambiguous })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(texts: &[&str]) -> Vec<Leaf> {
        texts.iter().map(|text| Leaf::Number((*text).into())).collect()
    }

    fn texts(texts: &[&str]) -> Vec<Leaf> {
        texts.iter().map(|text| Leaf::Text((*text).into())).collect()
    }

    fn forms(leaves: &[Leaf], named: bool) -> Vec<Form> {
        find(&leaves.iter().collect::<Vec<_>>(), named).into_iter().map(|found| found.form).collect()
    }

    #[test]
    fn the_unit_of_a_count_follows_from_its_size() {
        for (text, unit) in [
            ("1681088547", Unit::Seconds),
            ("1681088547.25", Unit::Seconds),
            ("1.681088547123E9", Unit::Seconds),
            ("1681088547123", Unit::Millis),
            ("1.681088547123E12", Unit::Millis),
            ("1681088547123456", Unit::Micros),
            ("1681088547123456789", Unit::Nanos),
        ] {
            assert_eq!(forms(&numbers(&[text]), true), [Form::Epoch(unit)], "{text}");
            assert_eq!(forms(&texts(&[text]), true), [Form::Epoch(unit)], "{text}");
        }
        assert_eq!(forms(&numbers(&["12.5", "1438"]), true), []);
    }

    #[test]
    fn a_count_without_the_name_of_a_time_must_change_and_be_longer_than_an_odometer() {
        assert_eq!(forms(&numbers(&["1076760590", "1076760599"]), false), []);
        assert_eq!(forms(&numbers(&["1681088547123", "1681088547123"]), false), []);
        let millis = numbers(&["1681088547123", "1681088548123"]);
        assert_eq!(forms(&millis, false), [Form::Epoch(Unit::Millis)]);
    }

    #[test]
    fn the_order_of_day_and_month_follows_from_days_above_12_and_else_from_the_shorter_period() {
        let first = |leaves: &[Leaf]| find(&leaves.iter().collect::<Vec<_>>(), true).remove(0);
        let found = first(&texts(&["10/04/2023 01:02:27", "29/04/2023 01:02:27"]));
        assert_eq!((found.form, found.ambiguous), (Form::Format("%d/%m/%Y %H:%M:%S".into()), None));
        let found = first(&texts(&["04/10/2023 01:02:27", "04/29/2023 01:02:27"]));
        assert_eq!(found.form, Form::Format("%m/%d/%Y %H:%M:%S".into()));
        let found = first(&texts(&["04/10/2023 23:59:27", "04/11/2023 00:02:27"]));
        assert_eq!(found.form, Form::Format("%m/%d/%Y %H:%M:%S".into()));
        assert_eq!(found.ambiguous.as_deref(), Some("%d/%m/%Y %H:%M:%S"));
    }

    #[test]
    fn a_second_form_is_found_if_an_eighth_of_the_values_has_it() {
        let mut leaves = texts(&["2023-04-10T01:02:27Z", "2023-04-10T01:02:28Z"]);
        leaves.extend(numbers(&["1681088547123"]));
        assert_eq!(forms(&leaves, true), [Form::Iso, Form::Epoch(Unit::Millis)]);
    }
}
