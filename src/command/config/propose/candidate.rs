//! Fields that may be proposed: the columns of readings, of the messages around them, of keys and of headers.

use super::kind::{self, Kind, Typed};
use super::parsed::{Message, Reading};
use super::root::{Root, pointers};
use super::shape::{Collector, Column, Place, Shape, Step};
use super::value::Leaf;

/// A field that may be proposed.
pub(super) struct Candidate<'v> {
    /// Its values.
    pub(super) column: Column<'v>,
    /// Its type.
    pub(super) kind: Kind,
    /// Texts that stand for no value.
    pub(super) nulls: Vec<String>,
    /// How many values are bad.
    pub(super) bad: usize,
    /// Whether it is for the values that the candidate before cannot read.
    pub(super) is_second: bool,
    /// The other order of day and month, if no value tells which is right.
    pub(super) ambiguous: Option<String>,
    /// Whether its times say their distance from UTC.
    pub(super) has_zone: bool,
}

/// The candidates of readings, in the order of the messages, and what a person should know of what was left out.
pub(super) fn find<'v>(
    messages: &'v [Message],
    root: &Root,
    readings: &[Reading<'v>],
) -> (Vec<Candidate<'v>>, Vec<String>) {
    let [mut around, mut keys, mut headers] = [(); 3].map(|()| Collector::around());
    let mut own = Collector::new();
    for (number, reading) in readings.iter().enumerate() {
        let number = number as u32;
        let message = &messages[reading.message];
        own.add(number, reading.value, None);
        if !root.path.is_empty() {
            around.add(number, reading.whole, Some(&root.path));
        }
        message.key.iter().for_each(|key| keys.add(number, key, None));
        message.headers.iter().for_each(|all| headers.add(number, all, None));
    }
    let own = own.finish(Place::Reading);
    let notes = notes(&own);
    let header = |path: Vec<Step>| match path.into_iter().next() {
        Some(Step::Key(name)) => Place::Header(name),
        _ => Place::Header("".into()),
    };
    let shapes = [own, around.finish(Place::Message), keys.finish(Place::Key), headers.finish(header)];
    let ignored: Vec<&str> = root.envelopes.iter().flat_map(|envelope| envelope.ignored()).copied().collect();
    let is_kept = |column: &Column<'_>| match &column.place {
        Place::Message(_) => !column.place.keys().iter().any(|key| ignored.contains(key)),
        _ => true,
    };
    let columns = shapes.into_iter().flat_map(|shape| shape.columns).filter(is_kept);
    (columns.flat_map(of_column).collect(), notes)
}

fn notes(shape: &Shape<'_>) -> Vec<String> {
    let mut notes: Vec<String> = shape
        .long
        .iter()
        .take(10)
        .map(|list| {
            let at = pointers(&list.path).concat();
            let length = list.length;
            format!("`{at}` is a list of up to {length} elements; `path = \"{at}/0\"` would read its first element.")
        })
        .collect();
    if shape.omitted > 0 {
        notes.push("The messages have more keys than a record can have fields; some were left out.".into());
    }
    notes
}

/// The candidates of a column: one for each type that many of its values have.
fn of_column(column: Column<'_>) -> Vec<Candidate<'_>> {
    // A column with nothing but null may have any type.
    let only_null = Typed { kind: Kind::Text, nulls: Vec::new(), bad: 0, other: None, ambiguous: None };
    let Typed { kind, nulls, bad, other, ambiguous } = kind::of(&column).unwrap_or(only_null);
    let has_zone = |kind: &Kind| {
        let values: Vec<&Leaf> = column.values.iter().map(|(_, leaf)| *leaf).collect();
        matches!(kind, Kind::Time(form) if form.has_zone(&values))
    };
    let second = other.map(|kind| Candidate {
        has_zone: has_zone(&kind),
        bad: kind::bad(&column, &kind, &nulls),
        column: column.clone(),
        kind,
        nulls: nulls.clone(),
        is_second: true,
        ambiguous: None,
    });
    let has_zone = has_zone(&kind);
    std::iter::once(Candidate { column, kind, nulls, bad, is_second: false, ambiguous, has_zone })
        .chain(second)
        .collect()
}
