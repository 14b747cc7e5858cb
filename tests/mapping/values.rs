//! Numbers, integers, booleans, texts, NULL.

use super::{Reader, job, message, only, read, values};

const NUMBER: &str = r#"{ type = "number" }"#;
const INTEGER: &str = r#"{ type = "integer" }"#;
const BOOLEAN: &str = r#"{ type = "boolean" }"#;
const TEXT: &str = r#"{ type = "text" }"#;

#[test]
fn a_number_is_a_decimal_with_nine_places() {
    values(
        "",
        NUMBER,
        &[
            ("1", "1"),
            ("-0.5", "-0.5"),
            ("1e3", "1000"),
            ("1E-9", "0.000000001"),
            ("0.0000000015", "0.000000002"),
            ("0.0000000025", "0.000000002"),
            ("0.30000000000000004", "0.3"),
            ("-9199999999.999999999", "-9199999999.999999999"),
            ("9200000000", "out_of_range"),
            ("1e400", "out_of_range"),
            ("1e-400", "0"),
            ("np.float64(2.5)", "2.5"),
            ("NaN", "not_finite"),
            ("-Infinity", "not_finite"),
            ("nan", "not_finite"),
            ("np.nan", "not_finite"),
            ("true", "wrong_type"),
            ("[1]", "wrong_type"),
            ("{}", "wrong_type"),
            ("null", "NULL"),
            ("None", "NULL"),
        ],
    );
}

