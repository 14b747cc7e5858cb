//! JSON, Python and NumPy, and everything that is none of them.

use dataflows::dead_letter::Reason;
use proptest::prelude::*;

use super::{TIMESTAMP, accepted, because, decoder, message, record, rejected, with};
use crate::decode::Message;

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
    for payload in
        ["1", "null", "''", "[1]", "[[1]", "{} ,{}", "{},", "{'a'}", "{'a': 1,}", "{,}", "\u{feff}{}", "{]"]
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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_bytes_become_records_or_dead_letters(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..10)),
    ) {
        decoder().decode(&Message { key: key.as_deref(), ..message(&bytes) });
    }

    #[test]
    fn any_tokens_become_records_or_dead_letters(
        tokens in prop::collection::vec(
            prop::sample::select(&[
                "{", "}", "[", "]", "(", ")", ":", ",", "'", "\"", "\\", "\\u", "\\ud83d", "\\x", "'timestamp':",
                "'a':", "\"engine_speed\": ", "'truck_id'", "np.", "np.float64(", "nan", "-", "inf", "None", "0", "7",
                ".", "e", "999999999999999999999", "é", " ", "\n", "'2023-04-10 01:02:27'",
            ][..]),
            0..40,
        ),
    ) {
        decoder().decode(&message(tokens.concat().as_bytes()));
        decoder().decode(&message(with(&format!(", {}", tokens.concat())).as_bytes()));
    }
}
