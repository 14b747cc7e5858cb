//! A message as a tree of values, whatever its format. [`lexer`](super::lexer) has the syntax of JSON.

use std::borrow::Cow;

use super::lexer::Lexer;
use super::scalar::write_json_text;

pub use super::lexer::MAX_DEPTH;
pub use super::scalar::Scalar;

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
