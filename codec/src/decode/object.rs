//! The syntax of a payload: one JSON object, or one dict in the format of Python's `str`.
//!
//! ```text
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

/// The maximum nesting depth of objects and sequences, including the outermost.
const MAX_DEPTH: usize = 64;

/// A field's value, as far as readings need to distinguish it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// Null, `None`, or an absent field.
    Null,
    Bool,
    /// A number's source text.
    Number(&'a str),
    /// The source text of NaN or an infinity.
    NotFinite(&'a str),
    /// A string without its quotes and escapes.
    Text(Cow<'a, str>),
    /// An object or sequence, skipped.
    Nested,
}

/// The values of the fields `names`; of duplicate keys the last wins. None if `payload` is not exactly one object.
pub(super) fn fields<'a, const N: usize>(payload: &'a [u8], names: [&str; N]) -> Option<[Value<'a>; N]> {
    let mut values = std::array::from_fn(|_| Value::Null);
    read(payload, &names, &mut values).map(|()| values)
}

/// Like [`fields`], for any number of names.
pub(super) fn values<'a>(payload: &'a [u8], names: &[&str]) -> Option<Vec<Value<'a>>> {
    let mut values = vec![Value::Null; names.len()];
    read(payload, names, &mut values).map(|()| values)
}

fn read<'a>(payload: &'a [u8], names: &[&str], values: &mut [Value<'a>]) -> Option<()> {
    let mut parser = Parser { text: std::str::from_utf8(payload).ok()?, at: 0 };
    parser.blanks();
    parser.object(1, |key, value| {
        if let Value::Text(key) = key
            && let Some(place) = names.iter().position(|name| *name == key)
        {
            values[place] = value;
        }
    })?;
    parser.blanks();
    (parser.at == parser.text.len()).then_some(())
}

struct Parser<'a> {
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

    fn object(&mut self, depth: usize, mut visit: impl FnMut(Value<'a>, Value<'a>)) -> Option<()> {
        self.expect(b'{').filter(|()| depth <= MAX_DEPTH)?;
        self.blanks();
        if self.passes(b'}') {
            return Some(());
        }
        loop {
            let key = match self.peek()? {
                b'(' => self.sequence(b')', depth + 1)?,
                _ => self.scalar()?,
            };
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            visit(key, self.value(depth)?);
            self.blanks();
            if self.passes(b'}') {
                return Some(());
            }
            self.expect(b',')?;
            self.blanks();
        }
    }

    fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        match self.peek()? {
            b'{' => self.object(depth + 1, |_, _| ()).map(|()| Value::Nested),
            b'[' => self.sequence(b']', depth + 1),
            b'(' => self.sequence(b')', depth + 1),
            _ => self.scalar(),
        }
    }

    fn sequence(&mut self, end: u8, depth: usize) -> Option<Value<'a>> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.at += 1;
        self.blanks();
        if self.passes(end) {
            return Some(Value::Nested);
        }
        loop {
            self.value(depth)?;
            self.blanks();
            if self.passes(end) {
                return Some(Value::Nested);
            }
            self.expect(b',')?;
            self.blanks();
            // Python prints a one-element tuple as `(1,)`.
            if end == b')' && self.passes(end) {
                return Some(Value::Nested);
            }
        }
    }

    fn scalar(&mut self) -> Option<Value<'a>> {
        let rest = self.text.get(self.at..)?;
        for module in ["np.", "numpy."] {
            if rest.starts_with(module) {
                self.at += module.len();
                return self.numpy();
            }
        }
        self.plain()
    }

    fn numpy(&mut self) -> Option<Value<'a>> {
        let name = self.word()?;
        if !self.passes(b'(') {
            return match name {
                "True_" | "False_" => Some(Value::Bool),
                "nan" | "inf" => Some(Value::NotFinite(name)),
                _ => None,
            };
        }
        self.blanks();
        let value = self.plain()?;
        self.blanks();
        self.expect(b')')?;
        Some(value)
    }

    fn plain(&mut self) -> Option<Value<'a>> {
        let rest = self.text.get(self.at..)?;
        match rest.as_bytes().first()? {
            b'"' | b'\'' => {
                let (text, length) = text::quoted(rest)?;
                self.at += length;
                Some(Value::Text(text))
            }
            b'-' | b'0'..=b'9' => match number::length(rest.as_bytes()) {
                Some(length) => self.token(length).map(Value::Number),
                None => self.signed_name(),
            },
            _ => match self.word()? {
                "null" | "None" => Some(Value::Null),
                "true" | "True" | "false" | "False" => Some(Value::Bool),
                name => not_finite(name, name),
            },
        }
    }

    fn signed_name(&mut self) -> Option<Value<'a>> {
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

fn not_finite<'a>(name: &str, source: &'a str) -> Option<Value<'a>> {
    matches!(name, "nan" | "NaN" | "inf" | "Infinity").then_some(Value::NotFinite(source))
}
