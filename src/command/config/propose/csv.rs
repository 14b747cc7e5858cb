//! Lines of values: what separates them, and what they are called.

use std::collections::{BTreeMap, HashSet};
use std::rc::Rc;

use super::form;
use super::names::Names;
use super::number::Number;
use super::strptime;
use super::value::{Leaf, Value};
use crate::text::time::TimeForm;

/// Lines of values.
pub(super) struct Table {
    /// The character between values.
    pub(super) separator: char,
    /// The names of the values, if no line has them.
    pub(super) columns: Option<Vec<String>>,
    /// The values of each message: an object for each line, or null for a line with another number of values.
    pub(super) messages: Vec<Vec<Value>>,
}

/// Separators, the more common first.
const SEPARATORS: [u8; 4] = [b',', b';', b'\t', b'|'];

type Record = Vec<String>;

/// The texts of messages as lines of values. With `is_file` they are the lines of one file; its first one may have the
/// names, if there is no other `header`.
pub(super) fn table(texts: &[&str], header: Option<&str>, is_file: bool) -> Option<Table> {
    let whole;
    let texts = if is_file {
        // A value may span lines.
        whole = texts.join("\n");
        &[&*whole][..]
    } else {
        texts
    };
    let (separator, mut messages) = SEPARATORS
        .into_iter()
        .filter_map(|separator| {
            let messages: Vec<Vec<Record>> = texts.iter().map(|text| records(text, separator)).collect();
            Some((score(&messages)?, separator, messages))
        })
        .rev()
        .max_by(|(a, ..), (b, ..)| a.cmp(b))
        .map(|(_, separator, messages)| (separator, messages))?;
    let width = width(&messages)?;
    // Texts with commas in them are no values.
    if !messages.iter().flatten().flatten().any(|text| is_value(text)) {
        return None;
    }
    let header = header.and_then(|header| records(header, separator).into_iter().next());
    let names = header.or_else(|| own_header(&messages));
    let columns = match names {
        Some(names) => {
            messages
                .iter_mut()
                .filter(|records| records.first() == Some(&names))
                .for_each(|records| _ = records.remove(0));
            Columns::Named(
                names.iter().map(|name| name.trim().trim_start_matches('\u{feff}').to_owned()).collect(),
            )
        }
        None => Columns::Made(made_up(&messages, width)),
    };
    let names = match &columns {
        Columns::Named(names) | Columns::Made(names) => names,
    };
    let keys: Vec<Rc<str>> = names.iter().map(|name| Rc::from(&**name)).collect();
    let value = |record: &Record| match record.len() == keys.len() {
        true => Value::Object(keys.iter().cloned().zip(record.iter().map(|text| field(text))).collect()),
        false => Value::Leaf(Leaf::Null),
    };
    let messages: Vec<Vec<Value>> =
        messages.iter().map(|records| records.iter().map(value).collect()).collect();
    // The lines of a file are a message each.
    let messages =
        if is_file { messages.into_iter().flatten().map(|value| vec![value]).collect() } else { messages };
    let columns = match columns {
        Columns::Named(_) => None,
        Columns::Made(names) => Some(names),
    };
    Some(Table { separator: char::from(separator), columns, messages })
}

enum Columns {
    Named(Vec<String>),
    Made(Vec<String>),
}

fn field(text: &str) -> Value {
    Value::Leaf(if text.is_empty() { Leaf::Null } else { Leaf::Text(text.into()) })
}

fn records(text: &str, separator: u8) -> Vec<Record> {
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes());
    reader.records().filter_map(Result::ok).map(|record| record.iter().map(str::to_owned).collect()).collect()
}

/// The number of values that most lines have, more than one.
fn width(messages: &[Vec<Record>]) -> Option<usize> {
    let mut widths: BTreeMap<usize, usize> = BTreeMap::new();
    for record in messages.iter().flatten() {
        *widths.entry(record.len()).or_default() += 1;
    }
    widths.into_iter().max_by_key(|(_, count)| *count).map(|(width, _)| width).filter(|width| *width > 1)
}

/// How well a separator fits: in which share of the lines, in tenths, it makes as many values, and how many.
fn score(messages: &[Vec<Record>]) -> Option<(usize, usize)> {
    let width = width(messages)?;
    let all = messages.iter().flatten().count();
    let same = messages.iter().flatten().filter(|record| record.len() == width).count();
    (same * 10 >= all * 7).then_some((same * 10 / all, width))
}

