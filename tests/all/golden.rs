//! The cases under `fixtures/`: on 1 and 2 workers, from file and real Kafka, into SQLite and
//! MariaDB, with a restart between the parts of a case, tables and files hold what an independent
//! computation (`fixtures/expected.py`) found, and `verify` finds them right.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, TextRow, mariadb};
use crate::support::process::repository;
use crate::support::sqlite;

const TIMEOUT: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 3;

/// What chooses a line's partition. Where the case has keys, they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// The line's number: nothing depends on order.
    Line,
    /// The truck: what is late depends on the order of a truck's readings.
    Truck,
}

/// Every case, with a test from a file into SQLite and one from Kafka into MariaDB.
macro_rules! cases {
    ($($name:ident: $by:ident,)*) => {
        const CASES: &[(&str, By)] = &[$((stringify!($name), By::$by)),*];
        mod from_a_file_into_sqlite {
            $(#[test] fn $name() { super::from_a_file_into_sqlite(stringify!($name)) })*
        }
        mod from_kafka_into_mariadb {
            $(#[test] fn $name() { super::from_kafka_into_mariadb(stringify!($name)) })*
        }
    };
}

cases! {
    bad: Line,
    calendar: Truck,
    corrections: Line,
    demo: Line,
    forms: Line,
    idle: Truck,
    keys: Line,
    late: Truck,
    order: Line,
    own: Line,
    phone: Line,
    ties: Line,
}

type Fields = Vec<String>;

/// A folder under `fixtures/`, and what its `job.toml` says that a test must know.
struct Case {
    folder: PathBuf,
    by: By,
    job: toml::Table,
}

/// A line as a message: key and value.
type Message = (Option<Vec<u8>>, Option<Vec<u8>>);

impl Case {
    fn new(name: &str) -> Self {
        let folder = repository().join("fixtures").join(name);
        let (_, by) = CASES.iter().find(|(case, _)| *case == name).expect("a listed case");
        let job = std::fs::read_to_string(folder.join("job.toml")).unwrap_or_default();
        Self { folder, by: *by, job: job.parse().expect("job.toml is TOML") }
    }

    fn input(&self) -> PathBuf {
        self.folder.join("input.jsonl")
    }

    /// The parts of the input.
    fn parts(&self) -> Vec<Vec<u8>> {
        let later = (2..).map(|part| self.folder.join(format!("input-{part}.jsonl")));
        let paths = std::iter::once(self.input()).chain(later);
        paths.map_while(|path| std::fs::read(path).ok()).collect()
    }

    fn is_upsert(&self) -> bool {
        self.job.get("mode").and_then(toml::Value::as_str) == Some("upsert")
    }

    fn setting(&self, key: &str) -> Option<&str> {
        self.job.get("parameters")?.get(key)?.as_str()
    }

    fn message(&self, line: &[u8]) -> Message {
        let separator = self.job.get("key_separator").and_then(toml::Value::as_str);
        let at =
            separator.and_then(|separator| line.iter().position(|byte| *byte == separator.as_bytes()[0]));
        match at {
            Some(at) => {
                let value = &line[at + 1..];
                (Some(line[..at].to_vec()), (!value.is_empty()).then(|| value.to_vec()))
            }
            None => (None, Some(line.to_vec())),
        }
    }

    /// The partition of the `number`-th line.
    fn partition(&self, number: usize, message: &Message) -> i32 {
        let spread = |bytes: &[u8]| bytes.iter().map(|byte| usize::from(*byte)).sum();
        let place = match (message, self.by) {
            ((Some(key), _), _) => spread(key),
            ((None, Some(value)), By::Truck) => {
                // The same truck in JSON and in Python has the same letters and digits.
                let text = String::from_utf8_lossy(value);
                let name = text.split("truck_id").nth(1).unwrap_or_default();
                spread(&name.bytes().filter(u8::is_ascii_alphanumeric).collect::<Vec<_>>())
            }
            _ => number,
        };
        (place % PARTITIONS as usize) as i32
    }

    /// The views that have an expected file, with its header and rows.
    fn expected(&self) -> BTreeMap<String, (Fields, Vec<Fields>)> {
        let files = std::fs::read_dir(self.folder.join("expected")).expect("expected files");
        files
            .map(|file| {
                let path = file.unwrap().path();
                (path.file_stem().unwrap().to_str().unwrap().to_owned(), csv_file(&path))
            })
            .collect()
    }

    /// The text of the user's views.
    fn statements(&self) -> String {
        let path = self.job.get("views").and_then(toml::Value::as_str);
        path.map_or_else(String::new, |path| {
            std::fs::read_to_string(self.folder.join(path)).expect("a file of views")
        })
    }

    /// What the tables of the user's views are called: in `views.sql` every view names its own.
    fn own_views(&self) -> BTreeMap<String, String> {
        let text = self.statements();
        let statements = text.split("CREATE MATERIALIZED VIEW ").skip(1);
        let table = |statement: &str| {
            let (name, rest) = statement.split_once(" WITH (table = '").expect("a table");
            (name.to_owned(), rest.split('\'').next().unwrap_or_default().to_owned())
        };
        statements.map(table).collect()
    }

    fn is_correlation(&self, view: &str) -> bool {
        let is_own =
            |statement: &&str| statement.starts_with(&format!("{view} ")) && statement.contains("CORR(");
        matches!(view, "distance_correlation" | "engine_speed_correlation")
            || self.statements().split("CREATE MATERIALIZED VIEW ").any(|statement| is_own(&statement))
    }

    fn table(&self, view: &str) -> String {
        match view {
            "transformed" => "SPARK_TABLE_TRANSFORMED".into(),
            "orientation" => "INGESTED_TABLE_1".into(),
            _ => self.own_views().remove(view).unwrap_or_else(|| format!("TRUCK_{}", view.to_uppercase())),
        }
    }
}

/// A job over a case: where its output goes, and how it was told to keep correlations.
struct Run<'a> {
    case: &'a Case,
    workers: &'a str,
    out: tempfile::TempDir,
    database: Option<Database>,
    /// Whether correlation tables hold one row a truck, over what the case says.
    latest: bool,
}

impl<'a> Run<'a> {
    fn new(case: &'a Case, workers: &'a str, database: Option<Database>) -> Self {
        let latest = case.setting("correlation_tables") == Some("latest");
        Self { case, workers, out: tempfile::tempdir().unwrap(), database, latest }
    }

    /// The arguments that say which job it is.
    fn args<'b>(&'b self, input: &[&'b str]) -> Vec<String> {
        let (out, config) = (self.out.path().to_str().unwrap(), self.case.folder.join("job.toml"));
        let mut args = vec!["--until-end", "--listen", "off", "--out", out, "--workers", self.workers];
        if config.exists() {
            args.extend(["--config", config.to_str().unwrap()]);
        }
        if self.latest {
            args.extend(["--set", "parameters.correlation_tables=latest"]);
        }
        if let Some(database) = &self.database {
            args.extend(["--database", &database.url]);
        }
        args.extend(input);
        args.into_iter().map(str::to_owned).collect()
    }

    /// `verify` finds every view as it should be.
    fn assert_verified(&self, input: &[&str]) {
        let mut job = Job::start(["verify".to_owned()].into_iter().chain(self.args(input)));
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{}: {}{said}", self.case.folder.display(), job.stdout());
    }

    /// Runs the job to the end that its input has now.
    fn to_the_end(&self, input: &[&str]) {
        let (status, said) = Job::start(["run".to_owned()].into_iter().chain(self.args(input))).wait(TIMEOUT);
        assert!(status.success(), "{} on {} workers: {said}", self.case.folder.display(), self.workers);
    }

    /// Tables and files hold what the case expects. `places`: partition and offset of each line that is a message.
    fn assert_golden(&self, places: &[Option<(i32, i64)>]) {
        for (view, (header, mut rows)) in self.case.expected() {
            let what = format!("{view} on {} workers", self.workers);
            if view == "dead_letters" {
                rows.retain_mut(|row| {
                    let Some((partition, offset)) = places[row[0].parse::<usize>().unwrap()] else {
                        return false;
                    };
                    row.splice(..1, [partition.to_string(), offset.to_string()]);
                    true
                });
            }
            if self.latest && self.case.is_correlation(&view) {
                let samples = header.iter().position(|name| name == "samples").unwrap();
                rows.retain(|row| row[samples] != "0");
            }
            rows.sort();
            // The live rows of windows are in the table, closed windows in the file.
            if view != "window_averages" {
                assert_eq!(self.file(&view, &header), rows, "{what}, file");
            }
            if view != "window_averages_closed" {
                let mut rows: Vec<Fields> =
                    rows.into_iter().map(|row| row.into_iter().map(comparable).collect()).collect();
                rows.sort();
                assert_eq!(self.table(&view, &header), rows, "{what}, table");
            }
        }
    }

    /// What a view's file holds at its end.
    fn file(&self, view: &str, header: &[String]) -> Vec<Fields> {
        let name = if view == "window_averages_closed" { "window_averages" } else { view };
        let (mut found, mut rows) = csv_file(&self.out.path().join(format!("{name}.csv")));
        let mut rows = match view {
            "dead_letters" => {
                let wanted = ["partition", "offset", "reason", "field", "payload", "place"].map(|name| {
                    found.iter().position(|found| found == name).expect("a column of dead letters")
                });
                return sorted(rows.iter().map(|row| wanted.map(|at| row[at].clone()).to_vec()).collect());
            }
            _ if self.case.is_upsert() => {
                assert_eq!(found.pop().as_deref(), Some("change"), "{view}");
                let changes: Vec<i64> =
                    rows.iter_mut().map(|row| row.pop().unwrap().parse().expect("1 or -1")).collect();
                if self.case.is_correlation(view) && !self.latest {
                    assert!(changes.iter().all(|change| *change == 1), "{view}: a history only grows");
                    rows
                } else {
                    net(view, rows, changes)
                }
            }
            _ => rows,
        };
        assert_eq!(found, header, "{view}");
        // Append-only: of several lines for the same thing the last one holds.
        if self.case.is_correlation(view) {
            rows = last_of_each(rows, header, &["truck_id"]);
        } else if view == "window_averages_closed" {
            rows = last_of_each(rows, header, &["truck_id", "window_start"]);
        }
        sorted(rows)
    }

    /// What a view's table holds.
    fn table(&self, view: &str, header: &[String]) -> Vec<Fields> {
        let mut columns = header.to_vec();
        if view == "dead_letters" {
            columns.insert(0, "partition".into());
        }
        let quoted: Vec<_> = columns.iter().map(|name| format!("`{name}`")).collect();
        // INGESTED_TABLE_1 has no id, and nothing depends on its order.
        let order = if view == "orientation" { "" } else { " ORDER BY id" };
        let sql = format!("SELECT {} FROM {}{order}", quoted.join(", "), self.case.table(view));
        let found: Vec<TextRow> = match &self.database {
            Some(database) => database.query(&sql),
            None => sqlite::query(&self.out.path().join("truckflow.db"), &sql),
        };
        let mut rows: Vec<Fields> = found
            .into_iter()
            .map(|row| row.into_iter().map(|field| comparable(field.unwrap_or_default())).collect())
            .collect();
        if self.case.is_correlation(view) && !self.latest {
            rows = last_of_each(rows, &columns, &["truck_id"]);
        }
        sorted(rows)
    }
}

/// A CSV file's header and rows, in the order of the file.
fn csv_file(path: &Path) -> (Fields, Vec<Fields>) {
    let fields = |row: &csv::StringRecord| row.iter().map(str::to_owned).collect();
    let mut reader =
        csv::Reader::from_path(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let header = fields(reader.headers().expect("a header"));
    (header, reader.records().map(|row| fields(&row.expect("RFC 4180"))).collect())
}

fn sorted(mut rows: Vec<Fields>) -> Vec<Fields> {
    rows.sort();
    rows
}

/// The last of the rows that have the same `key`.
fn last_of_each(rows: Vec<Fields>, header: &[String], key: &[&str]) -> Vec<Fields> {
    let key = key.iter().map(|name| header.iter().position(|found| found == name).expect("a key column"));
    let key: Vec<usize> = key.collect();
    let last: BTreeMap<Fields, Fields> =
        rows.into_iter().map(|row| (key.iter().map(|at| row[*at].clone()).collect(), row)).collect();
    last.into_values().collect()
}

/// The rows that are left when those with -1 have taken theirs away.
fn net(view: &str, rows: Vec<Fields>, changes: Vec<i64>) -> Vec<Fields> {
    let mut copies: BTreeMap<Fields, i64> = BTreeMap::new();
    for (row, change) in rows.into_iter().zip(changes) {
        *copies.entry(row).or_default() += change;
    }
    let copy = |(row, n): (Fields, i64)| {
        let n = usize::try_from(n).unwrap_or_else(|_| panic!("{view}: {row:?} taken back but never given"));
        std::iter::repeat_n(row, n)
    };
    copies.into_iter().flat_map(copy).collect()
}

/// Numbers as doubles, bit for bit, whatever the database prints; times in ns, which doubles cannot
/// tell apart, as they are.
fn comparable(field: String) -> String {
    if field.parse::<i64>().is_ok_and(|value| value.unsigned_abs() > 1 << 53) {
        return field;
    }
    field.parse::<f64>().map_or(field, |x| format!("{:016x}", (x + 0.0).to_bits()))
}

fn lines(part: &[u8]) -> Vec<&[u8]> {
    part.strip_suffix(b"\n").unwrap_or(part).split(|byte| *byte == b'\n').collect()
}

/// Runs a case from a file that grows by a part before each start.
fn run_from_a_file(run: &Run) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("input.jsonl");
    let input = ["--input", path.to_str().unwrap()];
    let mut places = Vec::new();
    for part in run.case.parts() {
        let mut file = std::fs::File::options().create(true).append(true).open(&path).unwrap();
        file.write_all(&part).unwrap();
        let first = places.len() as i64;
        // A blank line of a file is no message.
        let place = |(offset, line): (i64, &[u8])| (!line.is_empty()).then_some((0, offset));
        places.extend((first..).zip(lines(&part)).map(place));
        run.to_the_end(&input);
    }
    run.assert_golden(&places);
    run.assert_verified(&input);
}

fn from_a_file_into_sqlite(name: &str) {
    let case = Case::new(name);
    for workers in ["1", "2"] {
        run_from_a_file(&Run::new(&case, workers, None));
    }
}

fn from_kafka_into_mariadb(name: &str) {
    let case = Case::new(name);
    let runs = ["1", "2"].map(|workers| Run::new(&case, workers, Some(mariadb().create_database())));
    let topic = unique_topic();
    kafka().create_topic(&topic, PARTITIONS);
    let input = ["--brokers", kafka().brokers(), "--topic", &topic];
    let (mut places, mut next) = (Vec::new(), [0i64; PARTITIONS as usize]);
    for part in case.parts() {
        let mut messages = Vec::new();
        for line in lines(&part) {
            let message = case.message(line);
            let partition = case.partition(places.len(), &message);
            let next = &mut next[partition as usize];
            places.push(Some((partition, *next)));
            *next += 1;
            messages.push((partition, message.0, message.1));
        }
        kafka().produce_with_nulls(&topic, messages);
        for run in &runs {
            run.to_the_end(&input);
        }
    }
    for run in &runs {
        run.assert_golden(&places);
        run.assert_verified(&input);
    }
}

#[test]
fn every_case_is_listed() {
    let folders = std::fs::read_dir(repository().join("fixtures")).unwrap();
    let found: BTreeSet<String> = folders
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().join("input.jsonl").exists())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(found, CASES.iter().map(|(name, _)| (*name).to_owned()).collect());
}

