//! What is wrong with `[message]` and `[record]`, and where it was written.

use crate::config::{Job, value_of};

fn refused(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> String {
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let flags = flags.iter().map(|(key, value)| ((*key).to_owned(), value_of(key, value))).collect();
    match Job::read(text, "job.toml", variables, flags) {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

/// Each line after the first, the place and reason with which it is refused. The first is the second line of the file.
#[track_caller]
fn rows(before: &str, rows: &[(&str, &str)]) {
    for (line, said) in rows {
        let number = before.matches('\n').count() + 1;
        let expected = format!("configuration job.toml line {number}: {said}");
        assert_eq!(refused(&format!("{before}{line}\n"), &[], &[]), expected, "{line}");
    }
}

const RECORD: &str = "workers = 1\n[record]\n";

#[test]
fn a_field_has_a_name_and_a_type_that_fit() {
    rows(
        RECORD,
        &[
            (
                "\"a b\" = \"text\"",
                "record.a b: use letters, digits and `_`, at most 60, not starting with a digit",
            ),
            (
                "\"1\" = \"text\"",
                "record.1: use letters, digits and `_`, at most 60, not starting with a digit",
            ),
            (
                "Engine_Speed = \"number\"",
                "record.Engine_Speed: another field differs only in case, which SQL ignores; rename one of them",
            ),
            (
                "v = { path = \"/v\" }",
                "record.v: has no type; add `type`: number, integer, boolean, text or timestamp",
            ),
            (
                "engine_speed = \"text\"",
                "record.engine_speed: the preset declares it as number; leave out `type`, use another name, or set \
                 message.preset = \"none\"",
            ),
            (
                "v = { type = \"number\", unit = \"s\" }",
                "record.v: `unit` is for times, but it is a number; leave it out or set type = \"timestamp\"",
            ),
            (
                "v = { type = \"text\", zone = \"Europe/Berlin\" }",
                "record.v: `zone` is for times, but it is a text; leave it out or set type = \"timestamp\"",
            ),
        ],
    );
    // What the parser of TOML refuses.
    for (line, said) in [
        ("v = \"decimal\"", "line 3: unknown value `decimal`; expected one of `number`, `integer`"),
        (
            "v = { type = \"number\", paths = \"/v\" }",
            "line 3: unknown key `paths`; expected one of `type`, `path`",
        ),
        (
            "v = { type = \"timestamp\", unit = \"h\" }",
            "line 3: unknown value `h`; expected one of `text`, `s`",
        ),
        ("v = 5", "line 3: invalid type: integer `5`; expected a type, or a table that describes a field"),
        (
            "v = { type = \"text\", path = 5 }",
            "line 3: invalid type: integer `5`; expected a string or a list of strings",
        ),
    ] {
        let error = refused(&format!("{RECORD}{line}\n"), &[], &[]);
        assert!(error.starts_with("configuration job.toml ") && error.contains(said), "{error}");
    }
}

#[test]
fn a_path_is_a_list_of_pointers() {
    rows(
        RECORD,
        &[
            (
                "v = { type = \"text\", path = \"/a~2\" }",
                "record.v: `/a~2` has a `~` without 0 or 1 behind it; write ~0 for ~ and ~1 for /",
            ),
            (
                "v = { type = \"text\", path = [] }",
                "record.v: the list is empty; give at least one JSON Pointer",
            ),
        ],
    );
    rows(
        "workers = 1\n[message]\n",
        &[
            (
                "root = \"/a~\"",
                "message.root: `/a~` has a `~` without 0 or 1 behind it; write ~0 for ~ and ~1 for /",
            ),
            ("root = []", "message.root: the list is empty; give at least one JSON Pointer"),
        ],
    );
}

#[test]
fn a_field_has_one_source_that_fits_its_type() {
    let sources = "expected kafka.key, kafka.timestamp, kafka.topic, kafka.partition, kafka.offset, \
                   kafka.header.NAME or root.key";
    rows(
        RECORD,
        &[
            (
                "v = { type = \"text\", from = \"kafka.value\" }",
                &format!("record.v: unknown source `kafka.value`; {sources}"),
            ),
            (
                "v = { type = \"text\", from = \"kafka.header.\" }",
                &format!("record.v: unknown source `kafka.header.`; {sources}"),
            ),
            (
                "v = { type = \"text\", from = \"kafka.topic\", path = \"/a\" }",
                "record.v: only `from = \"kafka.key\"` takes a `path`; leave out one of them",
            ),
            (
                "v = { type = \"number\", from = \"kafka.timestamp\" }",
                "record.v: kafka.timestamp is no number; change `type`",
            ),
            (
                "v = { type = \"boolean\", from = \"kafka.offset\" }",
                "record.v: kafka.offset is no boolean; change `type`",
            ),
            (
                "v = { type = \"integer\", from = \"kafka.topic\" }",
                "record.v: kafka.topic is no integer; change `type`",
            ),
            (
                "v = { type = \"timestamp\", from = \"kafka.timestamp\", unit = \"s\" }",
                "record.v: Kafka's timestamp is a time already; leave out `unit`",
            ),
            (
                "v = { type = \"text\", from = \"kafka.key\", in = \"message\" }",
                "record.v: has both `from` and `in`; leave out one of them",
            ),
            (
                "v = { type = \"text\", from = \"root.key\" }",
                "record.v: reads root.key, but message.root has no `*`; add one to the root, or leave out the field",
            ),
            (
                "v = { type = \"number\", sql = \"1\", from = \"kafka.key\" }",
                "record.v: has both `sql` and `from`; leave out one of them",
            ),
            (
                "v = { type = \"number\", sql = \"engine_speed\", path = \"/v\" }",
                "record.v: a field with `sql` reads no value of the message; leave out `path` and `in`",
            ),
            (
                "v = { type = \"timestamp\", sql = \"timestamp\", unit = \"s\" }",
                "record.v: a field with `sql` reads no value of the message; leave out `unit`",
            ),
            (
                "v = { type = \"number\", sql = \"engine_speed\", null = [\"-\"] }",
                "record.v: a field with `sql` reads no value of the message; leave out `null`",
            ),
        ],
    );
}

#[test]
fn a_time_is_written_in_one_way() {
    rows(
        RECORD,
        &[
            (
                "v = { type = \"timestamp\", unit = \"ms\", zone = \"Europe/Berlin\" }",
                "record.v: `unit` counts since 1970, so it has no `zone` or `format`; leave out one or the other",
            ),
            (
                "v = { type = \"timestamp\", zone = \"Europe/Berlim\" }",
                "record.v: unknown time zone `Europe/Berlim`; give an IANA name, such as Europe/Berlin",
            ),
        ],
    );
    let error = refused(&format!("{RECORD}v = {{ type = \"timestamp\", format = \"%d.%m\" }}"), &[], &[]);
    assert!(error.starts_with("configuration job.toml line 3: record.v: the format `%d.%m` "), "{error}");
}

#[test]
fn a_computed_field_fits_its_type_and_uses_fields_that_there_are() {
    rows(
        RECORD,
        &[
            (
                "v = { type = \"text\", sql = \"engine_speed * 2\" }",
                "record.v: its `sql` is a number, but its type is text; change one of them",
            ),
            (
                "v = { type = \"number\", sql = \"v + 1\" }",
                "record.v sql: it uses itself; name the field with its value differently",
            ),
            (
                "v = { type = \"number\", sql = \"w + 1\" }\nw = { type = \"number\", sql = \"2 * engine_speed\" }",
                "record.v sql: it uses `w`, which is computed below it; move `w` above it",
            ),
            (
                "v = { type = \"number\", sql = \"engine_speed AS x\" }",
                "record.v sql, column 14: unexpected `AS`; expected an operator",
            ),
        ],
    );
    let error = refused(&format!("{RECORD}v = {{ type = \"number\", sql = \"speed * 2\" }}"), &[], &[]);
    let expected = "configuration job.toml line 3: record.v sql, column 1: unknown field `speed`; expected one of timestamp, ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn event_time_is_required_and_a_required_field_is_not_forgiven() {
    rows(
        RECORD,
        &[
            (
                "timestamp = { optional = true }",
                "record.timestamp: event time is always required; leave out `optional`",
            ),
            (
                "engine_speed = { bad = \"null\" }",
                "record.engine_speed: is required, so a bad value cannot be NULL; leave out `bad`, or set optional = true",
            ),
            (
                "v = { type = \"text\", optional = false, bad = \"null\" }",
                "record.v: is required, so a bad value cannot be NULL; leave out `bad`, or set optional = true",
            ),
        ],
    );
}

#[test]
fn event_time_and_key_are_fields() {
    rows(
        "workers = 1\n[message]\n",
        &[
            ("time = \"at\"", "message.time: the record has no field `at`; expected one of timestamp"),
            ("time = \"truck_id\"", "message.time: `truck_id` is a text; name a field of type timestamp"),
            (
                "key = \"vin\"",
                "message.key: the record has no field `vin`; expected one of timestamp, distance_covered, engine_speed, \
                 fuel_consumed, truck_id",
            ),
        ],
    );
    // A key that is not written: the table that it belongs to.
    let error = refused("[message]\npreset = \"none\"\n[record]\nv = \"number\"", &[], &[]);
    let expected = "configuration job.toml line 1: message.time: the record has no field `timestamp`; declare one in [record]";
    assert_eq!(error, expected);
}

#[test]
fn keys_of_other_formats_are_refused() {
    let csv = "workers = 1\n[message]\nformat = \"csv\"\n";
    rows(
        "workers = 1\n[message]\n",
        &[
            ("columns = [\"a\"]", "message.columns: is for format = \"csv\"; leave it out"),
            ("separator = \";\"", "message.separator: is for format = \"csv\"; leave it out"),
            (
                "registry = \"http://r\"",
                "message.registry: is for format avro, protobuf or json; leave it out",
            ),
            ("registry_user = \"u\"", "message.registry_user: is for message.registry; leave it out"),
            ("registry_ca = \"ca.pem\"", "message.registry_ca: is for message.registry; leave it out"),
            (
                "registry_password_file = \"p\"",
                "message.registry_password_file: is for message.registry_user; leave it out",
            ),
            ("schema = \"s.avsc\"", "message.schema: is for format avro or protobuf; leave it out"),
            (
                "message_type = \"a.B\"",
                "message.message_type: is for format = \"protobuf\" and message.schema; leave it out",
            ),
        ],
    );
    rows(
        csv,
        &[
            ("columns = []", "message.columns: is empty; name the values of a line, or leave it out"),
            ("separator = \"ab\"", "message.separator: give one character other than a quote, such as \";\""),
            (
                "separator = \"\\\"\"",
                "message.separator: give one character other than a quote, such as \";\"",
            ),
            ("separator = \"é\"", "message.separator: give one character other than a quote, such as \";\""),
            ("root = \"/a\"", "message.root: a line of CSV has no root; leave it out"),
        ],
    );
    let parts = "a value of CSV has no parts, so a path is the name of a column; leave out the slash at its start, or \
                 write ~1 for a slash in a name";
    rows(
        &format!("{csv}[record]\n"),
        &[
            ("v = { type = \"number\", path = \"/speed/km/h\" }", &format!("record.v: {parts}")),
            ("v = { type = \"number\", path = \"\" }", &format!("record.v: {parts}")),
            (
                "v = { type = \"number\", in = \"message\" }",
                "record.v: a line of CSV has no root, so `in` has no meaning; leave it out",
            ),
        ],
    );
    // These are not of [message], so they have no line.
    for (line, said) in [
        ("key_separator = \"\\t\"", "configuration: key_separator: a line of CSV has no key; leave it out"),
        (
            "embedded = true\ninput = \"a.csv\"",
            "configuration: embedded: the embedded broker is not fed from CSV; leave out --embedded",
        ),
    ] {
        assert_eq!(refused(&format!("{line}\n{csv}").replace("workers = 1\n", ""), &[], &[]), said);
    }
}

#[test]
fn a_condition_is_a_condition() {
    let only = "workers = 1\n[message]\n";
    rows(
        only,
        &[(
            "only = \"engine_speed\"",
            "message.only, column 1: a number is not a condition; compare it with a value",
        )],
    );
    let error = refused(&format!("{only}only = \"kind = 'gps'\""), &[], &[]);
    let expected =
        "configuration job.toml line 3: message.only, column 1: unknown field `kind`; expected one of ";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn in_upsert_mode_a_message_is_one_reading() {
    rows(
        "mode = \"upsert\"\n[message]\n",
        &[(
            "root = \"/a/*\"",
            "message.root: has a `*`, but with mode = \"upsert\" a message is one reading; leave out the `*`",
        )],
    );
}

#[test]
fn the_line_is_that_of_the_key_at_fault_in_every_form_of_a_table() {
    let number = |text: &str| {
        let error = refused(text, &[], &[]);
        let line = error.strip_prefix("configuration job.toml line ").unwrap_or_else(|| panic!("{error}"));
        line.split(':').next().unwrap().parse::<usize>().unwrap()
    };
    assert_eq!(number("[record]\n\n# speed\nv = { type = \"number\",\n  unit = \"s\" }"), 4);
    assert_eq!(number("[record.v]\ntype = \"number\"\nunit = \"s\""), 1);
    assert_eq!(number("[record]\na = \"text\"\nv.type = \"number\"\nv.unit = \"s\""), 3);
    assert_eq!(number("record = { a = \"text\", v = { type = \"number\", unit = \"s\" } }"), 1);
    assert_eq!(number("[record.v]\ntype = \"number\"\n\nsql = \"x\""), 4);
    assert_eq!(number("[record.v]\ntype = \"number\"\n\nsql = \"\"\"\nengine_speed\n+ x\"\"\""), 4);
    // Not that of another field whose name begins alike.
    assert_eq!(number("[record]\nv = \"text\"\nv_2 = { type = \"number\", unit = \"s\" }"), 3);
    assert_eq!(number("[record]\nv = \"text\"\n\"v 2\" = \"text\""), 3);
}

#[test]
fn a_variable_or_flag_at_fault_is_named() {
    let bad = "{ type = \"number\", unit = \"s\" }";
    let said = "record.v: `unit` is for times, but it is a number; leave it out or set type = \"timestamp\"";
    let good = "[record]\nv = \"number\"";
    let error = refused(good, &[("TRUCKFLOW_RECORD__V", bad)], &[]);
    assert_eq!(error, format!("configuration TRUCKFLOW_RECORD__V: {said}"));
    let error = refused(good, &[("TRUCKFLOW_RECORD__V", "text")], &[("record.v", bad)]);
    assert_eq!(error, format!("configuration --set record.v: {said}"));
    let error = refused("[record]\nv = { type = \"number\" }", &[], &[("record.v.unit", "s")]);
    assert_eq!(error, format!("configuration job.toml line 2 and --set record.v.unit: {said}"));
    let error = refused("", &[], &[("message.time", "at")]);
    let said = "message.time: the record has no field `at`; expected one of timestamp";
    assert_eq!(error, format!("configuration --set message.time: {said}"));
}
