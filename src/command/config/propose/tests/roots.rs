//! Where the readings of a message are.

use super::{message, of_lines, of_messages, of_payloads};

#[test]
fn a_list_of_objects_with_times_and_numbers_has_the_readings() {
    for (line, root, readings) in [
        (
            r#"{"imei":"356307042441013","records":[{"ts":"2023-04-10T01:02:27Z","gps":{"lat":48.1}},{"ts":"2023-04-10T01:02:28Z","gps":{"lat":48.2}}]}"#,
            "/records",
            2,
        ),
        (
            r#"{"header":{"timestamp":"1681088540"},"entity":[{"id":"1","vehicle":{"position":{"latitude":48.1,"longitude":11.5},"timestamp":"1681088530","vehicle":{"id":"b-1"}}}]}"#,
            "/entity",
            1,
        ),
        (
            r#"{"timestamp":1681088547123,"metrics":[{"name":"Engine/RPM","timestamp":1681088547100,"value":1438.5}],"seq":3}"#,
            "/metrics",
            1,
        ),
        (
            r#"{"response":{"statuses":[{"vin":"YV1","createdDateTime":"2023-04-10T01:02:27Z","distance":12.5,"speed":62.1}]},"more":false,"requestDateTime":"2023-04-10T01:02:30Z"}"#,
            "/response/statuses",
            1,
        ),
        (
            r#"{"type":"FeatureCollection","features":[{"type":"Feature","geometry":{"type":"Point","coordinates":[11.5,48.1]},"properties":{"time":"2023-04-10T01:02:27Z","vehicle":"t-1"}}]}"#,
            "/features",
            1,
        ),
        (r#"{"columns":["ts","speed"],"rows":[[1681088547123,62.5],[1681088548123,63]]}"#, "/rows", 2),
        (
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"rpm","gauge":{"dataPoints":[{"timeUnixNano":"1681088547123456789","asDouble":1438.5}]}}]}]}]}"#,
            "/resourceMetrics/*/scopeMetrics/*/metrics/*/gauge/dataPoints",
            1,
        ),
        (
            r#"[{"vehicle":"a","readings":[{"t":1681088547,"speed":1.5},{"t":1681088548,"speed":2.5}]},{"vehicle":"b","readings":[{"t":1681088549,"speed":2.5}]}]"#,
            "/*/readings",
            3,
        ),
    ] {
        let found = of_lines(&[line]);
        assert_eq!((&*found.root(), found.accepted), (root, readings), "{}", found.text);
    }
}

#[test]
fn a_list_takes_its_time_from_around_it_if_all_readings_are_in_it() {
    let lines = [
        r#"{"ts":1681088547,"truck":"t-1","values":[{"name":"rpm","value":1438},{"name":"speed","value":62.5}]}"#,
    ];
    let found = of_lines(&lines);
    assert_eq!((&*found.root(), found.time(), found.key(), found.accepted), ("/values", "ts", "truck", 2));
    assert_eq!(
        found.field("ts"),
        r#"ts = { type = "timestamp", path = "ts", in = "message", unit = "s", optional = false }"#
    );
}

