//! A part in its envelope means what it means in its message.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use dataflows::batch::Record;
use dataflows::schema::{FieldType, Schema};
use proptest::prelude::*;

use crate::decode::mapping::{Format, Mapping, Source};
use crate::decode::path::{Path, Pointer};
use crate::decode::{Decoder, Envelopes, Explanation, Message, NoEnvelope, ReadingExplained, SchemaFormat};
use crate::text::time::{TimeForm, Unit};

fn pointer(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

/// Readings `{"t": seconds, "v": number}` under a root. `d` is looked up at `/d` of the message, `n` at `near` in it,
/// and `k` is the key that a `*` met.
fn mapping(root: &[&str], near: &str) -> Arc<Mapping> {
    let schema = Schema::new("t")
        .with("v", FieldType::Number)
        .with("d", FieldType::Text)
        .with("n", FieldType::Text)
        .with("k", FieldType::Text);
    let mut mapping = Mapping::preset(schema, &[]);
    mapping.root = root.iter().map(|text| pointer(text)).collect();
    for field in &mut mapping.fields {
        let of_message = |path: &str| Source::Value {
            path: Path { first: pointer(path), then: Vec::new() },
            of_message: true,
        };
        match &*field.name {
            "t" => field.time = TimeForm::unit(Unit::Seconds),
            "d" => field.source = of_message("/d"),
            "n" => field.source = of_message(near),
            "k" => field.source = Source::RootKey,
            _ => {}
        }
    }
    Arc::new(mapping)
}

fn message(payload: &[u8]) -> Message<'_> {
    Message { payload: Some(payload), ..Message::default() }
}

/// How each reading of a message is read; none if it cannot be read.
fn explained(mapping: &Arc<Mapping>, payload: &[u8]) -> Vec<ReadingExplained> {
    match Decoder::new("t".into(), mapping.clone()).explain(&message(payload)) {
        Explanation::Readings(readings) => readings,
        _ => Vec::new(),
    }
}

/// The bytes of each part of a message.
fn parts(mapping: &Arc<Mapping>, payload: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut decoder = Decoder::new("t".into(), mapping.clone());
    let visited = decoder.visit(&message(payload), &mut |_, _, _, part| {
        parts.extend(part.map(|part| part.bytes.to_vec()));
    });
    visited.map_or_else(|_| Vec::new(), |()| parts)
}

/// The records of a message, and how many of its readings are dead letters.
fn records(mapping: &Arc<Mapping>, payload: &[u8]) -> (Vec<Record>, usize) {
    let mut decoder = Decoder::new("t".into(), mapping.clone());
    decoder.decode(&message(payload));
    let batch = decoder.take_batch();
    ((0..batch.len()).map(|row| batch.record(row)).collect(), decoder.take_dead_letters().len())
}

#[track_caller]
fn assert_envelope(root: &[&str], text: &str, place: u32, part: &str, expected: &str) {
    let envelope = Envelopes::new(mapping(root, "/n")).of_part(text.as_bytes(), place, part.as_bytes());
    let envelope = envelope.map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(envelope.as_deref(), Ok(expected));
}

const PART: &str = r#"{"t": 9, "v": 9}"#;

#[test]
fn a_list_keeps_only_the_part() {
    let text = "\n{ \"d\": \"x\",\t\"r\" : [ {\"t\": 1}, {'t': 2} , 3 ] ,\"e\":1e5 }\n";
    let expected = "\n{ \"d\": \"x\",\t\"r\" : [{\"t\": 9, \"v\": 9}] ,\"e\":1e5 }\n";
    for place in 0..3 {
        assert_envelope(&["/r"], text, place, PART, expected);
    }
    assert_envelope(&[], "[{\"t\": 1}, {\"t\": 2}]", 1, PART, "[{\"t\": 9, \"v\": 9}]");
    assert_envelope(&[], "({'t': 1}, {'t': 2})", 1, "{'t': 9}", "({'t': 9},)");
}

