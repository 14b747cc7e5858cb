//! The servers and the job that the other tests build on: they keep what they acknowledged, and end
//! when they are told to.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{Kafka, kafka, unique_topic};
use crate::support::mariadb::{Mariadb, mariadb};
use crate::support::process::free_port;

const TIMEOUT: Duration = Duration::from_secs(60);

fn messages() -> impl Iterator<Item = (i32, Option<Vec<u8>>, String)> {
    (0..1000).map(|n| (n % 4, (n % 2 == 0).then(|| n.to_string().into_bytes()), format!("message {n}")))
}

fn assert_all_there(kafka: &Kafka, topic: &str) {
    let mut sent: Vec<_> = messages().collect();
    sent.sort_by_key(|(partition, ..)| *partition);
    let text = |payload: Option<Vec<u8>>| String::from_utf8(payload.unwrap()).unwrap();
    let read: Vec<_> = kafka.read(topic).into_iter().map(|m| (m.partition, m.key, text(m.payload))).collect();
    assert_eq!(read, sent);
}

#[test]
fn kafka_gives_back_what_was_sent() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 4);
    kafka().produce(&topic, messages());
    assert_eq!(kafka().ends(&topic), [250; 4]);
    assert_all_there(kafka(), &topic);
}

#[test]
fn kafka_keeps_messages_when_killed() {
    let mut kafka = Kafka::start();
    let topic = unique_topic();
    kafka.create_topic(&topic, 4);
    kafka.produce(&topic, messages());
    kafka.kill();
    kafka.restart();
    assert_all_there(&kafka, &topic);
    kafka.produce(&topic, [(0, None, "one more")]);
    assert_eq!(kafka.ends(&topic), [251, 250, 250, 250]);
}

#[test]
fn mariadb_gives_back_what_was_inserted() {
    let database = mariadb().create_database();
    database.query("CREATE TABLE t (n INT, x DOUBLE, s TEXT, b BLOB, at DATETIME(3))");
    database.query(
        "INSERT INTO t VALUES (1, 0.5, 'ü', X'ff00', '2024-01-02 03:04:05.678'), (2, NULL, NULL, '', NULL)",
    );
    let rows = database.query("SELECT * FROM t ORDER BY n");
    let row = |values: [Option<&str>; 5]| values.map(|value| value.map(str::to_owned)).to_vec();
    let first = row([Some("1"), Some("0.5"), Some("ü"), Some("ff00"), Some("2024-01-02 03:04:05.678")]);
    assert_eq!(rows, [first, row([Some("2"), None, None, Some(""), None])]);
}

#[test]
fn mariadb_keeps_rows_when_killed() {
    let mut mariadb = Mariadb::start();
    let database = mariadb.create_database();
    database.query("CREATE TABLE t (n INT) ENGINE = InnoDB");
    database.query("INSERT INTO t VALUES (1), (2), (3)");
    mariadb.kill();
    mariadb.restart();
    assert_eq!(database.query("SELECT SUM(n) FROM t"), [[Some("6".to_owned())]]);
}

#[test]
fn databases_are_apart() {
    let (one, other) = (mariadb().create_database(), mariadb().create_database());
    one.query("CREATE TABLE t (n INT)");
    assert_ne!(one.name, other.name);
    assert!(other.query("SHOW TABLES").is_empty());
}

#[test]
fn a_job_says_what_it_was_asked() {
    let mut job = Job::start(["--version"]);
    job.wait_for_line("truckflow", TIMEOUT);
    let (status, stderr) = job.wait(TIMEOUT);
    assert!(status.success());
    // Behind it is the commit, where that is known.
    let version = job.stdout();
    assert!(version.starts_with(concat!("truckflow ", env!("CARGO_PKG_VERSION"))), "{version}");
    assert_eq!(version.lines().count(), 1, "{version}");
    assert_eq!(stderr, "");
}

/// A job that waits for a database which is not there.
fn waiting_job() -> Job {
    let url = format!("mysql://root@127.0.0.1:{}/none", free_port());
    let mut job = Job::start(["run", "--wait", "--input", "-", "--listen", "off", "--database", &url]);
    job.wait_for_line("trying again", TIMEOUT);
    job
}

#[test]
fn a_job_ends_when_terminated() {
    let mut job = waiting_job();
    job.terminate();
    let (status, stderr) = job.wait(TIMEOUT);
    assert!(status.success(), "{status}: {stderr}");
    assert!(stderr.contains("does not answer"), "{stderr}");
}

#[test]
fn a_job_ends_when_killed() {
    assert_eq!(waiting_job().kill9().signal(), Some(9));
}
