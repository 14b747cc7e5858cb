//! The rules by which a message becomes a record or a dead letter, one test each.

use dataflows::batch::{FieldType, Record};
use proptest::prelude::*;

use super::*;

/// 2023-04-10 01:02:27 UTC.
const TIME: i64 = 1_681_088_547_000_000;
const TIMESTAMP: &str = "'timestamp': '2023-04-10 01:02:27'";

fn message(payload: &[u8]) -> Message<'_> {
    Message {
        partition: 3,
        offset: 42,
        timestamp: Some(1_700_000_000_000),
        key: None,
        payload: Some(payload),
    }
}

/// Fields and how many of their values were rounded.
type Rounded = Vec<(String, u64)>;

fn take_rounded(decoder: &mut Decoder) -> Rounded {
    let mut rounded = Vec::new();
    decoder.take_rounded(&mut |field, count| rounded.push((field.to_owned(), count)));
    rounded
}

/// The one record or the one rejection of a message, and the rounded values.
fn decode(message: &Message<'_>) -> (Result<Record, (Reason, String)>, Rounded) {
    let mut decoder = Decoder::new("topic".into());
    decoder.decode(message);
    let records = decoder.records();
    let (batch, mut dead) = (decoder.take_batch(), decoder.take_dead_letters());
    assert_eq!((batch.len(), records + dead.len()), (records, 1));
    let outcome = match dead.pop() {
        Some(dead) => Err((dead.reason, dead.field)),
        None => Ok(batch.record(0)),
    };
    (outcome, take_rounded(&mut decoder))
}

#[track_caller]
fn accepted(payload: impl AsRef<[u8]>) -> Record {
    decode(&message(payload.as_ref())).0.unwrap()
}

#[track_caller]
fn rejected(payload: impl AsRef<[u8]>) -> (Reason, String) {
    let payload = payload.as_ref();
    let (outcome, rounded) = decode(&message(payload));
    assert_eq!(rounded, [], "only records count as rounded");
    outcome.expect_err(&payload.escape_ascii().to_string())
}

fn because(reason: Reason, field: &str) -> (Reason, String) {
    (reason, field.to_owned())
}

/// A valid payload with `extra` fields at its end: `, 'name': value`.
fn with(extra: &str) -> String {
    format!("{{{TIMESTAMP}, 'distance_covered': 0.01, 'engine_speed': 79.2, 'fuel_consumed': 0{extra}}}")
}

/// A payload with `value` as engine speed.
fn speed(value: &str) -> String {
    with("").replace("79.2", value)
}

fn record(truck: &str) -> Record {
    Record { truck: truck.into(), time: TIME, measures: [10_000_000, 79_200_000_000, 0], extras: vec![] }
}

#[test]
fn json_python_and_numpy_are_equivalent() {
    let python = with("");
    let numpy = "{'timestamp': '2023-04-10 01:02:27', 'distance_covered': np.float64(0.01), \
                 'engine_speed': np.float32( 79.2 ), 'fuel_consumed': numpy.int64(0)}";
    for payload in [python.clone(), python.replace('\'', "\""), numpy.to_owned()] {
        assert_eq!(accepted(&payload), record(""), "{payload}");
        let spread = payload.replace(',', "\n ,\t").replace(':', " :\r\n").replace(" :\r\n02 :\r\n", ":02:");
        assert_eq!(accepted(format!(" \t\r\n{spread} \n")), record(""), "{spread}");
    }
}

#[test]
fn keys_come_in_any_order_and_the_last_of_one_name_wins() {
    let payload = format!(
        "{{'fuel_consumed': 9, 'engine_speed': 'x', 'truck_id': 'a', 'engine_speed': 79.2, \
          'distance_covered': 0.01, {TIMESTAMP}, 'fuel_consumed': 0}}"
    );
    assert_eq!(accepted(payload), record("a"));
    assert_eq!(rejected(with(", 'fuel_consumed': None")), because(Reason::MissingField, "fuel_consumed"));
}