#[test]
fn corrected_correlations_in_latest_mode_hold_one_row_a_truck() {
    let case = Case::new("corrections");
    for database in [None, Some(mariadb().create_database())] {
        let mut run = Run::new(&case, "2", database);
        run.latest = true;
        run_from_a_file(&run);
    }
}

#[test]
fn the_phone_s_readings_as_a_csv_file_have_the_same_rows() {
    let case = Case::new("phone");
    let path = case.folder.join("orientation.csv");
    let input = ["--set", "message.format=csv", "--input", path.to_str().unwrap()];
    let expected = case.expected();
    let (header, rows) = &expected["orientation"];
    let comparable = |rows: &[Fields]| -> Vec<Fields> {
        sorted(rows.iter().map(|row| row.iter().cloned().map(comparable).collect()).collect())
    };
    for (workers, database) in [("1", None), ("2", Some(mariadb().create_database()))] {
        let run = Run::new(&case, workers, database);
        run.to_the_end(&input);
        assert_eq!(run.file("orientation", header), *rows, "on {workers} workers");
        assert_eq!(run.table("orientation", header), comparable(rows), "on {workers} workers");
        assert_eq!(run.file("dead_letters", &[]), Vec::<Fields>::new());
        run.assert_verified(&input);
    }
}

#[test]
fn golden_case_from_the_embedded_broker() {
    let case = Case::new("demo");
    let run = Run::new(&case, "2", None);
    let input = ["--embedded", "--input", case.input().to_str().unwrap()].map(str::to_owned);
    let input = input.each_ref().map(String::as_str);
    run.to_the_end(&input);
    run.assert_golden(&[]);
    run.assert_verified(&input);
}

