//! The parts of JSON and of dicts in the format of Python's `str`.
//!
//! ```text
//! message  = value { value }                           several objects in one message, such as lines
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

use super::scalar::Scalar;
use super::text;
use crate::text::number;

/// The maximum nesting depth of objects and sequences, including the outermost.
pub const MAX_DEPTH: usize = 64;

/// Reads a text from its start to its end.
#[derive(Clone, Copy)]
pub(super) struct Lexer<'a> {
    pub text: &'a str,
    pub at: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    #[inline]
    pub fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Consumes `byte`, if it is next.
    #[inline]
    pub fn passes(&mut self, byte: u8) -> bool {
        let passes = self.peek() == Some(byte);
        self.at += usize::from(passes);
        passes
    }

    #[inline]
    pub fn expect(&mut self, byte: u8) -> Option<()> {
        self.passes(byte).then_some(())
    }

    #[inline]
    pub fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    /// The next `length` bytes.
    #[inline]
    fn token(&mut self, length: usize) -> Option<&'a str> {
        let token = self.text.get(self.at..self.at + length)?;
        self.at += length;
        Some(token)
    }

    /// Passes the end of an object or sequence, or the comma before its next part: whether it has ended.
    #[inline]
    pub fn ends(&mut self, end: u8) -> Option<bool> {
        self.blanks();
        if self.passes(end) {
            return Some(true);
        }
        self.expect(b',')?;
        self.blanks();
        // Python prints a one-element tuple as `(1,)`.
        Some(end == b')' && self.passes(end))
    }

    /// Enters an object or sequence at a depth: whether it is empty.
    #[inline]
    pub fn enters(&mut self, depth: usize, end: u8) -> Option<bool> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.at += 1;
        self.blanks();
        Some(self.passes(end))
    }

    /// A key and the colon behind it. What is not a text is the key as it is written.
    #[inline]
    pub fn key(&mut self, depth: usize) -> Option<Cow<'a, str>> {
        let key = match self.peek()? {
            quote @ (b'"' | b'\'') => match self.plain_text(quote) {
                Some(key) => Cow::Borrowed(key),
                None => self.other_key(depth)?,
            },
            _ => self.other_key(depth)?,
        };
        self.blanks();
        self.expect(b':')?;
        self.blanks();
        Some(key)
    }

    fn other_key(&mut self, depth: usize) -> Option<Cow<'a, str>> {
        let start = self.at;
        if self.peek()? == b'(' {
            self.skip(depth)?;
        } else if let Scalar::Text(key) = self.scalar()? {
            return Some(key);
        }
        self.text.get(start..self.at).map(Cow::Borrowed)
    }

    /// A text without escapes.
    #[inline]
    fn plain_text(&mut self, quote: u8) -> Option<&'a str> {
        let start = self.at + 1;
        let length = text::plain_length(self.text.as_bytes().get(start..)?, quote)?;
        self.at = start + length + 1;
        self.text.get(start..start + length)
    }

    /// Passes a value.
    #[inline]
    pub fn skip(&mut self, depth: usize) -> Option<()> {
        match self.peek()? {
            b'{' => {
                if self.enters(depth + 1, b'}')? {
                    return Some(());
                }
                loop {
                    self.key(depth + 1)?;
                    self.skip(depth + 1)?;
                    if self.ends(b'}')? {
                        return Some(());
                    }
                }
            }
            open @ (b'[' | b'(') => {
                let end = if open == b'[' { b']' } else { b')' };
                if self.enters(depth + 1, end)? {
                    return Some(());
                }
                loop {
                    self.skip(depth + 1)?;
                    if self.ends(end)? {
                        return Some(());
                    }
                }
            }
            _ => self.scalar().map(drop),
        }
    }

    /// Passes a value without parts.
    #[inline]
    pub fn skip_scalar(&mut self) -> Option<()> {
        let bytes = self.text.as_bytes();
        match *bytes.get(self.at)? {
            quote @ (b'"' | b'\'') => {
                let start = self.at + 1;
                if let Some(length) = text::plain_length(&bytes[start..], quote) {
                    self.at = start + length + 1;
                    return Some(());
                }
            }
            b'-' | b'0'..=b'9' => {
                if let Some(length) = number::length(&bytes[self.at..]) {
                    self.at += length;
                    return Some(());
                }
            }
            b'n' if self.passes_name(b"null") => return Some(()),
            b't' if self.passes_name(b"true") => return Some(()),
            b'f' if self.passes_name(b"false") => return Some(()),
            _ => {}
        }
        self.scalar().map(drop)
    }

    /// Passes a name, if it is next and ends there.
    #[inline]
    fn passes_name<const N: usize>(&mut self, name: &[u8; N]) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        let is_next = rest.starts_with(name) && matches!(rest.get(N), None | Some(b',' | b'}' | b']'));
        self.at += if is_next { N } else { 0 };
        is_next
    }

    /// A value without parts.
    #[inline]
    pub fn scalar(&mut self) -> Option<Scalar<'a>> {
        match self.peek()? {
            b'n' => {
                let rest = self.text.get(self.at..)?;
                if let Some(module) = ["np.", "numpy."].into_iter().find(|module| rest.starts_with(module)) {
                    self.at += module.len();
                    return self.numpy();
                }
                self.plain()
            }
            b'-' | b'0'..=b'9' => match number::length(self.text.as_bytes().get(self.at..)?) {
                Some(length) => self.token(length).map(|text| Scalar::Number(Cow::Borrowed(text))),
                None => self.plain(),
            },
            quote @ (b'"' | b'\'') => match self.plain_text(quote) {
                Some(text) => Some(Scalar::Text(Cow::Borrowed(text))),
                None => self.plain(),
            },
            _ => self.plain(),
        }
    }

    fn numpy(&mut self) -> Option<Scalar<'a>> {
        let name = self.word()?;
        if !self.passes(b'(') {
            return match name {
                "True_" | "False_" => Some(Scalar::PythonBoolean(name == "True_")),
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
                "true" => Some(Scalar::Boolean(true)),
                "false" => Some(Scalar::Boolean(false)),
                "True" => Some(Scalar::PythonBoolean(true)),
                "False" => Some(Scalar::PythonBoolean(false)),
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
