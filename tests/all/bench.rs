//! What `bench` measures on real servers: that it counts right, touches nothing of the user's, and
//! leaves nothing behind. How fast something is, is not asserted.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::mariadb;
use crate::support::process::{new_folder, repository};
use crate::support::wait::eventually;

const LONG: Duration = Duration::from_secs(240);

/// What is left behind by one measurement cannot be told from what another one has: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn fixture() -> String {
    repository().join("fixtures/demo/input.jsonl").to_str().unwrap().to_owned()
}

/// A topic with so many readings.
fn topic_of(records: u64, partitions: i32) -> String {
    let topic = unique_topic();
    fill(&topic, records, partitions);
    topic
}

/// Makes a topic with so many readings.
fn fill(topic: &str, records: u64, partitions: i32) {
    kafka().create_topic(topic, partitions);
    let records = records.to_string();
    let args = ["simulate", "--trucks", "9", "--records", &records, "--to", "topic", "--topic", topic];
    let (status, said) = Job::start(args.iter().chain(&["--brokers", kafka().brokers()])).wait(LONG);
    assert!(status.success(), "{said}");
}

fn files(folder: &Path) -> Vec<(String, u64)> {
    let entry = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.expect("an entry");
        (entry.file_name().to_string_lossy().into_owned(), entry.metadata().expect("metadata").len())
    };
    let mut files: Vec<_> = std::fs::read_dir(folder).expect("a folder").map(entry).collect();
    files.sort();
    files
}

/// The topics, groups and databases of measurements that are there.
fn left_behind() -> Vec<String> {
    let mut left = kafka().topics_and_groups();
    let databases = mariadb().create_database().query("SHOW DATABASES");
    left.extend(databases.into_iter().filter_map(|mut row| row[0].take()));
    left.retain(|name| name.starts_with("truckflow-bench-") || name.starts_with("truckflow_bench_"));
    left
}

#[track_caller]
fn nothing_is_left_behind() {
    eventually(LONG, "nothing is left behind", || left_behind().is_empty());
}

/// Measures, and gives what is printed as JSON.
fn measure(args: &[&str]) -> Value {
    let mut job = Job::start([&["bench", "--json"], args].concat());
    let (status, said) = job.wait(LONG);
    assert!(status.success(), "{said}");
    serde_json::from_str(&job.stdout()).unwrap_or_else(|error| panic!("{error}: {}", job.stdout()))
}

#[track_caller]
fn positive(value: &Value) -> f64 {
    let number = value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!(number > 0.0, "{number}");
    number
}

