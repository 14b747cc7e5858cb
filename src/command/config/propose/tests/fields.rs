//! The fields of a record.

use super::of_lines;

#[test]
fn values_that_are_not_of_the_type_are_null_and_the_reading_stays() {
    let found = of_lines(&[
        r#"{"ts":1681088547,"truck":"t-1","coolant":89,"lat":"43.81","gear":1}"#,
        r#"{"ts":1681088548,"truck":"t-1","coolant":"-","lat":"n/a","gear":"P"}"#,
        r#"{"ts":1681088549,"truck":"t-1","coolant":{"raw":1},"lat":"-7.0","gear":null}"#,
        r#"{"ts":1681088550,"truck":"t-1","coolant":"hot","lat":"","gear":"R"}"#,
        r#"{"ts":1681088551,"truck":"t-1","coolant":1e400,"lat":0,"gear":[1]}"#,
    ]);
    assert_eq!(found.accepted, 5, "{}", found.text);
    assert_eq!(found.field("coolant"), r#"coolant = { type = "number", null = ["-"], bad = "null" }"#);
    assert_eq!(found.field("lat"), r#"lat = { type = "number", null = ["", "n/a"] }"#);
    assert_eq!(found.field("gear"), r#"gear = { type = "text", bad = "null" }"#);
}

#[test]
fn values_of_several_types_have_a_field_for_each() {
    let values = ["62.5", "\"DRIVE\"", "1438", "\"PARK\"", "true", "\"R\"", "12"];
    let lines: Vec<String> = values
        .iter()
        .zip(0..)
        .map(|(value, at)| format!(r#"{{"ts":168108854{at},"truck":"t-1","signal":"s","value":{value}}}"#))
        .collect();
    let found = of_lines(&lines.iter().map(String::as_str).collect::<Vec<_>>());
    assert_eq!(found.field("value"), r#"value = "text""#);
    assert_eq!(
        found.field("value_number"),
        r#"value_number = { type = "number", path = "value", bad = "null" }"#
    );
    assert_eq!(found.accepted, 7);
}

#[test]
fn keys_of_any_kind_have_a_path() {
    let found = of_lines(&[
        r#"{"t_stamp":1681088547123,"truck":"t-1","pos.alt":1,"km/h":2,"/sys/up":3,"a~b":{"c/d":4},"":"x","speed":5,"Speed":6,"axles":[7,8],"🚚":9}"#,
    ]);
    for (name, definition) in [
        ("pos_alt", r#"pos_alt = { type = "number", path = "pos.alt" }"#),
        ("km_h", r#"km_h = { type = "number", path = "km/h" }"#),
        ("sys_up", r#"sys_up = { type = "number", path = "/~1sys~1up" }"#),
        ("c_d", r#"c_d = { type = "number", path = "/a~0b/c~1d" }"#),
        ("speed", r#"speed = "number""#),
        ("speed_2", r#"speed_2 = { type = "number", path = "Speed" }"#),
        ("axles_0", r#"axles_0 = { type = "number", path = "/axles/0" }"#),
    ] {
        assert_eq!(found.field(name), definition);
    }
    assert_eq!(found.accepted, 1);
}

#[test]
fn what_is_long_or_never_has_a_value_is_only_mentioned() {
    let line = format!(
        r#"{{"ts":1681088547,"truck":"t-1","clip":"{}","address":null,"trace":[1,2,3,4,5,6,7,8,9]}}"#,
        "A".repeat(1000)
    );
    let found = of_lines(&[&line]);
    for name in ["clip", "address", "trace_0"] {
        assert!(!found.has(name), "{}", found.text);
    }
    assert!(found.text.contains("\n# address = \"text\""), "{}", found.text);
    assert!(found.text.contains("`/trace` is a list of up to 9 elements"), "{}", found.text);
    assert!(found.text.contains("Left out: a text of up to 1000 bytes."), "{}", found.text);
}

#[test]
fn readings_in_the_default_form_need_nothing() {
    let found = of_lines(&[
        "{'timestamp': '2023-04-10 01:02:27.123456', 'distance_covered': np.float64(0.01), 'engine_speed': 79.2, 'fuel_consumed': 0.0}",
        r#"{"timestamp": "2023-04-10 01:02:28", "distance_covered": 0.01, "engine_speed": 79.2, "fuel_consumed": 0.0, "truck_id": "t-1"}"#,
    ]);
    assert_eq!((&found.proposal.message, found.accepted), (&None, 2));
    found.note("They have the default form");
    let found = of_lines(&[r#"{"timestamp": "2023-04-10 01:02:28", "truck_id": "t-1"}"#]);
    assert_eq!((found.time(), found.accepted), ("timestamp", 1));
}

#[test]
fn a_proposal_is_a_table_with_what_was_found() {
    let found = of_lines(&[
        r#"{"vehicle":{"id":"a"},"ts":1681088547123,"obd":{"rpm":1438,"odometer":12.5,"mil":false},"note":null}"#,
        r#"{"vehicle":{"id":"b"},"ts":1681088548123,"obd":{"rpm":"fast","odometer":12.75}}"#,
    ]);
    let expected = r#"# Proposed from 2 messages (2 readings) of `readings.jsonl`.
# The built-in views read distance_covered (km), engine_speed and fuel_consumed (litres). These may be such fields under another name, or in another unit: rpm (engine_speed), odometer (distance_covered).

input = "readings.jsonl"

[message]
format = "json"
preset = "none"
time = "ts"
key = "vehicle_id"

[record]
ts = { type = "timestamp", unit = "ms", optional = false }    # all, 1681088547123 to 1681088548123
vehicle_id = { type = "text", path = "/vehicle/id" }          # all, "a", "b"
rpm = { type = "number", path = "/obd/rpm", bad = "null" }    # all, 1438, 1 bad: fast
odometer = { type = "number", path = "/obd/odometer" }        # all, 12.5 to 12.75
mil = { type = "boolean", path = "/obd/mil" }                 # 50 %
# note = "text"                                               # always null
"#;
    assert_eq!(found.text, expected);
}

#[test]
fn values_of_others_stay_in_their_comments_and_strings() {
    let found = of_lines(&[
        "{\"ts\":1681088547,\"truck\":\"a\\n[record]\\nx = 1\",\"k\\\"\\n\\u0001\":\"\\u001b[31m\\u202e\",\"n\":null}",
    ]);
    assert_eq!(found.accepted, 1, "{}", found.text);
    assert!(found.text.contains(r#"path = "k\"\n\u0001""#), "{}", found.text);
    assert!(!found.text.contains(['\u{1b}', '\u{202e}', '\u{1}']), "{}", found.text);
}