#[test]
fn keys_may_be_written_with_escapes() {
    assert_eq!(accepted(with(r#", "\u0074ruck\x5fid": "a""#)), record("a"));
}

#[test]
fn extra_fields_are_skipped_whatever_their_values() {
    for value in [
        "None",
        "null",
        "[]",
        "()",
        "(1,)",
        "(1, 'a', (2, [3, {}]))",
        r#"{"a": {"b": [1, true, null, -1.5e-3, "x\n"]}}"#,
        "{1: 2, None: 3, (4, 5): 6, np.int64(7): 8}",
        "nan",
        "-inf",
        "np.nan",
        "np.True_",
        "np.float64(-inf)",
        "np.datetime64('2023-04-10T01:02:27')",
        "1e999999999999",
        "'\u{e9}\u{1f600}'",
    ] {
        assert_eq!(accepted(with(&format!(", 'extra': {value}"))), record(""), "{value}");
    }
}

#[test]
fn other_payloads_are_not_an_object() {
    let whole = with("");
    for end in 0..whole.len() {
        assert_eq!(rejected(&whole[..end]), because(Reason::NotAnObject, ""), "{}", &whole[..end]);
    }
    for payload in ["[]", "1", "null", "''", "{} {}", "{},", "{'a'}", "{'a': 1,}", "{,}", "\u{feff}{}", "{]"]
    {
        assert_eq!(rejected(payload), because(Reason::NotAnObject, ""), "{payload}");
    }
    for value in [
        "",
        "01",
        "1.",
        ".5",
        "+1",
        "1e",
        "0x10",
        "1_000",
        "1j",
        "- 1",
        "--1",
        "nul",
        "TRUE",
        "-None",
        "x",
        "[1,]",
        "(,)",
        "[1 2]",
        "[1)",
        "{1}",
        "{[]: 1}",
        "np",
        "np.",
        "np.x",
        "np.float64",
        "np.float64(",
        "np.float64()",
        "np.float64(1",
        "np.float64(1, 2)",
        "np.float64([1])",
        "np.float64(np.float64(1))",
        "np.64(1)",
        "math.nan",
        "'a' 'b'",
        r"'\q'",
        r"'\ud800'",
        "'a\u{1}'",
        "b'a'",
    ] {
        assert_eq!(
            rejected(with(&format!(", 'extra': {value}"))),
            because(Reason::NotAnObject, ""),
            "{value}"
        );
    }
}

#[test]
fn bytes_that_are_not_utf8_are_not_an_object() {
    for field in ["extra", "truck_id"] {
        let mut payload = with(&format!(", '{field}': '?'")).into_bytes();
        let place = payload.iter().position(|byte| *byte == b'?').unwrap();
        payload[place] = 0xff;
        assert_eq!(rejected(payload), because(Reason::NotAnObject, ""));
    }
}

#[test]
fn nesting_is_bounded() {
    for (open, close) in [("[", "]"), ("(", ")"), ("{'a':", "}")] {
        let nested = |depth| format!(", 'extra': {}0{}", open.repeat(depth), close.repeat(depth));
        assert_eq!(accepted(with(&nested(63))), record(""));
        assert_eq!(rejected(with(&nested(64))), because(Reason::NotAnObject, ""));
        assert_eq!(rejected(with(&nested(100_000))), because(Reason::NotAnObject, ""));
        assert_eq!(rejected(with(&format!(", {}", open.repeat(100_000)))), because(Reason::NotAnObject, ""));
        assert_eq!(rejected(open.repeat(100_000)), because(Reason::NotAnObject, ""));
    }
    assert_eq!(
        rejected(with(&format!(", 'a': {}", "np.a(".repeat(100_000)))),
        because(Reason::NotAnObject, "")
    );
}

#[test]
fn an_absent_or_null_field_is_missing() {
    for field in ["timestamp", "distance_covered", "engine_speed", "fuel_consumed"] {
        assert_eq!(rejected(with("").replace(field, "other")), because(Reason::MissingField, field));
        for null in ["null", "None"] {
            let payload = with(&format!(", '{field}': {null}"));
            assert_eq!(rejected(payload), because(Reason::MissingField, field));
        }
    }
}

#[test]
fn a_measure_that_is_not_a_number_has_the_wrong_type() {
    for value in ["'79.2'", "\"\"", "true", "False", "np.True_", "[79.2]", "(1,)", "{}", "np.str_('79.2')"] {
        assert_eq!(rejected(speed(value)), because(Reason::WrongType, "engine_speed"), "{value}");
    }
}

#[test]
fn a_measure_that_is_nan_or_infinite_is_not_finite() {
    for value in [
        "nan",
        "NaN",
        "inf",
        "-inf",
        "Infinity",
        "-Infinity",
        "np.float64(nan)",
        "np.float32(-inf)",
        "np.inf",
    ] {
        assert_eq!(rejected(speed(value)), because(Reason::NotFinite, "engine_speed"), "{value}");
    }
}

#[test]
fn a_measure_from_9_2e9_on_is_out_of_range() {
    for value in ["9.2e9", "-9200000000", "9199999999.9999999999", "1e999999999999", "np.float64(1e+300)"] {
        assert_eq!(rejected(speed(value)), because(Reason::OutOfRange, "engine_speed"), "{value}");
    }
    assert_eq!(accepted(speed("-9199999999.999999999")).measures[1], -9_199_999_999_999_999_999);
}

#[test]
fn a_measure_is_parsed_by_digits_and_not_as_a_float() {
    for (value, nano) in [
        ("16777217.123456789", 16_777_217_123_456_789),
        ("1e-05", 10_000),
        ("8E+1", 80_000_000_000),
        ("80", 80_000_000_000),
        ("-0.0", 0),
    ] {
        assert_eq!(accepted(speed(value)).measures[1], nano, "{value}");
    }
}

#[test]
fn a_rounded_value_is_counted_once_and_by_field() {
    #[track_caller]
    fn rounded(payload: String, fields: &[&str]) {
        let expected: Rounded = fields.iter().map(|field| ((*field).to_owned(), 1)).collect();
        assert_eq!(decode(&message(payload.as_bytes())).1, expected);
    }
    rounded(with(""), &[]);
    rounded(speed("0.30000000000000004"), &["engine_speed"]);
    rounded(speed("0.1000000000000"), &[]);
    rounded(speed("1e-400"), &["engine_speed"]);
    rounded(with(", 'distance_covered': 0.0000000015"), &["distance_covered"]);
    rounded(with("").replace(":27", ":27.0000001"), &["timestamp"]);
    rounded(with("").replace(":27", ":27.0000010"), &[]);
    rounded(speed("1e-400").replace(":27", ":27.0000001"), &["engine_speed", "timestamp"]);
}

#[test]
fn a_rounded_value_of_a_declared_field_is_counted() {
    let field = |name: &str, field_type| FieldSpec { name: name.into(), field_type };
    let fields = [("oil", FieldType::Number), ("driver", FieldType::Text), ("load", FieldType::Number)];
    for mode in [Mode::Append, Mode::Upsert] {
        let fields = fields.map(|(name, field_type)| field(name, field_type)).into();
        let mut decoder = Decoder::new("topic".into()).with_fields(fields).with_mode(mode);
        let mut rounded = |extra: &str| {
            let payload = with(extra);
            decoder.decode(&Message { key: Some(b"k"), ..message(payload.as_bytes()) });
            take_rounded(&mut decoder)
        };
        let once = |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), 1)).collect::<Rounded>();
        assert_eq!(rounded(""), []);
        assert_eq!(rounded(", 'oil': 0.1, 'driver': '0.00000000001', 'load': None"), []);
        assert_eq!(rounded(", 'load': 1e-10"), once(&["load"]));
        let all = ", 'oil': 0.30000000000000004, 'load': 1e-10, 'fuel_consumed': 1e-10";
        assert_eq!(rounded(all), once(&["fuel_consumed", "oil", "load"]));
        assert_eq!(rounded(""), [], "counts are taken once");
        assert_eq!(rounded(", 'oil': 1e-10, 'load': 'much'"), [], "only records count as rounded");
        let truck = format!(", 'oil': 1e-10, 'engine_speed': 1e-10, 'truck_id': '{}'", "x".repeat(256));
        assert_eq!(rounded(&truck), [], "only records count as rounded");
    }
}

