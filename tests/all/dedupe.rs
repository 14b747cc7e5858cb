//! Readings that repeat others are dropped, whatever kills the job, and whoever goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::{assert_same, csv_rows, lines};
use crate::support::process::free_port;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);
const PARTITIONS: usize = 3;

/// No reading is late, as that depends on where epochs end.
const DEDUPE: &str = r#"
[message]
dedupe = { fields = ["timestamp", "truck_id"], within = "10m" }
[parameters]
join_retention = "30d"
window_retention = "30d"
"#;

/// 2023-04-10 01:00:00.
const FROM: i64 = 1_681_088_400;
/// `within`, in seconds.
const WITHIN: i64 = 600;

/// A reading: its truck and its time in seconds.
type Reading = (usize, i64);

/// The messages of each partition: readings a second apart of ten trucks. A third of the messages come again, most of
/// them soon, some after more than ten minutes; some are in one message with others.
fn messages(number: usize) -> Vec<Vec<Vec<Reading>>> {
    let mut random = StdRng::seed_from_u64(7);
    let mut partitions: Vec<Vec<Vec<Reading>>> = vec![Vec::new(); PARTITIONS];
    for at in 0..number {
        let partition = &mut partitions[at % PARTITIONS];
        let back = if random.random_ratio(1, 10) { 2000 } else { 300 };
        let again = partition.len().checked_sub(random.random_range(1..back));
        partition.push(match again.filter(|_| random.random_ratio(1, 3)) {
            Some(again) => partition[again].clone(),
            None => {
                let several = if random.random_ratio(1, 20) { 3 } else { 1 };
                let time = at as i64 / 3 - random.random_range(0..30);
                // The third of three repeats the first.
                (0..several).map(|n| (at % 10, FROM + time + (n % 2) * 7)).collect()
            }
        });
    }
    partitions
}

fn text(message: &[Reading]) -> String {
    let reading = |(truck, time): &Reading| {
        format!(
            r#"{{"timestamp": "{}", "distance_covered": {}, "engine_speed": {}, "fuel_consumed": 0.5, "truck_id": "truck-{truck}"}}"#,
            jiff::Timestamp::from_second(*time).unwrap(),
            time - FROM,
            80 + time % 7,
        )
    };
    match message {
        [one] => reading(one),
        several => format!("[{}]", several.iter().map(reading).collect::<Vec<_>>().join(", ")),
    }
}

/// How many readings are left of a partition.
fn left(partition: &[Vec<Reading>]) -> usize {
    let mut kept: BTreeSet<Reading> = BTreeSet::new();
    let (mut latest, mut left) = (i64::MIN, 0);
    for reading in partition.iter().flatten() {
        latest = latest.max(reading.1);
        // Equal readings have the same time.
        let is_checked = latest - reading.1 <= WITHIN;
        left += usize::from(kept.insert(*reading) || !is_checked);
    }
    left
}

/// A job in a folder of its own.
struct Deduped {
    folder: tempfile::TempDir,
    args: Vec<String>,
}

