//! Every key with its meaning and what it takes. `truckflow config init` and `docs/configuration.md`
//! are made from [`KEYS`]; defaults are those of [`Config`], and flags those of `run`.

use std::fmt::Write;

use serde_json::Value;

use super::Config;

/// A key of the configuration.
pub struct Key {
    /// The dotted name; the keys of a definition have `[]` behind the list's name.
    pub name: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// What it may be, and in which unit.
    pub takes: &'static str,
    /// What it may look like, as TOML, where there is no default to show.
    pub example: &'static str,
}

const fn key(name: &'static str, takes: &'static str, example: &'static str, meaning: &'static str) -> Key {
    Key { name, meaning, takes, example }
}

/// All keys, those of a table together.
#[rustfmt::skip] // One key, two lines: it is read as a table.
pub const KEYS: &[Key] = &[
    key("job", "1 to 64 letters, digits, `-`, `_` or `.`", "",
        "The job's name: its state and offsets are kept under it."),
    key("workers", "1 to 256, at most one per core", "",
        "Worker threads of each process."),
    key("processes", "1 to 64", "",
        "How many processes work on the job together. More than one need `hosts`."),
    key("process", "0 to `processes` - 1", "",
        "Which of them this is. Process 0 holds the sinks and commits."),
    key("hosts", "a path", r#""hosts.txt""#,
        "A file that says where the processes listen to each other: its first line, `host:port`, is process 0's."),
    key("cluster_secret_file", "a path", r#""/run/secrets/cluster""#,
        "A file that holds the secret which whoever joins the cluster has to know. Needed on other addresses than loopback. SIGHUP reads it again."),
    key("embedded", "true or false; true needs `input`", "",
        "Need no server: run with an in-process broker that is fed from `input`."),
    key("input", "a path, or `-` for standard input", r#""readings.jsonl""#,
        "A file to read instead of Kafka, as text, gzip or zstd."),
    key("until_end", "true or false", "",
        "Stop, after the commit, at the end that was there at the start."),
    key("wait", "true or false", "",
        "Keep trying when broker, topic or database are not there at the start."),
    key("out", "a path", "",
        "The folder of the CSV files and, without `database`, of truckflow.db."),
    key("database", "`mysql://user@host:port/database` or `sqlite:PATH`; without it `sqlite:OUT/truckflow.db`", r#""mysql://user@host:3306/KAFKA_DB""#,
        "Where the tables and the job's state are."),
    key("database_password_file", "a path", r#""/run/secrets/password""#,
        "A file that holds the database's password, instead of in the URL. SIGHUP reads it again."),
    key("mode", "`append` or `upsert`", "",
        "What a message does to the readings before it: `append`: each is a reading of its own; `upsert`: its key names the reading that it replaces or takes back."),
    key("key_separator", "a text that lines do not end with; without it lines have no key", r#""\t""#,
        "What stands between key and value in a line of a file."),
    key("views", "names of built-in views, and definitions; empty: all built-in ones", "",
        "The views to keep up to date. A flag or variable selects by name among all."),
    key("correlations", "definitions", "",
        "The job's own correlations."),
    key("listen", "`address:port`, or `off`", "",
        "Where the page, /metrics, /healthz and /readyz are."),
    key("listen_token_file", "a path", r#""/run/secrets/token""#,
        "A file that holds the token which whoever asks there has to send, but for /healthz and /readyz. SIGHUP reads it again."),
    key("commit_interval", "a time from 1ms to 1h, such as `250ms`", "",
        "How long an epoch lasts: rows appear, and offsets are committed, at its end."),
    key("on_data_loss", "`stop` or `earliest`", "",
        "What to do when unread offsets are gone from the broker, or the file that was read is gone: stop with an error, or go on from the earliest that is there."),
    key("record", "names with `number` or `text`", r#"oil_pressure = "number""#,
        "Fields that messages have beyond the five; absent or null: NULL."),
    key("kafka.brokers", "`host:port`, separated by commas", "",
        "Kafka brokers."),
    key("kafka.topic", "a topic", "",
        "The topic of the trucks' readings."),
    key("kafka.properties", "names and values of librdkafka", r#"security.protocol = "ssl""#,
        "Any property of librdkafka."),
    key("kafka.property_files", "names of librdkafka, and paths", r#"sasl.password = "/run/secrets/kafka""#,
        "The same from files: secrets. A property is given once, here or in `kafka.properties`. SIGHUP reads them again."),
    key("orientation.topic", "a topic; without it none is read", r#""Mobile-Device-Data""#,
        "The topic of the phone's orientation readings."),
    key("orientation.input", "a path, or `-` for standard input; without it none is read", r#""Orientation.csv""#,
        "Sensor Logger's Orientation.csv, or a file of a JSON object or Python dict a line. It may be read beside the topic."),
    key("csv.views", "names of views; `[]`: none; without it all of the job", r#"["parameter_map"]"#,
        "The views that go to CSV files."),
    key("csv.max_records", "records, at least 1; without it one file a view", "1000000",
        "The most records of a CSV file."),
    key("tables.views", "names of views; `[]`: none; without it all of the job", r#"["parameter_map"]"#,
        "The views that go to tables."),
    key("dead_letters.topic", "a topic; without it they go to their table and file only", r#""Truck-Dead-Letters""#,
        "The topic that dead letters are sent to as well."),
    key("settings.above_speed", "km/h, a decimal of at most 9 places, below 9.2e9", "",
        "The view `above_speed` keeps engine speeds strictly above this."),
    key("settings.speed_factor", "a decimal of at most 9 places", "",
        "The view `transformed` multiplies the engine's speed by this."),
    key("settings.correlation_tables", "`history` or `latest`", "",
        "What the correlations' tables hold: a row for each truck and epoch that changed it, or one row a truck, replaced in place."),
    key("settings.window", "a time from 1s to ten years", "",
        "How long a window is."),
    key("settings.window_idle", "a time from 0s to ten years", "",
        "How far a truck may be behind the topic before it counts as idle."),
    key("settings.window_retention", "a time from 0s to ten years", "",
        "How late a reading may be for its window, behind its truck's latest event."),
    key("settings.join_retention", "a time from 0s to ten years", "",
        "How late a reading may be for `filtered_join`, behind its truck's latest event."),
    key("settings.join_limit", "readings, 1 to 1000000", "",
        "How many readings of a truck may share a timestamp in `filtered_join`."),
    key("limits.epoch_records", "records, at least 1", "",
        "An epoch ends at about this many records."),
    key("limits.epoch_bytes", "bytes, at least 1", "",
        "An epoch ends at about this many bytes of input."),
    key("limits.epochs_in_flight", "epochs, at least 2: one open, one that commits", "",
        "The most epochs that are open or wait for their commit."),
    key("limits.bytes_in_flight", "bytes, at least 1", "",
        "The most bytes of rows, changes of state, forwarded dead letters and rows for the page that wait for their commit, in all processes together. A source waits at this; an epoch that alone has more is committed all the same."),
    key("limits.message_bytes", "bytes, at least 1", "",
        "The longest message; longer ones are dead letters."),
    key("limits.max_ahead", "a time from 0s to ten years, or `off`", "",
        "How far the event time of a reading may be ahead of both Kafka's timestamp and the wall clock; those further ahead are dead letters `in_the_future`."),
    key("views[].name", "small letters, digits and `_`, at most 48, a letter first", r#""hot""#,
        "The view's name in configuration, metrics and of the CSV file."),
    key("views[].where", "a condition in SQL; without it all are in it", r#""engine_speed > 82""#,
        "What readings have to meet."),
    key("views[].columns", "fields, or `expression AS name`", r#"["timestamp", "distance_covered / engine_speed AS ratio"]"#,
        "The view's columns."),
    key("views[].table", "a table's name; without it `TRUCK_` and the name in capitals", r#""TRUCK_HOT""#,
        "The view's table."),
    key("views[].backfill", "true or false; without it false", "true",
        "Begin at the topic's beginning when the view comes to a job that runs already."),
    key("correlations[].name", "as `views[].name`", r#""pressure_speed""#,
        "The correlation's name in configuration, metrics and of the CSV file."),
    key("correlations[].x", "a field that is a number, or `timestamp`", r#""oil_pressure""#,
        "The field of the first axis."),
    key("correlations[].y", "a field that is a number", r#""engine_speed""#,
        "The field of the second axis."),
    key("correlations[].table", "as `views[].table`", r#""TRUCK_PRESSURE_SPEED""#,
        "The correlation's table."),
    key("correlations[].backfill", "as `views[].backfill`", "true",
        "As `views[].backfill`."),
];

