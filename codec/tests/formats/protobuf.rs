//! Protobuf.

use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use codec::decode::protobuf::ProtobufSchema;
use codec::decode::tree::{Scalar, Tree};
use codec::decode::{Reference, Undecodable};
use proptest::prelude::*;
use proptest::sample::Index;
use prost_reflect::{DescriptorPool, DynamicMessage, ReflectMessage, Value as Peer};
use serde_json::{Value, json};

use super::shown::shown;
use super::{bytes, cases, changed, references, values};

static CASES: LazyLock<Vec<Value>> = LazyLock::new(|| cases("protobuf.json"));

fn outcome(schema: &ProtobufSchema, bytes: &[u8]) -> Value {
    schema.decode(bytes).map_or_else(|_| json!({ "undecodable": true }), |tree| shown(&tree))
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap()
}

fn descriptor_set(case: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(text(case, "descriptor_set")).unwrap()
}

#[test]
fn messages_of_the_reference_library_are_read() {
    for case in &*CASES {
        let (name, indexes) = (text(case, "name"), bytes(&case["indexes"]));
        let of_text = ProtobufSchema::of_registry(text(case, "schema"), &references(case, "schema"));
        let of_text = of_text.unwrap_or_else(|error| panic!("{name}: {error}"));
        let serialized =
            ProtobufSchema::of_registry(text(case, "serialized"), &references(case, "serialized")).unwrap();
        let of_file =
            ProtobufSchema::of_descriptor_set(&descriptor_set(case), text(case, "message_type")).unwrap();
        for (message, expected) in values(case) {
            let framed = [&indexes[..], &message].concat();
            assert_eq!(&outcome(&of_text, &framed), expected, "{name}");
            assert_eq!(&outcome(&serialized, &framed), expected, "{name}");
            assert_eq!(&outcome(&of_file, &message), expected, "{name}");
            for end in 0..framed.len() {
                _ = of_text.decode(&framed[..end]);
            }
        }
    }
}

fn schema(text: &str) -> ProtobufSchema {
    ProtobufSchema::of_registry(text, &[]).unwrap()
}

const LIST: &str = "syntax = 'proto3'; message L { L next = 1; repeated L all = 2; map<int32, L> by_id = 3; }
    message M { int32 i = 1; string s = 2; repeated int32 r = 3; map<string, string> m = 4; }";

#[test]
fn bytes_that_are_no_message_are_malformed() {
    let schema = schema(LIST);
    for bytes in [
        &b""[..],
        // Indexes of types that do not exist, or beyond the bytes.
        b"\x01",
        b"\x02",
        b"\x02\x01",
        b"\x02\x04",
        b"\x04\x02\x02",
        b"\x02\x02\x08",
        // No wire type, field 0, an integer without end, too short bytes, text that is not UTF-8.
        b"\x02\x02\x0e\0",
        b"\x02\x02\0\0",
        b"\x02\x02\x08\x80",
        b"\x02\x02\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02",
        b"\x02\x02\x12\x05a",
        b"\x02\x02\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x02\x02\x12\x01\xff",
        // Groups without begin or end, or with another end.
        b"\x02\x02\x7c",
        b"\x02\x02\x7b",
        b"\x02\x02\x7b\x74",
    ] {
        assert_eq!(schema.decode(bytes), Err(Undecodable::Malformed), "{}", bytes.escape_ascii());
    }
}