#[test]
fn a_keyed_reading_has_all_declared_fields_whichever_parser_reads_it() {
    let field = |name: &str, field_type| FieldSpec { name: name.into(), field_type };
    let fields: Arc<[FieldSpec]> = [field("oil", FieldType::Number), field("driver", FieldType::Text)].into();
    let payload = with("");
    let decoder = || Decoder::new("topic".into()).with_fields(fields.clone()).with_mode(Mode::Upsert);
    for mut decoder in [decoder(), decoder().without_scanner()] {
        decoder.decode(&Message { key: Some(b"k"), ..message(payload.as_bytes()) });
        let mut items = Vec::new();
        decoder.take(&mut items);
        let [Item::Upserts(upserts), Item::Arrived(_)] = items.as_slice() else { panic!("{items:?}") };
        // The form that a restart reads from state, so that a repeated reading is recognized.
        assert_eq!(upserts[0].record.as_ref().unwrap().extras, [Value::Null, Value::Null]);
    }
}

#[test]
fn a_timestamp_is_converted_to_utc_microseconds() {
    for (text, micros) in [
        ("2023-04-10T01:02:27.5", TIME + 500_000),
        ("2023-04-10 01:02:27.123456", TIME + 123_456),
        ("2023-04-10 03:02:27+02:00", TIME),
        ("2023-04-09T23:32:27.000001-0130", TIME + 1),
    ] {
        assert_eq!(accepted(with("").replace("2023-04-10 01:02:27", text)).time, micros, "{text}");
    }
}

