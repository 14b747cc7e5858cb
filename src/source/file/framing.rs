//! Finds the ends of messages in a text: line ends, or ends of CSV records.

use memchr::memmem::Finder;

use crate::decode::is_whole;
use crate::text::csv;

/// The kind of messages in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A line.
    Lines,
    /// A CSV record.
    Records {
        /// The byte between its fields.
        separator: u8,
        /// Whether the first record names the fields.
        has_header: bool,
    },
}

impl Framing {
    /// Whether the first message is a header.
    pub(super) fn has_header(self) -> bool {
        matches!(self, Self::Records { has_header: true, .. })
    }

    /// The length of the first message in `bytes`, including its end; `None` if it is incomplete. With `last`, nothing
    /// follows `bytes`.
    pub(super) fn length(self, bytes: &[u8], last: bool) -> Option<usize> {
        match self {
            Self::Lines => memchr::memchr(b'\n', bytes).map(|at| at + 1).or(last.then_some(bytes.len())),
            Self::Records { separator, .. } => csv::record_length(bytes, separator, last),
        }
    }

    /// The total length and the number of complete messages in `bytes`.
    pub(super) fn whole(self, bytes: &[u8], last: bool) -> (usize, i64) {
        let (mut end, mut messages) = (0, 0);
        match self {
            // Fast, because it runs under the lock.
            Self::Lines => {
                end = memchr::memrchr(b'\n', bytes).map_or(0, |at| at + 1);
                messages = memchr::memchr_iter(b'\n', bytes).count() as i64;
                if last && end < bytes.len() {
                    (end, messages) = (bytes.len(), messages + 1);
                }
            }
            Self::Records { separator, .. } => {
                while end < bytes.len()
                    && let Some(length) = csv::record_length(&bytes[end..], separator, last)
                {
                    (end, messages) = (end + length, messages + 1);
                }
            }
        }
        (end, messages)
    }

    /// Whether bytes without a line end are a complete message: an object is, after its key if there is a `separator`;
    /// a CSV record never is.
    pub(super) fn is_complete(self, bytes: &[u8], separator: Option<&Finder<'_>>) -> bool {
        self == Self::Lines && message(bytes, separator).1.is_some_and(is_whole)
    }
}

/// A message without its line end.
pub(crate) fn without_end(message: &[u8]) -> &[u8] {
    csv::without_end(message)
}

/// Whether a line is blank and therefore not a message. A line with a separator has a key and is not blank.
pub(crate) fn is_blank(line: &[u8], separator: Option<&Finder<'_>>) -> bool {
    line.trim_ascii_start().is_empty() && separator.is_none_or(|separator| separator.find(line).is_none())
}

/// Whether a text can separate key and value in a line.
pub fn is_separator(text: &str) -> bool {
    !text.is_empty() && !text.contains(['\n', '\r'])
}

/// The key and value of the message in a line without line end.
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
    fn a_key_ends_at_the_first_separator() {
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
    fn only_a_complete_object_needs_no_line_end() {
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
            let records = Framing::Records { separator: b',', has_header: true };
            assert!(!records.is_complete(line.as_bytes(), None), "{line}");
        }
    }

    #[test]
    fn a_line_of_spaces_is_blank_unless_it_has_a_key() {
        let separator = Finder::new("\t");
        assert!(is_blank(b"", None) && is_blank(b" \t", None) && is_blank(b"  ", Some(&separator)));
        assert!(!is_blank(b"\t", Some(&separator)) && !is_blank(b" x", None));
    }
}
