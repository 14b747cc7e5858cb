//! Avro.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value as Peer;
use codec::decode::Undecodable;
use codec::decode::avro::AvroSchema;
use codec::decode::tree::{Scalar, Tree};
use proptest::prelude::*;
use proptest::sample::Index;
use serde_json::json;

use super::shown::shown;
use super::{cases, changed, references, values};

static CASES: LazyLock<Vec<serde_json::Value>> = LazyLock::new(|| cases("avro.json"));

#[test]
fn data_of_the_reference_library_are_read() {
    for case in &*CASES {
        let (name, text) = (&case["name"], case["schema"].as_str().unwrap());
        let schema = AvroSchema::parse(text, &references(case, "schema"))
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        for (bytes, expected) in values(case) {
            let tree = schema.decode(&bytes).unwrap_or_else(|error| panic!("{name}: {error} {expected}"));
            assert_eq!(&shown(&tree), expected, "{name}");
            for end in 0..bytes.len() {
                assert_eq!(schema.decode(&bytes[..end]), Err(Undecodable::Malformed), "{name} to {end}");
            }
            let longer = [&bytes[..], b"\0"].concat();
            assert_eq!(schema.decode(&longer), Err(Undecodable::Malformed), "{name} and a byte");
        }
    }
}

fn decode(schema: &str, bytes: &[u8]) -> Result<serde_json::Value, Undecodable> {
    AvroSchema::parse(schema, &[]).unwrap().decode(bytes).map(|tree| shown(&tree))
}

#[test]
fn a_block_may_have_its_length_before_it() {
    // The example of the specification, also with a negative count.
    let expected = json!([{ "integer": "3" }, { "integer": "27" }]);
    let array = r#"{"type": "array", "items": "long"}"#;
    for bytes in [&b"\x04\x06\x36\0"[..], b"\x03\x04\x06\x36\0", b"\x02\x06\x02\x36\0"] {
        assert_eq!(decode(array, bytes), Ok(expected.clone()));
    }
}

