//! Tables that were there before: the seed's narrow ones, ones that cannot be used, rows that do not
//! fit; and the simulator, which goes on from what they hold.

use std::time::Duration;

use crate::support::job::Job;
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::csv_rows;
use crate::support::process::repository;

const TIMEOUT: Duration = Duration::from_secs(30);

const SEED: &str = "
    CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, timestamp DATETIME, distance_covered FLOAT,
        engine_speed FLOAT, fuel_consumed FLOAT);
    INSERT INTO TRUCK_PARAMETER_MAP VALUES (1922346, '2023-04-10 01:02:27', 0, 80.22, 0),
        (1922347, '2023-04-10 01:02:28', 0.01, 79.2, 0);
    CREATE TABLE TRUCK_DISTANCE_CORRELATION (id INT AUTO_INCREMENT PRIMARY KEY, distance_covered DOUBLE,
        time_elapsed DOUBLE, correlation DOUBLE);
    CREATE TABLE TRUCK_ENGINE_SPEED_CORRELATION (id INT AUTO_INCREMENT PRIMARY KEY, engine_speed DOUBLE,
        time_elapsed DOUBLE, correlation DOUBLE);";

/// Runs a file into a database; gives the status and what was said.
fn run(input: &str, url: &str, out: &str) -> (Option<i32>, String) {
    let args = ["run", "--input", input, "--until-end", "--listen", "off", "--database", url, "--out", out];
    let (status, said) = Job::start(args).wait(TIMEOUT);
    (status.code(), said)
}

fn demo() -> String {
    repository().join("fixtures/demo/input.jsonl").to_str().unwrap().to_owned()
}

fn one(database: &Database, query: &str) -> String {
    database.query(query)[0][0].clone().unwrap_or_default()
}

#[test]
fn the_seed_tables_are_extended_and_their_rows_stay() {
    let (database, out) = (mariadb().create_database(), tempfile::tempdir().unwrap());
    database.query(SEED);
    let old = "SELECT id, timestamp, distance_covered, engine_speed, fuel_consumed FROM TRUCK_PARAMETER_MAP WHERE id <= 1922347";
    let before = database.query(old);
    let (status, said) = run(&demo(), &database.url, out.path().to_str().unwrap());
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(database.query(old), before);
    assert_eq!(one(&database, "SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP"), "6002");
    // A DATETIME keeps whole seconds: they are cut, as the seed's were.
    let at = one(&database, "SELECT MAX(timestamp) FROM TRUCK_PARAMETER_MAP");
    assert_eq!(at, "2023-04-10 01:14:22");
    let latest = csv_rows(&repository().join("fixtures/demo/expected/distance_correlation.csv"));
    for row in latest {
        let query = format!(
            "SELECT correlation FROM TRUCK_DISTANCE_CORRELATION WHERE truck_id = '{}' ORDER BY id DESC",
            row[3]
        );
        assert_eq!(one(&database, &query).parse::<f64>().unwrap(), row[2].parse::<f64>().unwrap());
    }
}

#[test]
fn a_column_of_another_type_is_refused_with_the_statement_that_mends_it() {
    let (database, out) = (mariadb().create_database(), tempfile::tempdir().unwrap());
    database.query("CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, timestamp INT)");
    let (status, said) = run(&demo(), &database.url, out.path().to_str().unwrap());
    assert_eq!(status, Some(1), "{said}");
    let start = said.find("ALTER TABLE").expect("a statement");
    let statement = said[start..].lines().next().unwrap();
    assert!(said.contains("TRUCK_PARAMETER_MAP") && statement.contains("DATETIME(6)"), "{said}");
    database.query(statement);
    let (status, said) = run(&demo(), &database.url, out.path().to_str().unwrap());
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn a_missing_privilege_is_refused_with_the_grant() {
    let (database, out) = (mariadb().create_database(), tempfile::tempdir().unwrap());
    let (name, user) = (&database.name, format!("u_{}", database.name));
    database.query(&format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT ON {name}.* TO '{user}'@'127.0.0.1'"));
    let url = database.url.replace("root@", &format!("{user}:pw@"));
    let (status, said) = run(&demo(), &url, out.path().to_str().unwrap());
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(&format!("GRANT CREATE ON `{name}`")), "{said}");
}

#[test]
fn a_row_that_a_column_cannot_hold_becomes_a_dead_letter_and_the_rest_commits() {
    let (database, out) = (mariadb().create_database(), tempfile::tempdir().unwrap());
    database
        .query("CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, distance_covered INT)");
    let reading = |distance: &str| {
        format!(
            r#"{{"timestamp": "2023-04-10 01:02:27", "distance_covered": {distance}, "engine_speed": 1, "fuel_consumed": 0}}"#
        )
    };
    let lines: Vec<String> = (0..500).map(|n| reading(if n == 123 { "9000000000" } else { "5" })).collect();
    let input = out.path().join("input.jsonl");
    std::fs::write(&input, lines.join("\n")).unwrap();
    let (status, said) = run(input.to_str().unwrap(), &database.url, out.path().to_str().unwrap());
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(one(&database, "SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP"), "499");
    // Its other views took it.
    assert_eq!(one(&database, "SELECT COUNT(*) FROM SPARK_TABLE_TRANSFORMED"), "500");
    assert_eq!(one(&database, "SELECT samples FROM TRUCK_DISTANCE_CORRELATION"), "500");
    let letters = database.query("SELECT topic, reason, payload FROM TRUCK_DEAD_LETTERS");
    let fields: Vec<_> = letters[0].iter().flatten().map(String::as_str).collect();
    assert_eq!(letters.len(), 1);
    assert_eq!(
        fields,
        ["parameter_map", "refused_by_database", "2023-04-10 01:02:27.000000,9000000000,1,0,"]
    );
    assert_eq!(csv_rows(&out.path().join("dead_letters.csv")).len(), 1);
}

#[test]
fn the_simulator_goes_on_from_the_tables() {
    let (database, out) = (mariadb().create_database(), tempfile::tempdir().unwrap());
    let (status, said) = run(&demo(), &database.url, out.path().to_str().unwrap());
    assert_eq!(status, Some(0), "{said}");
    let more = out.path().join("more.jsonl").to_str().unwrap().to_owned();
    let args =
        ["simulate", "--trucks", "3", "--records", "300", "--to", &more, "--resume-from", &database.url];
    let (status, said) = Job::start(args).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    for line in std::fs::read_to_string(&more).unwrap().lines() {
        let reading: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(reading["distance_covered"].as_f64().unwrap() >= 15.9, "{line}");
        assert!(reading["timestamp"].as_str().unwrap() > "2023-04-10 01:14:22", "{line}");
    }
}
