//! A message as a tree of values, whatever its format. [`lexer`](super::lexer) has the syntax of JSON.

use std::borrow::Cow;

use super::lexer::Lexer;
use crate::text::time::Unit;

/// The maximum nesting depth of objects and sequences, including the outermost.
pub const MAX_DEPTH: usize = 64;

/// A value of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Tree<'a> {
    /// A value without parts.
    Scalar(Scalar<'a>),
    /// Values by key, in the order of the message. Of equal keys the last wins.
    Object(Vec<(Cow<'a, str>, Tree<'a>)>),
    /// A list of values.
    Array(Vec<Tree<'a>>),
}

/// A value without parts.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar<'a> {
    /// Null, or `None`.
    Null,
    /// True or false.
    Boolean(bool),
    /// `True` or `False`, as Python writes them.
    PythonBoolean(bool),
    /// The text of a number, in JSON's syntax.
    Number(Cow<'a, str>),
    /// An integer.
    Integer(i128),
    /// A double, which means its shortest decimal. May be infinite or NaN.
    Double(f64),
    /// A 32-bit float, which means its shortest decimal. May be infinite or NaN.
    Float(f32),
    /// The source text of NaN or an infinity.
    NotFinite(&'a str),
    /// A text.
    Text(Cow<'a, str>),
    /// A time that its schema declares.
    Time {
        /// Nanoseconds since 1970.
        nanos: i128,
        /// The unit in which the schema counts.
        unit: Unit,
        /// Whether it is a local time, which counts from 1970 in its own zone.
        local: bool,
    },
    /// Bytes that are no text.
    Bytes,
    /// An object or a list, where a value without parts was looked for.
    Nested,
}

/// How NaN and infinities are written.
const NOT_FINITE: [&str; 8] = ["NaN", "nan", "Infinity", "inf", "-NaN", "-nan", "-Infinity", "-inf"];

impl Scalar<'_> {
    fn write_json(&self, out: &mut String) {
        match self {
            Self::Null | Self::Bytes | Self::Nested => out.push_str("null"),
            Self::Boolean(value) | Self::PythonBoolean(value) => {
                out.push_str(if *value { "true" } else { "false" });
            }
            Self::Number(text) => out.push_str(text),
            Self::Integer(value) => out.push_str(&value.to_string()),
            Self::Double(value) if value.is_finite() => {
                out.push_str(ryu::Buffer::new().format_finite(*value))
            }
            Self::Float(value) if value.is_finite() => out.push_str(ryu::Buffer::new().format_finite(*value)),
            Self::Double(_) | Self::Float(_) => write_json_text("NaN", out),
            Self::NotFinite(text) => write_json_text(text, out),
            Self::Text(text) => write_json_text(text, out),
            Self::Time { nanos, .. } => out.push_str(&nanos.to_string()),
        }
    }

    /// The same value without borrows.
    pub(super) fn owned(self) -> Scalar<'static> {
        match self {
            Self::Null => Scalar::Null,
            Self::Boolean(value) => Scalar::Boolean(value),
            Self::PythonBoolean(value) => Scalar::PythonBoolean(value),
            Self::Number(text) => Scalar::Number(Cow::Owned(text.into_owned())),
            Self::Integer(value) => Scalar::Integer(value),
            Self::Double(value) => Scalar::Double(value),
            Self::Float(value) => Scalar::Float(value),
            Self::NotFinite(text) => {
                Scalar::NotFinite(NOT_FINITE.into_iter().find(|name| *name == text).unwrap_or("NaN"))
            }
            Self::Text(text) => Scalar::Text(Cow::Owned(text.into_owned())),
            Self::Time { nanos, unit, local } => Scalar::Time { nanos, unit, local },
            Self::Bytes => Scalar::Bytes,
            Self::Nested => Scalar::Nested,
        }
    }
}

impl<'a> Tree<'a> {
    /// The values of a text; none if it is not exactly that.
    pub fn parse(text: &'a str) -> Option<Vec<Self>> {
        let mut lexer = Lexer::new(text);
        let mut values = Vec::with_capacity(1);
        lexer.blanks();
        loop {
            values.push(value(&mut lexer, 0)?);
            lexer.blanks();
            if lexer.is_done() {
                return Some(values);
            }
        }
    }

    /// The same tree without borrows.
    pub fn owned(self) -> Tree<'static> {
        match self {
            Self::Scalar(scalar) => Tree::Scalar(scalar.owned()),
            Self::Object(entries) => {
                let owned =
                    |(key, value): (Cow<'_, str>, Tree<'_>)| (Cow::Owned(key.into_owned()), value.owned());
                Tree::Object(entries.into_iter().map(owned).collect())
            }
            Self::Array(elements) => Tree::Array(elements.into_iter().map(Tree::owned).collect()),
        }
    }

    /// The tree as JSON. What JSON has no value for is a text.
    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write_json(&mut out);
        out
    }

    fn write_json(&self, out: &mut String) {
        match self {
            Self::Scalar(scalar) => scalar.write_json(out),
            Self::Object(entries) => {
                let mut before = '{';
                for (key, value) in entries {
                    out.push(before);
                    write_json_text(key, out);
                    out.push(':');
                    value.write_json(out);
                    before = ',';
                }
                out.push_str(if before == '{' { "{}" } else { "}" });
            }
            Self::Array(elements) => {
                let mut before = '[';
                for value in elements {
                    out.push(before);
                    value.write_json(out);
                    before = ',';
                }
                out.push_str(if before == '[' { "[]" } else { "]" });
            }
        }
    }

    /// The value of a key, or the element with this index; none if there is none.
    pub fn child(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => {
                entries.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value)
            }
            Self::Array(elements) => elements.get(index(key)?),
            Self::Scalar(_) => None,
        }
    }
}

/// The index that a part of a JSON Pointer (RFC 6901) names.
pub(super) fn index(part: &str) -> Option<usize> {
    let is_index = part == "0" || !part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit());
    if is_index { part.parse().ok() } else { None }
}

fn value<'a>(lexer: &mut Lexer<'a>, depth: usize) -> Option<Tree<'a>> {
    let end = match lexer.peek()? {
        b'{' => b'}',
        b'[' => b']',
        b'(' => b')',
        _ => return lexer.scalar().map(Tree::Scalar),
    };
    let is_empty = lexer.enters(depth + 1, end)?;
    if end == b'}' {
        let mut entries = Vec::new();
        let mut ends = is_empty;
        while !ends {
            entries.push((lexer.key(depth + 1)?, value(lexer, depth + 1)?));
            ends = lexer.ends(end)?;
        }
        return Some(Tree::Object(entries));
    }
    let mut elements = Vec::new();
    let mut ends = is_empty;
    while !ends {
        elements.push(value(lexer, depth + 1)?);
        ends = lexer.ends(end)?;
    }
    Some(Tree::Array(elements))
}

/// A text as JSON.
pub(super) fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_json_text(text, &mut out);
    out
}

fn write_json_text(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}
