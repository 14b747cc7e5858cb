//! Every key with its meaning and its values. `truckflow config init` and `docs/configuration.md` are generated
//! from [`KEYS`]; defaults come from [`Config`], and flags from `run`.

use std::fmt::Write;

use serde_json::Value;

use super::Config;

/// A key of the configuration.
pub struct Key {
    /// The dotted name; keys of a definition have `[]` after the name of the list.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// Its valid values and their unit.
    pub takes: &'static str,
    /// An example as TOML, if there is no default to show.
    pub example: &'static str,
}

const fn key(name: &'static str, takes: &'static str, example: &'static str, meaning: &'static str) -> Key {
    Key { name, meaning, takes, example }
}

/// All keys, grouped by table.
#[rustfmt::skip] // One key, two lines: it is read as a table.
pub const KEYS: &[Key] = &[
    key("job", "1 to 64 letters, digits, `-`, `_` or `.`", "",
        "The job's name. State and offsets are stored under it."),
    key("workers", "1 to 256, at most one per core", "",
        "Worker threads per process."),
    key("processes", "1 to 64", "",
        "Number of processes that run the job together. More than one requires `hosts`."),
    key("process", "0 to `processes` - 1", "",
        "Index of this process. Process 0 owns the sinks and commits."),
    key("hosts", "a path", r#""hosts.txt""#,
        "A file with the addresses on which the processes listen for each other, one `host:port` per line. The first line is that of process 0."),
    key("cluster_secret_file", "a path", r#""/run/secrets/cluster""#,
        "A file with the secret that every process of the cluster must know. Required for addresses other than loopback. Read again on SIGHUP."),
    key("embedded", "true or false; true requires `input`", "",
        "Run without a Kafka server, with an in-process broker that is fed from `input`."),
    key("input", "a path, or `-` for standard input", r#""readings.jsonl""#,
        "A file to read instead of Kafka: text, gzip or zstd."),
    key("until_end", "true or false", "",
        "Stop after the commit of everything that was there at the start."),
    key("wait", "true or false", "",
        "At the start, keep trying while the broker, topic or database is missing."),
    key("out", "a path", "",
        "The folder of the CSV files and, without `database`, of `truckflow.db`."),
    key("database", "`mysql://user@host:port/database` or `sqlite:PATH`; `sqlite:OUT/truckflow.db` if not set", r#""mysql://user@host:3306/KAFKA_DB""#,
        "Where the tables and the job's state are stored."),
    key("database_password_file", "a path", r#""/run/secrets/password""#,
        "A file with the database password, which then is not in the URL. Read again on SIGHUP."),
    key("mode", "`append` or `upsert`", "",
        "What a message does to earlier readings. `append`: nothing, each message is a reading of its own. `upsert`: it replaces or deletes the reading with the same key."),
    key("key_separator", "a string without line breaks; if not set, lines have no key", r#""\t""#,
        "Separates key and value in a line of a file."),
    key("views", "a path", r#""views.sql""#,
        "A file with the job's own views, in SQL."),
    key("builtin_views", "true, false or a list of names; without `views` true if not set, else false", r#"["parameter_map"]"#,
        "The built-in views to maintain."),
    key("replace", "a list of names of views", "",
        "Views that are rebuilt from where the job began if their definitions have changed, with those that read them, as `CREATE OR REPLACE` does for views of the job's own. Without it, a start refuses the change."),
    key("listen", "`address:port`, or `off`", "",
        "Address of the live page, `/metrics`, `/healthz` and `/readyz`."),
    key("listen_token_file", "a path", r#""/run/secrets/token""#,
        "A file with the token that clients must send, except to `/healthz` and `/readyz`. Read again on SIGHUP."),
    key("commit_interval", "a duration from 1ms to 1h, such as `250ms`", "",
        "Length of an epoch. At its end, rows become visible and offsets are committed."),
    key("on_data_loss", "`stop` or `earliest`", "",
        "What to do if unread offsets are no longer on the broker, or the file that was read is gone: stop with an error, or continue from the earliest data available."),
    key("message.format", "`auto` (JSON, or Python's `str` of a dict), `json`, `csv`, `avro` or `protobuf`", "",
        "How the bytes of a message become values."),
    key("message.root", "a JSON Pointer, or a list of them; the whole message if not set", r#""/readings""#,
        "Where a message has its reading. An array there has many. A part `*` goes through all elements. Each further pointer of a list leads into the text (JSON, or base64 of it) that the one before found."),
    key("message.preset", "`trucks`, `orientation` or `none`", "",
        "The fields that every record has: those of trucks, those of a phone's orientation, or only those of `[record]`."),
    key("message.time", "the name of a timestamp; `timestamp` if not set", r#""recorded_at""#,
        "The field that is event time."),
    key("message.key", "the name of a field; `truck_id`, if the record has it, if not set", r#""vehicle""#,
        "The field that names the entity, such as a truck. Where it is NULL, the key of the message does."),
    key("message.only", "an SQL condition; all readings if not set", r#""kind = 'position'""#,
        "Which readings count. Others are skipped, and counted in `truckflow_skipped_readings_total`."),
    key("message.null", "a list of texts", "",
        "Texts that are NULL in every field."),
    key("message.columns", "a list of names; the first line names them if not set", r#"["ts", "speed"]"#,
        "CSV: the names of the values of a line."),
    key("message.separator", "one character; `,` if not set", r#"";""#,
        "CSV: what separates the values of a line."),
    key("message.registry", "URLs, separated by commas", r#""http://127.0.0.1:8081""#,
        "The Confluent schema registry, for messages that begin with the id of their schema."),
    key("message.registry_user", "a name", r#""fleet""#,
        "The user of the schema registry."),
    key("message.registry_password_file", "a path", r#""/run/secrets/registry""#,
        "A file with the password of that user."),
    key("message.registry_ca", "a path", r#""ca.pem""#,
        "A file with the certificate authority of the schema registry, instead of the system's."),
    key("message.schema", "a path", r#""fleet.avsc""#,
        "Without a registry: a file with the Avro schema, or with a Protobuf descriptor set."),
    key("message.message_type", "a full name", r#""fleet.Position""#,
        "The message type in the Protobuf descriptor set."),
    key("message.dedupe", "a table with `fields` and `within`", r#"{ fields = ["truck_id", "timestamp"], within = "10m" }"#,
        "Drop a reading if one with equal `fields` was kept before it in the same partition, and their event times differ by at most `within`. A job keeps the value with which it began."),
    key("record", "names of fields, each with a type or a table of the keys `record[]`", r#"oil_pressure = { path = "/engine/oil", optional = true, type = "number" }"#,
        "The fields of a reading: those beyond the preset's, and where any field is in messages."),
    key("kafka.brokers", "`host:port`, separated by commas", "",
        "Kafka bootstrap servers."),
    key("kafka.topic", "a topic, a regular expression that begins with `^`, or a list of them; commas separate several, too", "",
        "The topics to read. A regular expression stands for all topics whose names it matches, also those that are created while the job runs; it never matches Kafka's internal topics and the topic of dead letters."),
    key("kafka.start", "`earliest`, `latest`, a time with its offset such as `2024-05-01T00:00:00Z`, or a span before now such as `-7d`", "",
        "Where a new job begins to read its topics; times are compared with Kafka's timestamps. Ignored once the job has committed. Topics and partitions that appear later are read from their beginning."),
    key("kafka.properties", "names and values of librdkafka properties", r#"security.protocol = "ssl""#,
        "Any librdkafka property."),
    key("kafka.property_files", "names of librdkafka properties, and paths", r#"sasl.password = "/run/secrets/kafka""#,
        "Properties whose values are read from files, such as secrets. Set a property either here or in `kafka.properties`. Read again on SIGHUP."),
    key("csv.views", "names of views; `[]` for none; all views of the job if not set", r#"["parameter_map"]"#,
        "The views written to CSV files."),
    key("csv.max_records", "at least 1; one file per view if not set", "1000000",
        "Maximum number of records in a CSV file."),
    key("tables.views", "names of views; `[]` for none; all views of the job if not set", r#"["parameter_map"]"#,
        "The views written to tables."),
    key("tables.connections", "1 to 8, and less than `limits.epochs_in_flight`; 2 if not set, or 1 if only two epochs may be in flight", "2",
        "How many connections to MySQL or MariaDB commit. While one epoch is being committed on one of them, rows of the next epoch are loaded on another. Epochs are committed in their order. With 1, ids of all tables are in the order of epochs; otherwise only those of histories and dead letters. SQLite has one connection."),
    key("dead_letters.topic", "a topic; none if not set", r#""Truck-Dead-Letters""#,
        "A topic to which dead letters are sent, in addition to their table and file."),
    key("limits.epoch_records", "at least 1; 200,000, or up to 16 times as many, if not set", "200000",
        "An epoch ends after about this many records. While a job of filters and of aggregates without windows catches up, its epochs begin with 200,000 records and 32 MiB and grow up to the limits, as long as a record then takes less to commit: there may be many keys."),
    key("limits.epoch_bytes", "at least 1; 32 MiB, or up to 16 times as many, if not set", "33554432",
        "An epoch ends after about this many bytes of input."),
    key("limits.epochs_in_flight", "at least 2: one open and one being committed", "",
        "Maximum number of epochs that are open or waiting for their commit."),
    key("limits.bytes_in_flight", "at least 1", "",
        "Maximum number of bytes waiting for their commit, in all processes together: rows, state changes, forwarded dead letters and rows for the live page. Sources wait at this limit, but a single epoch that exceeds it is still committed."),
    key("limits.message_bytes", "bytes, at least 1", "",
        "Maximum size of a message. Larger messages become dead letters."),
    key("limits.max_ahead", "a duration from 0s to ten years, or `off`", "",
        "How far the event time of a reading may be ahead of both Kafka's timestamp and the wall clock. Readings further ahead become dead letters `in_the_future`."),
    key("parameters.above_speed", "km/h, a decimal", "",
        "The view `above_speed` keeps engine speeds strictly above this. You can add other parameters: views read all of them as `$name`, in expressions, in INTERVAL and in WITH."),
    key("parameters.correlation_tables", "`history` or `latest`", "",
        "Contents of the correlation tables. `history`: a row for each truck and each epoch that changed it. `latest`: one row per truck, updated in place."),
    key("parameters.join_limit", "a number above 0", "",
        "How many readings of a truck may share a timestamp in `filtered_join`."),
    key("parameters.join_retention", "a duration", "",
        "How far a reading may be behind its truck's latest event to be included in `filtered_join`."),
    key("parameters.speed_factor", "a decimal", "",
        "The view `transformed` multiplies the engine speed by this."),
    key("parameters.window", "a duration", "",
        "Length of a window."),
    key("parameters.window_idle", "a duration", "",
        "How far a truck may be behind the topic before it counts as idle."),
    key("parameters.window_retention", "a duration", "",
        "How far a reading may be behind its truck's latest event to be included in its window."),
    key("record[].type", "`number`, `integer`, `boolean`, `text` or `timestamp`; of a field of the preset, the preset's if not set", r#""number""#,
        "The type of the field."),
    key("record[].path", "a JSON Pointer, a key without a leading slash, or a list of them; the name of the field if not set", r#""/can/rpm""#,
        "Where the value is, from the root. Each further pointer of a list leads into the text (JSON, or base64 of it) that the one before found."),
    key("record[].in", "`message`; the root if not set", r#""message""#,
        "Where the path begins."),
    key("record[].from", "`kafka.key`, `kafka.timestamp`, `kafka.topic`, `kafka.partition`, `kafka.offset`, `kafka.header.NAME` or `root.key`", r#""kafka.header.site""#,
        "Something else than a value of the message. `kafka.key` takes a `path` into a JSON key; `root.key` is the key that a `*` in the root met."),
    key("record[].sql", "an SQL expression over other fields", r#""CASE WHEN unit = 'mph' THEN speed * 1.609344 ELSE speed END""#,
        "Computes the value from other fields of the reading."),
    key("record[].optional", "true or false; true for a declared field, false for event time and the preset's (but `truck_id`) if not set", "true",
        "Whether a reading without the field is accepted."),
    key("record[].bad", "`null` or `reject`; `reject` if not set", r#""null""#,
        "What becomes of a bad value in an optional field: NULL, counted in `truckflow_field_errors_total`, or a dead letter."),
    key("record[].null", "a list of texts; `message.null` if not set", r#"["", "-", "n/a"]"#,
        "Texts that are NULL."),
    key("record[].unit", "`text`, `s`, `ms`, `us` or `ns`; `text` if not set", r#""ms""#,
        "Timestamps: the unit of a number since 1970, which may be written as a text."),
    key("record[].zone", "an IANA time zone; UTC if not set", r#""Europe/Berlin""#,
        "Timestamps: the zone of a text without an offset. A time that the zone skips is `bad_timestamp`; of one that it has twice it is the earlier."),
    key("record[].format", "a format of strptime; ISO 8601 if not set", r#""%d.%m.%Y %H:%M:%S""#,
        "Timestamps: how a text is written. `%f` is a fraction of any number of digits."),
];