#[test]
fn a_topic_is_measured_and_the_users_job_is_not_touched() {
    let _alone = alone();
    let topic = topic_of(3000, 3);
    let (database, out) = (mariadb().create_database(), new_folder("bench"));
    let out_name = out.to_str().unwrap();
    let job = ["--brokers", kafka().brokers(), "--topic", &topic, "--out", out_name, "--workers", "2"];
    let job = [&job[..], &["--database", &database.root, "--commit-interval", "50ms"]].concat();
    let (status, said) =
        Job::start([&["run", "--until-end", "--listen", "off"], job.as_slice()].concat()).wait(LONG);
    assert!(status.success(), "{said}");
    let held = || {
        let sum = "CHECKSUM TABLE TRUCK_PARAMETER_MAP, truckflow_jobs, truckflow_offsets, truckflow_state";
        (
            files(&out),
            database.query(sum),
            database.query("SHOW TABLES"),
            kafka().committed("truckflow", &topic),
        )
    };
    let before = held();

    let json = measure(&[&job[..], &["--runs", "2", "--rate", "500", "--seconds", "2"]].concat());
    assert_eq!(held(), before);
    nothing_is_left_behind();

    let throughput = &json["throughput"];
    let ways: Vec<_> = throughput["bare"].as_array().unwrap().iter().map(|bare| &bare["way"]).collect();
    assert_eq!(ways, ["batch", "poll"]);
    let bare = throughput["bare"].as_array().unwrap().iter().map(|bare| &bare["runs"]);
    for runs in bare.chain([&throughput["job"]]) {
        assert_eq!(runs.as_array().unwrap().len(), 2);
        for run in runs.as_array().unwrap() {
            assert_eq!((&run["records"], &run["messages"]), (&3000.into(), &3000.into()));
            positive(&run["records_per_second"]);
        }
    }
    let medians =
        throughput["bare"].as_array().unwrap().iter().map(|bare| positive(&bare["records_per_second"]));
    let ratio = positive(&throughput["job_records_per_second"]) / medians.fold(0.0, f64::max);
    assert!((positive(&throughput["ratio"]) - ratio).abs() < 1e-9, "{throughput}");
    assert!(positive(&throughput["peak_memory_bytes"]) > 1e6);

    let latency = &json["latency"];
    assert_eq!(latency["sent"], 1500);
    let measured = positive(&latency["measured"]);
    assert!((500.0..1500.0).contains(&measured), "without those of the first second: {measured}");
    let percentiles =
        ["p50_ms", "p90_ms", "p99_ms", "p99_9_ms", "max_ms"].map(|name| positive(&latency[name]));
    assert!(percentiles.is_sorted(), "{percentiles:?}");
    positive(&latency["peak_memory_bytes"]);

    let starts = json["start"].as_array().unwrap();
    assert_eq!(starts[0]["database"], "SQLite");
    assert!(starts[1]["database"].as_str().unwrap().contains("MariaDB"), "{json}");
    for start in starts {
        positive(&start["first_commit_ms"]);
        positive(&start["restart_first_commit_ms"]);
    }
    positive(&json["machine"]["cores"]);
    positive(&json["machine"]["memory_bytes"]);
}

#[test]
fn the_first_records_of_a_topic_are_measured() {
    let _alone = alone();
    let topic = topic_of(3000, 3);
    let args = ["--brokers", kafka().brokers(), "--topic", &topic, "--records", "700", "--runs", "1"];
    let epochs = ["--seconds", "0", "--set", "limits.epoch_records=100", "--builtin-views", "above_speed"];
    let json = measure(&[&args[..], &epochs].concat());
    assert!(json["latency"].is_null());
    for bare in json["throughput"]["bare"].as_array().unwrap() {
        assert_eq!(bare["runs"][0]["messages"], 700);
    }
    // It stops at a commit.
    assert!((700.0..=3000.0).contains(&positive(&json["throughput"]["job"][0]["records"])), "{json}");
    nothing_is_left_behind();
}

#[test]
fn a_file_is_measured_and_shown_as_a_table() {
    let out = new_folder("bench");
    let args = ["bench", "--input", &fixture(), "--runs", "1", "--out", out.to_str().unwrap()];
    let mut job = Job::start(args);
    let (status, said) = job.wait(LONG);
    let table = job.stdout();
    assert!(status.success(), "{said}");
    for words in [
        "input.jsonl, 6,000 records",
        "line count of the file",
        "the job, as a fraction",
        "MiB",
        "latency was not measured",
        "SQLite",
    ] {
        assert!(table.contains(words), "`{words}` is not in:\n{table}");
    }
    assert!(files(&out).is_empty(), "{:?}", files(&out));
}

#[test]
fn a_file_of_another_record_is_measured() {
    let (path, out) = (repository().join("fixtures/phone/orientation.csv"), new_folder("bench"));
    let record = ["--set", "message.preset=orientation", "--set", "message.format=csv"];
    let measured = measure(
        &[&record[..], &["--input", path.to_str().unwrap(), "--runs", "1", "--out", out.to_str().unwrap()]]
            .concat(),
    );
    let job = &measured["throughput"]["job"][0];
    // Its lines; the first one names the columns.
    assert_eq!((&job["records"], &job["dead_letters"]), (&45.into(), &0.into()), "{measured}");
    positive(&measured["start"][0]["first_commit_ms"]);
}

