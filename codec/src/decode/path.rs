//! Ways into a message: JSON Pointers (RFC 6901).

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use super::tree::{Scalar, Tree};

/// A way into a message: each pointer is followed in the text (JSON, or base64 of it) that the one before found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The pointer into the message.
    pub first: Pointer,
    /// The pointers into the texts found.
    pub then: Vec<Pointer>,
}

/// Keys and indices, from the outermost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pointer(pub Vec<Box<str>>);

/// A pointer that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadPointer;

impl fmt::Display for BadPointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("has a `~` without 0 or 1 behind it; write ~0 for ~ and ~1 for /")
    }
}

impl Pointer {
    /// Reads a JSON Pointer; without a slash at its start it is a key. The empty text is the whole.
    ///
    /// ```
    /// use codec::decode::path::Pointer;
    ///
    /// let keys = |text: &str| Pointer::parse(text).map(|pointer| pointer.0.join("|"));
    /// assert_eq!(keys("/gps/time"), Ok("gps|time".into()));
    /// assert_eq!(keys("/km~1h"), Ok("km/h".into()));
    /// assert_eq!(keys("pos.alt"), Ok("pos.alt".into()));
    /// assert!(keys("/a~2").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, BadPointer> {
        let Some(parts) = text.strip_prefix('/') else {
            return Ok(if text.is_empty() { Self::default() } else { Self(vec![text.into()]) });
        };
        parts.split('/').map(unescaped).collect::<Result<_, _>>().map(Self)
    }

    /// The value that it leads to.
    pub fn find<'t, 'a>(&self, tree: &'t Tree<'a>) -> Option<&'t Tree<'a>> {
        self.0.iter().try_fold(tree, |tree, part| tree.child(part))
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| write!(f, "/{}", part.replace('~', "~0").replace('/', "~1")))
    }
}

fn unescaped(part: &str) -> Result<Box<str>, BadPointer> {
    let mut pieces = part.split('~');
    let mut all = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let rest = match piece.as_bytes().first() {
            Some(b'0') => '~',
            Some(b'1') => '/',
            _ => return Err(BadPointer),
        };
        all.push(rest);
        all.push_str(&piece[1..]);
    }
    Ok(all.into())
}

/// The text of JSON that a text contains: itself, or what it is the base64 of.
pub(super) fn embedded(text: &str) -> Cow<'_, str> {
    let trimmed = text.trim_start();
    if trimmed.starts_with(['{', '[', '(', '"', '\'']) {
        return Cow::Borrowed(text);
    }
    let bytes = [STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD];
    let bytes = bytes.iter().find_map(|engine| engine.decode(text.trim()).ok());
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(decoded) => Cow::Owned(decoded),
        None => Cow::Borrowed(text),
    }
}

/// Follows pointers into the texts that each one finds, starting in `text`. None if there is no such value; a text that
/// is not JSON has none.
pub(super) fn follow(text: &str, pointers: &[Pointer]) -> Option<Scalar<'static>> {
    let text = embedded(text);
    let mut values = Tree::parse(&text)?;
    let (Some(value), true) = (values.pop(), values.is_empty()) else { return None };
    let (first, then) = pointers.split_first()?;
    match (first.find(&value)?, then) {
        (Tree::Scalar(scalar), []) => Some(scalar.clone().owned()),
        (Tree::Object(_) | Tree::Array(_), []) => Some(Scalar::Nested),
        (Tree::Scalar(Scalar::Text(text)), then) => follow(text, then),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_is_written_as_it_is_read() {
        for text in ["", "/", "/a", "/a~1b/c~0d", "/~01", "//x", "/[default]Truck 17~1Engine"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Pointer::parse("/~01").unwrap().0[..], ["~1".into()]);
        for wrong in ["/~", "/a~", "/~2", "/a~/b"] {
            assert_eq!(Pointer::parse(wrong), Err(BadPointer), "{wrong}");
        }
    }

    #[test]
    fn pointers_are_followed_into_texts() {
        let pointers =
            |all: &[&str]| all.iter().map(|text| Pointer::parse(text).unwrap()).collect::<Vec<_>>();
        let text = |text: &str| Some(Scalar::Text(text.to_owned().into()));
        assert_eq!(follow(r#"{"a":{"b":"x"}}"#, &pointers(&["/a/b"])), text("x"));
        assert_eq!(follow(r#"{"a":"{\"b\":\"x\"}"}"#, &pointers(&["/a", "/b"])), text("x"));
        assert_eq!(follow(&STANDARD.encode(r#"{"a":"x"}"#), &pointers(&["/a"])), text("x"));
        assert_eq!(follow(r#"{"a":[1]}"#, &pointers(&["/a"])), Some(Scalar::Nested));
        for nothing in ["", "x", "{", r#"{"b":1}"#, "{} {}"] {
            assert_eq!(follow(nothing, &pointers(&["/a"])), None, "{nothing}");
        }
    }
}
