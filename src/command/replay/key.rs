//! Finds one field in a line without parsing the rest of the line.

use memchr::memmem::Finder;

/// The field that becomes the message key.
pub(super) struct KeyField {
    /// The field's name in double quotes (JSON) and single quotes (Python).
    quoted: [Finder<'static>; 2],
}

impl KeyField {
    pub(super) fn new(name: &str) -> KeyField {
        let finder = |quote: &str| Finder::new(&format!("{quote}{name}{quote}")).into_owned();
        KeyField { quoted: [finder("\""), finder("'")] }
    }

    /// Writes the field's value into `key`: a string without its quotes, other values unchanged. `false` if the
    /// field is missing, null, an object or an array.
    pub(super) fn find(&self, line: &[u8], key: &mut Vec<u8>) -> bool {
        key.clear();
        self.quoted.iter().any(|quoted| {
            quoted.find_iter(line).any(|at| {
                // After a backslash, the quote is inside another string.
                let inside = at > 0 && line[at - 1] == b'\\';
                let after = line[at + quoted.needle().len()..].trim_ascii_start();
                !inside
                    && after.strip_prefix(b":").is_some_and(|value| read_value(value.trim_ascii_start(), key))
            })
        })
    }
}

fn read_value(value: &[u8], key: &mut Vec<u8>) -> bool {
    match value {
        [quote @ (b'"' | b'\''), text @ ..] => read_text(*quote, text, key),
        [b'{' | b'[', ..] | [] => false,
        word => {
            let end = memchr::memchr3(b',', b'}', b' ', word).unwrap_or(word.len());
            let word = word[..end].trim_ascii();
            key.extend_from_slice(word);
            !word.is_empty() && word != b"null" && word != b"None"
        }
    }
}

fn read_text(quote: u8, text: &[u8], key: &mut Vec<u8>) -> bool {
    let mut end = 0;
    let mut escaped = false;
    loop {
        match memchr::memchr2(quote, b'\\', &text[end..]) {
            None => return false,
            Some(at) if text[end + at] == quote => {
                end += at;
                break;
            }
            Some(at) => {
                escaped = true;
                end = (end + at + 2).min(text.len());
            }
        }
    }
    let text = &text[..end];
    if !escaped {
        key.extend_from_slice(text);
        return true;
    }
    // Python's escapes are those of JSON, except `\'` and `\x`; a line with those gets no key.
    let json = [b"\"", text, b"\""].concat();
    match serde_json::from_slice::<String>(&json) {
        Ok(text) => {
            key.extend_from_slice(text.as_bytes());
            true
        }
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(line: &str) -> Option<String> {
        let mut key = Vec::new();
        KeyField::new("truck_id").find(line.as_bytes(), &mut key).then(|| String::from_utf8(key).unwrap())
    }

    #[test]
    fn keys_in_either_form() {
        for (line, key) in [
            (r#"{"truck_id": "truck-1", "engine_speed": 80}"#, Some("truck-1")),
            (r#"{"truck_id":"a\"b\u00fc"}"#, Some("a\"bü")),
            ("{'engine_speed': np.float64(80.0), 'truck_id' : 'truck 1'}", Some("truck 1")),
            (r#"{"truck_id": 17}"#, Some("17")),
            (r#"{"truck_id": 17, "a": 1}"#, Some("17")),
            (r#"{"truck_id": ""}"#, Some("")),
            (r#"{"a": "\"truck_id\": \"x\"", "truck_id": "y"}"#, Some("y")),
            (r#"{"a": "truck_id", "truck_id": "y"}"#, Some("y")),
            (r#"{"my_truck_id": "y"}"#, None),
            (r#"{"truck_id": null}"#, None),
            ("{'truck_id': None}", None),
            (r#"{"truck_id": {"a": 1}}"#, None),
            (r#"{"truck_id": "never ends"#, None),
            (r#"{"truck_id": "ends in \"#, None),
            (r#"{"truck_id""#, None),
            (r#"{"truck_id":"#, None),
            ("", None),
        ] {
            assert_eq!(find(line).as_deref(), key, "{line}");
        }
    }
}
