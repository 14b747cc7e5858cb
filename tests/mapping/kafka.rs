//! Keys, headers and other properties of a message.

use std::sync::Arc;

use super::{These, message, only, read, read_all};
use truckflow::decode::Message;

const RECORD: &str = r#"
    key = { type = "text", from = "kafka.key" }
    part_of_key = { type = "integer", from = "kafka.key", path = "/id" }
    sent = { type = "timestamp", from = "kafka.timestamp" }
    sent_ms = { type = "integer", from = "kafka.timestamp" }
    topic = { type = "text", from = "kafka.topic" }
    part = { type = "integer", from = "kafka.partition" }
    place = { type = "number", from = "kafka.offset" }
    site = { type = "text", from = "kafka.header.site" }
    load = { type = "number", from = "kafka.header.x.load", null = ["-"] }
"#;

#[test]
fn properties_of_a_message_are_fields() {
    let config = only("", RECORD);
    let topic = Arc::from("T");
    let headers =
        These(&[("site", Some(b"a")), ("x.load", Some(b" 1.5 ")), ("site", Some("Köln".as_bytes()))]);
    let all = Message {
        topic: Some(&topic),
        partition: 3,
        offset: 1 << 53,
        key: Some(b"{\"id\": 7}"),
        headers: Some(&headers),
        ..message(b"{\"t\":0}")
    };
    let of_kafka = "sent=1970-01-01 00:00:01.500000 sent_ms=1500";
    let place = "part=3 place=9007199254740992";
    // The measure of a number ends before the greatest offset.
    assert_eq!(read_all(&config, &[all]), "out_of_range place");
    let all = Message { offset: 12, ..all };
    let place = place.replace("9007199254740992", "12");
    assert_eq!(
        read_all(&config, &[all]),
        format!(
            "entity={{\"id\": 7}} key={{\"id\": 7}} part_of_key=7 {of_kafka} topic=T {place} site=Köln load=1.5"
        )
    );
    let nulls = These(&[("site", Some(b"x")), ("site", None), ("x.load", Some(b"-"))]);
    let few = Message { key: Some(b"k"), headers: Some(&nulls), timestamp: None, ..all };
    assert_eq!(read_all(&config, &[few]), format!("entity=k key=k topic=T {place}"));
    // Of a file there is nothing.
    assert_eq!(read(&config.replace("1500", ""), "{\"t\":0}"), of_kafka);
    assert_eq!(read_all(&config, &[Message { timestamp: None, ..message(b"{\"t\":0}") }]), "nothing");
}

#[test]
fn a_key_or_header_that_is_not_utf_8_is_of_the_wrong_type() {
    let config = only("", RECORD);
    let headers = These(&[("site", Some(b"\xff"))]);
    let bad = Message { headers: Some(&headers), ..message(b"{\"t\":0}") };
    assert_eq!(read_all(&config, &[bad]), "wrong_type site");
    assert_eq!(
        read_all(&config, &[Message { key: Some(b"\xff"), ..message(b"{\"t\":0}") }]),
        "wrong_type key"
    );
}

#[test]
fn the_messages_key_names_the_entity_that_no_field_names() {
    let keyed = |config: &str, payload: &str| {
        read_all(config, &[Message { key: Some(b"k"), ..message(payload.as_bytes()) }])
    };
    let config = only("key = \"vin\"", "vin = \"integer\"");
    assert_eq!(keyed(&config, r#"{"t":0,"vin":7}"#), "entity=7 vin=7");
    // The fallback names the entity only.
    assert_eq!(keyed(&config, r#"{"t":0}"#), "entity=k");
    assert_eq!(read(&config, r#"{"t":0}"#), "nothing");
    assert_eq!(keyed(&only("", "v = \"number\""), r#"{"t":0}"#), "entity=k");
    // The preset's truck takes the key.
    let trucks = "[record]\ntimestamp = { unit = \"s\" }\ndistance_covered = { optional = true }\nengine_speed = { optional = true }\nfuel_consumed = { optional = true }";
    assert_eq!(keyed(trucks, r#"{"timestamp":0}"#), "truck_id=k");
    assert_eq!(keyed(trucks, r#"{"timestamp":0,"truck_id":"a"}"#), "truck_id=a");
    assert_eq!(read(trucks, r#"{"timestamp":0}"#), "nothing");
    // Also if another field names the entity.
    let other = format!("[message]\nkey = \"vin\"\n{trucks}\nvin = \"text\"");
    assert_eq!(keyed(&other, r#"{"timestamp":0,"vin":"v"}"#), "entity=v truck_id=k vin=v");
}

#[test]
fn a_message_without_a_value_is_a_null_value() {
    let nothing = Message { payload: None, ..message(b"") };
    assert_eq!(read_all(&only("", "v = \"number\""), &[nothing]), "null_value");
}