#[test]
fn a_list_of_something_else_is_no_list_of_readings() {
    for line in [
        r#"{"ts":1681088547,"truck":"t-1","rpm":1438,"codes":[{"code":"P0300","since":1681000000}]}"#,
        r#"{"ts":1681088547,"truck":"t-1","status":"moving","alarms":[{"at":1681088000,"type":"sos"}]}"#,
        r#"{"ts":1681088547,"truck":"t-1","lat":48.1,"network":{"cells":[{"id":1,"signal":-70},{"id":2,"signal":-71}]}}"#,
        r#"{"ts":1681088547,"truck":"t-1","location":{"coordinates":[[11.5,48.1],[11.6,48.2]]}}"#,
    ] {
        let found = of_lines(&[line, r#"{"ts":1681088548,"truck":"t-1","rpm":1500.5}"#]);
        assert_eq!((&*found.root(), found.time(), found.accepted), ("", "ts", 2), "{}", found.text);
    }
}

#[test]
fn a_message_may_be_a_list_and_another_one_an_object() {
    let lines = [
        r#"[{"ts":1681088547,"speed":1.5},{"ts":1681088548,"speed":2.5}]"#,
        r#"{"ts":1681088549,"speed":3}"#,
    ];
    let found = of_lines(&lines);
    assert_eq!((&*found.root(), found.time(), found.accepted), ("", "ts", 3));
}

#[test]
fn keys_that_are_data_lead_to_readings_and_name_them() {
    let found = of_lines(&[
        r#"{"vehicles":{"t-1":{"time":1681088547,"speed":62.5,"rpm":1438},"t-2":{"time":1681088547,"speed":1,"rpm":800},"t-3":{"time":1681088548,"speed":2,"rpm":900}}}"#,
    ]);
    assert_eq!((&*found.root(), found.key(), found.accepted), ("/vehicles/*", "vehicles_key", 3));
    assert_eq!(found.field("vehicles_key"), r#"vehicles_key = { type = "text", from = "root.key" }"#);
}

#[test]
fn an_object_with_nearly_everything_is_the_root_and_what_is_beside_it_is_looked_up_in_the_message() {
    let found = of_lines(&[
        r#"{"device":{"name":"AB-12","uniqueId":"860000000000001"},"position":{"fixTime":"2023-04-10T01:02:27Z","speed":1.5,"latitude":48.1,"longitude":11.5,"attributes":{"rpm":900,"fuelUsed":1.5}}}"#,
    ]);
    assert_eq!((&*found.root(), found.time(), found.key()), ("/position", "fix_time", "unique_id"));
    assert_eq!(
        found.field("device_name"),
        r#"device_name = { type = "text", path = "/device/name", in = "message" }"#
    );
    assert_eq!(found.field("rpm"), r#"rpm = { type = "number", path = "/attributes/rpm" }"#);
}

#[test]
fn json_in_a_text_is_entered_as_it_is_and_in_base64() {
    for payload in [
        r#""{\"rpm\":1438,\"ts\":1681088547,\"truck\":\"t-1\"}""#,
        r#""eyJycG0iOjE0MzgsInRzIjoxNjgxMDg4NTQ3LCJ0cnVjayI6InQtMSJ9""#,
    ] {
        let line = format!(r#"{{"topic":"fleet/t-1","payload":{payload},"timestamp":1681088549000}}"#);
        let found = of_lines(&[&line]);
        assert_eq!(
            (&*found.root(), found.time(), found.key()),
            ("/payload then ", "ts", "truck"),
            "{}",
            found.text
        );
        assert_eq!(found.accepted, 1);
    }
    let found = of_lines(&[
        r#"{"ts":1681088547,"truck":"t-1","speed":62.5,"rpm":1438,"extra":"{\"oil\":{\"bar\":4.5}}"}"#,
    ]);
    assert_eq!(found.field("bar"), r#"bar = { type = "number", path = ["/extra", "/oil/bar"] }"#);
    assert_eq!((&*found.root(), found.accepted), ("", 1));
}

#[test]
fn envelopes_of_connect_cloudevents_canal_and_maxwell_are_known() {
    for (line, root, time) in [
        (
            r#"{"schema":{"type":"struct","fields":[{"field":"TS","type":"int64"}]},"payload":{"TS":1681088547123,"SPEED":62.5}}"#,
            "/payload",
            "ts",
        ),
        (
            r#"{"specversion":"1.0","id":"a","source":"/gw","type":"reading","subject":"t-1","time":"2023-04-10T01:02:27Z","data":{"rpm":1438}}"#,
            "/data",
            "time",
        ),
        (
            r#"{"data":[{"vehicle":"a","recorded_at":"2023-04-10 01:02:27","speed":"1.5"}],"database":"fleet","es":1681088548000,"ts":1681088549000,"old":null,"sqlType":{"speed":3},"table":"reading","type":"INSERT"}"#,
            "/data",
            "recorded_at",
        ),
        (
            r#"{"database":"fleet","table":"reading","type":"insert","ts":1681088549,"xid":7,"data":{"vehicle":"a","recorded_at":"2023-04-10 01:02:27","speed":1.5}}"#,
            "/data",
            "recorded_at",
        ),
    ] {
        let found = of_lines(&[line]);
        assert_eq!((&*found.root(), found.time(), found.accepted), (root, time, 1), "{}", found.text);
        assert!(!found.text.contains("sqlType") && !found.text.contains("/schema"), "{}", found.text);
        found.note("Their envelope is that of");
    }
}

#[test]
fn changes_of_rows_replace_readings_if_rows_are_updated_and_messages_have_keys() {
    let row = |id: u32, op: &str| {
        format!(
            r#"{{"before":null,"after":{{"id":{id},"vehicle":"t-1","recorded_at":1681088547123456,"speed":"62.50"}},"source":{{"ts_ms":1681088548000,"pos":7}},"op":"{op}","ts_ms":1681088548321}}"#
        )
    };
    let deleted = r#"{"before":{"id":1},"after":null,"source":{"ts_ms":1681088548000,"pos":7},"op":"d","ts_ms":1681088548321}"#;
    let key = Some(r#"{"id":1}"#);
    let changes = vec![
        message(key, Some(&row(1, "c")), &[]),
        message(key, Some(&row(1, "u")), &[]),
        message(key, Some(deleted), &[]),
        message(key, None, &[]),
    ];
    let found = of_messages(changes);
    assert_eq!((&*found.root(), found.time(), found.key()), ("/after", "recorded_at", "vehicle"));
    assert!(found.proposal.upsert && found.text.contains("\nmode = \"upsert\"\n"), "{}", found.text);
    assert_eq!(found.accepted, 4);
    assert!(!found.text.contains("/before") && !found.text.contains("/source/pos"), "{}", found.text);

    let found = of_payloads(&[&row(1, "c"), &row(2, "r")]);
    assert!(!found.proposal.upsert);
    found.note("No row was updated or deleted.");
    let found = of_payloads(&[&row(1, "c"), &row(1, "u"), deleted]);
    assert!(!found.proposal.upsert);
    found.note("Rows are updated or deleted, for which mode = \"upsert\" needs messages with keys.");
    let connect = |change: &str| format!(r#"{{"schema":{{"type":"struct"}},"payload":{change}}}"#);
    assert_eq!(of_payloads(&[&connect(&row(1, "c"))]).root(), "/payload/after");
}
