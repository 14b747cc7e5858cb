//! The name of the truck.

use dataflows::dead_letter::Reason;

use super::{accepted, because, decode, message, record, rejected, with};
use crate::decode::Message;

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
        ("true", "true"),
        ("False", "False"),
    ] {
        assert_eq!(accepted(with(&format!(", 'truck_id': {value}"))), record(name), "{value}");
    }
}

#[test]
fn a_truck_named_by_a_list_has_the_wrong_type() {
    for value in ["['a']", "{}", "('a',)"] {
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
