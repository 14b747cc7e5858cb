//! The values of measures and timestamps.

use dataflows::dead_letter::Reason;

use super::{TIME, TIMESTAMP, accepted, because, rejected, speed, with};

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
    for value in
        ["'fast'", "\"\"", "true", "False", "np.True_", "[79.2]", "(1,)", "{}", "np.str_('7 9')", "'0x10'"]
    {
        assert_eq!(rejected(speed(value)), because(Reason::WrongType, "engine_speed"), "{value}");
    }
}

#[test]
fn a_measure_may_be_a_text_of_a_number() {
    for value in ["'79.2'", "\" 79.20\\n\"", "'+79.2'", "'0079.2'", "np.str_('7.92e1')"] {
        assert_eq!(accepted(speed(value)).units[1], 79_200_000_000, "{value}");
    }
    for value in ["'nan'", "'-Infinity'", "'NaN'"] {
        assert_eq!(rejected(speed(value)), because(Reason::NotFinite, "engine_speed"), "{value}");
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
    assert_eq!(accepted(speed("-9199999999.999999999")).units[1], -9_199_999_999_999_999_999);
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
        assert_eq!(accepted(speed(value)).units[1], nano, "{value}");
    }
}

#[test]
fn a_timestamp_is_converted_to_utc_microseconds() {
    for (text, micros) in [
        ("2023-04-10T01:02:27.5", TIME + 500_000),
        ("2023-04-10 01:02:27.123456", TIME + 123_456),
        ("2023-04-10 03:02:27+02:00", TIME),
        ("2023-04-09T23:32:27.000001-0130", TIME + 1),
        ("2023-04-10T01:02:27,000001z", TIME + 1),
        ("2023-04-10 01:02+00", TIME - 27_000_000),
        ("20230410T010227Z", TIME),
    ] {
        assert_eq!(accepted(with("").replace("2023-04-10 01:02:27", text)).time, micros, "{text}");
    }
}

#[test]
fn another_timestamp_format_is_a_bad_timestamp() {
    for text in [
        "",
        "2023-04-10",
        "2023-02-29 01:02:27",
        "2023-04-10 01:02:27.",
        "10.04.2023 01:02:27",
        "2023-04-10 24:00:00Z",
    ] {
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