impl Key {
    /// The table and the key in it.
    fn parts(&self) -> (&'static str, &'static str) {
        self.name.rsplit_once('.').unwrap_or(("", self.name))
    }

    /// The default as TOML, if there is one. That of a table of free names is that it is empty.
    fn default(&self, defaults: &Value) -> Option<String> {
        let value = defaults.pointer(&format!("/{}", self.name.replace('.', "/")))?;
        // JSON's texts, numbers, truth values and lists of nothing are TOML's.
        (!value.is_null() && !value.is_object()).then(|| value.to_string())
    }

    fn is_table(&self, defaults: &Value) -> bool {
        defaults.pointer(&format!("/{}", self.name.replace('.', "/"))).is_some_and(Value::is_object)
    }
}

fn defaults() -> Value {
    serde_json::to_value(Config::default()).expect("the default configuration has texts as its keys")
}

/// A configuration file with every key, commented out. A line that begins with `#` and no space behind
/// it is a key with its default.
pub fn file() -> String {
    let defaults = defaults();
    let mut text = "\
# A job of truckflow. Variables TRUCKFLOW_… go over this file, and flags over both: `kafka.brokers` is the
# variable TRUCKFLOW_KAFKA__BROKERS (or TRUCKFLOW_BROKERS, as its flag is --brokers) and `--set kafka.brokers=…`.
# Lines `#key = value` are defaults: take away the `#`, and give another value.
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
    for list in ["views", "correlations"] {
        _ = write!(text, "\n# An entry of `{list}`; any number of them:\n# [[{list}]]\n");
        let prefix = format!("{list}[].");
        for (key, name) in KEYS.iter().filter_map(|key| Some((key, key.name.strip_prefix(&prefix)?))) {
            _ = writeln!(text, "# {name} = {}  # {} Takes: {}.", key.example, key.meaning, key.takes);
        }
    }
    text
}

