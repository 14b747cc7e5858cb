//! The cases under `fixtures/messages/`: from a file into SQLite and from real Kafka into MariaDB, tables and files have
//! the expected rows, and `verify` agrees. A job over nested messages survives kills.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dataflows::rows::{ColumnSpec, Type};
use truckflow::config::Job as Config;

use crate::registry::{Content, Server};
use crate::support::job::Job;
use crate::support::kafka::{Sent, kafka, unique_topic};
use crate::support::mariadb::{Database, TextRow, mariadb};
use crate::support::output::assert_same;
use crate::support::process::repository;
use crate::support::sqlite;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);

/// The cases of files, with a test from a file and one from Kafka, and those that only Kafka has.
macro_rules! cases {
    (files: $($file:ident)*; messages: $($message:ident)*) => {
        mod from_a_file_into_sqlite {
            $(#[test] fn $file() { super::from_a_file_into_sqlite(stringify!($file)) })*
        }
        mod from_kafka_into_mariadb {
            $(#[test] fn $file() { super::from_kafka_into_mariadb(stringify!($file)) })*
            $(#[test] fn $message() { super::from_kafka_into_mariadb(stringify!($message)) })*
        }
        const CASES: &[&str] = &[$(stringify!($file),)* $(stringify!($message),)*];
    };
}

cases! {
    files:
        bad_values big_array canal cloudevents epoch_units flespi german_export iso_8601 jdbc_envelope metric_per_event
        obd_dongle python_dict samsara scada sensor_logger strptime telegraf torque traccar tsv;
    messages:
        avro csv_lines debezium json_schema kafka_metadata protobuf
}

#[test]
fn every_case_is_tested() {
    let folders = std::fs::read_dir(repository().join("fixtures/messages")).unwrap();
    let folders = folders.map(|entry| entry.unwrap()).filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    let mut cases = CASES.to_vec();
    cases.sort_unstable();
    assert_eq!(names, cases);
}

type Fields = Vec<String>;

/// A folder under `fixtures/messages/`.
struct Case {
    folder: PathBuf,
    /// The columns of the view.
    columns: Vec<ColumnSpec>,
    is_upsert: bool,
    header: Fields,
    rows: Vec<Fields>,
    /// How many dead letters there are by reason and field.
    letters: BTreeMap<(String, String), usize>,
    input: Input,
}

enum Input {
    /// The bytes of a file with this ending.
    File(&'static str, Vec<u8>),
    Messages(Vec<Sent>),
}

impl Case {
    fn new(name: &str) -> Self {
        let folder = repository().join("fixtures/messages").join(name);
        let config = Config::load(Some(&folder.join("job.toml")), std::iter::empty(), Vec::new());
        let config = config.unwrap_or_else(|error| panic!("{error}"));
        let view = config.active_views.iter().find(|view| view.name == "got").expect("a view");
        let (columns, is_upsert) = (view.columns.to_vec(), config.mode == dataflows::views::Mode::Upsert);
        if name == "big_array" {
            let (input, rows) = big_array();
            let header = columns.iter().map(|column| column.name.to_string()).collect();
            let letter = |reason: &str, field: &str, count| ((reason.into(), field.into()), count);
            let letters = [
                letter("wrong_type", "speed_kmh", 3),
                letter("missing_field", "at_time", 3),
                letter("too_large", "", 1),
            ];
            let input = Input::File("jsonl", input.into_bytes());
            return Self { folder, columns, is_upsert, header, rows, letters: letters.into(), input };
        }
        let (header, rows) = csv_file(&folder.join("expected.csv"));
        let letters = csv_file(&folder.join("dead_letters.csv")).1;
        let letters = letters.into_iter().map(|row| {
            let [reason, field, count] = row.try_into().expect("three columns");
            ((reason, field), count.parse().expect("a number"))
        });
        let letters = letters.collect();
        let file = |ending| Some((ending, std::fs::read(folder.join(format!("input.{ending}"))).ok()?));
        let input = match file("jsonl").or_else(|| file("csv")) {
            Some((ending, bytes)) => Input::File(ending, bytes),
            None => Input::Messages(messages(&folder.join("messages.json"))),
        };
        Self { folder, columns, is_upsert, header, rows, letters, input }
    }

    /// The messages, of a file one for each record.
    fn messages(&self) -> Vec<Sent> {
        let bytes = match &self.input {
            Input::Messages(messages) => return messages.clone(),
            Input::File("csv", bytes) => bytes,
            Input::File(_, bytes) => {
                let lines = bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
                return lines.map(|line| Sent { value: Some(line.to_vec()), ..Sent::default() }).collect();
            }
        };
        let mut records = csv_records(bytes);
        // Each message has the header, if the job needs it.
        let job = std::fs::read_to_string(self.folder.join("job.toml")).unwrap();
        let header = if job.contains("\ncolumns = [\"ts\"") || job.contains("separator = \"\\t\"") {
            &[]
        } else {
            records.remove(0)
        };
        let message = |record: &[u8]| Sent { value: Some([header, record].concat()), ..Sent::default() };
        records.into_iter().map(message).collect()
    }

    /// The schema registry that the case needs, if it does.
    fn registry(&self) -> Option<Server> {
        let mut content = Content::default();
        for entry in std::fs::read_dir(self.folder.join("registry")).ok()? {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            let answer = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            let id = name.split('.').next().unwrap().parse().unwrap();
            match name.ends_with(".serialized.json") {
                true => content.serialized.insert(id, answer),
                false => content.schemas.insert(id, answer),
            };
        }
        Some(Server::start(content))
    }

    /// Runs the job over an input, and compares.
    fn run(&self, input: &[&str], database: Option<&Database>) {
        let (out, registry) = (tempfile::tempdir().unwrap(), self.registry());
        let job = self.folder.join("job.toml").display().to_string();
        let mut args = vec!["--config", &job, "--until-end", "--listen", "off", "--workers", "2"];
        let out_path = out.path().display().to_string();
        args.extend(["--out", &out_path]);
        let registry = registry.map(|server| (format!("message.registry={}", server.url()), server));
        if let Some((set, _)) = &registry {
            args.extend(["--set", set]);
        }
        if let Some(database) = database {
            args.extend(["--database", &database.url]);
        }
        args.extend(input);
        for command in ["run", "verify"] {
            let mut job = Job::start([command].iter().chain(&args));
            let (status, said) = job.wait(TIMEOUT);
            assert!(status.success(), "{command} {}: {}{said}", self.folder.display(), job.stdout());
        }
        self.compare(out.path(), database);
    }

    fn compare(&self, out: &Path, database: Option<&Database>) {
        let query = |sql: &str| match database {
            Some(database) => database.query(sql),
            None => sqlite::query(&out.join("truckflow.db"), sql),
        };
        let texts = |rows: Vec<TextRow>| -> Vec<Fields> {
            rows.into_iter().map(|row| row.into_iter().map(Option::unwrap_or_default).collect()).collect()
        };
        assert_eq!(
            self.file(&out.join("got.csv")),
            self.sorted(&self.header, self.rows.clone(), exact),
            "file"
        );
        let names: Vec<String> = self.header.iter().map(|name| format!("`{name}`")).collect();
        let table = texts(query(&format!("SELECT {} FROM GOT", names.join(", "))));
        let (table, expected) = (
            self.sorted(&self.header, table, nearest),
            self.sorted(&self.header, self.rows.clone(), nearest),
        );
        assert_eq!(table, expected, "table");

        let counted = |rows: Vec<Fields>| {
            let mut counts = BTreeMap::new();
            for row in rows {
                let [reason, field] = row.try_into().expect("two columns");
                *counts.entry((reason, field)).or_default() += 1;
            }
            counts
        };
        let path = out.join("dead_letters.csv");
        let letters = if path.exists() { columns(&path, &["reason", "field"]) } else { Vec::new() };
        assert_eq!(counted(letters), self.letters, "dead letters in the file");
        let table = texts(query("SELECT reason, field FROM TRUCK_DEAD_LETTERS"));
        assert_eq!(counted(table), self.letters, "dead letters in the table");
    }

    /// The rows of the file. Of an upsert job, those that are left.
    fn file(&self, path: &Path) -> Vec<Fields> {
        let mut names: Vec<&str> = self.header.iter().map(String::as_str).collect();
        if !self.is_upsert {
            return self.sorted(&self.header, columns(path, &names), exact);
        }
        names.push("change");
        let mut copies: BTreeMap<Fields, i64> = BTreeMap::new();
        for mut row in columns(path, &names) {
            let change: i64 = row.pop().unwrap().parse().expect("1 or -1");
            *copies.entry(row).or_default() += change;
        }
        assert!(copies.values().all(|copies| [0, 1].contains(copies)), "{copies:?}");
        let left = copies.into_iter().filter(|(_, copies)| *copies == 1).map(|(row, _)| row);
        self.sorted(&self.header, left.collect(), exact)
    }

    /// Rows in a form in which equal values have equal texts.
    fn sorted(&self, header: &[String], rows: Vec<Fields>, number: fn(&str, Type) -> String) -> Vec<Fields> {
        let type_of = |name: &String| {
            let column =
                self.columns.iter().find(|column| *column.name == **name).expect("a column of the view");
            column.column_type
        };
        let types: Vec<Type> = header.iter().map(type_of).collect();
        let field = |(text, column_type): (String, &Type)| match column_type {
            _ if text.is_empty() => text,
            Type::Timestamp | Type::Text | Type::Bytes => text,
            Type::Decimal | Type::Exact { .. } | Type::Real | Type::Integer => number(&text, *column_type),
        };
        let row = |row: Fields| row.into_iter().zip(&types).map(field).collect::<Fields>();
        let mut rows: Vec<Fields> = rows.into_iter().map(row).collect();
        rows.sort();
        rows
    }
}

/// A decimal without what does not change its value.
fn exact(text: &str, _: Type) -> String {
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |unsigned| ("-", unsigned));
    let (number, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (integer, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{integer}{fraction}");
    assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{text} is no number");
    let exponent = exponent.parse::<i64>().expect("an exponent") - fraction.len() as i64;
    let significant = digits.trim_start_matches('0');
    let kept = significant.trim_end_matches('0');
    match kept {
        "" => "0".into(),
        kept => format!("{sign}{kept}e{}", exponent + (significant.len() - kept.len()) as i64),
    }
}

/// The double that a column of a table keeps of a decimal. Integers are exact.
fn nearest(text: &str, column_type: Type) -> String {
    match column_type {
        Type::Integer => text.to_owned(),
        _ => format!("{:016x}", (text.parse::<f64>().expect("a number") + 0.0).to_bits()),
    }
}

fn csv_file(path: &Path) -> (Fields, Vec<Fields>) {
    let fields = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect();
    let mut reader =
        csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header = fields(reader.headers().expect("a header"));
    (header, reader.records().map(|row| fields(&row.expect("RFC 4180"))).collect())
}

/// The values of these columns of a CSV file.
fn columns(path: &Path, names: &[&str]) -> Vec<Fields> {
    let (header, rows) = csv_file(path);
    let place = |name: &&str| header.iter().position(|found| found == name).expect("a column");
    let places: Vec<usize> = names.iter().map(place).collect();
    rows.into_iter().map(|row| places.iter().map(|place| row[*place].clone()).collect()).collect()
}

/// The records of a CSV file, with their ends. A quote in a value is doubled, so that an even number is before an end.
fn csv_records(bytes: &[u8]) -> Vec<&[u8]> {
    let mut is_quoted = false;
    let ends = |byte: &u8| {
        is_quoted ^= *byte == b'"';
        *byte == b'\n' && !is_quoted
    };
    bytes.split_inclusive(ends).collect()
}

/// The messages of a file that lists them.
fn messages(path: &Path) -> Vec<Sent> {
    #[derive(serde::Deserialize)]
    struct Listed {
        key: Option<String>,
        value: Option<String>,
        headers: BTreeMap<String, Option<String>>,
        timestamp_ms: i64,
    }
    let bytes = |text: Option<String>| text.map(|text| STANDARD.decode(text).expect("base64"));
    let listed: Vec<Listed> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let sent = |listed: Listed| Sent {
        key: bytes(listed.key),
        value: bytes(listed.value),
        headers: listed
            .headers
            .into_iter()
            .map(|(name, value)| (name, value.map(String::into_bytes)))
            .collect(),
        timestamp: Some(listed.timestamp_ms),
    };
    listed.into_iter().map(sent).collect()
}

/// The lines of a dashcam that was out of reach, and the rows: a clip and 3,000 readings in one message, 6 of them bad,
/// and a message that is too large.
fn big_array() -> (String, Vec<Fields>) {
    const CLIP: usize = 400_000;
    let (mut readings, mut rows) = (Vec::new(), Vec::new());
    for seq in 0..3000 {
        let (second, millis) = (seq / 4, seq % 4 * 250);
        let of_day = 3747 + second;
        let time = format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60);
        let (lat, speed) = (format!("48.{seq:06}"), format!("{}.{:02}", 60 + seq % 37, seq % 100));
        let at = format!("\"t\":\"2023-04-10T{time}.{millis:03}Z\"");
        let is_short = seq % 7 == 3;
        let row = |lat: &str| {
            let time = format!("2023-04-10 {time}.{millis:03}000");
            ["t-1", &seq.to_string(), &time, lat, &speed].map(str::to_owned).to_vec()
        };
        readings.push(match seq {
            500 | 1500 | 2500 => format!("{{{at},\"lat\":{lat},\"speed\":\"bad\",\"seq\":{seq}}}"),
            700 | 1700 | 2700 => format!("{{\"lat\":{lat},\"speed\":{speed},\"seq\":{seq}}}"),
            _ if is_short => {
                rows.push(row(""));
                format!("{{\"seq\":{seq},\"speed\":{speed},{at}}}")
            }
            _ => {
                rows.push(row(&lat));
                format!("{{{at},\"lat\":{lat},\"speed\":{speed},\"seq\":{seq}}}")
            }
        });
    }
    rows.push(["t-2", "1", "2023-04-10 02:00:00.000000", "1", "2"].map(str::to_owned).to_vec());
    rows.push(["t-3", "2", "2023-04-10 02:00:01.000000", "", ""].map(str::to_owned).to_vec());
    let clip = "A".repeat(CLIP);
    let mut input =
        format!("{{\"truck\":\"t-1\",\"clip\":\"{clip}\",\"readings\":[{}]}}\n", readings.join(","));
    input += "{\"truck\":\"t-2\",\"readings\":[{\"t\":\"2023-04-10T02:00:00Z\",\"lat\":1,\"speed\":2,\"seq\":1}],\"clip\":\"\"}\n";
    let clip = "B".repeat(1 << 20);
    // Writing to a string cannot fail.
    let _ = writeln!(
        input,
        "{{\"truck\":\"t-9\",\"clip\":\"{clip}\",\"readings\":[{{\"t\":\"2023-04-10T02:00:00Z\"}}]}}"
    );
    input += "{\"readings\":[{\"t\":\"2023-04-10T02:00:01Z\",\"seq\":2}],\"truck\":\"t-3\"}\n";
    (input, rows)
}

fn from_a_file_into_sqlite(name: &str) {
    let case = Case::new(name);
    let Input::File(ending, bytes) = &case.input else { panic!("{name} has no file") };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(format!("input.{ending}"));
    std::fs::write(&path, bytes).unwrap();
    case.run(&["--input", path.to_str().unwrap()], None);
}

fn from_kafka_into_mariadb(name: &str) {
    let case = Case::new(name);
    let topic = unique_topic();
    // Messages of 1970 stay.
    let settings = [("retention.ms", "-1"), ("max.message.bytes", "4000000")];
    kafka().create_topic_with(&topic, 1, &settings);
    kafka().produce_sent(&topic, &case.messages());
    let database = mariadb().create_database();
    case.run(&["--brokers", kafka().brokers(), "--topic", &topic], Some(&database));
}

/// What `config init` proposes for a topic whose schemas a registry has is a job that reads what it says it would, and
/// `replay --explain` shows how.
#[test]
fn a_job_is_proposed_for_a_topic_with_a_registry() {
    for name in ["avro", "protobuf", "json_schema"] {
        let case = Case::new(name);
        let (topic, registry) = (unique_topic(), case.registry().expect("the case has a registry"));
        kafka().create_topic_with(&topic, 1, &[("retention.ms", "-1")]);
        kafka().produce_sent(&topic, &case.messages());
        let folder = tempfile::tempdir().unwrap();
        let (config, out) = (folder.path().join("job.toml"), folder.path().join("out"));
        let (config, out) = (config.to_str().unwrap(), out.to_str().unwrap());
        let finish = |args: &[&str], expected: i32| {
            let mut job = Job::start(args);
            let (status, said) = job.wait(TIMEOUT);
            let said = format!("{}{said}", job.stdout());
            assert_eq!(status.code(), Some(expected), "{name}: {said}");
            said
        };
        let from = ["--from-topic", &topic, "--brokers", kafka().brokers(), "--registry", &registry.url()];
        let said = finish(&[&["config", "init", config], &from[..]].concat(), 0);
        let words: Vec<&str> = said.split_whitespace().collect();
        let counts = words.windows(4).find_map(|words| match words {
            [accepted, "of", readings, "readings"] => Some((accepted.parse().ok()?, readings.parse().ok()?)),
            _ => None,
        });
        let (accepted, readings): (u64, u64) = counts.unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(accepted > 0 && accepted <= readings, "{name}: {said}");
        finish(&["run", "--config", config, "--out", out, "--until-end", "--listen", "off"], 0);
        let letters = Path::new(out).join("dead_letters.csv");
        let letters = if letters.exists() { columns(&letters, &["reason"]).len() } else { 0 };
        assert_eq!(letters as u64, readings - accepted, "{name}: {said}");
        finish(&["verify", "--config", config, "--out", out], 0);
        let explained = finish(&["replay", "--explain", "kafka:0/0", "--config", config], 0);
        for word in [&format!("message of topic `{topic}`, partition 0, offset 0"), "accepted: "] {
            assert!(explained.contains(word), "{name}: {explained}");
        }
    }
}

/// Nested messages with several readings, other units, times in milliseconds, and one measure that no message has.
const NESTED: &str = r#"
[message]
root = "/data/fixes"

[record]
timestamp = { path = "/at/ms", unit = "ms" }
truck_id = { path = "/unit/id", in = "message" }
total_m = { type = "number", path = "/odo/0" }
distance_covered = { sql = "total_m * 0.001" }
engine_speed = { path = "/can/rpm" }
fuel_consumed = { optional = true }
"#;

#[test]
fn kills_leave_no_trace_of_nested_messages() {
    const MESSAGES: i64 = 120_000;
    let topic = unique_topic();
    kafka().create_topic(&topic, 4);
    let message = |n: i64| {
        let fix = |place: i64| {
            let (seq, rpm) = (
                n * 2 + place,
                if (n + place) % 500 == 0 { "\"?\"".into() } else { (60 + n % 40).to_string() },
            );
            let at = 1_681_088_547_000 + seq * 125;
            format!("{{\"at\":{{\"ms\":{at}}},\"odo\":[{seq}.5],\"can\":{{\"rpm\":{rpm},\"gear\":{{}}}}}}")
        };
        let unit = n % 4;
        format!(
            "{{\"unit\":{{\"id\":\"u-{unit}\",\"tags\":[1,[2]]}},\"data\":{{\"fixes\":[{},{}],\"n\":{n}}}}}",
            fix(0),
            fix(1)
        )
    };
    kafka().produce(&topic, (0..MESSAGES).map(|n| ((n % 4) as i32, None, message(n))));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("job.toml").display().to_string();
    std::fs::write(&config, NESTED).unwrap();
    let args = |out: &Path, database: Option<&Database>| {
        let out = out.display().to_string();
        let mut args =
            vec!["--config", &config, "--brokers", kafka().brokers(), "--topic", &topic, "--out", &out];
        args.extend(["--until-end", "--listen", "off", "--workers", "2"]);
        args.extend(["--set", "limits.epoch_records=2000", "--commit-interval", "50ms"]);
        if let Some(database) = database {
            args.extend(["--database", &database.url]);
        }
        args.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let finish = |command: &str, args: &[String]| {
        let mut job = Job::start([command].into_iter().chain(args.iter().map(String::as_str)));
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{command}: {}{said}", job.stdout());
    };
    let undisturbed = folder.path().join("undisturbed");
    finish("run", &args(&undisturbed, None));

    let (disturbed, database) = (folder.path().join("disturbed"), mariadb().create_database());
    let disturbed_args = args(&disturbed, Some(&database));
    let committed = || -> i64 {
        if database.query("SHOW TABLES LIKE 'truckflow_offsets'").is_empty() {
            return 0;
        }
        let rows = database.query("SELECT COALESCE(SUM(next_offset), 0) FROM truckflow_offsets");
        rows[0][0].as_deref().unwrap_or("0").parse().unwrap()
    };
    for kill in 1..=3 {
        let mut job = Job::start(["run"].into_iter().chain(disturbed_args.iter().map(String::as_str)));
        eventually(TIMEOUT, "more is committed", || committed() > kill * MESSAGES / 8);
        job.kill9();
    }
    assert!(committed() < MESSAGES, "it was killed while there was work left");
    finish("run", &disturbed_args);
    finish("verify", &disturbed_args);
    assert_same(&undisturbed, &disturbed);
    let count = |sql: &str| database.query(sql)[0][0].clone().unwrap();
    let letters = count(
        "SELECT COUNT(*) FROM TRUCK_DEAD_LETTERS WHERE reason = 'wrong_type' AND field = 'engine_speed'",
    );
    assert_eq!(letters, (MESSAGES / 500 * 2).to_string());
    let readings = MESSAGES * 2 - MESSAGES / 500 * 2;
    assert_eq!(count("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP"), readings.to_string());
    assert_eq!(count("SELECT COUNT(DISTINCT place) FROM TRUCK_DEAD_LETTERS"), "2");
}