#[test]
fn another_timestamp_format_is_a_bad_timestamp() {
    for text in ["", "2023-04-10", "2023-02-29 01:02:27", "2023-04-10 01:02:27.", "10.04.2023 01:02:27"] {
        let payload = with("").replace("2023-04-10 01:02:27", text);
        assert_eq!(rejected(payload), because(Reason::BadTimestamp, "timestamp"), "{text}");
    }
}

#[test]
fn a_timestamp_that_is_not_a_string_has_the_wrong_type() {
    for value in ["1681088547", "True", "[]", "nan"] {
        let payload = with(&format!(", 'timestamp': {value}"));
        assert_eq!(rejected(payload), because(Reason::WrongType, "timestamp"), "{value}");
    }
}

#[test]
fn a_truck_is_named_by_a_string_or_by_a_number_as_written() {
    for (value, name) in [
        ("'a truck'", "a truck"),
        ("\"it's\"", "it's"),
        (r"'n\u00e4her'", "näher"),
        ("''", ""),
        ("7", "7"),
        ("-7.50", "-7.50"),
        ("1e2", "1e2"),
        ("np.int64(7)", "7"),
        ("np.str_('a')", "a"),
    ] {
        assert_eq!(accepted(with(&format!(", 'truck_id': {value}"))), record(name), "{value}");
    }
}

#[test]
fn a_truck_named_by_a_bool_or_list_has_the_wrong_type() {
    for value in ["true", "np.False_", "['a']", "{}", "('a',)"] {
        let payload = with(&format!(", 'truck_id': {value}"));
        assert_eq!(rejected(payload), because(Reason::WrongType, "truck_id"), "{value}");
    }
}

#[test]
fn the_key_names_the_truck_if_the_payload_does_not() {
    let keyed = |extra: &str, key| {
        let payload = with(extra);
        decode(&Message { key: Some(key), ..message(payload.as_bytes()) }).0
    };
    assert_eq!(keyed("", b"k"), Ok(record("k")));
    assert_eq!(keyed(", 'truck_id': None", b"k"), Ok(record("k")));
    assert_eq!(keyed(", 'truck_id': 'a'", b"\xff"), Ok(record("a")));
    assert_eq!(keyed(", 'truck_id': ''", b"k"), Ok(record("")));
    assert_eq!(keyed("", b"\xff"), Err(because(Reason::WrongType, "key")));
}