#[test]
fn what_the_schema_does_not_describe_is_malformed() {
    for (schema, bytes) in [
        (r#""boolean""#, &b"\x02"[..]),
        (r#""int""#, b"\x80\x80\x80\x80\x10"),
        (r#""long""#, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"),
        (r#""string""#, b"\x02\xff"),
        (r#""string""#, b"\x01"),
        (r#""bytes""#, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"),
        (r#"["null", "int"]"#, b"\x04"),
        (r#"["null", "int"]"#, b"\x01"),
        (r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#, b"\x02"),
        (r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#, b"\x01"),
        (r#"{"type": "fixed", "name": "F", "size": 18446744073709551615}"#, b"\0"),
        // A container file.
        (r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}"#, b"Obj\x01\x04"),
    ] {
        assert_eq!(decode(schema, bytes), Err(Undecodable::Malformed), "{schema}");
    }
}

#[test]
fn a_few_bytes_become_neither_many_values_nor_a_deep_tree() {
    let nulls = r#"{"type": "array", "items": "null"}"#;
    assert_eq!(decode(nulls, b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01"), Err(Undecodable::TooLarge));
    let empty = r#"{"type": "array", "items": {"type": "record", "name": "E", "fields": []}}"#;
    assert_eq!(decode(empty, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\0"), Err(Undecodable::TooLarge));
    // Each type has the one before twice, and the first has no bytes.
    let mut wide = r#"{"type": "record", "name": "R0", "fields": []}"#.to_owned();
    for level in 1..40 {
        let before = level - 1;
        wide = format!(
            r#"{{"type": "record", "name": "R{level}", "fields": [{{"name": "a", "type": {wide}}}, {{"name": "b", "type": "R{before}"}}]}}"#
        );
    }
    assert_eq!(decode(&wide, b""), Err(Undecodable::TooLarge));

    let endless = r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type": "R"}]}"#;
    assert_eq!(decode(endless, b""), Err(Undecodable::TooDeep));
    let list = r#"{"type": "record", "name": "L", "fields": [{"name": "next", "type": ["null", "L"]}]}"#;
    let nested = |levels: usize| [vec![2; levels - 1], vec![0]].concat();
    assert!(decode(list, &nested(64)).is_ok());
    assert_eq!(decode(list, &nested(65)), Err(Undecodable::TooDeep));
    assert_eq!(decode(list, &nested(1_000_000)), Err(Undecodable::TooDeep));
}

#[test]
fn a_wrong_default_is_no_reason_not_to_read_data() {
    let schema = r#"{"type": "record", "name": "R", "fields":
        [{"name": "a", "type": "int", "default": "x", "aliases": ["b"], "doc": "d"}]}"#;
    assert_eq!(decode(schema, b"\x02"), Ok(json!({ "object": { "a": { "integer": "1" } } })));
}

#[test]
fn a_text_that_is_no_schema_is_an_error() {
    for (text, says) in [
        ("", "EOF while parsing"),
        ("7", "JSON"),
        (r#"{"type": "record", "name": "R"}"#, "fields"),
        (r#"{"type": "array", "items": "Missing"}"#, "Missing"),
    ] {
        let error = AvroSchema::parse(text, &[]).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
    }
}

/// A value of the crate `apache-avro` as it is expected in a tree. None if both have it in different forms.
fn expected(value: &Peer) -> Option<serde_json::Value> {
    let tree = |scalar| Some(shown(&Tree::Scalar(scalar)));
    match value {
        Peer::Null => tree(Scalar::Null),
        Peer::Boolean(value) => tree(Scalar::Boolean(*value)),
        Peer::Int(value) | Peer::TimeMillis(value) => tree(Scalar::Integer((*value).into())),
        Peer::Long(value) | Peer::TimeMicros(value) => tree(Scalar::Integer((*value).into())),
        Peer::Float(value) => tree(Scalar::Float(*value)),
        Peer::Double(value) => tree(Scalar::Double(*value)),
        Peer::Bytes(_) | Peer::Fixed(..) | Peer::Duration(_) => tree(Scalar::Bytes),
        Peer::String(text) | Peer::Enum(_, text) => tree(Scalar::Text(text.as_str().into())),
        Peer::Union(_, value) => expected(value),
        Peer::Array(values) => Some(values.iter().map(expected).collect::<Option<Vec<_>>>()?.into()),
        Peer::Map(values) => {
            let entries = values.iter().map(|(key, value)| Some((key.clone(), expected(value)?)));
            Some(json!({ "object": entries.collect::<Option<serde_json::Map<_, _>>>()? }))
        }
        Peer::Record(fields) => {
            let entries = fields.iter().map(|(key, value)| Some((key.clone(), expected(value)?)));
            Some(json!({ "object": entries.collect::<Option<serde_json::Map<_, _>>>()? }))
        }
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    /// That crate reads some data that end too early. What is read here, it reads alike.
    #[test]
    fn changed_bytes_are_read_as_by_the_crate_apache_avro(
        case in any::<Index>(),
        value in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), any::<u8>()), 1..4),
    ) {
        let case = case.get(&CASES);
        let text = case["schema"].as_str().unwrap();
        let all: Vec<_> = values(case).map(|(bytes, _)| bytes).collect();
        let bytes = changed(value.get::<Vec<u8>>(&all), &changes);
        let schema = AvroSchema::parse(text, &references(case, "schema")).unwrap();
        let Ok(tree) = schema.decode(&bytes) else { return Ok(()) };
        if let Ok(peer) = Schema::parse_str(text) {
            let read = || GenericDatumReader::builder(&peer).build()?.read_value(&mut &bytes[..]);
            let peer = catch_unwind(AssertUnwindSafe(read)).unwrap();
            if let Some(expected) = peer.ok().as_ref().and_then(expected) {
                prop_assert_eq!(shown(&tree), expected);
            }
        }
    }
}
