//! Untrusted text in a log or on a terminal: line ends and control characters are escaped. Also numbers with
//! thousands separators.

use std::borrow::Cow;
use std::io::{self, Write};

/// A text in one line, with characters that cannot be printed replaced by escapes.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let escaped = |char: char| match is_shown(char) {
        true => char.to_string(),
        false => char.escape_debug().to_string(),
    };
    Cow::Owned(text.chars().map(escaped).collect())
}

/// Like [`printable`], with at most `most` characters of the text, and `…` if there are more.
pub fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        None => printable(text),
        Some((at, _)) => Cow::Owned(format!("{}…", printable(&text[..at]))),
    }
}

/// Whether a character can be printed: it is neither a control character nor one that changes text direction.
fn is_shown(char: char) -> bool {
    matches!(char, '"' | '\'' | '\\') || char.escape_debug().len() == 1
}

/// Escapes line ends inside each write, so that a log record stays one line.
pub struct OneLine<W>(pub W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let (text, end) = match line.split_last() {
            Some((b'\n', text)) => (text, &b"\n"[..]),
            _ => (line, &b""[..]),
        };
        if memchr::memchr2(b'\n', b'\r', text).is_none() {
            return self.0.write_all(line).map(|()| line.len());
        }
        let mut whole = Vec::with_capacity(line.len() + 16);
        for &byte in text {
            match byte {
                b'\n' => whole.extend_from_slice(b"\\n"),
                b'\r' => whole.extend_from_slice(b"\\r"),
                _ => whole.push(byte),
            }
        }
        whole.extend_from_slice(end);
        self.0.write_all(&whole).map(|()| line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A whole number with thousands separators.
pub fn count(number: impl ToString) -> String {
    let digits = number.to_string();
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |digits| ("-", digits));
    let mut text = sign.to_owned();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number with its noun: `1 offset`, `2 offsets`.
pub fn quantity(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unprintable_characters_are_escaped() {
        for text in ["näher \"a\" 'b' \\ 日本", ""] {
            assert!(matches!(printable(text), Cow::Borrowed(shown) if shown == text));
        }
        assert_eq!(printable("a\nb\r\x1b[31m\u{202e}\0"), "a\\nb\\r\\u{1b}[31m\\u{202e}\\0");
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("näher", 5), "näher");
        assert_eq!(shortened("näher", 2), "nä…");
        assert_eq!(shortened("\n\nx", 2), "\\n\\n…");
    }

    #[test]
    fn a_write_stays_one_line() {
        let mut log = OneLine(Vec::new());
        for line in ["one\n", "two\nforged\r\n", "three\n"] {
            log.write_all(line.as_bytes()).unwrap();
        }
        assert_eq!(String::from_utf8(log.0).unwrap(), "one\ntwo\\nforged\\r\nthree\n");
    }
}
