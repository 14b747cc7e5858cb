//! Where a text stops being JSON, or a dict as Python writes it.

use crate::decode::lexer::Lexer;

/// Why bytes are not values.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unparsed<'a> {
    /// They are not UTF-8 from this byte on.
    NotUtf8(usize),
    /// They are not JSON from this byte on, which begins this rest.
    NotJson(usize, &'a str),
}

/// Where bytes stop being values; none if they are one or several.
pub(super) fn unparsed(bytes: &[u8]) -> Option<Unparsed<'_>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Some(Unparsed::NotUtf8(error.valid_up_to())),
    };
    let mut lexer = Lexer::new(text);
    lexer.blanks();
    loop {
        if lexer.skip(0).is_none() {
            if lexer.is_done() {
                return Some(Unparsed::NotJson(lexer.at, ""));
            }
            // An unknown word was passed before it was looked up.
            let before = &text[..lexer.at];
            let word = before.trim_end_matches(|char: char| char.is_ascii_alphanumeric() || char == '_');
            return Some(Unparsed::NotJson(word.len(), &text[word.len()..]));
        }
        lexer.blanks();
        if lexer.is_done() {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_that_cannot_be_read_is_named() {
        for (text, expected) in [
            (r#"{"a": 1}"#, None),
            ("{'a': 1} {}", None),
            (r#"{"a": 12"#, Some(Unparsed::NotJson(8, ""))),
            (r#"{"a": 1,}"#, Some(Unparsed::NotJson(8, "}"))),
            (r#"{"a": ä}"#, Some(Unparsed::NotJson(6, "ä}"))),
            (r#"{"a": xy}"#, Some(Unparsed::NotJson(6, "xy}"))),
            (r#"{"a": "b}"#, Some(Unparsed::NotJson(6, "\"b}"))),
            ("", Some(Unparsed::NotJson(0, ""))),
            ("a=1", Some(Unparsed::NotJson(0, "a=1"))),
        ] {
            assert_eq!(unparsed(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(unparsed(b"{\"a\": \"\xff\"}"), Some(Unparsed::NotUtf8(7)));
    }
}