#[test]
fn an_interrupted_measurement_leaves_nothing_behind() {
    let _alone = alone();
    let topic = topic_of(100, 2);
    let (database, out) = (mariadb().create_database(), new_folder("bench"));
    let mut job = Job::start([
        "bench",
        "--brokers",
        kafka().brokers(),
        "--topic",
        &topic,
        "--database",
        &database.root,
        "--out",
        out.to_str().unwrap(),
        "--rate",
        "100",
        "--seconds",
        "3600",
        "--runs",
        "1",
    ]);
    job.wait_for_line("latency:", LONG);
    assert!(left_behind().len() >= 2, "a topic and a database are used");
    job.terminate();
    let (status, said) = job.wait(LONG);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(
        said.ends_with(
            "truckflow: interrupted; nothing was measured, and all scratch resources were removed\n"
        ),
        "{said}"
    );
    nothing_is_left_behind();
    assert!(files(&out).is_empty(), "{:?}", files(&out));
}

#[test]
fn wrong_use_is_one_sentence() {
    let empty = unique_topic();
    kafka().create_topic(&empty, 1);
    let database = mariadb().create_database();
    let user = format!("u_{}", database.name);
    database.query(&format!(
        "CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'pw'; \
         GRANT ALL ON {}.* TO '{user}'@'127.0.0.1'",
        database.name
    ));
    let url = database.url_of(&user, "pw");
    let fixture = fixture();
    let grant = format!(r"run GRANT ALL PRIVILEGES ON `truckflow\_bench\_%`.* TO '{user}'@'127.0.0.1'");
    let phone = ["--set", "message.preset=orientation", "--brokers", kafka().brokers(), "--topic", &empty];
    let cases: [(&[&str], i32, &str); 6] = [
        (&phone, 2, "skip it with --seconds 0"),
        (&["--input", "-"], 2, "standard input cannot be read a second time"),
        (&["--input", "no-such-file"], 1, "no-such-file"),
        (&["--brokers", kafka().brokers(), "--topic", "no-such-topic"], 1, "does not exist"),
        (&["--brokers", kafka().brokers(), "--topic", &empty], 1, "is empty; send records first"),
        (&["--input", &fixture, "--database", &url], 1, &grant),
    ];
    for (args, code, words) in cases {
        let (status, said) = Job::start([&["bench"], args].concat()).wait(LONG);
        assert_eq!(status.code(), Some(code), "{said}");
        let sentences: Vec<&str> = said.lines().filter(|line| line.starts_with("truckflow: ")).collect();
        let [sentence] = sentences.as_slice() else { panic!("one sentence is said, not:\n{said}") };
        assert!(sentence.contains(words), "`{words}` is not in: {sentence}");
    }
    // And what it says is enough.
    database.query(grant.trim_start_matches("run "));
    let args = ["--input", &fixture, "--database", &url, "--runs", "1", "--builtin-views", "above_speed"];
    measure(&args);
}

#[test]
fn all_topics_of_a_pattern_are_measured_except_that_of_dead_letters() {
    let _alone = alone();
    let prefix = unique_topic();
    for (name, records, partitions) in [("a", 1000, 2), ("b", 500, 1), ("letters", 100, 1)] {
        fill(&format!("{prefix}-{name}"), records, partitions);
    }
    let (pattern, letters) = (format!("^{prefix}-"), format!("dead_letters.topic={prefix}-letters"));
    let args = ["--brokers", kafka().brokers(), "--topic", &pattern, "--set", &letters, "--runs", "1"];
    let more =
        ["--seconds", "0", "--set", "kafka.start=latest", "--workers", "2", "--builtin-views", "above_speed"];
    let report = measure(&[&args[..], &more].concat());
    let throughput = &report["throughput"];
    assert_eq!(throughput["job"][0]["records"], 1500);
    let bare = throughput["bare"].as_array().unwrap();
    assert!(bare.len() == 1 && bare[0]["runs"][0]["messages"] == 1500, "{bare:?}");
    nothing_is_left_behind();
}
