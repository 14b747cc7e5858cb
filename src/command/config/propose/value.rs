//! The values of sampled messages, which outlive the bytes that they were parsed from.
//!
//! A text that contains JSON, as it is or in base64, is parsed, too: a producer that sends JSON in JSON sends its readings
//! there.

use std::borrow::Cow;
use std::collections::HashSet;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use crate::decode::tree::{Scalar, Tree};
use crate::text::time::Unit;

/// Longer texts are not kept.
const MAX_TEXT: usize = 1000;
/// How many characters of a longer text are kept.
const START: usize = 40;
/// How many texts with JSON may be inside each other.
const MAX_INSIDE: u32 = 3;

/// A value of a message.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A value without parts.
    Leaf(Leaf),
    /// Values by key, in the order of the message; no key twice.
    Object(Vec<(Rc<str>, Self)>),
    /// A list.
    List(Vec<Self>),
    /// The object or list that a text contains.
    Inside(Box<Self>),
}

/// A value without parts.
#[derive(Clone, Debug, PartialEq)]
pub enum Leaf {
    /// Null.
    Null,
    /// True or false.
    Boolean(bool),
    /// A number, as it is written.
    Number(Box<str>),
    /// NaN or an infinity, as it is written.
    NotFinite(Box<str>),
    /// A text.
    Text(Box<str>),
    /// A text that is too long to be of interest.
    Long {
        /// How it begins.
        start: Box<str>,
        /// Its length.
        bytes: usize,
    },
    /// A time that a schema declares.
    Time {
        /// Nanoseconds since 1970.
        nanos: i128,
        /// The unit in which the schema counts.
        unit: Unit,
        /// Whether it is a local time.
        local: bool,
    },
    /// Bytes that are no text.
    Bytes,
}

impl From<&Tree<'_>> for Value {
    fn from(tree: &Tree<'_>) -> Self {
        of_tree(tree, MAX_INSIDE)
    }
}

fn of_tree(tree: &Tree<'_>, inside: u32) -> Value {
    match tree {
        Tree::Scalar(Scalar::Text(text)) => of_text(text, inside),
        Tree::Scalar(scalar) => Value::Leaf(of_scalar(scalar)),
        Tree::Array(elements) => {
            Value::List(elements.iter().map(|element| of_tree(element, inside)).collect())
        }
        Tree::Object(entries) => {
            let mut seen: HashSet<&str> = HashSet::new();
            let mut kept = Vec::with_capacity(entries.len());
            for (key, tree) in entries.iter().rev() {
                if seen.insert(key) {
                    kept.push((Rc::from(&**key), of_tree(tree, inside)));
                }
            }
            kept.reverse();
            Value::Object(kept)
        }
    }
}

fn of_scalar(scalar: &Scalar<'_>) -> Leaf {
    let of_double = |finite: bool, text: String| {
        if finite { Leaf::Number(text.into()) } else { Leaf::NotFinite(text.into()) }
    };
    match scalar {
        Scalar::Null => Leaf::Null,
        Scalar::Boolean(value) | Scalar::PythonBoolean(value) => Leaf::Boolean(*value),
        Scalar::Number(text) => Leaf::Number((**text).into()),
        Scalar::Integer(value) => Leaf::Number(value.to_string().into()),
        Scalar::Double(value) => of_double(value.is_finite(), value.to_string()),
        Scalar::Float(value) => of_double(value.is_finite(), value.to_string()),
        Scalar::NotFinite(text) => Leaf::NotFinite((*text).into()),
        Scalar::Text(text) => leaf_of_text(text),
        Scalar::Time { nanos, unit, local } => Leaf::Time { nanos: *nanos, unit: *unit, local: *local },
        Scalar::Bytes | Scalar::Nested => Leaf::Bytes,
    }
}

fn of_text(text: &str, inside: u32) -> Value {
    if let Some(inside) = inside.checked_sub(1)
        && let Some(value) = parsed(text, inside)
    {
        return Value::Inside(Box::new(value));
    }
    Value::Leaf(leaf_of_text(text))
}

