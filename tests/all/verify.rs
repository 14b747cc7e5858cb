//! `verify` finds what was changed by hand: a cell, a row that is gone, a row twice, a byte of a file. That
//! it finds every golden case right is tested where they run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::{csv_files, csv_of};
use crate::support::process::repository;
use crate::tables::SEED;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A job over a case of `fixtures/`, from a file into SQLite.
struct Done {
    folder: tempfile::TempDir,
    args: Vec<String>,
    /// The views and their tables.
    views: BTreeMap<String, String>,
}

impl Done {
    /// Runs a case to its end, part after part, with these keys over it.
    fn new(case: &str, sets: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (from, input) = (repository().join("fixtures").join(case), folder.path().join("input.jsonl"));
        let path = |path: PathBuf| path.to_str().unwrap().to_owned();
        let mut args = vec!["--listen".into(), "off".into(), "--until-end".into(), "--input".into()];
        args.extend([path(input.clone()), "--out".into(), path(folder.path().join("out"))]);
        if from.join("job.toml").exists() {
            args.extend(["--config".into(), path(from.join("job.toml"))]);
        }
        args.extend(sets.iter().flat_map(|set| ["--set".to_owned(), (*set).to_owned()]));
        let parts = ["input.jsonl".to_owned()].into_iter().chain((2..).map(|n| format!("input-{n}.jsonl")));
        let mut text = Vec::new();
        for part in parts.map_while(|part| std::fs::read(from.join(part)).ok()) {
            text.extend(part);
            std::fs::write(&input, &text).unwrap();
            let (status, said) = Job::start(["run".to_owned()].iter().chain(&args)).wait(TIMEOUT);
            assert!(status.success(), "{case}: {said}");
        }
        let mut done = Self { folder, args, views: BTreeMap::new() };
        let mut job =
            Job::start(["explain".to_owned()].iter().chain(&done.args).chain(&["--json".to_owned()]));
        job.wait(TIMEOUT);
        let json: serde_json::Value = serde_json::from_str(&job.stdout()).expect("JSON");
        for view in json["views"].as_array().unwrap() {
            if let (Some(name), Some(table)) = (view["name"].as_str(), view["table"].as_str()) {
                done.views.insert(name.to_owned(), table.to_owned());
            }
        }
        let expected = if case == "phone" { 2 } else { 6 };
        assert!(json["views"].as_array().unwrap().len() >= expected, "{json}");
        done
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn database(&self) -> PathBuf {
        self.out().join("truckflow.db")
    }

    /// The views that are not as they should be, with what is said of them.
    fn verify(&self) -> BTreeMap<String, String> {
        verify(&self.args)
    }

    /// Changes the database, verifies, and changes it back.
    fn with(&self, change: impl Fn(&Connection)) -> BTreeMap<String, String> {
        let before = std::fs::read(self.database()).unwrap();
        {
            let connection = Connection::open(self.database()).unwrap();
            connection.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
            change(&connection);
        }
        let found = self.verify();
        std::fs::write(self.database(), before).unwrap();
        found
    }
}

fn verify(args: &[String]) -> BTreeMap<String, String> {
    let mut job = Job::start(["verify".to_owned()].iter().chain(args));
    let (status, said) = job.wait(TIMEOUT);
    let found: BTreeMap<String, String> = job
        .stdout()
        .lines()
        .filter_map(|line| line.strip_prefix("FAILED  ")?.split_once(": "))
        .map(|(view, said)| (view.to_owned(), said.to_owned()))
        .collect();
    assert_eq!(status.code(), Some(if found.is_empty() { 0 } else { 1 }), "{}{said}", job.stdout());
    let noun = if found.len() == 1 { "view" } else { "views" };
    assert!(found.is_empty() || said.contains(&format!("{} {noun} differed", found.len())), "{said}");
    found
}

/// Only this view is named, and its table or file.
#[track_caller]
fn assert_names(found: &BTreeMap<String, String>, view: &str, place: &str, what: &str) {
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(names, [view], "{what}: {found:?}");
    assert!(found[view].contains(place), "{what}: {found:?}");
}

/// The columns of a table, but those of the database's own.
fn columns(connection: &Connection, table: &str) -> Vec<String> {
    let mut statement = connection.prepare("SELECT name FROM pragma_table_info(?)").unwrap();
    let names = statement.query_map([table], |row| row.get(0)).unwrap();
    names
        .map(|name| name.unwrap())
        .filter(|name| !["id", "row_key"].contains(&String::as_str(name)))
        .collect()
}

/// The `id` of the row in the middle; none of an empty table.
fn middle(connection: &Connection, table: &str) -> Option<i64> {
    let sql = format!("SELECT id FROM {table} ORDER BY id LIMIT 1 OFFSET (SELECT COUNT(*) / 2 FROM {table})");
    connection.query_row(&sql, [], |row| row.get(0)).ok()
}

fn tables_changed_by_hand(case: &str, sets: &[&str]) {
    let done = Done::new(case, sets);
    assert_eq!(done.verify(), BTreeMap::new());
    let mut changed = 0;
    for (view, table) in &done.views {
        let (names, row) = {
            let connection = Connection::open(done.database()).unwrap();
            (columns(&connection, table), middle(&connection, table))
        };
        let Some(id) = row else { continue };
        for name in &names {
            let value = format!(
                "CASE typeof(\"{name}\") WHEN 'text' THEN \"{name}\" || 'x' WHEN 'blob' THEN X'00' \
                 WHEN 'null' THEN 'x' ELSE \"{name}\" + 1 END"
            );
            let sql = format!("UPDATE {table} SET \"{name}\" = {value} WHERE id = {id}");
            let found = done.with(|connection| assert_eq!(connection.execute(&sql, []).unwrap(), 1));
            // A dead letter that says what a view gave up speaks of that view, too.
            if view == "dead_letters" {
                assert!(found.contains_key(view), "{sql}: {found:?}");
            } else {
                assert_names(&found, view, table, &sql);
            }
            changed += 1;
        }
        let sql = format!("DELETE FROM {table} WHERE id = {id}");
        let found = done.with(|connection| assert_eq!(connection.execute(&sql, []).unwrap(), 1));
        assert!(found.get(view).is_some_and(|said| said.contains(table)), "{sql}: {found:?}");
        let list: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
        let list = list.join(",");
        for which in ["MIN", "MAX"] {
            let sql = format!(
                "INSERT INTO {table} ({list}) SELECT {list} FROM {table} WHERE id = (SELECT {which}(id) FROM {table})"
            );
            let found = done.with(|connection| assert_eq!(connection.execute(&sql, []).unwrap(), 1));
            assert_names(&found, view, table, &sql);
        }
    }
    // The phone's job has two tables.
    assert!(changed >= if case == "phone" { 18 } else { 31 }, "{changed}");
    assert_eq!(done.verify(), BTreeMap::new(), "as it was");
}

#[test]
fn a_table_changed_by_hand_is_found() {
    tables_changed_by_hand("late", &[]);
}

#[test]
fn a_table_of_user_views_and_latest_correlations_changed_by_hand_is_found() {
    tables_changed_by_hand("own", &[]);
}

#[test]
fn a_table_of_an_upsert_job_changed_by_hand_is_found() {
    tables_changed_by_hand("corrections", &[]);
}

#[test]
fn a_table_of_the_phone_changed_by_hand_is_found() {
    tables_changed_by_hand("phone", &[]);
}

/// The places of a file's bytes that are changed, one after the other.
fn places(text: &[u8], view: &str) -> Vec<usize> {
    let header = text.iter().position(|byte| *byte == b'\n').unwrap_or(0) + 1;
    // Of several lines of a closed window the last one holds: earlier ones are of no more use.
    let first = match view {
        "window_averages" => {
            text[..text.len() - 1].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
        }
        _ => header,
    };
    let count = text.len() - first.max(header).min(text.len());
    [0, count / 7, count / 3, count / 2, count * 3 / 4]
        .into_iter()
        .map(|at| first.max(header) + at)
        .filter(|at| *at < text.len())
        .collect()
}

fn files_changed_by_hand(case: &str, sets: &[&str]) {
    let done = Done::new(case, sets);
    assert_eq!(done.verify(), BTreeMap::new());
    let mut changed = 0;
    let mut change = |view: &str, path: &Path, before: &[u8], after: Vec<u8>| {
        std::fs::write(path, &after).unwrap();
        let found = done.verify();
        let what = format!("{} is {}", path.display(), String::from_utf8_lossy(&after));
        assert!(
            found.get(view).is_some_and(|said| said.contains("file")
                || said.contains("table")
                || said.contains("dead letter")),
            "{what}: {found:?}"
        );
        if view != "dead_letters" {
            assert_eq!(found.len(), 1, "{what}: {found:?}");
        }
        std::fs::write(path, before).unwrap();
        changed += 1;
    };
    for view in done.views.keys() {
        let files = csv_files(&csv_of(&done.out(), view));
        // The last line of a window may be in any later file.
        let path = &files[if view == "window_averages" { files.len() - 1 } else { files.len() / 2 }];
        let text = std::fs::read(path).unwrap();
        for at in places(&text, view) {
            let mut other = text.clone();
            other[at] = if other[at] == b'7' { b'3' } else { b'7' };
            change(view, path, &text, other);
        }
        let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
        if lines.len() > 2 && view != "window_averages" {
            change(view, path, &text, lines[..lines.len() - 1].concat());
            let twice = [lines.concat(), lines[1].to_vec()].concat();
            // Behind what was committed there may be anything.
            let twice = [&twice[..text.len() - lines[lines.len() - 1].len()], lines[1]].concat();
            if twice.len() >= text.len() && !twice.starts_with(&text) {
                change(view, path, &text, twice);
            }
        }
        let mut header = text.clone();
        header[0] = b'X';
        change(view, path, &text, header);
    }
    assert!(changed > 40, "{changed}");
    assert_eq!(done.verify(), BTreeMap::new(), "as it was");
}

#[test]
fn a_file_changed_by_hand_is_found() {
    files_changed_by_hand("late", &[]);
}

#[test]
fn a_file_of_user_views_changed_by_hand_is_found() {
    files_changed_by_hand("own", &["parameters.correlation_tables=history"]);
}

#[test]
fn a_file_of_an_upsert_job_changed_by_hand_is_found() {
    files_changed_by_hand("corrections", &[]);
}

#[test]
fn numbered_files_are_verified() {
    files_changed_by_hand("late", &["csv.max_records=7"]);
    for (case, sets) in [
        ("corrections", ["csv.max_records=5", "parameters.correlation_tables=latest"]),
        ("phone", ["csv.max_records=1", "tables.views=[]"]),
        ("ties", ["csv.max_records=100", "csv.views=[\"dead_letters\", \"filtered_join\"]"]),
    ] {
        assert_eq!(Done::new(case, &sets).verify(), BTreeMap::new(), "{case}");
    }
}

/// The arguments of a job over a case that writes to the seed's tables.
fn seed_job(case: &str, database: &Database, out: &Path) -> Vec<String> {
    let case = repository().join("fixtures").join(case);
    let (input, config) = (case.join("input.jsonl"), case.join("job.toml"));
    let mut args =
        vec!["--input", input.to_str().unwrap(), "--out", out.to_str().unwrap(), "--database", &database.url];
    if config.exists() {
        args.extend(["--config", config.to_str().unwrap(), "--job", "phone"]);
    }
    args.into_iter().map(str::to_owned).collect()
}

#[test]
fn the_seed_tables_with_their_old_rows_are_verified() {
    let (of_trucks, of_phone) = (mariadb().create_database(), mariadb().create_database());
    let out = tempfile::tempdir().unwrap();
    of_trucks.query(SEED);
    of_phone.query(SEED);
    let args = seed_job("demo", &of_trucks, &out.path().join("trucks"));
    let phone = seed_job("phone", &of_phone, &out.path().join("phone"));
    let run = ["run", "--until-end", "--listen", "off"].map(str::to_owned);
    for args in [&args, &phone] {
        let (status, said) = Job::start(run.iter().chain(args)).wait(TIMEOUT);
        assert!(status.success(), "{said}");
        assert_eq!(verify(args), BTreeMap::new());
    }
    // The rows that were there before are nobody's business.
    of_trucks.query("UPDATE TRUCK_PARAMETER_MAP SET engine_speed = 1 WHERE id = 1922346");
    of_trucks.query("DELETE FROM SPARK_TABLE_TRANSFORMED WHERE truck_id IS NULL");
    assert_eq!(verify(&args), BTreeMap::new());
    for (view, table, change) in [
        (
            "parameter_map",
            "TRUCK_PARAMETER_MAP",
            "UPDATE TRUCK_PARAMETER_MAP SET engine_speed = engine_speed + 0.01 WHERE id = 1922350",
        ),
        (
            "transformed",
            "SPARK_TABLE_TRANSFORMED",
            "UPDATE SPARK_TABLE_TRANSFORMED SET timestamp = '2020-01-01' WHERE truck_id IS NOT NULL LIMIT 1",
        ),
        (
            "orientation",
            "INGESTED_TABLE_1",
            "DELETE FROM INGESTED_TABLE_1 WHERE seconds_elapsed <> 0.5 LIMIT 1",
        ),
        (
            "above_speed",
            "TRUCK_ABOVE_SPEED",
            "INSERT INTO TRUCK_ABOVE_SPEED (timestamp, distance_covered, engine_speed, truck_id) SELECT timestamp, distance_covered, engine_speed, truck_id FROM TRUCK_ABOVE_SPEED LIMIT 1",
        ),
        (
            "window_averages",
            "TRUCK_WINDOW_AVERAGES",
            "UPDATE TRUCK_WINDOW_AVERAGES SET average_fuel_consumed = average_fuel_consumed + 1e-12 LIMIT 1",
        ),
        (
            "distance_correlation",
            "TRUCK_DISTANCE_CORRELATION",
            "UPDATE TRUCK_DISTANCE_CORRELATION SET correlation = correlation - 1e-12 WHERE truck_id IS NOT NULL LIMIT 1",
        ),
    ] {
        let (args, database) = if view == "orientation" { (&phone, &of_phone) } else { (&args, &of_trucks) };
        let before = database.query(&format!("SELECT COUNT(*) FROM {table}"));
        database.query(&format!("CREATE TABLE keep_it LIKE {table}"));
        database.query(&format!("INSERT INTO keep_it SELECT * FROM {table}"));
        database.query(change);
        assert_names(&verify(args), view, table, change);
        database.query(&format!("DROP TABLE {table}; RENAME TABLE keep_it TO {table}"));
        assert_eq!(database.query(&format!("SELECT COUNT(*) FROM {table}")), before);
    }
    for args in [&args, &phone] {
        assert_eq!(verify(args), BTreeMap::new());
    }
}

#[test]
fn rows_that_the_database_refused_are_not_missed() {
    let (database, out) = (mariadb().create_database(), tempfile::tempdir().unwrap());
    database.query(
        "CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, engine_speed FLOAT(5,2))",
    );
    let reading = |n: usize, speed: &str| {
        format!(
            r#"{{"timestamp": "2023-04-10 01:02:27.5", "distance_covered": {n}, "engine_speed": {speed}, "fuel_consumed": 0}}"#
        )
    };
    let lines: Vec<String> =
        (0..50).map(|n| reading(n, if n % 20 == 7 { "1000" } else { "80.126" })).collect();
    let input = out.path().join("input.jsonl");
    std::fs::write(&input, lines.join("\n")).unwrap();
    let args = [
        "--input",
        input.to_str().unwrap(),
        "--out",
        out.path().to_str().unwrap(),
        "--database",
        &database.url,
    ];
    let args = args.map(str::to_owned).to_vec();
    let run = ["run", "--until-end", "--listen", "off"].map(str::to_owned);
    let (status, said) = Job::start(run.iter().chain(&args)).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    assert_eq!(database.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP")[0][0].as_deref(), Some("47"));
    assert_eq!(verify(&args), BTreeMap::new());
    database.query("DELETE FROM TRUCK_PARAMETER_MAP LIMIT 1");
    assert_names(&verify(&args), "parameter_map", "lacks 2023-04-10 01:02:27.500000,", "another row is gone");
}

#[test]
fn a_topic_is_verified_as_far_as_it_is_committed_and_still_there() {
    let (database, out, topic) = (mariadb().create_database(), tempfile::tempdir().unwrap(), unique_topic());
    kafka().create_topic(&topic, 2);
    let reading = |n: i32| {
        format!(
            r#"{{"timestamp": "2023-04-10 01:02:{:02}", "distance_covered": {n}, "engine_speed": {}, "fuel_consumed": 0}}"#,
            n % 60,
            70 + n
        )
    };
    kafka().produce(&topic, (0..40).map(|n| (n % 2, None, reading(n))));
    let args = [
        "--brokers",
        kafka().brokers(),
        "--topic",
        &topic,
        "--out",
        out.path().to_str().unwrap(),
        "--database",
        &database.url,
    ];
    let args = args.map(str::to_owned).to_vec();
    let run = ["run", "--until-end", "--listen", "off"].map(str::to_owned);
    let (status, said) = Job::start(run.iter().chain(&args)).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    kafka().produce(&topic, (0..5).map(|n| (n % 2, None, "not read yet")));
    assert_eq!(verify(&args), BTreeMap::new());
    database.query("UPDATE TRUCK_ABOVE_SPEED SET engine_speed = engine_speed + 1 LIMIT 1");
    assert_names(&verify(&args), "above_speed", "the nearest row is", "a changed row");
    kafka().delete_before(&topic, 1, 3);
    let (status, said) = Job::start(["verify".to_owned()].iter().chain(&args)).wait(TIMEOUT);
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("partition 1 begins at offset 3"), "{said}");
}

#[test]
fn an_embedded_job_with_late_readings_in_a_table_is_found_right() {
    let done = Done::new("late", &["embedded=true"]);
    let letters = Connection::open(done.database()).unwrap();
    let late = "SELECT COUNT(*) FROM TRUCK_DEAD_LETTERS WHERE reason = 'late'";
    assert!(letters.query_row(late, [], |row| row.get::<_, i64>(0)).unwrap() > 0);
    drop(letters);
    assert_eq!(done.verify(), BTreeMap::new());
}

#[test]
fn nothing_is_written_and_a_job_that_runs_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("input.jsonl"), folder.path().join("out"));
    std::fs::copy(repository().join("fixtures/demo/input.jsonl"), &input).unwrap();
    let args = ["--input", input.to_str().unwrap(), "--out", out.to_str().unwrap()].map(str::to_owned);
    let ended = |command: &[&str], args: &[String]| {
        let command = command.iter().map(|word| (*word).to_owned());
        let mut job = Job::start(command.chain(args.iter().cloned()));
        let (status, said) = job.wait(TIMEOUT);
        (status.code(), job.stdout(), said)
    };
    let (status, _, said) = ended(&["verify"], &args);
    assert_eq!(status, Some(1));
    assert!(said.contains("has no commit in this database") && !out.exists(), "{said}");

    let mut job = Job::start(["run", "--listen", "off"].map(str::to_owned).iter().chain(&args));
    job.wait_for_line("reading", TIMEOUT);
    let (status, _, said) = ended(&["verify"], &args);
    assert_eq!(status, Some(1));
    assert!(said.contains("job `truckflow` is running; stop it first"), "{said}");
    job.terminate();
    job.wait(TIMEOUT);
    ended(&["run", "--until-end", "--listen", "off"], &args);

    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(&out)
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.path(), entry.metadata().unwrap().modified().unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = files();
    let (status, stdout, said) = ended(&["verify"], &args);
    assert_eq!(status, Some(0), "{stdout}{said}");
    assert!(stdout.contains("ok      distance_correlation: 3 rows, table and file\n"), "{stdout}");
    assert_eq!(files(), before);

    let (status, stdout, _) = ended(&["verify", "--json"], &args);
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((status, &json["failed"]), (Some(0), &0.into()), "{json}");
    assert!(
        json["checks"]
            .as_array()
            .unwrap()
            .iter()
            .any(|look| look["what"] == "filtered_join" && look["ok"] == true),
        "{json}"
    );
    let (status, _, said) = ended(&["verify", "--input", "-"], &args[2..]);
    assert!(status == Some(2) && said.contains("standard input cannot be read a second time"), "{said}");
}
