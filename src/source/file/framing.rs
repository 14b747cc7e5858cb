//! Where the messages in a text end: at line ends, or at the ends of CSV records.

use memchr::memmem::Finder;

use crate::decode::{is_object, record};

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A line.
    Lines,
    /// A CSV record behind the first, which names the columns.
    Records,
}

impl Framing {
    /// That of a text which begins with `bytes`: lines if its first character begins an object, else
    /// records. None while that character is not there.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let first = *bytes.trim_ascii_start().first()?;
        Some(if first == b'{' { Self::Lines } else { Self::Records })
    }

    /// The length of the message that `bytes` begin with, its end included; none while they hold only
    /// a part of it. With `last`, nothing follows `bytes`.
    pub(super) fn length(self, bytes: &[u8], last: bool) -> Option<usize> {
        match self {
            Self::Lines => memchr::memchr(b'\n', bytes).map(|at| at + 1).or(last.then_some(bytes.len())),
            Self::Records => record::length(bytes, last),
        }
    }

    /// The length of all messages of which `bytes` hold the whole, and how many these are.
    pub(super) fn whole(self, bytes: &[u8], last: bool) -> (usize, i64) {
        let (mut end, mut messages) = (0, 0);
        match self {
            // There are many, and whoever counts them holds a lock.
            Self::Lines => {
                end = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
                messages = memchr::memchr_iter(b'\n', bytes).count() as i64;
                if last && end < bytes.len() {
                    (end, messages) = (bytes.len(), messages + 1);
                }
            }
            Self::Records => {
                while end < bytes.len()
                    && let Some(length) = record::length(&bytes[end..], last)
                {
                    (end, messages) = (end + length, messages + 1);
                }
            }
        }
        (end, messages)
    }

    /// Whether bytes without a line end are a complete message: an object is, behind its key if there is a
    /// `separator`; a CSV record never shows it.
    pub(super) fn is_complete(self, bytes: &[u8], separator: Option<&Finder<'_>>) -> bool {
        self == Self::Lines && message(bytes, separator).1.is_some_and(is_object)
    }
}

/// A message without its line end.
pub(crate) fn without_end(message: &[u8]) -> &[u8] {
    record::without_end(message)
}

/// Whether a line is blank, so that it is no message. One that holds a separator has a key.
pub(crate) fn is_blank(line: &[u8], separator: Option<&Finder<'_>>) -> bool {
    line.trim_ascii_start().is_empty() && separator.is_none_or(|separator| separator.find(line).is_none())
}

/// Whether a key's end in a line can be found by this text.
pub fn is_separator(text: &str) -> bool {
    !text.is_empty() && !text.contains(['\n', '\r'])
}

/// The key and the value of the message in a line without its end.
pub fn message<'a>(line: &'a [u8], separator: Option<&Finder<'_>>) -> (Option<&'a [u8]>, Option<&'a [u8]>) {
    let Some((separator, at)) = separator.and_then(|found| Some((found, found.find(line)?))) else {
        return (None, Some(line));
    };
    let (key, value) = (&line[..at], &line[at + separator.needle().len()..]);
    (Some(key), Some(value).filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_stands_before_the_first_separator() {
        let separator = Finder::new("\t");
        let split = |line: &'static str| message(without_end(line.as_bytes()), Some(&separator));
        assert_eq!(split("k\t{\t}"), (Some(&b"k"[..]), Some(&b"{\t}"[..])));
        assert_eq!(split("\t{}"), (Some(&b""[..]), Some(&b"{}"[..])));
        assert_eq!(split("k\t"), (Some(&b"k"[..]), None));
        assert_eq!(split("k\t\r\n"), (Some(&b"k"[..]), None));
        assert_eq!(split("{}"), (None, Some(&b"{}"[..])));
        assert_eq!(message(b"k\t", None), (None, Some(&b"k\t"[..])));
    }

    #[test]
    fn only_a_whole_object_is_complete_without_a_line_end() {
        let separator = Finder::new("\t");
        for (line, complete) in [
            ("{\"a\": 1}", true),
            (" {'a': {'b': np.float64(1.0)}} ", true),
            ("{}", true),
            ("{\"a\": 1", false),
            ("{\"a\": {\"b\": 1}", false),
            ("{\"a\": \"}\"", false),
            ("1", false),
            ("", false),
        ] {
            assert_eq!(Framing::Lines.is_complete(line.as_bytes(), None), complete, "{line}");
            let keyed = format!("k\t{line}");
            assert_eq!(Framing::Lines.is_complete(keyed.as_bytes(), Some(&separator)), complete, "{keyed}");
            assert!(!Framing::Records.is_complete(line.as_bytes(), None), "{line}");
        }
    }

    #[test]
    fn a_line_of_blanks_is_blank_unless_it_holds_a_key() {
        let separator = Finder::new("\t");
        assert!(is_blank(b"", None) && is_blank(b" \t", None) && is_blank(b"  ", Some(&separator)));
        assert!(!is_blank(b"\t", Some(&separator)) && !is_blank(b" x", None));
    }
}
