//! Kills at any moment, restarts with other numbers of workers: tables and files hold exactly what
//! an undisturbed run gives.

use std::path::Path;
use std::time::Duration;

use crate::support::job::{Job, readings};
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, Mariadb, mariadb};
use crate::support::output::{assert_same, csv_files, csv_rows};
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);

/// Small epochs, so that there are many commits to be killed at.
const EPOCHS: [&str; 4] = ["--set", "limits.epoch_records=4000", "--commit-interval", "50ms"];

fn job(input: &[&str], workers: usize, out: &Path, database: Option<&Database>) -> Job {
    let (out, workers) = (out.to_str().unwrap(), workers.to_string());
    let mut args = vec!["run", "--until-end", "--listen", "off", "--out", out, "--workers", &workers];
    args.extend(EPOCHS);
    args.extend(input);
    if let Some(database) = database {
        args.extend(["--database", &database.url]);
    }
    Job::start(args)
}

fn finish(mut job: Job) {
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
}

#[test]
fn five_kills_leave_no_trace_in_mariadb_and_files() {
    const RECORDS: usize = 100_000;
    let folder = tempfile::tempdir().unwrap();
    let file = readings(folder.path(), RECORDS);
    let topic = unique_topic();
    kafka().create_topic(&topic, 4);
    let replay = ["replay", &file, "--topic", &topic, "--brokers", kafka().brokers()];
    finish(Job::start(replay));
    let input = ["--brokers", kafka().brokers(), "--topic", &topic];

    let undisturbed = folder.path().join("undisturbed");
    finish(job(&input, 2, &undisturbed, None));

    let (disturbed, database) = (folder.path().join("disturbed"), mariadb().create_database());
    let committed = || -> usize {
        let tables = database.query("SHOW TABLES LIKE 'truckflow_offsets'");
        if tables.is_empty() {
            return 0;
        }
        let rows = database.query("SELECT COALESCE(SUM(next_offset), 0) FROM truckflow_offsets");
        rows[0][0].as_deref().unwrap_or("0").parse().unwrap()
    };
    for (kill, workers) in [(1, 1), (2, 2), (3, 1), (4, 2), (5, 1)] {
        let mut job = job(&input, workers, &disturbed, Some(&database));
        // Somewhere past the last kill, in whatever it is doing then.
        eventually(TIMEOUT, "more is committed", || committed() > kill * RECORDS / 10);
        job.kill9();
    }
    assert!(committed() < RECORDS, "it was killed while there was work left");
    finish(job(&input, 2, &disturbed, Some(&database)));

    assert_same(&undisturbed, &disturbed);
    let count = |table: &str| database.query(&format!("SELECT COUNT(*) FROM {table}"))[0][0].clone().unwrap();
    assert_eq!(count("TRUCK_PARAMETER_MAP"), RECORDS.to_string());
    assert_eq!(count("SPARK_TABLE_TRANSFORMED"), RECORDS.to_string());
    let lines = csv_rows(&disturbed.join("distance_correlation.csv")).len();
    assert_eq!(count("TRUCK_DISTANCE_CORRELATION"), lines.to_string());
}

#[test]
fn kills_leave_no_trace_in_sqlite_and_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = readings(folder.path(), 400_000);
    let input = ["--input", file.as_str()];
    let undisturbed = folder.path().join("undisturbed");
    finish(job(&input, 2, &undisturbed, None));
    let disturbed = folder.path().join("disturbed");
    let length = || std::fs::metadata(disturbed.join("parameter_map.csv")).map_or(0, |file| file.len());
    for workers in [1, 2, 1, 2] {
        let before = length();
        let mut job = job(&input, workers, &disturbed, None);
        eventually(TIMEOUT, "the file grows", || length() > before + 200_000);
        job.kill9();
    }
    finish(job(&input, 2, &disturbed, None));
    assert_same(&undisturbed, &disturbed);
}

#[test]
fn rotation_survives_kills() {
    const MAX_RECORDS: usize = 1000;
    let folder = tempfile::tempdir().unwrap();
    let file = readings(folder.path(), 200_000);
    // Dead letters with quotes and commas, of which some fill files of their own.
    let mut text = String::new();
    for (number, line) in std::fs::read_to_string(&file).unwrap().lines().enumerate() {
        text += line;
        text += if number % 40 == 0 { "\n{\"timestamp\", \"a\"\n" } else { "\n" };
    }
    std::fs::write(&file, text).unwrap();
    let input = ["--input", file.as_str()];
    let undisturbed = folder.path().join("undisturbed");
    finish(job(&input, 2, &undisturbed, None));
    let disturbed = folder.path().join("disturbed");
    let rotated = ["--input", file.as_str(), "--set", "csv.max_records=1000", "--summary"];
    let files = |view: &str| csv_files(&disturbed.join(view)).len();
    for workers in [1, 2, 1, 2, 1] {
        let before = files("parameter_map");
        let mut job = job(&rotated, workers, &disturbed, None);
        eventually(TIMEOUT, "there are more files", || files("parameter_map") > before + 10);
        job.kill9();
    }
    assert!(files("parameter_map") < 200, "it was killed while there was work left");
    let mut job = job(&rotated, 2, &disturbed, None);
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
    assert!(job.stdout().contains("parameter_map/ (200 files)"), "{}", job.stdout());
    assert!(job.stdout().contains("truck-"), "{}", job.stdout());
    assert_same(&undisturbed, &disturbed);
    for (view, count) in [("parameter_map", 200), ("transformed", 200), ("dead_letters", 5)] {
        let files = csv_files(&disturbed.join(view));
        assert_eq!(files.len(), count, "{view}");
        for file in files {
            assert_eq!(csv_rows(&file).len(), MAX_RECORDS, "{}", file.display());
        }
    }
}