impl Key {
    /// The table and the key in it.
    fn parts(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').unwrap_or(("", self.name))
    }

    /// The default as TOML, if there is one. A table of free names is empty by default.
    fn default(&self, defaults: &Value) -> Option<String> {
        let value = defaults.pointer(&format!("/{}", self.name.replace('.', "/")))?;
        // Strings, numbers, booleans and empty lists are written the same in JSON and TOML.
        (!value.is_null() && !value.is_object()).then(|| value.to_string())
    }

    fn is_table(&self, defaults: &Value) -> bool {
        defaults.pointer(&format!("/{}", self.name.replace('.', "/"))).is_some_and(Value::is_object)
    }
}

fn defaults() -> Value {
    serde_json::to_value(Config::default()).expect("the keys of the default configuration are strings")
}

/// A configuration file with every key, commented out. A line that starts with `#` and no space is a key with its
/// default.
pub fn file() -> String {
    let defaults = defaults();
    let mut text = "\
# Configuration of a truckflow job. Environment variables override this file, and flags override both: `kafka.brokers`
# is the variable TRUCKFLOW_KAFKA__BROKERS (or TRUCKFLOW_BROKERS, for its flag --brokers) and `--set kafka.brokers=…`.
# Lines of the form `#key = value` show defaults. To change one, remove the `#` and edit the value.
"
    .to_owned();
    let mut table = "";
    for key in KEYS.iter().filter(|key| !key.name.contains("[]")) {
        let (of, name) = key.parts();
        let is_table = key.is_table(&defaults);
        if of != table && !is_table {
            table = of;
            _ = write!(text, "\n[{table}]\n");
        }
        _ = write!(text, "\n# {}\n# Takes: {}.\n", key.meaning, key.takes);
        match key.default(&defaults) {
            _ if is_table => {
                table = key.name;
                _ = write!(text, "[{}]\n# Example: {}\n", key.name, key.example);
            }
            Some(default) => {
                _ = writeln!(text, "#{name} = {default}");
            }
            None => {
                _ = writeln!(text, "# No default. Example: {name} = {}", key.example);
            }
        }
    }
    text.push_str("\n# A field of `record`, of which there may be several:\n# [record.rpm]\n");
    for (key, name) in KEYS.iter().filter_map(|key| Some((key, key.name.strip_prefix("record[].")?))) {
        _ = writeln!(text, "# {name} = {}  # {} Takes: {}.", key.example, key.meaning, key.takes);
    }
    text
}

