//! `verify` of windows that overlap, with late readings, from a file into SQLite: what follows from the dead letters is
//! compared, and what does not is counted.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::support::job::Job;

const TIMEOUT: Duration = Duration::from_secs(60);

const SQL: &str = "
CREATE MATERIALIZED VIEW hops WITH (grace = '10m') AS
SELECT truck_id, window_start, COUNT(*) AS samples, SUM(engine_speed) AS speed
FROM HOP(readings, timestamp, INTERVAL '30 minutes', INTERVAL '1 hour')
GROUP BY truck_id, window_start, window_end;

CREATE MATERIALIZED VIEW many WITH (grace = '10m', emit = 'changes') AS
SELECT truck_id, window_end, COUNT(*) AS samples
FROM HOP(readings, timestamp, INTERVAL '30 minutes', INTERVAL '1 hour')
GROUP BY truck_id, window_end HAVING COUNT(*) > 1;

CREATE MATERIALIZED VIEW hidden WITH (grace = '10m') AS
SELECT window_start, COUNT(*) AS samples
FROM HOP(readings, timestamp, INTERVAL '30 minutes', INTERVAL '1 hour')
GROUP BY truck_id, window_start;

CREATE MATERIALIZED VIEW once WITH (grace = '10m') AS
SELECT truck_id, window_start, COUNT(*) AS samples
FROM TUMBLE((SELECT DISTINCT truck_id, timestamp FROM readings), timestamp, INTERVAL '1 hour')
GROUP BY truck_id, window_start;

CREATE VIEW hourly AS
SELECT truck_id, COUNT(*) AS samples
FROM TUMBLE(readings, timestamp, INTERVAL '1 hour') GROUP BY truck_id, window_start, window_end;

CREATE MATERIALIZED VIEW steps WITH (grace = '10m') AS
SELECT truck_id, samples FROM hourly UNION ALL SELECT truck_id, 0 AS samples FROM readings;

CREATE MATERIALIZED VIEW pairs WITH (grace = '10m') AS
SELECT a.timestamp, b.engine_speed FROM readings a JOIN readings b
  ON a.truck_id = b.truck_id AND b.timestamp BETWEEN a.timestamp AND a.timestamp;

CREATE MATERIALIZED VIEW before WITH (grace = '10m') AS
SELECT a.timestamp, b.engine_speed FROM readings a
JOIN (SELECT truck_id, timestamp - INTERVAL '1 hour' AS hence, engine_speed FROM readings) b
  ON a.truck_id = b.truck_id AND b.hence BETWEEN a.timestamp AND a.timestamp + INTERVAL '1 hour';
";

/// Appends readings at these times of a day, and runs the job up to there.
fn run(folder: &Path, times: &[&str]) {
    let mut input = OpenOptions::new().create(true).append(true).open(folder.join("input.jsonl")).unwrap();
    for (speed, time) in (80..).zip(times) {
        let reading = format!(
            r#"{{"timestamp":"2023-04-10 {time}:00","distance_covered":1.0,"engine_speed":{speed}.0,"fuel_consumed":1.0,"truck_id":"a"}}"#
        );
        writeln!(input, "{reading}").unwrap();
    }
    drop(input);
    let (status, said) = job(folder, &["run", "--until-end", "--listen", "off"]).wait(TIMEOUT);
    assert!(status.success(), "{said}");
}

fn job(folder: &Path, command: &[&str]) -> Job {
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (views, input, out) = (path("views.sql"), path("input.jsonl"), path("out"));
    Job::start([command, &["--sql", &views, "--input", &input, "--out", &out]].concat())
}

/// What `verify` says of each view.
fn verified(folder: &Path) -> Vec<String> {
    let mut job = job(folder, &["verify"]);
    job.wait(TIMEOUT);
    let said = job.stdout();
    let of_views = |line: &&str| {
        ["hops", "many", "hidden", "once", "steps", "pairs", "before"]
            .iter()
            .any(|view| line[8..].starts_with(view))
    };
    said.lines().filter(of_views).map(str::to_owned).collect()
}

/// What it says after a change of the database, which is undone.
fn with(folder: &Path, change: &str) -> Vec<String> {
    let path = folder.join("out/truckflow.db");
    let before = std::fs::read(&path).unwrap();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("PRAGMA journal_mode = DELETE").unwrap();
    assert_eq!(connection.execute(change, []).unwrap(), 1, "{change}");
    drop(connection);
    let said = verified(folder);
    std::fs::write(path, before).unwrap();
    said
}

#[test]
fn overlapping_windows_with_late_readings_are_compared_as_far_as_they_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("views.sql"), SQL).unwrap();
    run(folder, &["10:00", "10:40", "11:15"]);
    // It is late for the window that ended at 11:00, and counts in the one until 11:30.
    run(folder, &["10:45"]);
    let of_rows = "not compared, because of 1 dead letter for rows that are not readings";
    let in_parts = "not compared, as 1 dropped reading may count in some of its windows or steps";
    let [hidden, steps, before] =
        ["hidden", "steps", "before"].map(|view| format!("ok      {view}: {in_parts}"));
    // The join drops the reading from both sides.
    let pairs = |rows: usize| format!("ok      pairs: {rows} rows, table and file");
    let once = format!("ok      once: {of_rows}");
    assert_eq!(
        verified(folder),
        [
            "ok      hops: 4 rows, table and file",
            "ok      many: 2 rows, table and file",
            &hidden,
            &once,
            &steps,
            &pairs(3),
            &before
        ]
    );
    let at = |time: &str| {
        format!("UPDATE HOPS SET samples = 1 WHERE window_start = '2023-04-10 {time}:00.000000'")
    };
    for time in ["10:00", "10:30"] {
        let said = with(folder, &at(time));
        assert!(said[0].starts_with("FAILED  hops: table HOPS"), "{time}: {said:?}");
    }
    // Whether the late reading counts until 11:30 could now depend on when it came.
    run(folder, &["13:00"]);
    let unknown = "; 1 window not compared, in which late readings may count";
    let hops = format!("ok      hops: 5 rows, table and file{unknown}");
    let many = format!("ok      many: 1 row, table and file{unknown}");
    assert_eq!(
        verified(folder),
        [&hops, &many, &hidden, &once, &steps, &pairs(4), &before].map(String::as_str)
    );
    assert_eq!(with(folder, &at("10:30"))[0], hops);
    assert!(with(folder, &at("10:00"))[0].starts_with("FAILED  hops: table HOPS"));
    let said = with(folder, "DELETE FROM MANY WHERE window_end = '2023-04-10 11:00:00.000000'");
    assert!(said[1].starts_with("FAILED  many: table MANY lacks"), "{said:?}");
}
