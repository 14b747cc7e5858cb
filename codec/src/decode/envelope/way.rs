//! The way from a text to its readings, and the text with one of them replaced.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::others::Others;
use crate::decode::lexer::Lexer;
use crate::decode::mapping::EACH;
use crate::decode::path::{Pointer, embedded};
use crate::decode::scalar::json_text;
use crate::decode::tree::{Scalar, index};

/// The way to one reading of a text.
pub(super) struct Way<'t> {
    text: &'t str,
    /// The values of the text.
    values: Vec<Value>,
    /// The value with the reading.
    value: usize,
    /// Its number among the readings of the value; none: it is the value itself.
    number: Option<usize>,
}

/// A value of a text.
struct Value {
    range: Range<usize>,
    step: Step,
}

/// The next step on the way from a value to readings.
enum Step {
    /// None: nothing in it leads to a reading.
    End,
    /// It is a reading.
    Reading,
    /// It is a list of readings.
    Readings(Vec<Range<usize>>),
    /// One of its values.
    Into(Box<Value>),
    /// All of its values.
    Each(Vec<Element>),
    /// The value in its text.
    Text { text: String, encoding: Encoding, value: Box<Value> },
}

/// A value of which the root goes through all.
struct Element {
    /// Its place, with its key.
    range: Range<usize>,
    value: Value,
    /// What has nothing at its root is a reading that is no object.
    count: usize,
    /// A value in its place that has no reading.
    empty: String,
}

/// How a text contains a value.
#[derive(Clone, Copy)]
enum Encoding {
    Plain,
    Base64 { is_url_safe: bool, is_padded: bool },
}

impl<'t> Way<'t> {
    /// Finds the way to the reading with this number from 0.
    pub fn find(text: &'t str, root: &[Pointer], number: usize) -> Option<Self> {
        let values = all(text, root)?;
        let mut left = number;
        for (at, value) in values.iter().enumerate() {
            // A value without anything at its root is a reading that is no object.
            let (count, number) = match value.leads() {
                true => (value.count(), Some(left)),
                false => (1, None),
            };
            if left < count {
                return Some(Self { text, value: at, number, values });
            }
            left -= count;
        }
        None
    }

    /// The text with another reading in its place.
    pub fn write(&self, reading: &str, others: Others) -> String {
        let value = &self.values[self.value];
        let Range { start, end } = value.range;
        let mut out = String::with_capacity(self.text.len() + reading.len());
        // Other values are other readings; blanks around a single one are kept.
        let is_kept = others == Others::Stay || self.values.len() == 1;
        if is_kept {
            out.push_str(&self.text[..start]);
        }
        match self.number {
            Some(_) => value.write(self.text, self.number, reading, others, &mut out),
            None => out.push_str(reading),
        }
        if is_kept {
            out.push_str(&self.text[end..]);
        }
        out
    }
}

impl Value {
    /// The number of readings in it.
    fn count(&self) -> usize {
        match &self.step {
            Step::End => 0,
            Step::Reading => 1,
            Step::Readings(readings) => readings.len(),
            Step::Into(value) | Step::Text { value, .. } => value.count(),
            Step::Each(elements) => elements.iter().map(|element| element.count).sum(),
        }
    }

    /// Whether there is a root in it, or something that may have one in each of its values.
    fn leads(&self) -> bool {
        match &self.step {
            Step::End => false,
            Step::Reading | Step::Readings(_) | Step::Each(_) => true,
            Step::Into(value) | Step::Text { value, .. } => value.leads(),
        }
    }