#[test]
fn what_a_star_goes_through_keeps_only_the_way_to_the_part() {
    let text = r#"{"d": "x", "a": {"k1": {"t": 1}, "k2": {"t": 2}}, "e": 1}"#;
    assert_envelope(&["/a/*"], text, 1, PART, r#"{"d": "x", "a": {"k2": {"t": 9, "v": 9}}, "e": 1}"#);
    let text = r#"{"a": {"k1": {"i": 1, "r": [{"t": 1}]}, "k2": {"i": 2, "r": [{"t": 2}, {"t": 3}]}}}"#;
    let expected = r#"{"a": {"k2": {"i": 2, "r": [{"t": 9, "v": 9}]}}}"#;
    assert_envelope(&["/a/*/r"], text, 2, PART, expected);
}

#[test]
fn keys_that_are_indices_stay_the_same() {
    // The key of the second element is 1, also where it is alone.
    let text = r#"{"a": [{"t": 1}, {"t": 2}, {"t": 3}]}"#;
    assert_envelope(&["/a/*"], text, 1, PART, r#"{"a": [[], {"t": 9, "v": 9}, []]}"#);
    assert_envelope(&["/a/*"], text, 0, PART, r#"{"a": [{"t": 9, "v": 9}]}"#);
}

#[test]
fn neighbours_by_index_stay_where_they_are() {
    let text = r#"{"a": [{"n": "first", "r": [{"t": 1}]}, {"n": "second", "r": [{"t": 2}, {"t": 3}]}]}"#;
    let mut envelopes = Envelopes::new(mapping(&["/a/*/r"], "/a/0/n"));
    let envelope = envelopes.of_part(text.as_bytes(), 2, PART.as_bytes()).unwrap();
    let expected = r#"{"a": [{"n": "first", "r": []}, {"n": "second", "r": [{"t": 9, "v": 9}]}]}"#;
    assert_eq!(String::from_utf8(envelope).unwrap(), expected);
}

#[test]
fn a_part_that_depends_on_another_reading_has_no_envelope() {
    let text = br#"{"r": [{"t": 1, "n": "of all"}, {"t": 2}]}"#;
    let mut envelopes = Envelopes::new(mapping(&["/r"], "/r/0/n"));
    assert_eq!(envelopes.of_part(text, 1, PART.as_bytes()), Err(NoEnvelope::Dependent));
    let first = br#"{"t": 9, "n": "of all"}"#;
    assert_eq!(envelopes.of_part(text, 0, first).unwrap(), br#"{"r": [{"t": 9, "n": "of all"}]}"#);
}

#[test]
fn of_several_objects_only_that_of_the_part_stays() {
    assert_envelope(&[], "{\"t\": 1}\n{\"t\": 2}\n", 1, PART, PART);
    let text = "{\"d\": 1, \"r\": {\"t\": 1}}\n{\"d\": 2, \"r\": {\"t\": 2}}\n";
    assert_envelope(&["/r"], text, 1, PART, r#"{"d": 2, "r": {"t": 9, "v": 9}}"#);
    // The second object has no reading, so the part is the object.
    let text = "{\"r\": [{\"t\": 1}]} {\"q\": 2}";
    assert_envelope(&["/r"], text, 1, "{\"r\": {\"t\": 9}}", "{\"r\": {\"t\": 9}}");
}

#[test]
fn of_equal_keys_the_last_one_has_the_part() {
    let text = r#"{"r": [{"t": 1}, {"t": 2}, {"t": 3}], "r": [{"t": 4}, {"t": 5}]}"#;
    let expected = r#"{"r": [{"t": 1}, {"t": 2}, {"t": 3}], "r": [{"t": 9, "v": 9}]}"#;
    assert_envelope(&["/r"], text, 1, PART, expected);
}

#[test]
fn an_element_without_a_root_is_a_part_too() {
    let text = r#"{"a": [{"n": "first"}, {"n": "second", "r": {"t": 2}}]}"#;
    let part = r#"{"r": {"t": 9}}"#;
    assert_envelope(&["/a/*/r"], text, 0, part, r#"{"a": [{"r": {"t": 9}}]}"#);
    let expected = r#"{"a": [{"r": []}, {"n": "second", "r": {"t": 9, "v": 9}}]}"#;
    assert_envelope(&["/a/*/r"], text, 1, PART, expected);
}

#[test]
fn json_behind_the_header_of_a_registry_keeps_it() {
    let with_format = |format| Arc::new(Mapping { format, ..Mapping::clone(&mapping(&["/r"], "/n")) });
    let text = b"\0\0\0\x01\x02{\"r\": [{\"t\": 1}, {\"t\": 2}]}";
    let mut envelopes = Envelopes::new(with_format(Format::Registry(SchemaFormat::Json)));
    let envelope = envelopes.of_part(text, 1, PART.as_bytes()).unwrap();
    assert_eq!(envelope, b"\0\0\0\x01\x02{\"r\": [{\"t\": 9, \"v\": 9}]}");
    let mut binary = Envelopes::new(with_format(Format::Registry(SchemaFormat::Avro)));
    assert_eq!(binary.of_part(text, 1, PART.as_bytes()), Err(NoEnvelope::Binary));
}

#[test]
fn a_part_inside_a_text_is_put_back_into_it() {
    let text = r#"{"d": "x", "body": "{\"r\": [{\"t\": 1}, {\"t\": 2}], \"e\": \"ü\"}"}"#;
    let expected = r#"{"d": "x", "body": "{\"r\": [{\"t\": 9, \"v\": 9}], \"e\": \"ü\"}"}"#;
    assert_envelope(&["/body", "/r"], text, 1, PART, expected);
    let coded = |inner: &str| format!("{{'body': \"{}\"}}", STANDARD.encode(inner));
    let text = coded(r#"[{"t": 1}, {"t": 2}]"#);
    assert_envelope(&["/body", ""], &text, 1, PART, &coded("[{\"t\": 9, \"v\": 9}]"));
}

#[test]
fn a_line_keeps_its_header() {
    let csv = |columns: Option<&[&str]>| {
        let columns = columns.map(|names| names.iter().map(|name| (*name).to_owned()).collect());
        let format = Format::Csv { separator: b';', columns };
        Arc::new(Mapping { format, ..Mapping::clone(&mapping(&[], "/n")) })
    };
    let envelope = |mapping, text: &str, place, part: &str| {
        let envelope = Envelopes::new(mapping).of_part(text.as_bytes(), place, part.as_bytes());
        envelope.map(|bytes| String::from_utf8(bytes).unwrap())
    };
    let text = "\u{feff}t;v\r\n\r\n1;1\r\n2;\"x\"\"\n\"\r\n3;3";
    assert_eq!(envelope(csv(None), text, 1, "2;2").unwrap(), "\u{feff}t;v\r\n2;2\r\n");
    assert_eq!(envelope(csv(None), text, 2, "3;\"4\"").unwrap(), "\u{feff}t;v\r\n3;\"4\"");
    assert_eq!(envelope(csv(Some(&["t", "v"])), "1;1\n2;x\n", 1, "2;2").unwrap(), "2;2\n");
    for wrong in ["2;2\n3;3", ""] {
        assert_eq!(envelope(csv(None), text, 1, wrong), Err(NoEnvelope::NotOneValue));
    }
    assert_eq!(envelope(csv(None), text, 3, "1;1"), Err(NoEnvelope::NoPart));
}

#[test]
fn what_is_not_one_value_or_not_there_has_no_envelope() {
    let mut envelopes = Envelopes::new(mapping(&["/r"], "/n"));
    let text = br#"{"r": [{"t": 1}, {"t": 2}]}"#;
    for part in ["", "{", "{}, {}", "{} {}", "]", "{}]"] {
        assert_eq!(envelopes.of_part(text, 1, part.as_bytes()), Err(NoEnvelope::NotOneValue), "{part}");
    }
    assert_eq!(envelopes.of_part(text, 1, b"{\"t\": \"\xff\"}"), Err(NoEnvelope::NotOneValue));
    assert_eq!(envelopes.of_part(text, 2, PART.as_bytes()), Err(NoEnvelope::NoPart));
    for other in [&b"{"[..], b"\xff", b"", b"{}", b"{\"r\": 5}"] {
        assert_eq!(envelopes.of_part(other, 1, PART.as_bytes()), Err(NoEnvelope::NoPart));
    }
    // A list in the place of an object would be several readings.
    let objects = br#"{"r": {"t": 1}} {"r": {"t": 2}}"#;
    assert_eq!(envelopes.of_part(objects, 1, b"[{\"t\": 1}, {}]"), Err(NoEnvelope::NotOneValue));
}

/// Writes messages with readings under a root.
struct Writer {
    seed: u64,
    readings: u64,
}

impl Writer {
    /// A number below `count`.
    fn pick(&mut self, count: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % count
    }

    fn one_of<'t>(&mut self, texts: &[&'t str]) -> &'t str {
        let at = self.pick(texts.len() as u64) as usize;
        texts[at]
    }

    fn blanks(&mut self) -> &'static str {
        self.one_of(&["", "", " ", "\n\t"])
    }

    /// Something that has no reading.
    fn other(&mut self) -> String {
        let word = ["1.50", "null", "\"]}\"", "'{\\''", "{}", "[]", "[[1], {\"t\": 1}]", "(1,)", "{'r': 1}"];
        self.one_of(&word).to_owned()
    }

    fn reading(&mut self) -> String {
        self.readings += 1;
        let time = self.readings;
        let (before, after) = (self.blanks(), self.blanks());
        match self.pick(8) {
            0 => self.one_of(&["null", "5", "'text'"]).to_owned(),
            1 => format!("{{{before}'v': 1}}"),
            2 => format!("{{\"t\": {time}, 'v': \"x\"}}"),
            3 => format!("{{'t': '{time}', \"v\"{before}: 1, 'v': np.float64(2.5)}}"),
            _ => format!("{{{before}\"t\":{time},\"v\":{}{after}}}", self.pick(100)),
        }
    }

    /// A list or tuple.
    fn list(&mut self, elements: Vec<String>) -> String {
        let (before, after) = (self.blanks(), self.blanks());
        let joined = elements.join(self.one_of(&[",", " , ", ",\n"]));
        if self.pick(4) > 0 {
            return format!("[{before}{joined}{after}]");
        }
        let comma = if elements.len() == 1 { "," } else { "" };
        format!("({before}{joined}{comma}{after})")
    }

    fn object(&mut self, entries: Vec<(String, String)>) -> String {
        let (before, after) = (self.blanks(), self.blanks());
        let quote = self.one_of(&["\"", "'"]);
        let entries: Vec<String> =
            entries.into_iter().map(|(key, value)| format!("{quote}{key}{quote}:{before}{value}")).collect();
        format!("{{{before}{}{after}}}", entries.join(","))
    }

    /// A value from which the rest of a root leads to readings.
    fn value(&mut self, root: &[&str], parts: &[&str]) -> String {
        let Some((part, rest)) = parts.split_first() else {
            let Some((inner, then)) = root.split_first() else { return self.at_root() };
            let parts: Vec<&str> = inner.split('/').skip(1).collect();
            return self.text(then, &parts);
        };
        if self.pick(12) == 0 {
            // Nothing leads further.
            return self.other();
        }
        let count = self.pick(4) as usize;
        match (*part, self.pick(2)) {
            ("*", 0) => {
                let values = (0..count).map(|_| self.value(root, rest)).collect();
                self.list(values)
            }
            ("*", _) => {
                let entries =
                    (0..count).map(|_| (format!("k{}", self.pick(6)), self.value(root, rest))).collect();
                self.object(entries)
            }
            ("1", 0) => {
                let values = vec![self.other(), self.value(root, rest), self.other()];
                self.list(values)
            }
            (key, _) => {
                let mut entries = vec![("n".to_owned(), format!("'n{}'", self.pick(9)))];
                if self.pick(6) == 0 {
                    let value = if self.pick(2) == 0 { self.other() } else { self.value(root, rest) };
                    entries.push((key.to_owned(), value));
                }
                if self.pick(3) == 0 {
                    entries.push(("o".to_owned(), self.other()));
                }
                entries.push((key.to_owned(), self.value(root, rest)));
                if self.pick(3) == 0 {
                    entries.push(("p".to_owned(), self.other()));
                }
                self.object(entries)
            }
        }
    }

    fn at_root(&mut self) -> String {
        if self.pick(3) == 0 {
            return self.reading();
        }
        let readings = (0..self.pick(4)).map(|_| self.reading()).collect();
        self.list(readings)
    }

    /// A text with a value in it.
    fn text(&mut self, root: &[&str], parts: &[&str]) -> String {
        let inner = self.value(root, parts);
        match self.pick(3) {
            0 => format!("'{}'", STANDARD.encode(inner)),
            1 => format!("\"{}\"", URL_SAFE_NO_PAD.encode(inner)),
            _ => {
                let escaped = inner.replace('\\', "\\\\").replace('\'', "\\'");
                format!("'{}'", escaped.replace('\n', "\\n").replace('\t', "\\t"))
            }
        }
    }

    /// A message of one or several objects.
    fn message(&mut self, root: &[&str]) -> String {
        let (first, then) = root.split_first().unwrap_or((&"", &[]));
        let parts: Vec<&str> = first.split('/').skip(1).collect();
        let mut text = self.blanks().to_owned();
        for _ in 0..=self.pick(6) / 4 {
            let value = self.value(then, &parts);
            // `d` stands next to the first key.
            match value
                .strip_prefix('{')
                .filter(|rest| !parts.is_empty() && parts[0] != "*" && rest.len() > 1)
            {
                Some(rest) => text += &format!("{{'d': 'd{}', {rest}", self.pick(9)),
                None => text += &value,
            }
            text += "\n";
        }
        text
    }
}

const ROOTS: [(&[&str], &str); 10] = [
    (&[], "/n"),
    (&["/r"], "/n"),
    (&["/*"], "/0/n"),
    (&["/a/r"], "/a/n"),
    (&["/a/*"], "/a/k0/n"),
    (&["/a/*/r"], "/a/0/n"),
    (&["/*/b/*/r"], "/1/b/0/n"),
    (&["/a/1/r"], "/a/0"),
    (&["/a/*/body", "/r"], "/a/0/n"),
    (&["/body", "/b/*", "/r"], "/n"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_part_in_its_envelope_means_what_it_means_in_its_message(root in 0..ROOTS.len(), seed: u64) {
        let (root, near) = ROOTS[root];
        let mapping = mapping(root, near);
        let text = Writer { seed, readings: 0 }.message(root);
        let (all, parts) = (explained(&mapping, text.as_bytes()), parts(&mapping, text.as_bytes()));
        let mut envelopes = Envelopes::new(mapping.clone());
        let mut alone = (Vec::new(), 0);
        for (place, part) in parts.iter().enumerate() {
            let shown = String::from_utf8_lossy(part);
            let envelope = envelopes.of_part(text.as_bytes(), place as u32, part);
            // What is near may be within another reading.
            if envelope == Err(NoEnvelope::Dependent) && all[place].fields.iter().any(|field| &*field.name == "n" && field.found.is_some()) {
                continue;
            }
            let envelope = envelope.map_err(|error| TestCaseError::fail(format!("{error:?}: {place} {shown} of {text}")))?;
            let read = explained(&mapping, &envelope);
            prop_assert!(read.len() == 1 && read[0].means(&all[place]), "{} of {}: {}", place, text, String::from_utf8_lossy(&envelope));
            let (records, letters) = records(&mapping, &envelope);
            alone.0.extend(records);
            alone.1 += letters;
        }
        if parts.len() == all.len() && !parts.is_empty() {
            let together = records(&mapping, text.as_bytes());
            let dependent = together.0.len() + together.1 - alone.0.len() - alone.1;
            prop_assert!(dependent > 0 || together == alone);
        }
    }

    #[test]
    fn a_corrected_part_keeps_its_neighbours(root in 0..ROOTS.len(), seed: u64) {
        let (root, near) = ROOTS[root];
        let mapping = mapping(root, near);
        let text = Writer { seed, readings: 0 }.message(root);
        let all = explained(&mapping, text.as_bytes());
        for (place, before) in all.iter().enumerate().filter(|(_, reading)| !reading.fields.is_empty()) {
            let part = br#"{"t": 1234, "v": 5.5}"#;
            let Ok(envelope) = Envelopes::new(mapping.clone()).of_part(text.as_bytes(), place as u32, part) else { continue };
            let after = explained(&mapping, &envelope);
            prop_assert_eq!(after.len(), 1);
            for (before, after) in before.fields.iter().zip(&after[0].fields) {
                match &*before.name {
                    "t" => prop_assert_eq!(after.value.clone(), Ok(Some("1970-01-01 00:20:34.000000".into()))),
                    "v" => prop_assert_eq!(after.value.clone(), Ok(Some("5.5".into()))),
                    _ => prop_assert_eq!(after, before),
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_taken(message: Vec<u8>, near in "[\\[\\]{}\"':, 0-9tr*()n-]{0,60}", part: Vec<u8>, place in 0u32..4) {
        for (root, near_path) in ROOTS {
            let mut envelopes = Envelopes::new(mapping(root, near_path));
            for message in [&message[..], near.as_bytes(), format!("{{\"a\": [{near}], \"r\": [{near}]}}").as_bytes()] {
                for part in [&part[..], near.as_bytes(), PART.as_bytes()] {
                    let _ = envelopes.of_part(message, place, part);
                }
            }
        }
    }
}
