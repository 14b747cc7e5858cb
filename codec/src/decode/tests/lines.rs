//! A line that fills the row directly is decoded like any other message.

use std::sync::Arc;

use dataflows::schema::{FieldType, Schema};
use dataflows::views::Mode;
use proptest::prelude::*;

use super::super::mapping::{FieldMapping, Format, Mapping};
use super::super::{Decode, Decoder, Message};

/// Two fields that are `required`, and others of each type, of which one has no column.
fn mapping() -> Arc<Mapping> {
    let schema = Schema::new("time")
        .with("speed", FieldType::Number)
        .with("gear", FieldType::Integer)
        .with("on", FieldType::Boolean)
        .with("name", FieldType::Text)
        .with("nowhere", FieldType::Text)
        .with_key("name");
    let mut mapping = Mapping::preset(schema, &["speed"]);
    for field in &mut mapping.fields {
        field.nulls = vec!["-".into()];
        field.bad_is_null = *field.name == *"gear";
    }
    // Of equal names the last counts.
    let columns = ["on", "time", "speed", "other", "gear", "name", "on"].map(String::from).to_vec();
    let again = FieldMapping { place: mapping.fields[1].place, ..mapping.fields[1].clone() };
    mapping.fields.push(again);
    Arc::new(Mapping { format: Format::Csv { separator: b';', columns: Some(columns) }, ..mapping })
}

fn decoder(mode: Mode) -> Decoder {
    Decoder::new("topic".into(), mapping()).with_mode(mode).with_origins().with_max_bytes(200)
}

fn taken(decoder: &mut Decoder) -> String {
    let (mut items, mut counts) = (Vec::new(), String::new());
    Decode::take(decoder, &mut items);
    Decode::take_counts(decoder, &mut |counted, count| counts += &format!("{counted:?} {count}, "));
    format!("{items:?} {counts} {:?}", Decode::last_time(decoder))
}

/// Values of all types, good and bad.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        4 => r"-?[0-9]{1,4}(\.[0-9]{1,12})?(e[0-9])?",
        4 => "2024-0[1-9]-1[0-9]T0[0-9]:00:00(\\.[0-9]{1,7})?Z",
        2 => "true|false|nan|-inf| 1 |\\+007|-|",
        1 => "[aé \"\n\r;\u{feff}]{0,5}|\"a;\"\"b\"",
    ];
    prop_oneof![20 => text.prop_map(String::into_bytes), 1 => prop::collection::vec(any::<u8>(), 0..3)]
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let time = "2024-0[1-9]-1[0-9]T0[0-9]:00:00Z".prop_map(String::into_bytes);
    let good = (value(), time, r"[0-9]{1,3}\.[0-9]{1,11}", prop::collection::vec(value(), 4));
    let good =
        good.prop_map(|(on, time, speed, others)| [vec![on, time, speed.into_bytes()], others].concat());
    let fields = prop_oneof![4 => good, 1 => prop::collection::vec(value(), 7), 1 => prop::collection::vec(value(), 0..9)];
    let end =
        prop_oneof![2 => Just(""), 2 => Just("\n"), 1 => Just("\r\n"), 1 => Just("\n\n"), 1 => Just("\r")];
    let start = prop_oneof![9 => Just(""), 1 => Just("\u{feff}")];
    (start, fields, end)
        .prop_map(|(start, fields, end)| [start.as_bytes(), &fields.join(&b';'), end.as_bytes()].concat())
}

#[test]
fn a_line_fills_the_row_without_the_general_pass() {
    let mut decoder = decoder(Mode::Append);
    let payload = &b"1;2024-01-01T00:00:00Z;1.5;x;3;truck-1;0\n"[..];
    let message = Message { payload: Some(payload), ..Message::default() };
    assert!(decoder.fill_directly(&message));
    decoder.decode(&message);
    let record = decoder.take_batch().record(0);
    assert_eq!((&*record.entity, &record.units[..]), ("truck-1", &[1_500_000_000, 3, 0][..]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn a_line_has_the_same_result_as_in_the_general_pass(
        lines in prop::collection::vec(line(), 1..4),
        key in prop::option::of("[a-z\u{e9}]{0,3}"),
        upsert in any::<bool>(),
    ) {
        let mode = if upsert { Mode::Upsert } else { Mode::Append };
        let mut direct = decoder(mode);
        for payload in &lines {
            let key = key.as_deref().map(str::as_bytes);
            let message = Message { key, payload: Some(payload), ..Message::default() };
            let mut general = decoder(mode);
            direct.decode(&message);
            general.decode_generally(&message);
            prop_assert_eq!(taken(&mut direct), taken(&mut general), "{}", payload.escape_ascii());
        }
    }
}
