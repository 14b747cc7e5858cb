//! Readings that are dated too far ahead: they do not count, they do not make others late, that is decided once,
//! and a job that one of them blinded before recovers.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tempfile::TempDir;
use truckflow::text::time::TimeWriter;

use crate::seen::get;
use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::databases;
use crate::support::output::csv_rows;
use crate::support::process::free_port;
use crate::support::sqlite;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(60);
const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;
fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros() as i64
}

fn reading(truck: &str, time: i64) -> String {
    let time = String::from_utf8(TimeWriter::default().text(time).to_vec()).unwrap();
    format!(
        r#"{{"truck_id": "{truck}", "timestamp": "{time}", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}}"#
    )
}

/// A job over a file.
struct Place {
    folder: TempDir,
    args: Vec<String>,
}

impl Place {
    fn new(database: Option<&str>, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name| folder.path().join(name).to_str().unwrap().to_owned();
        let mut args =
            vec!["--input".to_owned(), path("input.jsonl"), "--out".into(), path("out"), "--listen".into()];
        args.push("off".into());
        args.extend(database.into_iter().flat_map(|url| ["--database".to_owned(), url.to_owned()]));
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        fs::write(folder.path().join("input.jsonl"), "").unwrap();
        Self { folder, args }
    }

    fn feed(&self, lines: &[String]) {
        let path = self.folder.path().join("input.jsonl");
        let text = fs::read_to_string(&path).unwrap() + &lines.join("\n") + "\n";
        fs::write(path, text).unwrap();
    }

    /// Calls a command, with more flags, and gives its status and what it said.
    fn call(&self, command: &[&str], more: &[&str]) -> (i32, String) {
        let args = command.iter().copied().chain(self.args.iter().map(String::as_str));
        let mut job = Job::start(args.chain(more.iter().copied()));
        let (status, said) = job.wait(TIMEOUT);
        (status.code().unwrap_or(-1), said + &job.stdout())
    }

    #[track_caller]
    fn done(&self, command: &[&str], more: &[&str]) -> String {
        let (status, said) = self.call(command, more);
        assert_eq!(status, 0, "{said}");
        said
    }

    fn run(&self, more: &[&str]) -> String {
        self.done(&["run", "--until-end"], more)
    }

    fn file(&self, view: &str) -> PathBuf {
        self.folder.path().join("out").join(format!("{view}.csv"))
    }

    fn rows(&self, view: &str) -> Vec<Vec<String>> {
        csv_rows(&self.file(view))
    }

    /// The offset and the reason of each dead letter, and its field.
    fn letters(&self) -> Vec<[String; 3]> {
        let letter = |row: Vec<String>| [row[2].clone(), row[5].clone(), row[6].clone()];
        self.rows("dead_letters").into_iter().map(letter).collect()
    }
}

fn letter(offset: usize, reason: &str, field: &str) -> [String; 3] {
    [offset.to_string(), reason.to_owned(), field.to_owned()]
}

#[test]
fn one_wrong_clock_blinds_neither_its_truck_nor_the_topic() {
    let place = Place::new(None, &[]);
    // A quarter of an hour of two trucks, ten seconds apart, and one reading that is years ahead.
    let start = 1_681_088_400_000_000;
    let mut lines: Vec<String> =
        (0..99).flat_map(|n| ["a", "b"].map(|truck| reading(truck, start + n * 10_000_000))).collect();
    lines.insert(4, reading("a", now() + 3650 * DAY));
    // An epoch for each part, so that what one does to the next is seen.
    for part in lines.chunks(40) {
        place.feed(part);
        place.run(&[]);
    }
    assert_eq!(place.letters(), [letter(4, "in_the_future", "timestamp")]);
    assert_eq!(place.rows("parameter_map").len(), 198);
    // Three windows each have ended, and each of them has one line.
    assert_eq!(place.rows("window_averages").len(), 6);
    place.done(&["verify"], &[]);
}

#[test]
fn what_is_in_the_future_is_decided_once() {
    let urls: Vec<_> = databases();
    for database in [None].into_iter().chain(urls.iter().map(|database| Some(&*database.url))) {
        let mut place = Place::new(database, &[]);
        let hour = 60 * MINUTE;
        place.feed(&[reading("a", now()), reading("a", now() + 2 * hour), reading("b", now())]);
        place.run(&["--set", "limits.max_ahead=1h"]);
        let decided = [letter(1, "in_the_future", "timestamp")];
        assert_eq!(place.letters(), decided);
        // Later, or with another limit, it would be decided otherwise.
        let off = ["--set", "limits.max_ahead=off"];
        place.done(&["verify"], &off);
        // A view that comes later is not given it either.
        let path = place.folder.path().join("views.sql");
        let views =
            "CREATE MATERIALIZED VIEW \"all\" WITH (backfill = true) AS SELECT truck_id FROM readings;\n";
        fs::write(&path, views).unwrap();
        place
            .args
            .extend(["--sql", path.to_str().unwrap(), "--set", "builtin_views=true"].map(str::to_owned));
        place.done(&["run", "--until-end"], &off);
        assert_eq!(place.rows("all"), [["a"], ["b"]]);
        assert_eq!(place.letters(), decided);
        place.done(&["verify"], &off);
        // It goes with the job.
        let state = place.folder.path().join("job.state");
        let state = state.to_str().unwrap();
        place.done(&["state", "export", state], &[]);
        place.done(&["state", "reset", "--yes"], &[]);
        place.done(&["state", "import", state], &[]);
        place.done(&["verify"], &off);
        // Without the decision verify finds a reading that counts nowhere.
        let forget = "DELETE FROM truckflow_in_the_future";
        match urls.iter().find(|known| Some(&*known.url) == database) {
            Some(database) => drop(database.query(forget)),
            None => sqlite::execute(&place.folder.path().join("out/truckflow.db"), forget),
        }
        let (status, said) = place.call(&["verify"], &off);
        assert!(status == 1 && said.contains("FAILED  all"), "{said}");
    }
}

