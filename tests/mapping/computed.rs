//! Fields with `sql`.

use super::{only, read};

#[test]
fn a_computed_field_uses_all_fields_and_computed_ones_above_it() {
    let config = only(
        "",
        r#"twice = { type = "number", sql = "v * 2" }
           four = { type = "number", sql = "twice * 2" }
           even = { type = "boolean", sql = "four > 10" }
           name = { type = "text", sql = "CASE WHEN even THEN 'big' ELSE kind END" }
           whole = { type = "integer", sql = "v * 10" }
           later = { type = "timestamp", sql = "COALESCE(seen, t)" }
           v = "number"
           kind = "text"
           seen = { type = "timestamp", unit = "s" }"#,
    );
    for (payload, expected) in [
        (
            r#"{"t":0,"v":1.5,"kind":"small"}"#,
            "twice=3 four=6 even=0 name=small whole=15 later=1970-01-01 00:00:00.000000 v=1.5 kind=small",
        ),
        (
            r#"{"t":0,"v":"3","seen":5}"#,
            "twice=6 four=12 even=1 name=big whole=30 later=1970-01-01 00:00:05.000000 v=3 seen=1970-01-01 00:00:05.000000",
        ),
        (r#"{"t":0}"#, "later=1970-01-01 00:00:00.000000"),
        (r#"{"t":0,"v":0.25}"#, "wrong_type whole"),
        (r#"{"t":0,"v":"x"}"#, "wrong_type v"),
        (r#"{"t":0,"v":4000000000}"#, "out_of_range four"),
        // A value of the message with this name is not read.
        (r#"{"t":0,"v":1,"twice":7}"#, "twice=2 four=4 even=0 whole=10 later=1970-01-01 00:00:00.000000 v=1"),
    ] {
        assert_eq!(read(&config, payload), expected, "{payload}");
    }
}

#[test]
fn null_of_a_required_computed_field_is_missing_and_bad_null_forgives_what_does_not_fit() {
    let config = only(
        "",
        r#"v = "number"
           twice = { type = "number", sql = "v * 2", optional = false }
           wide = { type = "number", sql = "v * 1000000000", bad = "null" }
           none = { type = "number", sql = "1 / v" }"#,
    );
    for (payload, expected) in [
        (r#"{"t":0,"v":2}"#, "v=2 twice=4 wide=2000000000 none=0.5"),
        (r#"{"t":0}"#, "missing_field twice"),
        (r#"{"t":0,"v":0}"#, "v=0 twice=0 wide=0"),
        (r#"{"t":0,"v":100}"#, "v=100 twice=200 none=0.01"),
    ] {
        assert_eq!(read(&config, payload), expected, "{payload}");
    }
}

#[test]
fn computed_numbers_are_exact_and_rounded_once() {
    let config = only("", "v = \"number\"\nmiles = { type = \"number\", sql = \"v * 1.609344\" }");
    for (v, expected) in [
        ("62.5", "100.584"),
        ("0.000000001", "0.000000002"),
        ("0.0000000015", "0.000000003"),
        ("1234567.890123456", "1986844.426562843"),
    ] {
        let read = read(&config, &format!("{{\"t\":0,\"v\":{v}}}"));
        assert!(read.ends_with(&format!("miles={expected}")), "{read}");
    }
}

#[test]
fn event_time_and_the_entity_may_be_computed() {
    let config = "[message]\npreset = \"none\"\ntime = \"at\"\nkey = \"device\"\n[record]\n\
                  a = { type = \"timestamp\", unit = \"s\" }\nb = { type = \"timestamp\", unit = \"s\" }\n\
                  at = { type = \"timestamp\", sql = \"COALESCE(a, b)\" }\n\
                  asset = \"text\"\ndevice = { type = \"text\", sql = \"COALESCE(asset, 'none')\" }";
    for (payload, expected) in [
        (r#"{"a":1}"#, "entity=none at=1970-01-01 00:00:01.000000 a=1970-01-01 00:00:01.000000 device=none"),
        (
            r#"{"b":2,"asset":7}"#,
            "entity=7 at=1970-01-01 00:00:02.000000 b=1970-01-01 00:00:02.000000 asset=7 device=7",
        ),
        ("{}", "missing_field at"),
    ] {
        assert_eq!(read(config, payload), expected, "{payload}");
    }
}
