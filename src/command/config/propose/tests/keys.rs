//! The field that names the entity.

use super::{message, of_lines, of_messages};

#[test]
fn the_field_with_the_best_name_is_the_key() {
    for (line, key) in [
        (r#"{"ts":1681088547,"truck_id":"a","device":{"id":"b"},"name":"c"}"#, "truck_id"),
        (r#"{"ts":1681088547,"vehicle":{"id":17},"driver":{"id":"b"}}"#, "vehicle_id"),
        (r#"{"ts":1681088547,"vehicle_type":"van","vehicle_speed":62,"imei":"356307042441013"}"#, "imei"),
        (r#"{"ts":1681088547,"deviceInfo":{"deviceName":"truck-1"},"fCnt":7}"#, "device_name"),
        (r#"{"ts":1681088547,"objectno":"001","odometer":12}"#, "objectno"),
        (r#"{"ts":1681088547,"coreid":"2b003f00","trip_id":"x","session_id":"y"}"#, "coreid"),
        (r#"{"ts":1681088547,"tid":"t1","type":"location"}"#, "tid"),
        (r#"{"ts":1681088547,"Kennzeichen":"M-AB 17","km":12.5}"#, "kennzeichen"),
        (r#"{"ts":1681088547,"id":"0725","speed":1.5}"#, "id"),
        (r#"{"ts":1681088547,"name":"rpm","value":1438,"unit":"1/min"}"#, ""),
        (r#"{"ts":1681088547,"speed":1.5}"#, ""),
    ] {
        let found = of_lines(&[line]);
        assert_eq!((found.key(), found.accepted), (key, 1), "{}", found.text);
    }
}

#[test]
fn names_that_are_there_in_turn_are_the_key_together() {
    let found = of_lines(&[
        r#"{"ts":1681088547,"vehicle":{"id":"a"},"rpm":900}"#,
        r#"{"ts":1681088548,"asset":{"id":"b"},"rpm":900}"#,
    ]);
    assert_eq!(found.key(), "entity");
    assert_eq!(
        found.field("entity"),
        r#"entity = { type = "text", sql = "COALESCE(vehicle_id, asset_id)" }"#
    );
    assert_eq!(found.accepted, 2);
}

#[test]
fn an_identifier_that_never_repeats_names_no_entity() {
    let lines: Vec<String> = (0..30)
        .map(|number| format!(r#"{{"ts":16810885{number:02},"uid":"u-{number}","rpm":{number}}}"#))
        .collect();
    assert_eq!(of_lines(&lines.iter().map(String::as_str).collect::<Vec<_>>()).key(), "");
}

#[test]
fn the_key_of_the_message_is_the_key_if_no_field_surely_is() {
    let found = of_messages(vec![
        message(Some("t-1"), Some(r#"{"ts":1681088547,"name":"rpm","rpm":900}"#), &[]),
        message(Some("t-2"), Some(r#"{"ts":1681088548,"name":"rpm","rpm":901}"#), &[]),
    ]);
    assert_eq!(found.key(), "message_key");
    assert_eq!(found.field("message_key"), r#"message_key = { type = "text", from = "kafka.key" }"#);
    let found =
        of_messages(vec![message(Some(r#"{"id":7}"#), Some(r#"{"ts":1681088547,"truck":"t-1"}"#), &[])]);
    assert_eq!(found.key(), "truck");
    assert_eq!(found.field("key_id"), r#"key_id = { type = "integer", from = "kafka.key", path = "id" }"#);
}