    /// Writes the value with another reading in the place of the one with this number, if it is in this value.
    fn write(&self, text: &str, number: Option<usize>, reading: &str, others: Others, out: &mut String) {
        let Range { start, end } = self.range;
        let brackets = (&text[start..start + 1], &text[end - 1..end]);
        match (&self.step, number) {
            (Step::Reading | Step::Readings(_), None) if others == Others::Emptied => out.push_str("[]"),
            (Step::End | Step::Reading | Step::Readings(_), None) => out.push_str(&text[start..end]),
            (Step::End | Step::Reading, Some(_)) => out.push_str(reading),
            (Step::Readings(readings), Some(number)) => {
                let Range { start: from, end: to } = readings[number];
                match others {
                    Others::Stay => {
                        out.extend([&text[start..from], reading, &text[to..end]]);
                    }
                    Others::Emptied | Others::LeftOut => enclose(brackets, out, |out| out.push_str(reading)),
                }
            }
            (Step::Into(value), number) => {
                out.push_str(&text[start..value.range.start]);
                value.write(text, number, reading, others, out);
                out.push_str(&text[value.range.end..end]);
            }
            (Step::Text { text: inner, encoding, value }, number) => {
                let mut written = inner[..value.range.start].to_owned();
                value.write(inner, number, reading, others, &mut written);
                written.push_str(&inner[value.range.end..]);
                match written == *inner {
                    true => out.push_str(&text[start..end]),
                    false => out.push_str(&encoding.literal(&written)),
                }
            }
            (Step::Each(elements), number) => {
                let mut left = number;
                let mut at = start;
                for element in elements {
                    let own = left.filter(|left| *left < element.count);
                    left = left.and_then(|left| left.checked_sub(element.count));
                    let value = &element.value.range;
                    if others != Others::LeftOut {
                        out.push_str(&text[at..value.start]);
                        element.write(text, own, reading, others, out);
                        at = value.end;
                    } else if own.is_some() {
                        enclose(brackets, out, |out| {
                            out.push_str(&text[element.range.start..value.start]);
                            element.write(text, own, reading, others, out);
                        });
                    }
                }
                if others != Others::LeftOut {
                    out.push_str(&text[at..end]);
                }
            }
        }
    }
}

impl Element {
    /// Like [`Value::write`].
    fn write(&self, text: &str, number: Option<usize>, reading: &str, others: Others, out: &mut String) {
        match number {
            _ if self.value.leads() => self.value.write(text, number, reading, others, out),
            Some(_) => out.push_str(reading),
            None if others == Others::Emptied => out.push_str(&self.empty),
            None => out.push_str(&text[self.value.range.clone()]),
        }
    }
}

/// Writes a value of one element.
fn enclose((open, close): (&str, &str), out: &mut String, element: impl FnOnce(&mut String)) {
    out.push_str(open);
    element(out);
    // Python writes a tuple of one element with a comma.
    if close == ")" {
        out.push(',');
    }
    out.push_str(close);
}

/// The values of a text; none if it is not exactly that.
fn all(text: &str, root: &[Pointer]) -> Option<Vec<Value>> {
    let mut lexer = Lexer::new(text);
    let mut values = Vec::new();
    lexer.blanks();
    loop {
        values.push(value(&mut lexer, root, 0, 0)?);
        lexer.blanks();
        if lexer.is_done() {
            return Some(values);
        }
    }
}

/// Reads a value, to which the first `passed` keys of the first pointer led.
fn value(lexer: &mut Lexer<'_>, root: &[Pointer], passed: usize, depth: usize) -> Option<Value> {
    let start = lexer.at;
    let step = match root.split_first() {
        None => reading(lexer, depth)?,
        Some((pointer, then)) => match (pointer.0.get(passed), then) {
            (Some(part), _) => match lexer.peek()? {
                b'{' => object(lexer, part, root, passed, depth + 1)?,
                b'[' => list(lexer, part, root, passed, depth + 1, b']')?,
                b'(' => list(lexer, part, root, passed, depth + 1, b')')?,
                _ => lexer.scalar().map(|_| Step::End)?,
            },
            (None, []) => reading(lexer, depth)?,
            (None, then) => text(lexer, then, depth)?,
        },
    };
    Some(Value { range: start..lexer.at, step })
}

/// Reads what is at the root: a reading, or a list of them.
fn reading(lexer: &mut Lexer<'_>, depth: usize) -> Option<Step> {
    let end = match lexer.peek()? {
        b'[' => b']',
        b'(' => b')',
        _ => return lexer.skip(depth).map(|()| Step::Reading),
    };
    let mut readings = Vec::new();
    let mut ends = lexer.enters(depth + 1, end)?;
    while !ends {
        let start = lexer.at;
        lexer.skip(depth + 1)?;
        readings.push(start..lexer.at);
        ends = lexer.ends(end)?;
    }
    Some(Step::Readings(readings))
}

fn object(lexer: &mut Lexer<'_>, part: &str, root: &[Pointer], passed: usize, depth: usize) -> Option<Step> {
    let mut steps = Steps::new(root, passed);
    let mut ends = lexer.enters(depth, b'}')?;
    while !ends {
        let start = lexer.at;
        let key = lexer.key(depth)?;
        if part == EACH || key == *part {
            let value = value(lexer, root, passed + 1, depth)?;
            steps.add(start..lexer.at, value, Some(key));
        } else {
            lexer.skip(depth)?;
        }
        ends = lexer.ends(b'}')?;
    }
    Some(steps.step())
}

