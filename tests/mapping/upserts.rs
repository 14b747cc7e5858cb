//! Keyed readings.

use super::{message, only, read_all};
use truckflow::decode::Message;

fn keyed<'a>(key: &'a str, payload: Option<&'a str>) -> Message<'a> {
    Message { key: Some(key.as_bytes()), payload: payload.map(str::as_bytes), ..message(b"") }
}

#[track_caller]
fn rows(config: &str, rows: &[(Option<&str>, &str)]) {
    for (payload, expected) in rows {
        assert_eq!(read_all(config, &[keyed("k", *payload)]), *expected, "{payload:?}");
    }
}

#[test]
fn a_tombstone_or_a_null_root_deletes_and_nothing_else_does() {
    let config = format!("mode = \"upsert\"\n{}", only("root = \"/after\"", "v = \"number\""));
    rows(
        &config,
        &[
            (Some(r#"{"before":null,"after":{"t":0,"v":1}}"#), "k: v=1"),
            (Some(r#"{"before":{"t":0,"v":1},"after":null}"#), "k: deleted"),
            (None, "k: deleted"),
            (Some(r#"{"after":{"t":0},"after":null}"#), "k: deleted"),
            (Some(r#"{"before":null}"#), "not_an_object"),
            (Some(r#"{"after":5}"#), "not_an_object"),
            (Some(r#"{"after":[{"t":0,"v":1}]}"#), "not_an_object"),
            (Some(r#"{"after":[]}"#), "not_an_object"),
            (Some(r#"{"after":[null]}"#), "not_an_object"),
            (Some(r#"{"after":[],"after":{"t":0,"v":2}}"#), "k: v=2"),
            (Some(r#"{"after":{"t":0}} {"after":{"t":0}}"#), "not_an_object"),
            (Some(r#"{"after":[]} {"after":{"t":0}}"#), "not_an_object"),
            (Some(r#"{"after":null} {"after":null}"#), "not_an_object"),
            // The state of the key stays.
            (Some(r#"{"after":{"t":0,"v":"x"}}"#), "wrong_type v"),
            (Some("null"), "not_an_object"),
        ],
    );
    let whole = format!("mode = \"upsert\"\n{}", only("", "v = \"number\""));
    rows(
        &whole,
        &[
            (Some("null"), "k: deleted"),
            (Some("[]"), "not_an_object"),
            (Some("[{\"t\":0}]"), "not_an_object"),
        ],
    );
    let within =
        format!("mode = \"upsert\"\n{}", only("root = [\"/payload\", \"/after\"]", "v = \"number\""));
    rows(
        &within,
        &[
            (Some(r#"{"payload":"{'after':{'t':0,'v':3}}"}"#), "k: v=3"),
            (Some(r#"{"payload":"{'after':null}"}"#), "k: deleted"),
            (Some(r#"{"payload":null}"#), "not_an_object"),
        ],
    );
}

#[test]
fn the_key_names_the_reading_and_not_the_entity() {
    let config = format!("mode = \"upsert\"\n{}", only("key = \"vin\"", "vin = \"text\""));
    rows(&config, &[(Some(r#"{"t":0,"vin":"a"}"#), "k: entity=a vin=a"), (Some(r#"{"t":0}"#), "k: nothing")]);
    assert_eq!(read_all(&config, &[message(b"{\"t\":0}")]), "missing_field key");
}

#[test]
fn a_reading_for_which_the_condition_is_not_true_changes_nothing() {
    let config = format!("mode = \"upsert\"\n{}", only("only = \"v > 1\"", "v = \"number\""));
    rows(&config, &[(Some(r#"{"t":0,"v":2}"#), "k: v=2"), (Some(r#"{"t":0,"v":1}"#), "")]);
}

#[test]
fn a_line_is_a_keyed_reading() {
    let csv = only("format = \"csv\"\ncolumns = [\"t\", \"v\"]", "v = \"number\"");
    let config = format!("mode = \"upsert\"\n{csv}");
    rows(&config, &[(Some("0,1"), "k: v=1"), (Some("0,1\n0,2"), "not_an_object"), (None, "k: deleted")]);
}
