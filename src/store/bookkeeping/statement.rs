//! Statements with their values, and the rows of an answer.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

/// The number of characters of a topic's name that fit into a key.
const TOPIC_CHARACTERS: usize = 255;

/// A value of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// No value.
    Null,
    /// An integer.
    Integer(i64),
    /// A text.
    Text(Cow<'a, str>),
    /// Bytes.
    Bytes(&'a [u8]),
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Value<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl From<i64> for Value<'_> {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<u64> for Value<'_> {
    fn from(number: u64) -> Self {
        Self::Integer(number as i64)
    }
}

impl From<i32> for Value<'_> {
    fn from(number: i32) -> Self {
        Self::Integer(number.into())
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// A statement. Its values replace the `?` in it, in their order; texts in it contain no `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The SQL.
    pub sql: Cow<'a, str>,
    /// The values.
    pub values: Vec<Value<'a>>,
    /// What the database has to read for the answer.
    pub reads: Reads,
}

/// What a database has to read for an answer, which decides how long the answer may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reads {
    /// This many bytes, all of which are in the answer.
    Bytes(usize),
    /// A whole table.
    Table,
}

impl<'a> Statement<'a> {
    /// A statement with these values.
    pub fn new(sql: impl Into<Cow<'a, str>>, values: impl Into<Vec<Value<'a>>>) -> Self {
        Self { sql: sql.into(), values: values.into(), reads: Reads::Bytes(0) }
    }

    /// The number of bytes of its SQL and values.
    pub fn bytes(&self) -> usize {
        let size = |value: &Value<'_>| match value {
            Value::Null | Value::Integer(_) => 0,
            Value::Text(text) => text.len(),
            Value::Bytes(bytes) => bytes.len(),
        };
        self.sql.len() + self.values.iter().map(size).sum::<usize>()
    }
}

/// A row of an answer: each field as text, or as bytes if it is a BLOB. NULL is `None`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row(pub Vec<Option<Vec<u8>>>);

impl Row {
    /// The field as text; empty if it is NULL.
    pub fn text(&self, index: usize) -> String {
        let bytes = self.0.get(index).and_then(Option::as_deref).unwrap_or_default();
        String::from_utf8_lossy(bytes).into_owned()
    }

    /// The field as an integer; `None` if it is NULL or not an integer.
    pub fn number(&self, index: usize) -> Option<i64> {
        std::str::from_utf8(self.0.get(index)?.as_deref()?).ok()?.parse().ok()
    }

    /// Whether the field is NULL.
    pub fn is_null(&self, index: usize) -> bool {
        self.0.get(index).is_none_or(Option::is_none)
    }
}

/// A topic as key, and its name if that is longer than a key: a "topic" may be the path of a file.
pub(in crate::store) fn topic_key(topic: &str) -> (Cow<'_, str>, Option<&str>) {
    if topic.chars().count() <= TOPIC_CHARACTERS {
        return (topic.into(), None);
    }
    let start: String = topic.chars().take(190).collect();
    (format!("{start}#{}", hash(topic)).into(), Some(topic))
}

/// The SHA-256 of a text in hexadecimal digits, for names that are too long.
pub(in crate::store) fn hash(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}
