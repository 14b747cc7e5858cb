//! Detects a byte order mark, and text that is not UTF-8.

/// The result of checking the first bytes of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// More bytes are needed.
    Unknown,
    /// UTF-8, after a byte order mark of this many bytes.
    Text(usize),
    /// Another encoding.
    Other(&'static str),
}

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Checks the first bytes of a text; with `last` there are no more.
pub(crate) fn start(bytes: &[u8], last: bool) -> Start {
    match bytes {
        [] if last => Start::Text(0),
        [] => Start::Unknown,
        [0xef, 0xbb, 0xbf, ..] => Start::Text(BYTE_ORDER_MARK.len()),
        _ if !last && BYTE_ORDER_MARK.starts_with(bytes) => Start::Unknown,
        [0xff | 0xfe | 0] | [0xff, 0xfe] | [0xff, 0xfe, 0] | [0, 0] | [0, 0, 0xfe] if !last => Start::Unknown,
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Start::Other("UTF-32"),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => Start::Other("UTF-16"),
        // UTF-8 text has no NUL: these are the halves of an ASCII character.
        [1..0x80, 0, ..] | [0, 1..0x80, ..] => Start::Other("UTF-16"),
        [_] if !last => Start::Unknown,
        _ => Start::Text(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_order_mark_is_skipped_and_utf_16_is_detected() {
        let utf_16 = |text: &str, bytes: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(bytes).collect();
        let (little, big): (Vec<u8>, Vec<u8>) =
            (utf_16("\u{feff}{}", u16::to_le_bytes), utf_16("\u{feff}{}", u16::to_be_bytes));
        for (bytes, expected) in [
            (&b"{}"[..], Start::Text(0)),
            (b"time,qz", Start::Text(0)),
            (b"\n", Start::Text(0)),
            (b"", Start::Text(0)),
            (b"\xef\xbb\xbf{}", Start::Text(3)),
            ("é".as_bytes(), Start::Text(0)),
            (&little, Start::Other("UTF-16")),
            (&big, Start::Other("UTF-16")),
            (&little[2..], Start::Other("UTF-16")),
            (&big[2..], Start::Other("UTF-16")),
            (b"\xff\xfe\0\0{\0\0\0", Start::Other("UTF-32")),
            (b"\0\0\xfe\xff\0\0\0{", Start::Other("UTF-32")),
        ] {
            assert_eq!(start(bytes, true), expected, "{}", bytes.escape_ascii());
            // However the text is split.
            let first = (0..=bytes.len()).map(|end| start(&bytes[..end], end == bytes.len()));
            assert_eq!(first.into_iter().find(|start| *start != Start::Unknown), Some(expected));
        }
    }
}