fn leaf_of_text(text: &str) -> Leaf {
    match text.len() {
        0..=MAX_TEXT => Leaf::Text(text.into()),
        bytes => Leaf::Long { start: text.chars().take(START).collect(), bytes },
    }
}

/// The object, or list of objects, that a text contains, as it is or in base64.
fn parsed(text: &str, inside: u32) -> Option<Value> {
    let trimmed = text.trim_start();
    // Base64 of `{` or `[` begins like this, with or without blanks behind it.
    let decoded = if ["ey", "ew", "W3", "Ww"].iter().any(|start| trimmed.starts_with(start)) {
        let alphabets = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
        let bytes = alphabets.into_iter().find_map(|alphabet| alphabet.decode(trimmed.trim_end()).ok())?;
        Cow::Owned(String::from_utf8(bytes).ok()?)
    } else if trimmed.starts_with(['{', '[']) {
        Cow::Borrowed(text)
    } else {
        return None;
    };
    let trees = Tree::parse(&decoded)?;
    let [tree] = &*trees else { return None };
    match of_tree(tree, inside) {
        value @ Value::Object(_) => Some(value),
        Value::List(elements) if elements.iter().any(|element| matches!(element, Value::Object(_))) => {
            Some(Value::List(elements))
        }
        _ => None,
    }
}

impl Value {
    /// The value of a key, or the element with this index.
    pub(super) fn child(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(entries) => entries.iter().find(|(name, _)| **name == *key).map(|(_, value)| value),
            Self::List(elements) => elements.get(key.parse::<usize>().ok()?),
            Self::Leaf(_) | Self::Inside(_) => None,
        }
    }

    /// Whether it is null.
    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Leaf(Leaf::Null))
    }

    /// The text, if it is one.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Leaf(Leaf::Text(text)) => Some(text),
            _ => None,
        }
    }
}

impl Leaf {
    /// The value for a decoder.
    pub(super) fn scalar(&self) -> Scalar<'_> {
        match self {
            Self::Null => Scalar::Null,
            Self::Boolean(value) => Scalar::Boolean(*value),
            Self::Number(text) => Scalar::Number(Cow::Borrowed(text)),
            Self::NotFinite(text) => Scalar::NotFinite(text),
            Self::Text(text) | Self::Long { start: text, .. } => Scalar::Text(Cow::Borrowed(text)),
            Self::Time { nanos, unit, local } => Scalar::Time { nanos: *nanos, unit: *unit, local: *local },
            Self::Bytes => Scalar::Bytes,
        }
    }

    /// Its length in bytes as it is written.
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Long { bytes, .. } => *bytes,
            leaf => leaf.written().len(),
        }
    }

    /// How the value is written.
    pub(super) fn written(&self) -> Cow<'_, str> {
        match self {
            Self::Null => Cow::Borrowed("null"),
            Self::Boolean(value) => Cow::Borrowed(if *value { "true" } else { "false" }),
            Self::Number(text)
            | Self::NotFinite(text)
            | Self::Text(text)
            | Self::Long { start: text, .. } => Cow::Borrowed(text),
            Self::Time { nanos, .. } => Cow::Owned(nanos.to_string()),
            Self::Bytes => Cow::Borrowed("bytes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(text: &str) -> Value {
        Value::from(&Tree::parse(text).unwrap()[0])
    }

    #[test]
    fn of_equal_keys_the_last_is_kept() {
        assert_eq!(value(r#"{"a": 1, "b": 2, "a": 3}"#), value(r#"{"b": 2, "a": 3}"#));
    }

    #[test]
    fn json_in_a_text_is_parsed_as_it_is_and_in_base64() {
        let inside = Value::Inside(Box::new(value(r#"{"rpm": 900}"#)));
        assert_eq!(value(r#"{"m": "{\"rpm\": 900}"}"#).child("m"), Some(&inside));
        assert_eq!(value(r#"{"m": "eyJycG0iOiA5MDB9"}"#).child("m"), Some(&inside));
        for text in [r#""[1, 2]""#, r#""{not json""#, r#""[]""#, r#""eyes on""#] {
            assert!(value(text).text().is_some(), "{text}");
        }
    }
}
