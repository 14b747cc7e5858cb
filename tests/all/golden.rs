//! The cases under `fixtures/`: on 1 and 2 workers, from file and real Kafka, into SQLite and
//! MariaDB, the views hold what an independent computation (`fixtures/expected.py`) found.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::{csv_rows, latest};
use crate::support::process::repository;

const TIMEOUT: Duration = Duration::from_secs(60);

fn case(name: &str) -> PathBuf {
    repository().join("fixtures").join(name)
}

/// Runs a job to the end of a fixture's input.
fn run(input: &[&str], workers: usize, out: &Path, database: Option<&Database>) {
    let (out, workers) = (out.to_str().unwrap(), workers.to_string());
    let mut args = vec!["run", "--until-end", "--listen", "off", "--out", out, "--workers", &workers];
    args.extend(input);
    if let Some(database) = database {
        args.extend(["--database", &database.url]);
    }
    let (status, said) = Job::start(args).wait(TIMEOUT);
    assert!(status.success(), "{said}");
}

/// The CSV files hold what the case expects.
fn assert_golden(case: &Path, out: &Path) {
    for view in ["parameter_map", "above_speed", "transformed"] {
        let name = format!("{view}.csv");
        assert_eq!(csv_rows(&out.join(&name)), csv_rows(&case.join("expected").join(&name)), "{view}");
    }
    for view in ["distance_correlation", "engine_speed_correlation"] {
        let name = format!("{view}.csv");
        let rows: Vec<_> = latest(&out.join(&name)).into_values().collect();
        let mut expected = csv_rows(&case.join("expected").join(&name));
        expected.sort_by(|a, b| a[3].cmp(&b[3]));
        assert_eq!(rows, expected, "{view}");
    }
}

/// The tables hold the rows of the files.
fn assert_tables(database: &Database, out: &Path) {
    let tables = [
        (
            "parameter_map",
            "SELECT timestamp, distance_covered, engine_speed, fuel_consumed, truck_id FROM TRUCK_PARAMETER_MAP",
        ),
        ("above_speed", "SELECT timestamp, distance_covered, engine_speed, truck_id FROM TRUCK_ABOVE_SPEED"),
        (
            "transformed",
            "SELECT timestamp, distance_covered, engine_speed, fuel_consumed, engine_speed_scaled, distance_engine_ratio, truck_id FROM SPARK_TABLE_TRANSFORMED",
        ),
        (
            "distance_correlation",
            "SELECT distance_covered, time_elapsed, correlation, truck_id, samples, timestamp FROM TRUCK_DISTANCE_CORRELATION",
        ),
        (
            "engine_speed_correlation",
            "SELECT engine_speed, time_elapsed, correlation, truck_id, samples, timestamp FROM TRUCK_ENGINE_SPEED_CORRELATION",
        ),
    ];
    // Numbers are compared as doubles, bit for bit; a NULL is an empty field.
    let comparable =
        |field: String| field.parse::<f64>().map_or(field, |x| format!("{:016x}", (x + 0.0).to_bits()));
    for (view, query) in tables {
        let mut rows: Vec<Vec<String>> = database
            .query(query)
            .into_iter()
            .map(|row| row.into_iter().map(|field| comparable(field.unwrap_or_default())).collect())
            .collect();
        let mut lines: Vec<Vec<String>> = csv_rows(&out.join(format!("{view}.csv")))
            .into_iter()
            .map(|row| row.into_iter().map(comparable).collect())
            .collect();
        rows.sort();
        lines.sort();
        assert_eq!(rows, lines, "{view}");
    }
}

#[test]
fn golden_cases_from_a_file_into_sqlite() {
    for name in ["demo", "forms"] {
        for workers in [1, 2] {
            let out = tempfile::tempdir().unwrap();
            run(&["--input", case(name).join("input.jsonl").to_str().unwrap()], workers, out.path(), None);
            assert_golden(&case(name), out.path());
        }
    }
}

#[test]
fn golden_cases_from_kafka_into_mariadb() {
    for name in ["demo", "forms"] {
        let topic = unique_topic();
        kafka().create_topic(&topic, 3);
        let input = std::fs::read_to_string(case(name).join("input.jsonl")).unwrap();
        kafka().produce(&topic, (0..).zip(input.lines()).map(|(n, line)| (n % 3, None, line)));
        for workers in [1, 2] {
            let out = tempfile::tempdir().unwrap();
            let database = mariadb().create_database();
            let input = ["--brokers", kafka().brokers(), "--topic", &topic];
            run(&input, workers, out.path(), Some(&database));
            assert_golden(&case(name), out.path());
            assert_tables(&database, out.path());
        }
    }
}

#[test]
fn golden_case_from_the_embedded_broker() {
    let out = tempfile::tempdir().unwrap();
    run(&["--embedded", "--input", case("demo").join("input.jsonl").to_str().unwrap()], 2, out.path(), None);
    assert_golden(&case("demo"), out.path());
}

#[test]
fn golden_case_through_standard_input() {
    let out = tempfile::tempdir().unwrap();
    let input = std::fs::File::open(case("demo").join("input.jsonl")).unwrap();
    let status = std::process::Command::new(env!("CARGO_BIN_EXE_truckflow"))
        .args(["run", "--input", "-", "--listen", "off", "--out"])
        .arg(out.path())
        .stdin(input)
        .status()
        .unwrap();
    assert!(status.success());
    assert_golden(&case("demo"), out.path());
}

#[test]
fn bad_input_becomes_dead_letters_with_exact_bytes_and_stops_nothing() {
    let out = tempfile::tempdir().unwrap();
    let database = mariadb().create_database();
    run(&["--input", case("bad").join("input.jsonl").to_str().unwrap()], 2, out.path(), Some(&database));
    let expected: Vec<_> = csv_rows(&case("bad").join("expected/dead_letters.csv"));
    let mut got: Vec<Vec<String>> = csv_rows(&out.path().join("dead_letters.csv"))
        .into_iter()
        .map(|row| vec![row[2].clone(), row[5].clone(), row[6].clone(), row[7].clone()])
        .collect();
    got.sort();
    assert_eq!(got, expected);
    // The good lines between them are all there.
    assert_eq!(csv_rows(&out.path().join("parameter_map.csv")).len(), expected.len());
    let mut in_table: Vec<Vec<String>> = database
        .query("SELECT `offset`, reason, field, payload FROM TRUCK_DEAD_LETTERS")
        .into_iter()
        .map(|row| row.into_iter().map(Option::unwrap_or_default).collect())
        .collect();
    in_table.sort();
    assert_eq!(in_table, expected);
}

#[test]
fn dead_letters_go_to_a_topic_and_can_be_replayed() {
    let (topic, letters) = (unique_topic(), unique_topic());
    kafka().create_topic(&topic, 1);
    kafka().create_topic(&letters, 1);
    kafka().produce(&topic, [(0, Some(b"key".to_vec()), b"\xff\x00not json".to_vec())]);
    let out = tempfile::tempdir().unwrap();
    let forward = format!("dead_letters.topic={letters}");
    run(&["--brokers", kafka().brokers(), "--topic", &topic, "--set", &forward], 1, out.path(), None);
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