#[test]
fn a_name_longer_than_255_bytes_is_too_large() {
    for quote in ["'", "\""] {
        let name = "é".repeat(127);
        let named = |name: &str| with(&format!(", 'truck_id': {quote}{name}{quote}")).replace('\'', quote);
        assert_eq!(accepted(named(&format!("{name}x"))), record(&format!("{name}x")));
        assert_eq!(rejected(named(&format!("{name}xy"))), because(Reason::TooLarge, "truck_id"));
    }
    let digits = "7".repeat(256);
    assert_eq!(rejected(with(&format!(", 'truck_id': {digits}"))), because(Reason::TooLarge, "truck_id"));
    let payload = with("");
    let keyed = |key| decode(&Message { key: Some(key), ..message(payload.as_bytes()) }).0;
    assert_eq!(keyed(&[b'k'; 255]), Ok(record(&"k".repeat(255))));
    assert_eq!(keyed(&[b'k'; 256]), Err(because(Reason::TooLarge, "key")));
}

#[test]
fn the_first_invalid_field_is_reported() {
    let bad = "{'truck_id': [], 'fuel_consumed': nan, 'engine_speed': 'x', 'distance_covered': 1e10, 'timestamp': 1";
    let mut payload = format!("{bad}}}");
    for (reason, field, good) in [
        (Reason::WrongType, "timestamp", TIMESTAMP),
        (Reason::OutOfRange, "distance_covered", "'distance_covered': 1"),
        (Reason::WrongType, "engine_speed", "'engine_speed': 1"),
        (Reason::NotFinite, "fuel_consumed", "'fuel_consumed': 1"),
        (Reason::WrongType, "truck_id", "'truck_id': 1"),
    ] {
        assert_eq!(rejected(&payload), because(reason, field));
        payload = format!("{}, {good}}}", payload.strip_suffix('}').unwrap());
    }
    accepted(payload);
    assert_eq!(rejected(bad), because(Reason::NotAnObject, ""));
}

#[test]
fn a_message_without_payload_is_a_null_value() {
    let (outcome, _) = decode(&Message { payload: None, ..message(b"") });
    assert_eq!(outcome, Err(because(Reason::NullValue, "")));
}

#[test]
fn a_payload_longer_than_allowed_is_too_large() {
    let payload = with("");
    for (max_bytes, dead) in [(payload.len(), 0), (payload.len() - 1, 1)] {
        let mut decoder = Decoder::new("topic".into()).with_max_bytes(max_bytes);
        decoder.decode(&message(payload.as_bytes()));
        let letters = decoder.take_dead_letters();
        assert_eq!(letters.len(), dead);
        assert!(letters.iter().all(|letter| (letter.reason, &*letter.field) == (Reason::TooLarge, "")));
    }
    let padded = |length: usize| with("") + &" ".repeat(length - with("").len());
    assert_eq!(accepted(padded(MAX_BYTES)), record(""));
    assert_eq!(rejected(padded(MAX_BYTES + 1)), because(Reason::TooLarge, ""));
}

#[test]
fn a_dead_letter_keeps_the_whole_message() {
    let mut decoder = Decoder::new("topic".into());
    decoder.decode(&Message { key: Some(b"k\xff"), ..message(b"{'timestamp': \xff") });
    let expected = DeadLetter {
        topic: "topic".into(),
        partition: 3,
        offset: 42,
        kafka_timestamp: Some(1_700_000_000_000),
        key: Some(b"k\xff".to_vec()),
        payload: Some(b"{'timestamp': \xff".to_vec()),
        reason: Reason::NotAnObject,
        field: String::new(),
    };
    assert_eq!(decoder.take_dead_letters(), [expected]);
    assert_eq!(decoder.take_dead_letters(), []);
}

/// A decoder of a job whose wall clock is at [`TIME`], and whose readings may be a second ahead.
fn clocked() -> Decoder {
    let future = Future::After { max_ahead: 1_000_000, topic: "topic".into() };
    let mut decoder = Decoder::new("topic".into()).with_future(future);
    Decode::set_wall_clock(&mut decoder, TIME);
    decoder
}