impl Deduped {
    fn new(args: &[&str], database: Option<&Database>) -> Self {
        let mut args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
        if let Some(database) = database {
            args.extend(["--database".into(), database.url.clone()]);
        }
        Self { folder: tempfile::tempdir().unwrap(), args }
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn args(&self, command: &str, config: &str) -> Vec<String> {
        let path = self.folder.path().join("job.toml");
        std::fs::write(&path, config).unwrap();
        let (path, out) = (path.display().to_string(), self.out().display().to_string());
        let mut args = [command, "--config", &path, "--out", &out].map(String::from).to_vec();
        args.extend(self.args.iter().cloned());
        args
    }

    fn start(&self, config: &str, workers: usize, more: &[&str]) -> Job {
        let mut args = self.args("run", config);
        // Small epochs, so that there are many commits to be killed at.
        args.extend(["--until-end", "--listen", "off", "--workers"].map(String::from));
        args.extend([workers.to_string(), "--set".into(), "limits.epoch_records=1000".into()]);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        Job::start(args)
    }

    /// Runs it to the end of its input. Returns the summary.
    fn run(&self, config: &str, workers: usize) -> String {
        let mut job = self.start(config, workers, &["--summary"]);
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        job.stdout()
    }

    /// Kills the job when the file of a view has grown by so many lines.
    fn kill_after(&self, config: &str, workers: usize, view: &str, grown: usize) {
        let file = self.out().join(format!("{view}.csv"));
        let before = lines(&file);
        let mut job = self.start(config, workers, &[]);
        eventually(TIMEOUT, "the file grows", || lines(&file) > before + grown);
        job.kill9();
    }

    fn die_at(&self, config: &str, workers: usize, passage: &str) {
        let (status, said) = self.start(config, workers, &["--die-at", passage]).wait(TIMEOUT);
        assert_eq!(status.code(), None, "{passage}: {said}");
    }

    /// The committed job is right.
    fn verify(&self, config: &str) -> String {
        let mut verify = Job::start(self.args("verify", config));
        let (status, said) = verify.wait(TIMEOUT * 3);
        assert!(status.success(), "{said}{}", verify.stdout());
        verify.stdout()
    }
}

/// A topic with these messages.
fn topic_of(partitions: &[Vec<Vec<Reading>>]) -> String {
    let topic = unique_topic();
    kafka().create_topic(&topic, PARTITIONS as i32);
    send(&topic, partitions);
    topic
}

fn send(topic: &str, partitions: &[Vec<Vec<Reading>>]) {
    for (partition, messages) in (0..).zip(partitions) {
        kafka().produce(topic, messages.iter().map(|message| (partition, None, text(message))));
    }
}

#[test]
fn repetitions_are_dropped_into_mariadb_whatever_kills_the_job() {
    let partitions = messages(110_000);
    let (all, expected) = (
        partitions.iter().flatten().map(Vec::len).sum::<usize>(),
        partitions.iter().map(|partition| left(partition)).sum::<usize>(),
    );
    assert!(expected < all * 3 / 4 && expected > all / 2, "{expected} of {all}");
    let topic = topic_of(&partitions);
    let input = ["--brokers", kafka().brokers(), "--topic", &topic];

    let undisturbed = Deduped::new(&input, None);
    let summary = undisturbed.run(DEDUPE, 2);
    let dropped = format!("of them dropped as repetitions   {}", all - expected);
    assert!(summary.contains(&dropped), "{dropped}\n{summary}");

    let database = mariadb().create_database();
    let disturbed = Deduped::new(&input, Some(&database));
    for (number, workers) in [1, 2, 3, 1].into_iter().enumerate() {
        disturbed.kill_after(DEDUPE, workers, "parameter_map", 1500);
        let passage = ["commit#2", "commit-answered#2", "csv-synced#2", "commit-sent#1"][number];
        disturbed.die_at(DEDUPE, workers % 3 + 1, passage);
    }
    // A cluster goes on, and one of its processes is killed.
    let hosts = disturbed.folder.path().join("hosts");
    std::fs::write(&hosts, format!("127.0.0.1:{}\n127.0.0.1:{}\n", free_port(), free_port())).unwrap();
    let cluster = ["--processes", "2", "--hosts", hosts.to_str().unwrap()];
    let file = disturbed.out().join("parameter_map.csv");
    let before = lines(&file);
    let mut first = disturbed.start(DEDUPE, 1, &[&cluster[..], &["--process", "0"]].concat());
    let mut second = disturbed.start(DEDUPE, 1, &[&cluster[..], &["--process", "1"]].concat());
    eventually(TIMEOUT, "the cluster commits", || lines(&file) > before + 1500);
    second.kill9();
    assert_eq!(first.wait(TIMEOUT).0.code(), Some(1));

    disturbed.run(DEDUPE, 2);
    assert_same(&undisturbed.out(), &disturbed.out());
    let rows = database.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP");
    assert_eq!(rows[0][0].as_deref(), Some(&*expected.to_string()));
    let found = disturbed.verify(DEDUPE);
    assert!(found.contains(&format!("{} repetitions", all - expected)), "{found}");
    undisturbed.verify(DEDUPE);

    // What comes later may repeat what was read before.
    let again: Vec<_> = partitions.iter().map(|messages| messages[messages.len() - 500..].to_vec()).collect();
    send(&topic, &again);
    let whole: Vec<_> =
        partitions.into_iter().zip(again).map(|(messages, again)| [messages, again].concat()).collect();
    disturbed.run(DEDUPE, 3);
    let rows = database.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP");
    let expected = whole.iter().map(|partition| left(partition)).sum::<usize>();
    assert_eq!(rows[0][0].as_deref(), Some(&*expected.to_string()));
    disturbed.verify(DEDUPE);
}

#[test]
fn a_view_is_filled_without_repetitions_whatever_kills_it() {
    let partitions = messages(120_000);
    let topic = topic_of(&partitions);
    let more = "views = \"views.sql\"\n";
    let config = |more: &str| format!("builtin_views = [\"parameter_map\"]\n{more}{DEDUPE}");
    let database = mariadb().create_database();
    let grown = Deduped::new(&["--brokers", kafka().brokers(), "--topic", &topic], Some(&database));
    let write_views = |job: &Deduped| {
        let hot = "CREATE MATERIALIZED VIEW hot WITH (backfill = true) AS \
                   SELECT timestamp, truck_id FROM readings WHERE engine_speed > 81;";
        std::fs::write(job.folder.path().join("views.sql"), hot).unwrap();
    };
    write_views(&grown);
    grown.run(&config(""), 2);
    let state = || -> BTreeMap<String, String> {
        let rows = database.query(
            "SELECT view_name, SHA2(GROUP_CONCAT(HEX(bytes) ORDER BY epoch, part), 256) FROM truckflow_state \
             GROUP BY view_name",
        );
        rows.into_iter().map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap())).collect()
    };
    let before = state();
    let filled = || -> u64 {
        let rows = database
            .query("SELECT COALESCE(SUM(next_offset), 0) FROM truckflow_offsets WHERE role = 'filled'");
        rows[0][0].as_deref().unwrap_or("0").parse().unwrap()
    };
    for workers in [1, 2, 3] {
        let (mut job, before_it) = (grown.start(&config(more), workers, &[]), filled());
        eventually(TIMEOUT, "more of the view is filled", || filled() > before_it);
        job.kill9();
        let now = state();
        assert_eq!(now["dedupe"], before["dedupe"], "the state of the job stays where it is");
        assert!(now.contains_key("dedupe/hot"));
    }
    grown.die_at(&config(more), 1, "commit-answered#2");
    grown.run(&config(more), 2);
    assert!(!state().contains_key("dedupe/hot"));
    grown.verify(&config(more));
    let whole = Deduped::new(&["--brokers", kafka().brokers(), "--topic", &topic], None);
    write_views(&whole);
    whole.run(&config(more), 1);
    for view in ["hot", "parameter_map"] {
        let rows = |job: &Deduped| csv_rows(&job.out().join(format!("{view}.csv")));
        assert!(rows(&grown) == rows(&whole), "{view} differs");
    }
}

