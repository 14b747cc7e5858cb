//! What is seen from outside while a job runs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::process::free_port;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(30);

/// The answer to a GET, with its status line; nothing while nobody listens.
pub(crate) fn get(port: u16, path: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn metrics_follow_a_job_on_kafka() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 2);
    let good = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1.00000000001, "engine_speed": 81, "fuel_consumed": 0, "oil_pressure": 1e-10}"#;
    kafka().produce(&topic, (0..10).map(|n| (n % 2, None, if n == 9 { "bad" } else { good })));
    let port = free_port();
    let (out, listen) = (tempfile::tempdir().unwrap(), format!("127.0.0.1:{port}"));
    let args = ["run", "--brokers", kafka().brokers(), "--topic", &topic, "--listen", &listen];
    let mut job = Job::start(args.into_iter().chain([
        "--commit-interval",
        "50ms",
        "--set",
        "record.oil_pressure=number",
        "--set",
        "record.load=number",
        "--out",
        out.path().to_str().unwrap(),
    ]));
    eventually(TIMEOUT, "it is ready", || get(port, "/readyz").contains("200 OK"));
    assert!(get(port, "/healthz").contains("200 OK"));
    let lag = format!("truckflow_consumer_lag{{partition=\"1\",topic=\"{topic}\"}} 0");
    eventually(TIMEOUT, "the lag is 0", || get(port, "/metrics").contains(&lag));
    let metrics = get(port, "/metrics");
    for line in [
        format!("truckflow_offsets_consumed_total{{partition=\"0\",topic=\"{topic}\"}} 5"),
        "truckflow_dead_letters_total{reason=\"not_an_object\"} 1".into(),
        "truckflow_rounded_values_total{field=\"distance_covered\"} 9".into(),
        "truckflow_rounded_values_total{field=\"oil_pressure\"} 9".into(),
        "truckflow_rounded_values_total{field=\"load\"} 0".into(),
        "truckflow_rows_written_total{sink=\"csv\",view=\"parameter_map\"} 9".into(),
        "truckflow_rows_written_total{sink=\"table\",view=\"above_speed\"} 9".into(),
        "truckflow_end_to_end_seconds_count 10".into(),
        "truckflow_state_records{view=\"distance_correlation\"} 1".into(),
        "truckflow_event_time_seconds 1681088547".into(),
        "truckflow_source_paused 0".into(),
    ] {
        assert!(metrics.contains(&line), "`{line}` is not in:\n{metrics}");
    }
    for name in [
        "truckflow_commit_seconds_count",
        "truckflow_epochs_in_flight",
        "truckflow_worker_busy_seconds_total{worker=\"0\"}",
    ] {
        assert!(metrics.contains(name), "`{name}` is not in:\n{metrics}");
    }
    job.terminate();
    assert!(job.wait(TIMEOUT).0.success());
}

#[test]
fn logs_can_be_json() {
    let input = crate::support::process::repository().join("fixtures/demo/input.jsonl");
    let args =
        ["--log-format", "json", "run", "--until-end", "--listen", "off", "--input", input.to_str().unwrap()];
    let (status, said) = Job::start(args).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    assert!(said.lines().count() > 0);
    for line in said.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn lines_of_librdkafka_have_the_log_format_and_the_end_of_a_partition_is_no_warning() {
    let reading = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;
    let topic = unique_topic();
    kafka().create_topic(&topic, 2);
    kafka().produce(&topic, (0..10).map(|n| (n % 2, None, reading)));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().to_str().unwrap();
    let done = |command: &[&str], log: &str| -> Vec<serde_json::Value> {
        let args = ["--brokers", kafka().brokers(), "--topic", &topic, "--out", out, "--log-format", "json"];
        let debug = ["--set", "kafka.properties.debug=fetch"];
        let mut job = Job::start_with(command.iter().chain(&args).chain(&debug), &[("TRUCKFLOW_LOG", log)]);
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    };
    let lines = done(&["run", "--until-end", "--listen", "off"], "info,librdkafka=debug");
    let fetches = |line: &&serde_json::Value| {
        line["target"] == "librdkafka" && line["level"] == "DEBUG" && line["fields"]["facility"] == "FETCH"
    };
    assert!(lines.iter().any(|line| fetches(&line)), "{lines:?}");
    // What is not asked for is not said; nor is the end of a partition, of which each reader hears.
    assert_eq!(done(&["verify"], "info"), [serde_json::Value::Null; 0]);
}

#[test]
fn no_record_is_lost_in_the_embedded_broker_beyond_what_it_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    // Four partitions keep 20 MiB at most; this is more than three times that.
    const RECORDS: usize = 500_000;
    let records = RECORDS.to_string();
    let (input, out) = (path("readings.jsonl"), path("out"));
    let simulate = ["simulate", "--trucks", "3", "--records", &records, "--to", &input];
    assert!(Job::start(simulate).wait(TIMEOUT).0.success());
    let run = ["run", "--embedded", "--input", &input, "--until-end", "--out", &out, "--listen", "off"];
    let (status, said) = Job::start(run.into_iter().chain(["--set", "tables.views=[]"])).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    let lines = std::fs::read(folder.path().join("out/parameter_map.csv")).unwrap();
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), RECORDS + 1);
}