#[test]
fn golden_case_through_standard_input() {
    let case = Case::new("demo");
    let run = Run::new(&case, "1", None);
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_truckflow"))
        .args(["run", "--input", "-", "--listen", "off", "--out"])
        .arg(run.out.path())
        .stdin(std::fs::File::open(case.input()).unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    run.assert_golden(&[]);
}

#[test]
fn dead_letters_go_to_a_topic_and_can_be_replayed() {
    let (topic, letters) = (unique_topic(), unique_topic());
    kafka().create_topic(&topic, 1);
    kafka().create_topic(&letters, 1);
    kafka().produce(&topic, [(0, Some(b"key".to_vec()), b"\xff\x00not json".to_vec())]);
    let out = tempfile::tempdir().unwrap();
    let forward = format!("dead_letters.topic={letters}");
    let path = out.path().to_str().unwrap();
    let args = ["run", "--until-end", "--listen", "off", "--out", path, "--topic", &topic, "--set", &forward];
    let mut job = Job::start(args.into_iter().chain(["--brokers", kafka().brokers()]));
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
    let sent = |topic: &str| -> Vec<_> {
        kafka().read(topic).into_iter().map(|message| (message.key, message.payload)).collect()
    };
    let original = sent(&topic);
    assert_eq!(sent(&letters), original);
    let file = out.path().join("dead_letters.csv");
    let (status, said) =
        Job::start(["replay", file.to_str().unwrap(), "--brokers", kafka().brokers()]).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    assert_eq!(sent(&topic), [original.clone(), original].concat());
}
