//! A value of a message that has no parts.

use std::borrow::Cow;

use crate::text::time::Unit;

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
    pub(super) fn write_json(&self, out: &mut String) {
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

/// A text as JSON.
pub(super) fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_json_text(text, &mut out);
    out
}

/// Appends a text as JSON.
pub(super) fn write_json_text(text: &str, out: &mut String) {
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
