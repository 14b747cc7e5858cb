//! A datum of Avro that fills the row directly is decoded like any other message.

use std::sync::{Arc, LazyLock};

use dataflows::schema::{FieldType, Schema};
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::mapping::{FieldMapping, Format, Mapping, Source};
use super::super::path::{Path, Pointer};
use super::super::{Decode, Decoder, Message, Schema as MessageSchema, SchemaFormat};

const SCHEMA: &str = r#"{"type": "record", "name": "M", "fields": [
    {"name": "id", "type": "string"},
    {"name": "fix", "type": ["null", {"type": "record", "name": "Fix", "fields": [
        {"name": "time", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "lat", "type": ["null", "double", "string"]},
        {"name": "next", "type": ["null", "Fix"]}]}]},
    {"name": "tags", "type": {"type": "array", "items": "string"}},
    {"name": "state", "type": {"type": "enum", "name": "S", "symbols": ["on", "off"]}},
    {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 20, "scale": 2}},
    {"name": "valid", "type": "boolean"}, {"name": "count", "type": "int"}]}"#;

static PARSED: LazyLock<Arc<MessageSchema>> =
    LazyLock::new(|| Arc::new(MessageSchema::parse(SchemaFormat::Avro, SCHEMA, &[]).unwrap()));

/// Paths to values, to records, below values without parts, and to nothing.
const PATHS: [&str; 13] = [
    "/id",
    "/fix/lat",
    "/fix",
    "/fix/next/lat",
    "/fix/next/next/time",
    "/tags",
    "/tags/0",
    "/state",
    "/price",
    "/valid",
    "/count",
    "/id/below",
    "/fix/nothing",
];
const TYPES: [FieldType; 4] = [FieldType::Number, FieldType::Integer, FieldType::Boolean, FieldType::Text];

fn mapping(fields: &[(usize, usize)], time: bool) -> Arc<Mapping> {
    let names: Vec<String> = (0..fields.len()).map(|index| format!("f{index}")).collect();
    let declared = names.iter().zip(fields);
    let schema =
        declared.fold(Schema::new("time"), |schema, (name, (_, kind))| schema.with(name, TYPES[*kind]));
    let field = |name: &str, path: &str| {
        let declared = schema.field(name).unwrap();
        let first = Pointer::parse(path).unwrap();
        let source = Source::Value { path: Path { first, then: Vec::new() }, of_message: false };
        FieldMapping { source, ..FieldMapping::named(name, declared.field_type, declared.place) }
    };
    let mut all = vec![field("time", "/fix/time")];
    all[0].required = time;
    all.extend(names.iter().zip(fields).map(|(name, (path, _))| field(name, PATHS[*path])));
    let format = Format::Schema(PARSED.clone());
    Arc::new(Mapping { fields: all, format, key: None, schema, ..Mapping::trucks() })
}

fn long(value: i64, out: &mut Vec<u8>) {
    let mut rest = (value << 1 ^ value >> 63) as u64;
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn text(text: &str, out: &mut Vec<u8>) {
    long(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

/// A datum; `fixes` are the nested records.
fn datum(fixes: &[(i64, f64, u8)], id: &str, tags: &[String], price: &[u8], count: i32) -> Vec<u8> {
    let mut out = Vec::new();
    text(id, &mut out);
    for (time, lat, kind) in fixes {
        long(1, &mut out);
        long(*time, &mut out);
        long((kind % 3).into(), &mut out);
        match kind % 3 {
            1 => out.extend(lat.to_le_bytes()),
            2 => text(&lat.to_string(), &mut out),
            _ => {}
        }
    }
    long(0, &mut out);
    if !tags.is_empty() {
        long(tags.len() as i64, &mut out);
        tags.iter().for_each(|tag| text(tag, &mut out));
    }
    long(0, &mut out);
    long(i64::from(count) & 1, &mut out);
    long(price.len() as i64, &mut out);
    out.extend_from_slice(price);
    out.push(u8::from(count > 0));
    long(count.into(), &mut out);
    out
}

fn taken(decoder: &mut Decoder) -> String {
    let (mut items, mut counts) = (Vec::new(), String::new());
    Decode::take(decoder, &mut items);
    Decode::take_counts(decoder, &mut |counted, count| counts += &format!("{counted:?} {count}, "));
    format!("{items:?} {counts}")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn a_datum_has_the_same_result_as_in_the_general_pass(
        fields in prop::collection::vec((0..PATHS.len(), 0..TYPES.len()), 0..6),
        required in any::<bool>(),
        fixes in prop::collection::vec((1_600_000_000_000i64..1_800_000_000_000, any::<f64>(), any::<u8>()), 0..4),
        others in ("[a-zé1-9]{0,4}", prop::collection::vec("[a-z]{0,2}", 0..3), prop::collection::vec(any::<u8>(), 0..10), any::<i32>()),
        changes in prop::collection::vec((any::<Index>(), any::<u8>()), 0..3),
        end in prop::option::of(any::<Index>()),
    ) {
        let mapping = mapping(&fields, required);
        let (id, tags, price, count) = others;
        let whole = datum(&fixes, &id, &tags, &price, count);
        let mut changed = whole.clone();
        for (at, byte) in changes {
            let at = at.index(changed.len());
            changed[at] = byte;
        }
        let cut = end.map_or(changed.len(), |end| end.index(changed.len() + 1));
        let mut direct = Decoder::new("topic".into(), mapping.clone());
        for payload in [&whole[..], &changed, &changed[..cut], &whole] {
            let message = Message { key: Some(b"k"), payload: Some(payload), ..Message::default() };
            let mut general = Decoder::new("topic".into(), mapping.clone());
            if payload == whole && !fields.iter().any(|(path, _)| PATHS[*path] == "/tags/0") {
                prop_assert!(direct.fill_directly(&message));
            }
            direct.decode(&message);
            general.decode_generally(&message);
            prop_assert_eq!(taken(&mut direct), taken(&mut general), "{}", payload.escape_ascii());
        }
    }
}