fn list(
    lexer: &mut Lexer<'_>,
    part: &str,
    root: &[Pointer],
    passed: usize,
    depth: usize,
    end: u8,
) -> Option<Step> {
    let wanted = index(part);
    let mut steps = Steps::new(root, passed);
    let mut ends = lexer.enters(depth, end)?;
    let mut at = 0;
    while !ends {
        let start = lexer.at;
        if part == EACH || wanted == Some(at) {
            let value = value(lexer, root, passed + 1, depth)?;
            steps.add(start..lexer.at, value, None);
        } else {
            lexer.skip(depth)?;
        }
        at += 1;
        ends = lexer.ends(end)?;
    }
    Some(steps.step())
}

/// The values in an object or list that lead further.
struct Steps<'a, 'r> {
    root: &'r [Pointer],
    passed: usize,
    found: Vec<(Range<usize>, Value)>,
    keys: Vec<Option<Cow<'a, str>>>,
}

impl<'a, 'r> Steps<'a, 'r> {
    /// Those behind the first `passed` keys of a root.
    fn new(root: &'r [Pointer], passed: usize) -> Self {
        Self { root, passed, found: Vec::new(), keys: Vec::new() }
    }

    fn add(&mut self, range: Range<usize>, value: Value, key: Option<Cow<'a, str>>) {
        self.found.push((range, value));
        self.keys.push(key);
    }

    /// The step to them. Of equal keys the last one counts.
    fn step(mut self) -> Step {
        let parts = self.root.first().map_or(&[][..], |pointer| &pointer.0[self.passed..]);
        if parts.first().is_none_or(|part| **part != *EACH) {
            return self.found.pop().map_or(Step::End, |(_, value)| Step::Into(Box::new(value)));
        }
        let empty = empty(&parts[1..], &self.root[1..]);
        let numbered = self.keys.iter().enumerate();
        let last: HashMap<&str, usize> =
            numbered.filter_map(|(at, key)| Some((&**key.as_ref()?, at))).collect();
        let numbered = self.keys.iter().enumerate();
        let is_last = |(at, key): (usize, &Option<Cow<'a, str>>)| {
            key.as_ref().is_none_or(|key| last.get(&**key) == Some(&at))
        };
        let counts: Vec<bool> = numbered.map(is_last).collect();
        let element = |((range, value), counts): ((Range<usize>, Value), bool)| {
            let count = if value.leads() { value.count() } else { 1 };
            Element { range, value, count: if counts { count } else { 0 }, empty: empty.clone() }
        };
        Step::Each(self.found.into_iter().zip(counts).map(element).collect())
    }
}

/// A value in which the rest of a root leads to no reading.
fn empty(parts: &[Box<str>], then: &[Pointer]) -> String {
    match (parts.split_first(), then.split_first()) {
        (Some((part, rest)), _) if **part != *EACH => {
            format!("{{{}: {}}}", json_text(part), empty(rest, then))
        }
        (None, Some((pointer, then))) => json_text(&empty(&pointer.0, then)),
        _ => "[]".into(),
    }
}

/// Reads a text that contains one value.
fn text(lexer: &mut Lexer<'_>, root: &[Pointer], depth: usize) -> Option<Step> {
    if !matches!(lexer.peek()?, b'"' | b'\'') {
        return lexer.skip(depth).map(|()| Step::End);
    }
    let Scalar::Text(literal) = lexer.scalar()? else { return Some(Step::End) };
    let text = embedded(&literal);
    let encoding = match &text {
        Cow::Borrowed(_) => Encoding::Plain,
        Cow::Owned(_) => Encoding::Base64 {
            is_url_safe: literal.contains(['-', '_']),
            is_padded: literal.trim().len() % 4 == 0,
        },
    };
    let values = all(&text, root).map(<[Value; 1]>::try_from);
    let Some(Ok([value])) = values else { return Some(Step::End) };
    Some(Step::Text { text: text.into_owned(), encoding, value: Box::new(value) })
}

impl Encoding {
    /// A text as a literal of JSON.
    fn literal(self, text: &str) -> String {
        let text = match self {
            Self::Plain => Cow::Borrowed(text),
            Self::Base64 { is_url_safe, is_padded } => Cow::Owned(match (is_url_safe, is_padded) {
                (false, true) => STANDARD.encode(text),
                (false, false) => STANDARD_NO_PAD.encode(text),
                (true, true) => URL_SAFE.encode(text),
                (true, false) => URL_SAFE_NO_PAD.encode(text),
            }),
        };
        json_text(&text)
    }
}