/// `docs/configuration.md`. `flag_of` returns the flag of `run` that sets a key.
pub fn page(flag_of: impl Fn(&str) -> Option<String>) -> String {
    let defaults = defaults();
    let mut page = "\
# Configuration

Generated from the code (`src/config/reference.rs`). `truckflow config init job.toml` writes a file with every key.

The last of these that sets a key wins: its default, the file given with `--config`, its environment variable, `--set KEY=VALUE`, its own flag.
The variable is `TRUCKFLOW_` and the key in capitals, with `__` for each dot (`TRUCKFLOW_KAFKA__BROKERS`). `TRUCKFLOW_BROKERS` and
`TRUCKFLOW_TOPIC` are the variables of `--brokers` and `--topic`; `simulate` also uses both, and `replay` the first. An unknown key is
refused. Keys with `[]` belong to a field of `[record]`.

| key | meaning | value | default | flag |
|---|---|---|---|---|
"
    .to_owned();
    for key in KEYS {
        let code = |text: Option<String>| text.map_or_else(String::new, |text| format!("`{text}`"));
        let (default, flag) = (code(key.default(&defaults)), code(flag_of(key.name)));
        let row = format!("| `{}` | {} | {} | {default} | {flag} |", key.name, key.meaning, key.takes);
        _ = writeln!(page, "{row}");
    }
    page
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use dataflows::schema::FieldType;

    use super::*;
    use crate::config::Job;
    use crate::config::message::{Bad, FieldWritten, Texts, TimeUnit, Within};

    fn names(prefix: &str, value: &Value, to: &mut BTreeSet<String>) {
        for (name, value) in value.as_object().unwrap() {
            let name = format!("{prefix}{name}");
            match value.as_object() {
                Some(table) if !table.is_empty() => names(&format!("{name}."), value, to),
                _ => assert!(to.insert(name)),
            }
        }
    }

    #[test]
    fn every_key_is_in_the_reference_once() {
        let text = || Some("x".to_owned());
        let mut known = BTreeSet::new();
        names("", &defaults(), &mut known);
        let field = FieldWritten {
            field_type: Some(FieldType::Text),
            path: Some(Texts(vec!["x".into()])),
            within: Some(Within::Message),
            from: text(),
            sql: text(),
            optional: Some(true),
            bad: Some(Bad::Null),
            null: Some(Vec::new()),
            unit: Some(TimeUnit::Ms),
            zone: text(),
            format: text(),
        };
        names("record[].", &serde_json::to_value(field).unwrap(), &mut known);
        let listed: BTreeSet<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
        assert_eq!(listed, known);
        assert_eq!(listed.len(), KEYS.len());
    }

    fn read(text: &str) -> Value {
        let config = Job::read(text, "init", std::iter::empty(), Vec::new());
        serde_json::to_value(config.unwrap_or_else(|error| panic!("{error}\n{text}")).config()).unwrap()
    }

    #[test]
    fn the_file_has_the_defaults_with_and_without_its_comment_signs() {
        let text = file();
        assert_eq!(read(&text), defaults());
        let is_key = |line: &str| line.starts_with('#') && !line.starts_with("# ");
        let lines = text.lines().map(|line| if is_key(line) { &line[1..] } else { line });
        assert_eq!(read(&lines.collect::<Vec<_>>().join("\n")), defaults());
        let defaulted = KEYS.iter().filter(|key| key.default(&defaults()).is_some()).count();
        assert_eq!(text.lines().filter(|line| is_key(line)).count(), defaulted);
    }

    #[test]
    fn examples_are_toml_and_keys_without_a_default_have_one() {
        for key in KEYS {
            if key.default(&defaults()).is_some() {
                assert_eq!(key.example, "", "{}", key.name);
                continue;
            }
            let name = key.parts().1;
            let line = if key.is_table(&defaults()) {
                format!("[{}]\n{}", key.name, key.example)
            } else if key.name.contains("[]") {
                format!("{name} = {}", key.example)
            } else {
                format!("{} = {}", key.name, key.example)
            };
            if key.name.contains("[]") {
                line.parse::<toml::Table>().unwrap();
            } else {
                // The type is right, even if some are invalid without other keys.
                toml::from_str::<Config>(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }
}