/// `docs/configuration.md`. `flag_of` returns the flag of `run` that sets a key.
pub fn page(flag_of: impl Fn(&str) -> Option<String>) -> String {
    let defaults = defaults();
    let mut page = "\
# The configuration

Made from the code (`src/config/reference.rs`). `truckflow config init job.toml` writes a file with all of it.

A key's value is the last of: its default, the file of `--config`, the variable `TRUCKFLOW_` and the key in capitals with `__` for a dot
(`TRUCKFLOW_KAFKA__BROKERS`), `--set KEY=VALUE`, its flag. An unknown key is refused. Keys with `[]` are of the entries of a list:
`[[views]]` and `[[correlations]]`. `TRUCKFLOW_BROKERS` and `TRUCKFLOW_TOPIC` are the variables of `--brokers` and `--topic`; `simulate`
takes both, and `replay` the first.

| key | meaning | takes | default | flag |
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

    use super::*;
    use crate::config::Job;
    use crate::config::defined::{OwnCorrelation, OwnView};

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
        let (name, x, y) = ("n".to_owned(), "x".to_owned(), "y".to_owned());
        let view = OwnView {
            name: name.clone(),
            filter: text(),
            columns: Vec::new(),
            table: text(),
            backfill: true,
        };
        let correlation = OwnCorrelation { name, x, y, table: text(), backfill: true };
        let mut known = BTreeSet::new();
        names("", &defaults(), &mut known);
        names("views[].", &serde_json::to_value(view).unwrap(), &mut known);
        names("correlations[].", &serde_json::to_value(correlation).unwrap(), &mut known);
        let listed: BTreeSet<_> = KEYS.iter().map(|key| key.name.to_owned()).collect();
        assert_eq!(listed, known);
        assert_eq!(listed.len(), KEYS.len());
    }

    fn read(text: &str) -> Value {
        let config = Job::read(text, "init", std::iter::empty(), Vec::new());
        serde_json::to_value(config.unwrap_or_else(|error| panic!("{error}\n{text}")).config()).unwrap()
    }

    #[test]
    fn the_file_says_the_defaults_with_and_without_its_comment_signs() {
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
                // Of the right type, though alone some mean nothing.
                toml::from_str::<Config>(&line).unwrap_or_else(|error| panic!("{line}: {error}"));
            }
        }
    }
}