#[test]
fn a_job_that_was_blinded_before_recovers_at_its_start() {
    let place = Place::new(None, &[]);
    place.feed(&[
        reading("a", now() - 10 * MINUTE),
        reading("b", now() - 10 * MINUTE),
        reading("a", now() + 3650 * DAY),
    ]);
    let off = ["--set", "limits.max_ahead=off"];
    place.run(&off);
    // Late for good, as things stand.
    place.feed(&[reading("a", now())]);
    place.run(&off);
    assert_eq!(place.letters(), [letter(3, "late", "filtered_join"), letter(3, "late", "window_averages")]);
    place.done(&["verify"], &[]);
    let poisoned = place.letters().len();

    // Windows before the end of the one that is open now stay closed; what is behind it counts.
    let first = now() + 6 * MINUTE;
    place.feed(&[reading("a", now() - 5 * MINUTE), reading("a", first), reading("b", first)]);
    let said = place.run(&[]);
    for words in ["`a` from ", "topic's time was too far ahead", "window_averages", "filtered_join"] {
        assert!(said.contains(words), "`{words}` is not in:\n{said}");
    }
    let after = &place.letters()[poisoned..];
    assert_eq!(after, [letter(4, "late", "filtered_join"), letter(4, "late", "window_averages")]);
    place.done(&["verify"], &[]);

    // The next start has nothing to set back, and windows close at their time.
    place.feed(&[reading("a", first + 10 * MINUTE), reading("b", first + 10 * MINUTE)]);
    let lines = place.rows("window_averages").len();
    let said = place.run(&[]);
    assert!(!said.contains("too far ahead"), "{said}");
    assert_eq!(place.rows("window_averages").len(), lines + 2);
    place.done(&["verify"], &[]);
}

#[test]
fn a_correction_in_the_future_leaves_the_reading_of_its_key() {
    let keyed = ["--set", "mode=upsert", "--set", "key_separator=\"=\""];
    let place = Place::new(None, &keyed);
    place.feed(&[
        format!("k={}", reading("a", 1_681_088_400_000_000)),
        format!("k={}", reading("b", now() + 2 * DAY)),
    ]);
    place.run(&[]);
    assert_eq!(place.letters(), [letter(1, "in_the_future", "timestamp")]);
    let rows = sqlite::query(
        &place.folder.path().join("out/truckflow.db"),
        "SELECT truck_id FROM TRUCK_PARAMETER_MAP",
    );
    assert_eq!(rows, [[Some("a".to_owned())]]);
    place.done(&["verify"], &[]);
}

#[test]
fn check_warns_of_views_that_keep_less_than_readings_may_be_ahead() {
    let place = Place::new(None, &[]);
    let warnings = |more: &[&str]| {
        let said = place.done(&["check"], more);
        let warned = |line: &&str| line.starts_with("WARNING view ");
        said.lines().filter(warned).map(|line| line.split(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(warnings(&[]), ["WARNING view filtered_join"]);
    assert_eq!(
        warnings(&["--set", "parameters.window_retention=23h"]),
        ["WARNING view filtered_join", "WARNING view window_averages"]
    );
    assert!(warnings(&["--set", "limits.max_ahead=10m"]).is_empty());
    assert!(warnings(&["--set", "limits.max_ahead=off"]).is_empty());
    assert!(warnings(&["--builtin-views", "above_speed"]).is_empty());
}

#[test]
fn letters_in_the_future_are_counted_shown_and_replayed_from_kafka() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 1);
    let ahead = reading("a", now() + 2 * DAY);
    kafka().produce(&topic, [(0, None, &*reading("a", now())), (0, None, &*ahead)]);
    let (out, port) = (tempfile::tempdir().unwrap(), free_port());
    let listen = format!("127.0.0.1:{port}");
    let common = ["--brokers", kafka().brokers(), "--topic", &topic, "--out", out.path().to_str().unwrap()];
    let mut job = Job::start(["run", "--listen", &listen].iter().chain(&common));
    let counted = "truckflow_dead_letters_total{reason=\"in_the_future\"} 1";
    eventually(TIMEOUT, "it is counted", || get(port, "/metrics").contains(counted));
    eventually(TIMEOUT, "the page has it", || {
        get(port, "/api/v1/dead-letters?reason=in_the_future").contains("\"offset\":1")
    });
    assert!(job.terminated(TIMEOUT).success());

    // It did not count, so a replay sends it back; it is in the future still.
    let letters = out.path().join("dead_letters.csv");
    let mut replay =
        Job::start(["replay", letters.to_str().unwrap(), "--brokers", kafka().brokers(), "--json"]);
    let (status, said) = replay.wait(TIMEOUT);
    assert!(status.success() && replay.stdout().contains("\"sent\":1"), "{said}{}", replay.stdout());
    let payloads: Vec<_> = kafka().read(&topic).into_iter().map(|message| message.payload.unwrap()).collect();
    assert_eq!(payloads.len(), 3);
    assert_eq!(payloads[2], ahead.as_bytes());
    for command in [&["run", "--until-end", "--listen", "off"][..], &["verify"]] {
        let mut job = Job::start(command.iter().chain(&common));
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{said}{}", job.stdout());
    }
    assert_eq!(csv_rows(&letters).len(), 2);
}