#[test]
fn a_number_may_be_a_text_in_json_syntax_with_blanks_plus_and_leading_zeros() {
    let rows = [
        (r#""1.5""#, "1.5"),
        (r#"" +1.50 ""#, "1.5"),
        (r#""\t-007.25\n""#, "-7.25"),
        (r#""1e2""#, "100"),
        (r#""00""#, "0"),
        (r#""""#, "wrong_type"),
        (r#"" ""#, "wrong_type"),
        (r#"".5""#, "wrong_type"),
        (r#""5.""#, "wrong_type"),
        (r#""+-5""#, "wrong_type"),
        (r#""1,5""#, "wrong_type"),
        (r#""0x10""#, "wrong_type"),
        (r#""1 km""#, "wrong_type"),
        (r#""NaN""#, "not_finite"),
        (r#""-inf""#, "not_finite"),
        (r#""Infinity""#, "not_finite"),
        (r#""1e400""#, "out_of_range"),
    ];
    values("", NUMBER, &rows);
}

#[test]
fn an_integer_is_exact_to_both_ends() {
    values(
        "",
        INTEGER,
        &[
            ("9007199254740993", "9007199254740993"),
            ("9223372036854775807", "9223372036854775807"),
            ("-9223372036854775807", "-9223372036854775807"),
            // It stands for NULL.
            ("-9223372036854775808", "out_of_range"),
            ("9223372036854775808", "out_of_range"),
            ("5.0", "5"),
            ("1e3", "1000"),
            ("12.5e1", "125"),
            ("5.5", "wrong_type"),
            ("1e-1", "wrong_type"),
            (r#""860000000000001""#, "860000000000001"),
            (r#"" +007 ""#, "7"),
            (r#""9223372036854775807""#, "9223372036854775807"),
            (r#""5.0""#, "5"),
            (r#""5.5""#, "wrong_type"),
            (r#""""#, "wrong_type"),
            (r#""NaN""#, "not_finite"),
            ("Infinity", "not_finite"),
            ("true", "wrong_type"),
            ("null", "NULL"),
        ],
    );
}

#[test]
fn a_boolean_is_true_false_0_1_or_their_texts() {
    values(
        "",
        BOOLEAN,
        &[
            ("true", "1"),
            ("False", "0"),
            ("np.True_", "1"),
            ("1", "1"),
            ("0", "0"),
            ("1.0", "1"),
            (r#""true""#, "1"),
            (r#""false""#, "0"),
            (r#""1""#, "1"),
            (r#""0""#, "0"),
            ("2", "wrong_type"),
            ("0.5", "wrong_type"),
            (r#""yes""#, "wrong_type"),
            (r#""""#, "wrong_type"),
            ("[]", "wrong_type"),
            ("null", "NULL"),
        ],
    );
}

#[test]
fn a_text_takes_numbers_and_booleans_as_they_are_written() {
    values(
        "",
        TEXT,
        &[
            (r#""näher""#, "näher"),
            (r#""""#, ""),
            (r#""NaN""#, "NaN"),
            ("1.50", "1.50"),
            ("1E2", "1E2"),
            ("12345678901234567890123", "12345678901234567890123"),
            ("true", "true"),
            ("True", "True"),
            ("np.int64(7)", "7"),
            ("[1]", "wrong_type"),
            ("{}", "wrong_type"),
            ("null", "NULL"),
        ],
    );
}

#[test]
fn listed_texts_are_null_and_the_list_of_a_field_replaces_that_of_the_message() {
    let nulls = r#"null = ["", "-", "n/a", "NaN"]"#;
    for field in [NUMBER, INTEGER, BOOLEAN, r#"{ type = "timestamp" }"#] {
        values(nulls, field, &[(r#""""#, "NULL"), (r#""n/a""#, "NULL"), (r#""NaN""#, "NULL")]);
    }
    values(nulls, TEXT, &[(r#""-""#, "NULL"), (r#""--""#, "--"), (r#"" ""#, " ")]);
    let own = r#"{ type = "number", null = ["none"] }"#;
    values(nulls, own, &[(r#""none""#, "NULL"), (r#""-""#, "wrong_type"), ("NaN", "not_finite")]);
    values(nulls, r#"{ type = "number", null = [] }"#, &[(r#""-""#, "wrong_type")]);
    // Only texts are compared.
    values(r#"null = ["0"]"#, NUMBER, &[("0", "0"), (r#""0""#, "NULL")]);
}

#[test]
fn of_equal_keys_the_last_one_wins_at_every_level() {
    let config = only("", "v = { type = \"number\", path = \"/a/b\" }");
    for (payload, expected) in [
        (r#"{"t":0,"a":{"b":1,"b":2}}"#, "v=2"),
        (r#"{"t":0,"a":{"b":1},"a":{"b":2}}"#, "v=2"),
        (r#"{"t":0,"a":{"b":1},"a":{}}"#, "nothing"),
        (r#"{"t":0,"a":{"b":1},"a":null}"#, "nothing"),
        (r#"{"t":0,"a":{"b":1},"a":[{"b":3}]}"#, "nothing"),
        (r#"{"t":5,"a":{"b":"x"},"t":0,"a":{"b":4}}"#, "v=4"),
    ] {
        assert_eq!(read(&config, payload), expected, "{payload}");
    }
}

#[test]
fn a_path_has_keys_and_indices_and_is_absent_behind_anything_else() {
    let config = only(
        "",
        r#"v = { type = "text", path = "/a/0/b" }
           dotted = { type = "text", path = "pos.alt" }
           slash = { type = "text", path = "/km~1h" }
           empty = { type = "text", path = "/" }
           again = { type = "text", path = "/a/0/b" }"#,
    );
    for (payload, expected) in [
        (r#"{"t":0,"a":[{"b":"x"},{"b":"y"}]}"#, "v=x again=x"),
        (r#"{"t":0,"a":{"0":{"b":"x"}}}"#, "v=x again=x"),
        (r#"{"t":0,"a":[]}"#, "nothing"),
        (r#"{"t":0,"a":"text"}"#, "nothing"),
        (r#"{"t":0,"a":[null]}"#, "nothing"),
        (r#"{"t":0,"a":[["b"]]}"#, "nothing"),
        (r#"{"t":0,"pos.alt":1,"pos":{"alt":2},"km/h":3,"km":{"h":4},"":5}"#, "dotted=1 slash=3 empty=5"),
        (r#"{'t': 0, 'a': ({'b': 'x'},)}"#, "v=x again=x"),
    ] {
        assert_eq!(read(&config, payload), expected, "{payload}");
    }
}

#[test]
fn what_is_nested_more_than_64_levels_deep_is_no_object() {
    let config = only("", "v = \"number\"");
    let nested = |depth: usize| {
        let (open, end) = ("[".repeat(depth - 1), "]".repeat(depth - 1));
        read(&config, &format!("{{\"t\":0,\"x\":{open}{end}}}"))
    };
    assert_eq!((&*nested(64), &*nested(65)), ("nothing", "not_an_object"));
}

#[test]
fn rounded_values_and_forgiven_ones_are_counted_for_records_only() {
    let job = job(&only("", "v = { type = \"number\", bad = \"null\" }\nw = \"number\""));
    let mut reader = Reader::new(&job);
    for payload in [
        r#"{"t":0,"v":0.0000000001}"#,
        r#"{"t":0,"v":"x"}"#,
        r#"{"t":0,"v":"y"}"#,
        r#"{"t":0,"v":1e99}"#,
        r#"{"t":0,"v":"x","w":"x"}"#,
    ] {
        reader.read(&message(payload.as_bytes()));
    }
    assert_eq!(reader.counts(), "v rounded 1; v wrong_type 2; v out_of_range 1");
    assert_eq!(reader.counts(), "");
}
