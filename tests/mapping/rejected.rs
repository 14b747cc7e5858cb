//! Required fields, bad values, the order of errors, conditions.

use super::{Reader, job, message, only, read};

#[test]
fn fields_of_the_preset_are_required_and_declared_ones_optional_unless_it_is_said() {
    let config = "[record]\nengine_speed = { optional = true }\noil = \"number\"\ngear = { type = \"integer\", optional = false }";
    let reading = |more: &str| {
        format!("{{\"timestamp\":\"1970-01-01\" \"\", {more}}}")
            .replace("1970-01-01\" \"", "1970-01-01T00:00")
    };
    for (more, expected) in [
        (r#""distance_covered":1,"fuel_consumed":2,"gear":3"#, "distance_covered=1 fuel_consumed=2 gear=3"),
        (r#""distance_covered":1,"fuel_consumed":2"#, "missing_field gear"),
        (r#""distance_covered":1,"fuel_consumed":2,"gear":null"#, "missing_field gear"),
        (r#""distance_covered":1,"gear":3"#, "missing_field fuel_consumed"),
        (r#""distance_covered":1,"fuel_consumed":2,"gear":3,"oil":"x""#, "wrong_type oil"),
        (r#""distance_covered":1,"fuel_consumed":2,"gear":3,"engine_speed":"x""#, "wrong_type engine_speed"),
    ] {
        assert_eq!(read(config, &reading(more)), expected, "{more}");
    }
}

#[test]
fn event_time_is_named_first_then_the_preset_then_the_record_in_its_order() {
    let config = "[message]\ntime = \"at\"\n[record]\nzulu = \"number\"\ndistance_covered = {}\nat = { type = \"timestamp\", unit = \"s\" }\nalpha = { type = \"number\", optional = false }\n";
    let mut fields = vec![
        ("at", r#""x""#, "0", "bad_timestamp"),
        ("timestamp", "5", r#""1970-01-01T00:00""#, "wrong_type"),
        ("engine_speed", r#""x""#, "1", "wrong_type"),
        ("fuel_consumed", "null", "1", "missing_field"),
        ("zulu", "NaN", "1", "not_finite"),
        ("distance_covered", "1e10", "1", "out_of_range"),
        ("alpha", "null", "1", "missing_field"),
    ];
    // Each in turn is mended, and the next one named.
    for at in 0..fields.len() {
        let payload = |fields: &[(&str, &str, &str, &str)]| {
            let values: Vec<String> =
                fields.iter().rev().map(|(name, bad, ..)| format!("\"{name}\":{bad}")).collect();
            format!("{{{}}}", values.join(","))
        };
        let (name, _, good, reason) = fields[at];
        assert_eq!(read(config, &payload(&fields)), format!("{reason} {name}"));
        fields[at].1 = good;
    }
}

#[test]
fn a_bad_value_may_be_null_instead() {
    let config =
        only("", "v = { type = \"number\", bad = \"null\" }\nw = { type = \"integer\", bad = \"reject\" }");
    for (payload, expected) in [
        (r#"{"t":0,"v":"x","w":1}"#, "w=1"),
        (r#"{"t":0,"v":[],"w":1}"#, "w=1"),
        (r#"{"t":0,"v":1e10}"#, "nothing"),
        (r#"{"t":0,"v":NaN}"#, "nothing"),
        (r#"{"t":0,"w":"x"}"#, "wrong_type w"),
        (r#"{"t":0,"v":"x","w":"x"}"#, "wrong_type w"),
    ] {
        assert_eq!(read(&config, payload), expected, "{payload}");
    }
}

#[test]
fn readings_for_which_the_condition_is_not_true_are_skipped_and_counted() {
    let config = only(
        "only = \"kind = 'gps' OR is_fast\"",
        "kind = \"text\"\nspeed = { type = \"number\", optional = false }\nis_fast = { type = \"boolean\", sql = \"limit_kmh < 50\" }\nlimit_kmh = \"number\"",
    );
    let job = job(&config);
    let mut reader = Reader::new(&job);
    for (payload, expected) in [
        (r#"{"t":0,"kind":"gps","speed":1}"#, "kind=gps speed=1"),
        // Before required fields are checked, event time too.
        (r#"{"kind":"heartbeat"}"#, ""),
        (r#"{"t":"x","kind":"heartbeat","speed":"x"}"#, ""),
        // Not true is enough.
        (r#"{"t":0}"#, ""),
        (r#"{"t":0,"limit_kmh":30,"speed":1}"#, "speed=1 is_fast=1 limit_kmh=30"),
        // A bad field that it uses, itself or by a computed field, is a dead letter.
        (r#"{"t":0,"kind":[]}"#, "wrong_type kind"),
        (r#"{"t":0,"limit_kmh":"x"}"#, "wrong_type limit_kmh"),
        (r#"{"kind":"gps","speed":"x"}"#, "missing_field t"),
        (r#"{"t":0,"kind":"gps"}"#, "missing_field speed"),
        ("7", "not_an_object"),
    ] {
        assert_eq!(reader.read(&message(payload.as_bytes())), expected, "{payload}");
    }
    assert_eq!(reader.counts(), "skipped 3");
}