#[test]
fn a_reading_in_the_future_is_a_dead_letter_whatever_else_is_wrong_with_it() {
    let at = |second: u32, more: &str| with(more).replace("01:02:27", &format!("01:02:{second}"));
    for decoder in [clocked, || clocked().without_scanner()] {
        let letter = |payload: &str, timestamp| {
            let mut decoder = decoder();
            decoder.decode(&Message { timestamp, ..message(payload.as_bytes()) });
            let mut items = Vec::new();
            decoder.take(&mut items);
            let found = items.iter().any(|item| matches!(item, Item::InTheFuture(found) if found.len() == 1));
            let letters = items.into_iter().find_map(|item| match item {
                Item::DeadLetters(letters) => Some((letters[0].reason, letters[0].field.clone())),
                _ => None,
            });
            assert_eq!(found, letters.as_ref().is_some_and(|(reason, _)| *reason == Reason::InTheFuture));
            letters
        };
        let in_the_future = Some((Reason::InTheFuture, "timestamp".to_owned()));
        assert_eq!(letter(&at(28, ""), None), None);
        assert_eq!(letter(&at(29, ""), None), in_the_future);
        assert_eq!(letter(&at(29, ", 'engine_speed': 'fast'"), None), in_the_future);
        assert_eq!(letter(&at(29, ", 'truck_id': []"), None), in_the_future);
        assert_eq!(letter(&at(28, ", 'engine_speed': 'fast'"), None).unwrap().0, Reason::WrongType);
        // Kafka's timestamp is later.
        assert_eq!(letter(&at(29, ""), Some(TIME / 1000 + 1000)), None);
        assert_eq!(letter("{'timestamp': '9999-01-01 00:00:00'", None).unwrap().0, Reason::NotAnObject);
    }
}

#[test]
fn a_keyed_reading_in_the_future_does_not_change_its_key() {
    let mut decoder = clocked().with_mode(Mode::Upsert);
    let payload = with("").replace("2023", "2024");
    decoder.decode(&Message { key: Some(b"k"), timestamp: None, ..message(payload.as_bytes()) });
    let mut items = Vec::new();
    decoder.take(&mut items);
    assert!(
        matches!(items.as_slice(), [Item::DeadLetters(_), Item::InTheFuture(_), Item::Arrived(TIME)]),
        "{items:?}"
    );
}

#[test]
fn a_decoder_continues_after_take() {
    let mut decoder = Decoder::new("topic".into());
    for round in 1..=2 {
        for _ in 0..round {
            decoder.decode(&message(with("").as_bytes()));
            decoder.decode(&message(speed("0.00000000001").as_bytes()));
            decoder.decode(&message(b""));
        }
        assert_eq!(decoder.records(), 2 * round);
        assert_eq!(decoder.take_batch().len(), 2 * round);
        assert_eq!(decoder.take_dead_letters().len(), round);
        assert_eq!(take_rounded(&mut decoder), [("engine_speed".to_owned(), round as u64)]);
    }
    assert_eq!((decoder.records(), take_rounded(&mut decoder)), (0, vec![]));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_bytes_become_one_record_or_one_dead_letter(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..10)),
    ) {
        _ = decode(&Message { key: key.as_deref(), ..message(&bytes) });
    }

    #[test]
    fn any_tokens_become_one_record_or_one_dead_letter(
        tokens in prop::collection::vec(
            prop::sample::select(&[
                "{", "}", "[", "]", "(", ")", ":", ",", "'", "\"", "\\", "\\u", "\\ud83d", "\\x", "'timestamp':",
                "'a':", "\"engine_speed\": ", "'truck_id'", "np.", "np.float64(", "nan", "-", "inf", "None", "0", "7",
                ".", "e", "999999999999999999999", "é", " ", "\n", "'2023-04-10 01:02:27'",
            ][..]),
            0..40,
        ),
    ) {
        _ = decode(&message(tokens.concat().as_bytes()));
        _ = decode(&message(with(&format!(", {}", tokens.concat())).as_bytes()));
    }
}
