//! Finds the readings of a message of CSV: one in each line. Most messages are one line without quotes, which fills the
//! row without a copy of its values.

use std::borrow::Cow;

use super::found::{Found, Kind, Source as Bytes};
use super::layout::Fill;
use super::mapping::{Mapping, Source};
use super::plan::{Plan, Slot};
use super::tree::Scalar;
use crate::text::csv;

/// Some programs write this at the start of a file.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The bytes behind a byte order mark.
pub(super) fn without_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes)
}

/// The fields that the values of a line are for.
#[derive(Clone, Debug, Default)]
pub(super) struct Columns {
    /// For each column, the fields of the mapping that take its value.
    fields: Vec<Box<[usize]>>,
    /// For each column, the slots of the reading that take its value.
    slots: Vec<Vec<usize>>,
    /// The fields that no column has.
    others: Vec<usize>,
}

impl Columns {
    /// The columns with these names. Of equal names the last counts.
    pub fn new<'n>(mapping: &Mapping, plan: &Plan, names: impl Iterator<Item = Cow<'n, str>>) -> Self {
        let names: Vec<Cow<'n, str>> = names.collect();
        let mut fields = vec![Vec::new(); names.len()];
        let mut slots = vec![Vec::new(); names.len()];
        let mut others = Vec::new();
        for (index, (field, slot)) in mapping.fields.iter().zip(&plan.places).enumerate() {
            let column = match (&field.source, slot) {
                (Source::Value { path, .. }, Slot::Reading(slot)) => match &*path.first.0 {
                    [name] => names.iter().rposition(|found| **found == **name).zip(Some(*slot)),
                    _ => None,
                },
                _ => None,
            };
            let Some((column, slot)) = column else {
                others.push(index);
                continue;
            };
            fields[column].push(index);
            if !slots[column].contains(&slot) {
                slots[column].push(slot);
            }
        }
        Self { fields: fields.into_iter().map(Vec::into_boxed_slice).collect(), slots, others }
    }

    /// Passes on the values of a message of one line without quotes, without copying them. False if it is another one,
    /// which [`of_lines`] reads.
    #[inline]
    pub fn read<'a>(&self, separator: u8, text: &'a str, out: &mut impl Fill<'a>) -> bool {
        let line = csv::without_end(text.as_bytes());
        if line.is_empty() || line.starts_with(BYTE_ORDER_MARK) {
            return false;
        }
        out.begin();
        let mut columns = self.fields.iter();
        let is_read = csv::plain_fields(line, separator, |range| {
            let fields = columns.next()?;
            if !fields.is_empty() {
                let value = match text.get(range)? {
                    "" => Scalar::Null,
                    value => Scalar::Text(Cow::Borrowed(value)),
                };
                fields.iter().for_each(|field| out.field(*field, Some(&value)));
            }
            Some(())
        });
        if is_read.is_none() || columns.next().is_some() {
            return false;
        }
        self.others.iter().for_each(|field| out.field(*field, None));
        true
    }

    /// The columns that a header names.
    pub fn of_header(mapping: &Mapping, plan: &Plan, header: &[u8], separator: u8) -> Self {
        let fields = csv::fields(csv::without_end(without_mark(header)), separator);
        let names = fields.map(|name| Cow::Owned(String::from_utf8_lossy(name.trim_ascii()).into_owned()));
        Self::new(mapping, plan, names)
    }
}

/// Finds the readings in a text of lines. With `columns` none of them is a header; otherwise the first one is.
pub(super) fn of_lines<'a>(
    mapping: &Mapping,
    plan: &Plan,
    columns: Option<&Columns>,
    separator: u8,
    text: &'a str,
    found: &mut Found<'a>,
) {
    let bytes = text.as_bytes();
    let mut at = bytes.len() - without_mark(bytes).len();
    let mut of_message = None;
    found.begin_object(plan);
    while at < bytes.len() {
        let length = csv::record_length(&bytes[at..], separator, true).unwrap_or(bytes.len() - at);
        let line = csv::without_end(&bytes[at..at + length]);
        let source = at..at + line.len();
        at += length;
        if line.is_empty() {
            continue;
        }
        let Some(columns) = columns.or(of_message.as_ref()) else {
            of_message = Some(Columns::of_header(mapping, plan, line, separator));
            continue;
        };
        let fields = csv::fields(line, separator).count();
        let kind = if fields == columns.slots.len() { Kind::Object } else { Kind::Other };
        found.begin_reading(kind, Bytes::Bytes(source), None);
        if kind == Kind::Object {
            for (field, slots) in csv::fields(line, separator).zip(&columns.slots) {
                for &slot in slots {
                    found.set(slot, scalar(field.clone()));
                }
            }
        }
    }
    if found.readings.is_empty() && of_message.is_none() {
        found.begin_reading(Kind::Other, Bytes::Bytes(0..bytes.len()), None);
    }
}

/// The value of a field. The text is UTF-8, and fields end at ASCII characters.
fn scalar(field: Cow<'_, [u8]>) -> Scalar<'_> {
    if field.is_empty() {
        return Scalar::Null;
    }
    Scalar::Text(match field {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    })
}