#[test]
fn repetitions_in_a_file_are_dropped_by_any_number_of_workers() {
    let partitions = messages(90_000);
    let lines = |partition: usize| partitions[partition].iter().map(|message| text(message) + "\n");
    let expected = left(&partitions[0]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.jsonl");
    let text: String = lines(0).collect();
    std::fs::write(&path, &text[..text.len() / 2]).unwrap();
    let job = Deduped::new(&["--input", path.to_str().unwrap()], None);
    job.kill_after(DEDUPE, 3, "parameter_map", 1500);
    job.run(DEDUPE, 1);
    std::fs::write(&path, &text).unwrap();
    job.kill_after(DEDUPE, 1, "parameter_map", 1500);
    job.run(DEDUPE, 3);
    assert_eq!(csv_rows(&job.out().join("parameter_map.csv")).len(), expected);
    job.verify(DEDUPE);

    // The next file of that name is another partition.
    std::fs::rename(&path, folder.path().join("readings.1")).unwrap();
    std::fs::write(&path, lines(1).collect::<String>()).unwrap();
    job.run(DEDUPE, 2);
    let expected = expected + left(&partitions[1]);
    assert_eq!(csv_rows(&job.out().join("parameter_map.csv")).len(), expected);
    job.verify(DEDUPE);

    let embedded = Deduped::new(&["--input", path.to_str().unwrap(), "--embedded"], None);
    embedded.kill_after(DEDUPE, 2, "parameter_map", 1500);
    embedded.run(DEDUPE, 1);
    embedded.verify(DEDUPE);
}

#[test]
fn a_job_keeps_the_rule_with_which_it_began() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.jsonl");
    std::fs::write(&path, text(&[(1, FROM)]) + "\n").unwrap();
    let job = Deduped::new(&["--input", path.to_str().unwrap()], None);
    job.run(DEDUPE, 1);
    let other = DEDUPE.replace("10m", "5m");
    let was = "message.dedupe of job `truckflow` was { fields = [\"timestamp\", \"truck_id\"], within = \"10m\" } and is now";
    for (config, now) in [(&*other, "within = \"5m\" }; restore it"), ("", "not set; restore it")] {
        for command in ["run", "verify"] {
            let mut job = Job::start(
                job.args(command, config)
                    .iter()
                    .chain((command == "run").then_some(&"--until-end".to_owned())),
            );
            let (status, said) = job.wait(TIMEOUT);
            assert_eq!(status.code(), Some(2), "{command}: {said}");
            assert!(said.contains(was) && said.contains(now), "{command}: {said}");
        }
    }
    // The order of the fields does not matter.
    job.run(&DEDUPE.replace("\"timestamp\", \"truck_id\"", "\"truck_id\", \"timestamp\""), 1);
    // It cannot be added later, either.
    let job = Deduped::new(&["--input", path.to_str().unwrap()], None);
    job.run("", 1);
    let (status, said) = job.start(DEDUPE, 1, &[]).wait(TIMEOUT);
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("was not set and is now { fields"), "{said}");
}
