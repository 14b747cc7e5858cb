//! Quoted strings with the escapes of JSON and Python, and either kind of quote.

use std::borrow::Cow;

/// The string at the start of `rest`, without quotes and escapes, and its length in `rest` including quotes. As in
/// JSON and Python's output, control characters must be escaped. A lone surrogate is invalid.
#[inline]
pub(super) fn quoted(rest: &str) -> Option<(Cow<'_, str>, usize)> {
    let bytes = rest.as_bytes();
    let quote = *bytes.first()?;
    let ends = |byte: &u8| *byte == quote || *byte == b'\\' || *byte < b' ';
    let mut decoded = String::new();
    let mut from = 1;
    loop {
        let to = from + bytes.get(from..)?.iter().position(ends)?;
        let piece = rest.get(from..to)?;
        match bytes[to] {
            b'\\' => {
                let (character, length) = escape(&bytes[to + 1..])?;
                decoded.push_str(piece);
                decoded.push(character);
                from = to + 1 + length;
            }
            byte if byte == quote => {
                let text = if from == 1 { Cow::Borrowed(piece) } else { Cow::Owned(decoded + piece) };
                return Some((text, to + 1));
            }
            _ => return None,
        }
    }
}

/// The length of the text at the start of `bytes`, which ends before the quote; none if it has an escape, or does not
/// end.
#[inline]
pub(super) fn plain_length(bytes: &[u8], quote: u8) -> Option<usize> {
    let mut length = 0;
    while let Some((eight, _)) = bytes[length..].split_first_chunk::<8>() {
        let before = bytes_before_end(*eight, quote);
        length += before;
        if before < 8 {
            return (bytes[length] == quote).then_some(length);
        }
    }
    let ends = |byte: &u8| *byte == quote || *byte == b'\\' || *byte < b' ';
    length += bytes[length..].iter().position(ends)?;
    (bytes[length] == quote).then_some(length)
}

/// The same byte eight times.
const fn eight(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// How many of eight bytes precede the first `quote`, backslash or control character; 8 if there is none. Method:
/// Anderson, "Bit Twiddling Hacks", "Determine if a word has a byte less than n".
#[inline]
pub(super) fn bytes_before_end(bytes: [u8; 8], quote: u8) -> usize {
    let text = u64::from_le_bytes(bytes);
    // The lowest marked byte is correct; a borrow may mark bytes above it.
    let below = |text: u64, limit: u8| text.wrapping_sub(eight(limit)) & !text & eight(0x80);
    let ends = below(text ^ eight(quote), 1) | below(text ^ eight(b'\\'), 1) | below(text, b' ');
    ends.trailing_zeros() as usize / 8
}

/// The character of an escape, and the length of the escape without the backslash.
fn escape(rest: &[u8]) -> Option<(char, usize)> {
    let simple = match *rest.first()? {
        byte @ (b'"' | b'\'' | b'\\' | b'/') => char::from(byte),
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'a' => '\u{7}',
        b'v' => '\u{b}',
        b'x' => return Some((char::from_u32(hex(rest, 1, 2)?)?, 3)),
        b'u' => return utf16(rest),
        b'U' => return Some((char::from_u32(hex(rest, 1, 8)?)?, 9)),
        b'0'..=b'7' => return octal(rest),
        _ => return None,
    };
    Some((simple, 1))
}

/// `uXXXX`, or the two escapes of a surrogate pair.
fn utf16(rest: &[u8]) -> Option<(char, usize)> {
    let first = hex(rest, 1, 4)?;
    if !(0xd800..0xdc00).contains(&first) {
        return Some((char::from_u32(first)?, 5));
    }
    if rest.get(5..7)? != b"\\u" {
        return None;
    }
    let second = hex(rest, 7, 4).filter(|second| (0xdc00..0xe000).contains(second))?;
    Some((char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))?, 11))
}

/// One to three octal digits.
fn octal(rest: &[u8]) -> Option<(char, usize)> {
    let digits = rest.iter().take(3).take_while(|byte| matches!(byte, b'0'..=b'7'));
    let (value, length) = digits.fold((0, 0), |(value, n), byte| (value * 8 + u32::from(byte - b'0'), n + 1));
    Some((char::from_u32(value)?, length))
}

fn hex(rest: &[u8], from: usize, digits: usize) -> Option<u32> {
    rest.get(from..from + digits)?
        .iter()
        .try_fold(0u32, |value, &byte| Some(value * 16 + char::from(byte).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_ends_at_its_own_quote() {
        assert_eq!(quoted(r#""it's" x"#), Some(("it's".into(), 6)));
        assert_eq!(quoted(r#"'say "a"'"#), Some((r#"say "a""#.into(), 9)));
        assert_eq!(quoted("'näher'"), Some(("näher".into(), 8)));
        for open in ["'", "'a", "'a\\", "'a\\'", "'a\""] {
            assert_eq!(quoted(open), None, "{open}");
        }
    }

    #[test]
    fn json_and_python_escapes_are_read() {
        let cases = [
            (r"'\n\r\t\b\f\a\v'", "\n\r\t\u{8}\u{c}\u{7}\u{b}"),
            (r#"'\'\"\\\/'"#, "'\"\\/"),
            (r"'a\u00e9b'", "aéb"),
            (r"'\ud83d\ude00'", "😀"),
            (r"'\U0001F600'", "😀"),
            (r"'\xe9\0\101\1011'", "é\0AA1"),
        ];
        for (source, text) in cases {
            assert_eq!(quoted(source), Some((text.into(), source.len())), "{source}");
        }
    }

    #[test]
    fn an_incomplete_escape_is_not_a_string() {
        for source in [
            r"'\u12'",
            r"'\u+123'",
            r"'\ud83d'",
            r"'\ud83dx'",
            r"'\ud83d\u0041'",
            r"'\ude00'",
            r"'\xg0'",
            r"'\U00110000'",
            r"'\q'",
            "'a\nb'",
        ] {
            assert_eq!(quoted(source), None, "{source}");
        }
    }
}