#[test]
fn unknown_fields_and_fields_in_another_form_are_skipped() {
    let schema = schema(LIST);
    let empty = outcome(&schema, b"\x02\x02");
    for bytes in [
        &b"\x02\x02\x78\x01"[..],
        b"\x02\x02\x79\0\0\0\0\0\0\0\0",
        b"\x02\x02\x7d\0\0\0\0",
        b"\x02\x02\x7b\x73\x08\x01\x74\x7c",
        b"\x02\x02\x0a\x01a",
        b"\x02\x02\x10\x01",
        b"\x02\x02\x1d\0\0\0\0",
        b"\x02\x02\x20\x01",
    ] {
        assert_eq!(outcome(&schema, bytes), empty, "{}", bytes.escape_ascii());
    }
    let last = b"\x02\x02\x22\x06\x0a\x01k\x12\x01a\x22\x06\x12\x01b\x0a\x01k\x22\0";
    let expected = json!({ "k": "b", "": "" });
    assert_eq!(outcome(&schema, last)["object"]["m"]["object"], expected);
}

#[test]
fn a_few_bytes_become_neither_many_values_nor_a_deep_tree() {
    let schema = schema(LIST);
    let nested = |levels: usize, tag: u8| {
        let mut bytes = Vec::new();
        for _ in 1..levels {
            let mut length = Vec::new();
            let mut rest = bytes.len();
            while rest >= 0x80 {
                length.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            length.push(rest as u8);
            bytes = [&[tag][..], &length, &bytes].concat();
        }
        [&b"\0"[..], &bytes].concat()
    };
    assert!(schema.decode(&nested(64, 0x0a)).is_ok());
    assert_eq!(schema.decode(&nested(65, 0x0a)), Err(Undecodable::TooDeep));
    assert_eq!(schema.decode(&nested(2000, 0x0a)), Err(Undecodable::TooDeep));
    assert_eq!(schema.decode(&nested(40, 0x12)), Err(Undecodable::TooDeep));
    let groups = [b"\0".to_vec(), vec![0x7b; 1_000_000]].concat();
    assert_eq!(schema.decode(&groups), Err(Undecodable::TooDeep));

    let fields: String = (1..1000).map(|number| format!("int32 f{number} = {number};")).collect();
    let wide = self::schema(&format!(
        "syntax = 'proto3'; message A {{ repeated B b = 1; }} message B {{ {fields} }}"
    ));
    let many = [b"\0".to_vec(), b"\x0a\0".repeat(100_000)].concat();
    assert_eq!(wide.decode(&many), Err(Undecodable::TooLarge));
}

#[test]
fn a_definition_that_cannot_be_used_is_an_error() {
    let of = |text: &str| ProtobufSchema::of_registry(text, &[]).unwrap_err().to_string();
    assert!(of("message").contains("expected"), "{}", of("message"));
    assert!(of("syntax = 'proto3'; message A { B b = 1; }").contains("'B'"));
    assert!(of("syntax = 'proto3'; import 'b.proto'; message A { b.B b = 1; }").contains("'b.B'"));
    assert!(
        of(&format!("syntax = 'proto3'; {}", "message A {".repeat(100_000))).contains("nested too deeply")
    );
    // Field 12 is the syntax: `editions`, for which the crate panics.
    let editions = of("YghlZGl0aW9ucw==");
    assert!(editions.ends_with("has the syntax `editions`; expected proto2 or proto3"), "{editions}");
    let references = [Reference { name: "b.proto".into(), schema: "message".into() }];
    let error = ProtobufSchema::of_registry("syntax = 'proto3';", &references).unwrap_err();
    assert!(error.to_string().starts_with("reference b.proto: "), "{error}");

    let set = descriptor_set(&CASES[0]);
    let error = ProtobufSchema::of_descriptor_set(&set, "fleet.Reading").unwrap_err().to_string();
    assert!(
        error.starts_with(
            "unknown message type `fleet.Reading`; expected one of `fleet.Heartbeat`, `fleet.Everything`, `fleet.Everything.Inner`"
        ),
        "{error}"
    );
    assert!(ProtobufSchema::of_descriptor_set(&set, ".fleet.Heartbeat").is_ok());
    let error = ProtobufSchema::of_descriptor_set(b"message", "A").unwrap_err().to_string();
    assert!(error.contains("--include_imports"), "{error}");
}

/// A value of the crate `prost-reflect` as it is expected in a tree. None if both have it in different forms.
fn expected(value: &Peer, is_closed: bool, kind: &prost_reflect::Kind) -> Option<Value> {
    let tree = |scalar| Some(shown(&Tree::Scalar(scalar)));
    match value {
        Peer::Bool(value) => tree(Scalar::Boolean(*value)),
        Peer::I32(value) => tree(Scalar::Integer((*value).into())),
        Peer::I64(value) => tree(Scalar::Integer((*value).into())),
        Peer::U32(value) => tree(Scalar::Integer((*value).into())),
        Peer::U64(value) => tree(Scalar::Integer((*value).into())),
        Peer::F32(value) => tree(Scalar::Float(*value)),
        Peer::F64(value) => tree(Scalar::Double(*value)),
        Peer::String(value) => tree(Scalar::Text(value.as_str().into())),
        Peer::Bytes(_) => tree(Scalar::Bytes),
        Peer::EnumNumber(number) => match kind.as_enum()?.get_value(*number) {
            Some(value) => tree(Scalar::Text(value.name().to_owned().into())),
            None if is_closed => None,
            None => tree(Scalar::Integer((*number).into())),
        },
        Peer::Message(message) => of_message(message),
        Peer::List(values) => {
            let values = values.iter().map(|value| expected(value, is_closed, kind));
            Some(values.collect::<Option<Vec<_>>>()?.into())
        }
        Peer::Map(values) => {
            let kind = kind.as_message()?.map_entry_value_field().kind();
            let entries = values.iter().map(|(key, value)| {
                let key = expected(&key.clone().into(), false, &kind)?;
                let key = match &key {
                    Value::Object(integer) => integer["integer"].as_str()?.to_owned(),
                    Value::Bool(value) => value.to_string(),
                    key => key.as_str()?.to_owned(),
                };
                Some((key, expected(value, is_closed, &kind)?))
            });
            Some(json!({ "object": entries.collect::<Option<serde_json::Map<_, _>>>()? }))
        }
    }
}

fn of_message(message: &DynamicMessage) -> Option<Value> {
    let of = message.descriptor();
    if of.full_name().starts_with("google.protobuf.") {
        return None;
    }
    let is_closed = of.parent_file().syntax() == prost_reflect::Syntax::Proto2;
    let entries = of.fields().map(|field| {
        let is_absent = field.supports_presence() && !message.has_field(&field);
        if is_absent && field.is_required() {
            return None;
        }
        let value = match is_absent {
            true => Value::Null,
            false => expected(&message.get_field(&field), is_closed, &field.kind())?,
        };
        Some((field.name().to_owned(), value))
    });
    Some(json!({ "object": entries.collect::<Option<serde_json::Map<_, _>>>()? }))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    /// That crate refuses what is skipped here: a field that is written in another way than it is declared.
    #[test]
    fn changed_bytes_are_read_as_by_the_crate_prost_reflect(
        case in any::<Index>(),
        value in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), any::<u8>(), any::<u8>()), 1..4),
    ) {
        let case = case.get(&CASES);
        let all: Vec<_> = values(case).map(|(bytes, _)| bytes).collect();
        let bytes = changed(value.get::<Vec<u8>>(&all), &changes);
        let (set, name) = (descriptor_set(case), text(case, "message_type"));
        let schema = ProtobufSchema::of_descriptor_set(&set, name).unwrap();
        let peer = DescriptorPool::decode(&set[..]).unwrap().get_message_by_name(name).unwrap();
        let has_map = peer.fields().any(|field| field.is_map());
        let peer = DynamicMessage::decode(peer, &bytes[..]).ok();
        let outcome = outcome(&schema, &bytes);
        match peer.as_ref().and_then(of_message) {
            // It reads a map's entry without its wire type.
            Some(_) if has_map && outcome["undecodable"] == true => {}
            Some(expected) => prop_assert_eq!(outcome, expected),
            None => {}
        }
    }
}