/// The names in the first line of a file, or of each message: texts, all different, where other lines have values.
fn own_header(messages: &[Vec<Record>]) -> Option<Record> {
    let first = messages.iter().find_map(|records| records.first())?;
    let distinct: HashSet<&str> = first.iter().map(|name| name.trim()).collect();
    let is_name = |name: &str| !name.trim().is_empty() && !is_value(name);
    let is_header = distinct.len() == first.len() && first.iter().all(|name| is_name(name));
    let in_each = messages.iter().filter(|records| !records.is_empty()).all(|records| records[0] == *first);
    let several = messages.iter().map(Vec::len).max().unwrap_or(0) > 1;
    let has_values =
        messages.iter().flatten().filter(|record| *record != first).flatten().any(|text| is_value(text));
    (is_header && in_each && several && has_values).then(|| first.clone())
}

/// Whether a text is a number or a time.
fn is_value(text: &str) -> bool {
    let is_time = || strptime::may_be_time(text) && !strptime::formats_of(text).is_empty();
    Number::parse(text).is_some() || TimeForm::iso().read(text).is_some() || is_time()
}

/// Names for values without any, by what they look like.
fn made_up(messages: &[Vec<Record>], width: usize) -> Vec<String> {
    let mut names = Names::default();
    let records = || messages.iter().flatten().filter(|record| record.len() == width);
    (0..width)
        .map(|at| {
            let leaves: Vec<Leaf> = records()
                .map(|record| Leaf::Text((*record[at]).into()))
                .filter(|leaf| *leaf != Leaf::Text("".into()))
                .collect();
            let leaves: Vec<&Leaf> = leaves.iter().collect();
            let is_number = |leaf: &&&Leaf| Number::parse(&leaf.written()).is_some();
            let is_most = |count: usize| count * 2 > leaves.len();
            let is_time = form::find(&leaves, false).first().is_some_and(|found| is_most(found.read));
            let name = match () {
                () if leaves.is_empty() => "empty",
                () if is_time => "time",
                () if is_most(leaves.iter().filter(is_number).count()) => "number",
                () => "text",
            };
            match name {
                "time" if names.is_free("time") => names.of("time"),
                name => names.of(&format!("{name}_{}", at + 1)),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_separator_is_the_one_that_makes_lines_alike() {
        for (lines, separator) in [
            ("a,b\n1,2\n", ','),
            ("a;b;c\n1,5;2;x\n2,5;3;y\n", ';'),
            ("a\tb\n1\t2, 3\n", '\t'),
            ("a|b\n1|2\n", '|'),
        ] {
            let lines: Vec<&str> = lines.lines().collect();
            assert_eq!(table(&lines, None, true).unwrap().separator, separator, "{lines:?}");
        }
        assert!(table(&["no values", "in these, lines", "at all"], None, true).is_none());
    }

    #[test]
    fn a_first_line_of_names_is_a_header_and_else_names_are_made_up() {
        let found = table(&["\u{feff}ts, speed", "1681088547,62.5"], None, true).unwrap();
        assert_eq!(found.columns, None);
        assert_eq!(found.messages.len(), 1);
        assert_eq!(found.messages[0][0].child("speed"), Some(&Value::Leaf(Leaf::Text("62.5".into()))));
        let found = table(&["1681088547123,62.5,t-1", "1681088548123,62.5,t-1"], None, false).unwrap();
        assert_eq!(found.columns, Some(vec!["time".into(), "number_2".into(), "text_3".into()]));
        let found = table(&["t-1,5", "t-2,6"], Some("truck,speed"), true).unwrap();
        assert!(found.columns.is_none() && found.messages[1][0].child("truck").is_some());
        let found = table(&["a,b\n1,2\n3,4", "a,b\n5,6"], None, false).unwrap();
        assert_eq!((found.columns, found.messages[0].len(), found.messages[1].len()), (None, 2, 1));
    }

    #[test]
    fn quoted_values_may_span_lines_of_a_file() {
        let found = table(&["a;b", "1;\"two", "lines\"", "2;x"], None, true).unwrap();
        assert_eq!(found.messages.len(), 2);
        assert_eq!(found.messages[0][0].child("b"), Some(&Value::Leaf(Leaf::Text("two\nlines".into()))));
    }
}
