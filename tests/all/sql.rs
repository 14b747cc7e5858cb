//! The cases under `fixtures/sql/` and `fixtures/recipes/`: `truckflow test` finds their rows with one and two workers and
//! in another order of input; from real Kafka into MariaDB they survive kills and other numbers of workers, and `verify`
//! agrees.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::process::repository;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);

macro_rules! cases {
    ($($case:ident)*) => {
        mod from_kafka_into_mariadb {
            $(#[test] fn $case() { super::from_kafka_into_mariadb(stringify!($case)) })*
        }
        const CASES: &[&str] = &[$(stringify!($case),)*];
    };
}

cases! {
    distinct_filter filter_project first_last group_keys having hop join_time moments per_truck session tumble
    union_join upsert_groups upsert_windows_joins views_on_views
}

fn folder() -> PathBuf {
    repository().join("fixtures/sql")
}

/// The names of the folders in a folder.
fn folders(of: &Path) -> Vec<String> {
    let entries = fs::read_dir(of).unwrap().map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn every_case_is_tested() {
    assert_eq!(folders(&folder()), CASES);
}

fn finish(args: &[&str]) -> String {
    let mut job = Job::start(args);
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{args:?}: {}{said}", job.stdout());
    job.stdout()
}

#[test]
fn cases_have_their_rows_with_any_number_of_workers() {
    for cases in ["fixtures/sql", "fixtures/recipes"] {
        let cases = repository().join(cases);
        for workers in ["1", "2", "3"] {
            let said = finish(&["test", cases.to_str().unwrap(), "--workers", workers]);
            assert_eq!(said.matches("ok ").count(), folders(&cases).len(), "{said}");
        }
    }
}

/// The lines of the input of a case.
fn lines(case: &Path) -> Vec<String> {
    let text = fs::read_to_string(case.join("input.jsonl")).unwrap();
    text.lines().map(str::to_owned).collect()
}

fn is_upsert(case: &Path) -> bool {
    fs::read_to_string(case.join("job.toml")).is_ok_and(|text| text.contains("mode = \"upsert\""))
}

#[test]
fn the_order_of_readings_does_not_matter() {
    let copies = tempfile::tempdir().unwrap();
    for name in folders(&folder()) {
        let case = folder().join(&name);
        if is_upsert(&case) {
            continue;
        }
        let copy = copies.path().join(&name);
        fs::create_dir_all(copy.join("expected")).unwrap();
        for file in ["views.sql", "job.toml"] {
            let _ = fs::copy(case.join(file), copy.join(file));
        }
        for entry in fs::read_dir(case.join("expected")).unwrap() {
            let from = entry.unwrap().path();
            fs::copy(&from, copy.join("expected").join(from.file_name().unwrap())).unwrap();
        }
        // Every seventh line first, then those behind them, and so on; from the end.
        let lines = lines(&case);
        let mixed = (0..7).flat_map(|start| lines.iter().rev().skip(start).step_by(7));
        let mixed: String = mixed.map(|line| format!("{line}\n")).collect();
        fs::write(copy.join("input.jsonl"), mixed).unwrap();
    }
    finish(&["test", copies.path().to_str().unwrap(), "--workers", "2"]);
}

#[test]
fn a_case_that_differs_says_how_and_can_be_updated() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let dir = folder.path().to_str().unwrap();
    fs::write(
        path("views.sql"),
        "CREATE MATERIALIZED VIEW n AS SELECT truck_id, COUNT(*) AS n FROM readings GROUP BY truck_id",
    )
    .unwrap();
    let reading = "{\"timestamp\": \"2023-04-10 01:00:00\", \"distance_covered\": 1, \"engine_speed\": 2, \"fuel_consumed\": 3, \"truck_id\": \"a\"}\n";
    fs::write(path("input.jsonl"), reading.repeat(3)).unwrap();
    fs::create_dir(path("expected")).unwrap();
    fs::write(path("expected/N.csv"), "truck_id,n\na,2\n").unwrap();
    let mut job = Job::start(["test", dir]);
    let (status, said) = job.wait(TIMEOUT);
    let shown = job.stdout();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(shown.contains("  - a,2\n  + a,3"), "{shown}");
    assert!(said.contains("1 of the cases differ"), "{said}");
    finish(&["test", dir, "--update"]);
    assert_eq!(fs::read_to_string(path("expected/N.csv")).unwrap(), "truck_id,n\na,3\n");
    finish(&["test", dir]);
    let printed = finish(&[
        "run",
        "--sql",
        path("views.sql").to_str().unwrap(),
        "--input",
        path("input.jsonl").to_str().unwrap(),
        "--print",
        "n",
    ]);
    assert_eq!(printed, "truck_id  n\n--------  -\na         3\n(1 row)\n");
}

/// A table, with the rows that are expected of it.
struct Table {
    name: String,
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

fn tables(case: &Path) -> Vec<Table> {
    let read = |path: PathBuf| {
        let mut reader = csv::Reader::from_path(&path).unwrap();
        let fields = |record: &csv::StringRecord| record.iter().map(str::to_owned).collect::<Vec<_>>();
        let columns = fields(reader.headers().unwrap());
        let rows = reader.records().map(|record| fields(&record.unwrap())).collect();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        Table { name, columns, rows }
    };
    fs::read_dir(case.join("expected")).unwrap().map(|entry| read(entry.unwrap().path())).collect()
}

/// A number without what its type of column adds; a double by its shortest text.
fn plain(text: &str) -> String {
    let digits = text.trim_start_matches('-').chars().filter(char::is_ascii_digit).count();
    match text.parse::<f64>() {
        // Only a decimal has more digits than a double's text.
        Ok(number) if digits <= 17 || text.contains('e') => format!("{}", number + 0.0),
        Ok(_) if text.contains('.') => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        _ => text.to_owned(),
    }
}

/// The differences between the tables of a database and what is expected.
fn differences(case: &Path, database: &Database) -> Vec<String> {
    let sql = fs::read_to_string(case.join("views.sql")).unwrap();
    let mut different = Vec::new();
    for table in tables(case) {
        let columns: Vec<String> = table.columns.iter().map(|column| format!("`{column}`")).collect();
        let found = database.query(&format!("SELECT {} FROM {} ORDER BY id", columns.join(","), table.name));
        let is_decimal =
            |text: &str| text.contains('.') && !text.contains('e') && text.parse::<f64>().is_ok();
        let trimmed = |text: &str| match is_decimal(text) {
            true => plain(text.trim_end_matches('0').trim_end_matches('.')),
            false => plain(text),
        };
        let mut found: Vec<Vec<String>> = found
            .into_iter()
            .map(|row| row.into_iter().map(|value| trimmed(&value.unwrap_or_default())).collect())
            .collect();
        // Of a history the last row of each group, whose key comes first.
        if sql.contains(&format!("'{}', keep = 'history'", table.name)) {
            let last: BTreeMap<String, Vec<String>> =
                found.into_iter().map(|row| (row[0].clone(), row)).collect();
            found = last.into_values().collect();
        }
        let mut expected: Vec<Vec<String>> =
            table.rows.iter().map(|row| row.iter().map(|value| trimmed(value)).collect()).collect();
        expected.sort();
        found.sort();
        if expected != found {
            let (lacks, has): (Vec<_>, Vec<_>) = (
                expected.iter().filter(|row| !found.contains(row)).take(3).collect(),
                found.iter().filter(|row| !expected.contains(row)).take(3).collect(),
            );
            different.push(format!(
                "{}: {} rows of {}, lacks {lacks:?}, has {has:?}",
                table.name,
                found.len(),
                expected.len()
            ));
        }
    }
    different
}

/// A partition, a key and a value.
type Message = (i32, Option<Vec<u8>>, Option<String>);

fn from_kafka_into_mariadb(name: &str) {
    const PARTITIONS: i32 = 3;
    let case = folder().join(name);
    let (topic, database) = (unique_topic(), mariadb().create_database());
    kafka().create_topic_with(&topic, PARTITIONS, &[("retention.ms", "-1")]);
    let is_upsert = is_upsert(&case);
    let message = |(number, line): (usize, String)| {
        if !is_upsert {
            return (number as i32 % PARTITIONS, None, Some(line));
        }
        // All messages of a key in one partition; without a value it is deleted.
        let (key, value) = line.split_once('\t').unwrap_or((&line, ""));
        let partition = key.bytes().map(i32::from).sum::<i32>() % PARTITIONS;
        let value = Some(value.to_owned()).filter(|value| !value.is_empty());
        (partition, Some(key.as_bytes().to_vec()), value)
    };
    let messages: Vec<Message> = lines(&case).into_iter().enumerate().map(message).collect();
    let send = |messages: &[Message]| kafka().produce_with_nulls(&topic, messages.iter().cloned());

    let scratch = tempfile::tempdir().unwrap();
    let config = scratch.path().join("job.toml");
    let text = fs::read_to_string(case.join("job.toml")).unwrap_or_default();
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with("key_separator"))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&config, text).unwrap();
    let out = scratch.path().join("out");
    let views = case.join("views.sql");
    let [config, out, views] = [&config, &out, &views].map(|path| path.to_str().unwrap());
    let source = ["--config", config, "--sql", views, "--brokers", kafka().brokers(), "--topic", &topic];
    let sinks = ["--out", out, "--database", &database.url];
    let limits = ["--listen", "off", "--commit-interval", "20ms", "--set", "limits.epoch_records=20"];
    let args = |command: &'static str, more: &[&'static str]| -> Vec<String> {
        let mut args = vec![command];
        args.extend(source);
        args.extend(sinks);
        if command == "run" {
            args.extend(limits);
        }
        args.extend(more);
        args.into_iter().map(str::to_owned).collect()
    };
    let committed = || -> usize {
        if database.query("SHOW TABLES LIKE 'truckflow_offsets'").is_empty() {
            return 0;
        }
        let rows = database
            .query("SELECT COALESCE(SUM(next_offset), 0) FROM truckflow_offsets WHERE view_name = ''");
        rows[0][0].as_deref().unwrap_or("0").parse().unwrap()
    };
    // Killed in the middle twice, and gone on with other numbers of workers.
    for (part, workers) in [(1, "2"), (2, "1")] {
        let (from, to) = (messages.len() * (part - 1) / 3, messages.len() * part / 3);
        send(&messages[from..to]);
        let mut job = Job::start(args("run", &["--workers", workers]));
        let enough = from + (to - from) / 2;
        eventually(TIMEOUT, "some are committed", || committed() >= enough);
        job.kill9();
    }
    send(&messages[messages.len() * 2 / 3..]);
    let finish = |args: Vec<String>| {
        let mut job = Job::start(&args);
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{name}: {args:?}: {}{said}", job.stdout());
    };
    finish(args("run", &["--workers", "3", "--until-end"]));
    assert_eq!(differences(&case, &database), Vec::<String>::new(), "{name}");
    finish(args("verify", &[]));
}
