//! The event time of readings.

use super::{message, of_lines, of_messages, of_payloads};

#[test]
fn of_times_that_are_always_there_the_one_of_the_device_is_event_time() {
    for (line, time) in [
        (r#"{"serverTime":"2023-04-10T01:02:30Z","fixTime":"2023-04-10T01:02:27Z","speed":1.5}"#, "fix_time"),
        (r#"{"created_at":1681088550,"tst":1681088547,"lat":48.1}"#, "tst"),
        (
            r#"{"EnqueuedTimeUtc":"2023-04-10T01:02:30Z","eventTime":"2023-04-10T01:02:27Z","speed":1.5}"#,
            "event_time",
        ),
        (r#"{"received":{"time":1681088549},"gps":{"time":1681088547,"lat":48.1}}"#, "gps_time"),
        (
            r#"{"trip_start":"2023-04-10T01:00:00Z","timestamp":"2023-04-10T01:02:27Z","rpm":900}"#,
            "timestamp",
        ),
        (
            r#"{"received_at":"2023-04-10T01:02:27Z","gateways":[{"time":"2023-04-10T01:02:28Z","rssi":-100}],"decoded":{"speed":1.5}}"#,
            "received_at",
        ),
    ] {
        let found = of_lines(&[line]);
        assert_eq!((found.time(), found.accepted), (time, 1), "{}", found.text);
    }
}

#[test]
fn times_that_are_there_in_turn_are_event_time_together() {
    let found = of_lines(&[
        r#"{"kind":"gps","truck":"t-1","gps_time":"2023-04-10T01:02:27Z","lat":48.1}"#,
        r#"{"kind":"can","truck":"t-1","can_time":1681088548000,"rpm":1438}"#,
    ]);
    assert_eq!((found.time(), found.accepted), ("event_time", 2));
    assert_eq!(
        found.field("event_time"),
        r#"event_time = { type = "timestamp", sql = "COALESCE(gps_time, can_time)", optional = false }"#
    );
    // A server's time stands in where the device has none.
    let found = of_lines(&[
        r#"{"vin":"a","deviceTime":"2023-04-10T01:02:27Z","receivedAt":"2023-04-10T01:02:28Z","speed":1.5}"#,
        r#"{"vin":"a","receivedAt":"2023-04-10T01:02:29Z","speed":1.5}"#,
    ]);
    assert!(found.field("event_time").contains("COALESCE(device_time, received_at)"));
    assert_eq!(found.accepted, 2);
}

#[test]
fn a_time_in_two_forms_is_two_fields() {
    let found = of_lines(&[
        r#"{"truck":"t-1","ts":"2023-04-10T01:02:27Z","rpm":900}"#,
        r#"{"truck":"t-1","ts":1681088548000,"rpm":900}"#,
    ]);
    assert!(found.field("event_time").contains("COALESCE(ts, ts_time)"), "{}", found.text);
    assert_eq!(found.accepted, 2);
}

#[test]
fn a_time_that_is_bad_now_and_then_stays_event_time() {
    let found = of_lines(&[
        r#"{"truck":"t-1","time":"2023-04-10T01:02:27Z"}"#,
        r#"{"truck":"t-1","time":"2023-04-10T01:02:28Z"}"#,
        r#"{"truck":"t-1","time":"0000-00-00 00:00:00"}"#,
    ]);
    assert_eq!((found.time(), found.accepted), ("time", 2));
    assert_eq!(found.field("time"), r#"time = { type = "timestamp", optional = false }"#);
}

#[test]
fn readings_without_a_time_have_the_time_of_kafka() {
    let found = of_payloads(&[r#"{"truck":"t-1","rpm":1438}"#]);
    assert_eq!((found.time(), found.accepted), ("received", 1));
    assert_eq!(
        found.field("received"),
        r#"received = { type = "timestamp", from = "kafka.timestamp", optional = false }"#
    );
    let with = r#"{"truck":"t-1","ts":1681088547,"rpm":1438}"#;
    let found = of_payloads(&[with, with, r#"{"truck":"t-1","heartbeat":true}"#]);
    assert!(found.field("event_time").contains("COALESCE(ts, received)"), "{}", found.text);
    assert_eq!(found.accepted, 3);
    of_lines(&[r#"{"truck":"t-1","rpm":1438}"#]).note("No time was found in the readings");
}

#[test]
fn a_time_may_be_in_a_header() {
    let of_rpm = |rpm: &str, sent: &str| {
        message(Some("t-1"), Some(&format!(r#"{{"rpm":{rpm}}}"#)), &[("sent", sent), ("traceparent", "00-1")])
    };
    let found =
        of_messages(vec![of_rpm("900", "2023-04-10T01:02:27Z"), of_rpm("901", "2023-04-10T01:02:28Z")]);
    assert_eq!((found.time(), found.accepted), ("sent", 2));
    assert_eq!(
        found.field("sent"),
        r#"sent = { type = "timestamp", from = "kafka.header.sent", optional = false }"#
    );
    assert!(!found.has("traceparent"));
}

#[test]
fn common_formats_are_found_and_local_times_are_mentioned() {
    for (text, definition) in [
        ("26.03.2023 01:59:59", r#"format = "%d.%m.%Y %H:%M:%S""#),
        ("29/04/2023 01:02:27", r#"format = "%d/%m/%Y %H:%M:%S""#),
        ("04/29/23 01:02 PM", r#"format = "%m/%d/%y %I:%M %p""#),
        ("Apr 10, 2023, 1:02:27 AM", r#"format = "%b %d, %Y, %I:%M:%S %p""#),
        ("Monday, April 10, 2023 01:02:27", r#"format = "%A, %B %d, %Y %H:%M:%S""#),
        ("05-Oct-2025 14:22:01.100", r#"format = "%d-%b-%Y %H:%M:%S.%f""#),
        ("20230410010227", r#"format = "%Y%m%d%H%M%S""#),
        ("2023-100T01:02:27", r#"format = "%Y-%jT%H:%M:%S""#),
        ("10/Apr/2023:13:55:36 -0700", r#"format = "%d/%b/%Y:%H:%M:%S %z""#),
        ("2023-04-10 03:02:28 +0200", r#"format = "%Y-%m-%d %H:%M:%S %z""#),
        ("2023-04-10 03:02:28.123 +0200 CEST", r#"format = "%Y-%m-%d %H:%M:%S.%f %z %Z""#),
        ("Mon, 10 Apr 2023 01:02:27 +0000", r#"format = "%a, %d %b %Y %H:%M:%S %z""#),
        ("Mon Apr 10 01:02:27 2023", r#"format = "%a %b %d %H:%M:%S %Y""#),
        ("2023/04/10 10:02:27", r#"format = "%Y/%m/%d %H:%M:%S""#),
        (" 10-Apr-2023 01:02:27.123", r#"format = " %d-%b-%Y %H:%M:%S.%f""#),
    ] {
        let found = of_lines(&[&format!(r#"{{"truck":"t-1","when":"{text}","rpm":900}}"#)]);
        assert!(found.field("when_value").contains(definition), "{text}: {}", found.text);
        assert_eq!(found.accepted, 1, "{text}");
        let is_local = !definition.contains("%z");
        assert_eq!(found.text.contains("read as UTC: when_value"), is_local, "{text}");
    }
}

#[test]
fn counts_since_1970_are_known_by_their_size_and_their_name() {
    for (field, unit) in [
        (r#""ts":1681088547"#, "s"),
        (r#""gps":{"s":"1681088547"}"#, "s"),
        (r#""jackson_s":1681088547.123000000"#, "s"),
        (r#""start":1681088547"#, "s"),
        (r#""java_ms":1.681088547123E12"#, "ms"),
        (r#""dbz_us":"1681088547123456""#, "us"),
        (r#""timeUnixNano":"1681088547123456789""#, "ns"),
        (r#""time":{"seconds":"1681088547","nanos":5}"#, "s"),
    ] {
        let found = of_lines(&[&format!(r#"{{"truck":"t-1","rpm":900,{field}}}"#)]);
        assert!(found.field(found.time()).contains(&format!("unit = \"{unit}\"")), "{}", found.text);
        assert_eq!(found.accepted, 1, "{field}");
    }
    let found = of_lines(&[r#"{"ts":1681088547,"imei":990000862471854,"totalDistance":1076760590}"#]);
    assert_eq!(found.field("imei"), r#"imei = "text""#);
    assert_eq!(
        found.field("total_distance"),
        r#"total_distance = { type = "number", path = "totalDistance" }"#
    );
}

#[test]
fn an_order_of_day_and_month_that_no_value_decides_is_mentioned() {
    let found = of_lines(&[
        r#"{"truck":"t-1","time":"01/04/2023 01:02:27"}"#,
        r#"{"truck":"t-1","time":"02/04/2023 01:02:27"}"#,
    ]);
    assert!(found.field("time").contains("%d/%m/%Y"));
    assert!(found.text.contains("the other order is format = \"%m/%d/%Y %H:%M:%S\""), "{}", found.text);
}