#[test]
fn a_database_that_goes_away_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let file = readings(folder.path(), 200_000);
    let input = ["--input", file.as_str()];
    let undisturbed = folder.path().join("undisturbed");
    finish(job(&input, 1, &undisturbed, None));
    let mut server = Mariadb::start();
    let database = server.create_database();
    let disturbed = folder.path().join("disturbed");
    let mut job = job(&input, 1, &disturbed, Some(&database));
    eventually(TIMEOUT, "something is committed", || {
        !database.query("SHOW TABLES LIKE 'TRUCK_PARAMETER_MAP'").is_empty()
            && database.query("SELECT 1 FROM TRUCK_PARAMETER_MAP LIMIT 1").len() == 1
    });
    server.kill();
    job.wait_for_line("trying again", TIMEOUT);
    server.restart();
    finish(job);
    assert_same(&undisturbed, &disturbed);
    assert_eq!(database.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP")[0][0].as_deref(), Some("200000"));
}

#[test]
fn a_signal_finishes_the_open_epoch_and_ends_with_0() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 2);
    let line = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;
    kafka().produce(&topic, (0..100).map(|n| (n % 2, None, line)));
    let out = tempfile::tempdir().unwrap();
    let file = out.path().join("parameter_map.csv");
    let args = ["run", "--brokers", kafka().brokers(), "--topic", &topic, "--listen", "off", "--out"];
    let mut job = Job::start(args.into_iter().chain([out.path().to_str().unwrap()]));
    eventually(TIMEOUT, "all is written", || file.exists() && csv_rows(&file).len() == 100);
    kafka().produce(&topic, (0..100).map(|n| (n % 2, None, line)));
    eventually(TIMEOUT, "more is written", || csv_rows(&file).len() > 100);
    job.terminate();
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
}

#[test]
fn a_job_goes_on_where_it_stopped_when_more_arrives() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 2);
    let line = |n: i32| {
        format!(
            r#"{{"timestamp": "2023-04-10 01:02:{:02}", "distance_covered": {n}, "engine_speed": {}, "fuel_consumed": 0}}"#,
            n % 60,
            80 + n % 7
        )
    };
    let input = ["--brokers", kafka().brokers(), "--topic", &topic];
    let folder = tempfile::tempdir().unwrap();
    let (steps, whole) = (folder.path().join("steps"), folder.path().join("whole"));
    for step in 0..3 {
        kafka().produce(&topic, (step * 50..(step + 1) * 50).map(|n| (n % 2, None, line(n))));
        finish(job(&input, 1 + step as usize % 2, &steps, None));
    }
    finish(job(&input, 1, &whole, None));
    assert_same(&whole, &steps);
}

#[test]
fn offsets_that_are_gone_from_the_broker_stop_the_job() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 2);
    let line = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;
    let input = ["--brokers", kafka().brokers(), "--topic", &topic];
    let folder = tempfile::tempdir().unwrap();
    kafka().produce(&topic, (0..10).map(|_| (0, None, line)));
    finish(job(&input, 1, folder.path(), None));
    // Partition 0 was read up to 10, partition 1 had no message yet.
    kafka().produce(&topic, (0..60).map(|n| (n % 2, None, line)));
    kafka().delete_before(&topic, 0, 30);
    let (status, said) = job(&input, 1, folder.path(), None).wait(TIMEOUT);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("partition 0: offsets 10 to 29 ") && said.contains("on_data_loss"), "{said}");
    let mut go_on = input.to_vec();
    go_on.extend(["--set", "on_data_loss=earliest"]);
    finish(job(&go_on, 1, folder.path(), None));
    assert_eq!(csv_rows(&folder.path().join("parameter_map.csv")).len(), 10 + 10 + 30);
    kafka().produce(&topic, (0..5).map(|_| (1, None, line)));
    kafka().delete_before(&topic, 1, 35);
    let (status, said) = job(&input, 1, folder.path(), None).wait(TIMEOUT);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("partition 1: offsets 30 to 34 "), "{said}");
}

#[test]
fn a_partition_without_a_message_yet_is_watched_from_the_first_start() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 1);
    let line = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;
    let input = ["--brokers", kafka().brokers(), "--topic", &topic];
    let folder = tempfile::tempdir().unwrap();
    finish(job(&input, 1, folder.path(), None));
    kafka().produce(&topic, (0..10).map(|_| (0, None, line)));
    kafka().delete_before(&topic, 0, 4);
    let (status, said) = job(&input, 1, folder.path(), None).wait(TIMEOUT);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("partition 0: offsets 0 to 3 "), "{said}");
}

#[test]
fn a_topic_that_is_made_later_is_waited_for() {
    let topic = unique_topic();
    let folder = tempfile::tempdir().unwrap();
    let mut waiting =
        job(&["--brokers", kafka().brokers(), "--topic", &topic, "--wait"], 1, folder.path(), None);
    waiting.wait_for_line("trying again", TIMEOUT);
    kafka().create_topic(&topic, 1);
    finish(waiting);
}
