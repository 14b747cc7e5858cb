//! A message as a tree of values, whatever its format.
//!
//! JSON, and dicts in the format of Python's `str`, have this syntax:
//!
//! ```text
//! message  = value { [ "," ] value }                   the comma only inside of objects and sequences
//! object   = "{" [ key ":" value { "," key ":" value } ] "}"     a key is a scalar or a tuple
//! value    = object | sequence | scalar
//! sequence = "[" [ value { "," value } ] "]" | "(" [ value { "," value } [ "," ] ] ")"
//! scalar   = plain | numpy
//! plain    = text | number | [ "-" ] "nan" | "NaN" | "inf" | "Infinity"
//!          | "null" | "None" | "true" | "True" | "false" | "False"
//! numpy    = ( "np." | "numpy." ) ( identifier "(" plain ")" | "nan" | "inf" | "True_" | "False_" )
//! ```
//!
//! Text is defined in [`text`](super::text); numbers and blanks are as in JSON.

use std::borrow::Cow;

use super::text;
use crate::text::number;
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
}

impl<'a> Tree<'a> {
    /// The values of a text; none if it is not exactly that.
    pub fn parse(text: &'a str) -> Option<Vec<Self>> {
        let mut parser = Parser { text, at: 0 };
        let mut values = Vec::with_capacity(1);
        parser.blanks();
        loop {
            values.push(parser.value(0)?);
            parser.blanks();
            if parser.at == text.len() {
                return Some(values);
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

/// A parser of JSON and Python's dicts.
pub(super) struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Parser<'a> {
    #[inline]
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Consumes `byte`, if it is next.
    #[inline]
    fn passes(&mut self, byte: u8) -> bool {
        let passes = self.peek() == Some(byte);
        self.at += usize::from(passes);
        passes
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.passes(byte).then_some(())
    }

    #[inline]
    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// The next `length` bytes.
    #[inline]
    fn token(&mut self, length: usize) -> Option<&'a str> {
        let token = self.text.get(self.at..self.at + length)?;
        self.at += length;
        Some(token)
    }

    fn value(&mut self, depth: usize) -> Option<Tree<'a>> {
        match self.peek()? {
            b'{' => self.object(depth + 1),
            b'[' => self.sequence(b']', depth + 1),
            b'(' => self.sequence(b')', depth + 1),
            _ => self.scalar().map(Tree::Scalar),
        }
    }

    fn object(&mut self, depth: usize) -> Option<Tree<'a>> {
        self.expect(b'{').filter(|()| depth <= MAX_DEPTH)?;
        self.blanks();
        let mut entries = Vec::new();
        if self.passes(b'}') {
            return Some(Tree::Object(entries));
        }
        loop {
            let start = self.at;
            let key = match self.peek()? {
                b'(' => {
                    self.sequence(b')', depth + 1)?;
                    Cow::Borrowed(self.text.get(start..self.at)?)
                }
                _ => match self.scalar()? {
                    Scalar::Text(key) => key,
                    _ => Cow::Borrowed(self.text.get(start..self.at)?),
                },
            };
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            entries.push((key, self.value(depth)?));
            self.blanks();
            if self.passes(b'}') {
                return Some(Tree::Object(entries));
            }
            self.expect(b',')?;
            self.blanks();
        }
    }

    fn sequence(&mut self, end: u8, depth: usize) -> Option<Tree<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.at += 1;
        self.blanks();
        let mut elements = Vec::new();
        if self.passes(end) {
            return Some(Tree::Array(elements));
        }
        loop {
            elements.push(self.value(depth)?);
            self.blanks();
            if self.passes(end) {
                return Some(Tree::Array(elements));
            }
            self.expect(b',')?;
            self.blanks();
            // Python prints a one-element tuple as `(1,)`.
            if end == b')' && self.passes(end) {
                return Some(Tree::Array(elements));
            }
        }
    }

    fn scalar(&mut self) -> Option<Scalar<'a>> {
        let rest = self.text.get(self.at..)?;
        for module in ["np.", "numpy."] {
            if rest.starts_with(module) {
                self.at += module.len();
                return self.numpy();
            }
        }
        self.plain()
    }

    fn numpy(&mut self) -> Option<Scalar<'a>> {
        let name = self.word()?;
        if !self.passes(b'(') {
            return match name {
                "True_" | "False_" => Some(Scalar::Boolean(name == "True_")),
                "nan" | "inf" => Some(Scalar::NotFinite(name)),
                _ => None,
            };
        }
        self.blanks();
        let value = self.plain()?;
        self.blanks();
        self.expect(b')')?;
        Some(value)
    }

    fn plain(&mut self) -> Option<Scalar<'a>> {
        let rest = self.text.get(self.at..)?;
        match rest.as_bytes().first()? {
            b'"' | b'\'' => {
                let (text, length) = text::quoted(rest)?;
                self.at += length;
                Some(Scalar::Text(text))
            }
            b'-' | b'0'..=b'9' => match number::length(rest.as_bytes()) {
                Some(length) => self.token(length).map(|text| Scalar::Number(Cow::Borrowed(text))),
                None => self.signed_name(),
            },
            _ => match self.word()? {
                "null" | "None" => Some(Scalar::Null),
                "true" | "True" => Some(Scalar::Boolean(true)),
                "false" | "False" => Some(Scalar::Boolean(false)),
                name => not_finite(name, name),
            },
        }
    }

    fn signed_name(&mut self) -> Option<Scalar<'a>> {
        let start = self.at;
        self.expect(b'-')?;
        let name = self.word()?;
        not_finite(name, self.text.get(start..self.at)?)
    }

    /// An identifier.
    fn word(&mut self) -> Option<&'a str> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let belongs = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        let length = rest.iter().position(|byte| !belongs(byte)).unwrap_or(rest.len());
        let begins = rest.first().is_some_and(|byte| !byte.is_ascii_digit());
        if begins && length > 0 { self.token(length) } else { None }
    }
}

fn not_finite<'a>(name: &str, source: &'a str) -> Option<Scalar<'a>> {
    matches!(name, "nan" | "NaN" | "inf" | "Infinity").then_some(Scalar::NotFinite(source))
}
