//! Jobs that read several topics, also such that appear later, and jobs that do not begin at the earliest offset.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use crate::seen::get;
use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::output::{assert_same, csv_rows};
use crate::support::process::free_port;
use crate::support::sqlite;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);

/// A reading that no other number has.
fn line(n: usize) -> String {
    format!(
        r#"{{"timestamp": "2023-04-10 01:{:02}:{:02}.{:02}", "distance_covered": {}, "engine_speed": {}, "fuel_consumed": 0, "truck_id": "{}"}}"#,
        n / 20 / 60,
        n / 20 % 60,
        n % 20 * 5,
        n as f64 / 8.0,
        78 + n % 5,
        n % 3
    )
}

/// Topics whose names begin alike, and the folder of the jobs that read them.
struct Fleet {
    prefix: String,
    folder: tempfile::TempDir,
    sent: usize,
}

impl Fleet {
    fn new() -> Self {
        Self { prefix: unique_topic(), folder: tempfile::tempdir().unwrap(), sent: 0 }
    }

    /// The full name of a topic.
    fn topic(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    /// A pattern that matches all topics.
    fn pattern(&self) -> String {
        format!("^{}-[a-z]", self.prefix)
    }

    fn create(&self, name: &str, partitions: i32) {
        kafka().create_topic(&self.topic(name), partitions);
    }

    /// Sends the next readings to a topic, in turn to its partitions.
    fn send(&mut self, name: &str, partitions: i32, count: usize) {
        let lines = (self.sent..self.sent + count).map(|n| (n as i32 % partitions, None, line(n)));
        kafka().produce(&self.topic(name), lines);
        self.sent += count;
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn job(&self, command: &str, out: &str, topics: &str, more: &[&str]) -> Job {
        let out = self.out(out).display().to_string();
        let args = [command, "--brokers", kafka().brokers(), "--topic", topics, "--out", &out];
        Job::start(args.iter().chain(more))
    }

    fn start(&self, out: &str, topics: &str, more: &[&str]) -> Job {
        self.job("run", out, topics, &[&["--commit-interval", "50ms"], more].concat())
    }

    /// Reads to the end, and ends well.
    #[track_caller]
    fn read(&self, out: &str, topics: &str, more: &[&str]) -> String {
        let args = [&["--until-end", "--listen", "off"], more].concat();
        ended(self.start(out, topics, &args))
    }

    #[track_caller]
    fn verify(&self, out: &str, topics: &str) {
        let mut verify = self.job("verify", out, topics, &[]);
        let (status, said) = verify.wait(TIMEOUT);
        assert!(status.success(), "{said}{}", verify.stdout());
    }

    fn rows(&self, out: &str) -> usize {
        let file = self.out(out).join("parameter_map.csv");
        if file.exists() { csv_rows(&file).len() } else { 0 }
    }

    #[track_caller]
    fn wait_for(&self, out: &str, rows: usize) {
        eventually(TIMEOUT, "all is written", || self.rows(out) == rows);
    }

    /// A number by partition, as the job has it in its database.
    fn numbers(&self, out: &str, column: &str, table: &str) -> BTreeMap<(String, i32), i64> {
        let sql = format!("SELECT topic, part, {column} FROM {table} WHERE job = 'truckflow'");
        let rows = sqlite::query(&self.out(out).join("truckflow.db"), &sql);
        let text = |cell: &Option<String>| cell.clone().unwrap();
        let topic = |cell| text(cell).strip_prefix(&self.prefix).unwrap()[1..].to_owned();
        let number = |cell| text(cell).parse::<i64>().unwrap();
        rows.iter().map(|row| ((topic(&row[0]), number(&row[1]) as i32), number(&row[2]))).collect()
    }

    fn offsets(&self, out: &str) -> BTreeMap<(String, i32), i64> {
        self.numbers(out, "next_offset", "truckflow_offsets")
    }

    fn origins(&self, out: &str) -> BTreeMap<(String, i32), i64> {
        self.numbers(out, "first_offset", "truckflow_origins")
    }

    /// The topics whose ids the job has committed.
    fn known(&self, out: &str) -> usize {
        let sql = "SELECT topic FROM truckflow_topics WHERE length(topic_id) > 10";
        sqlite::query(&self.out(out).join("truckflow.db"), sql).len()
    }
}

fn at<const N: usize>(numbers: [(&str, i32, i64); N]) -> BTreeMap<(String, i32), i64> {
    numbers.into_iter().map(|(topic, partition, number)| ((topic.to_owned(), partition), number)).collect()
}

#[track_caller]
fn ended(mut job: Job) -> String {
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
    said
}

#[track_caller]
fn end(mut job: Job) -> String {
    job.terminate();
    ended(job)
}

/// The one sentence of a job that fails.
#[track_caller]
fn sentence(mut job: Job) -> String {
    let (status, said) = job.wait(TIMEOUT);
    assert!(!status.success() && !said.contains("panicked"), "{said}");
    let sentences: Vec<&str> = said.lines().filter(|line| line.starts_with("truckflow: ")).collect();
    let [sentence] = sentences.as_slice() else { panic!("one sentence is said, not:\n{said}") };
    (*sentence).to_owned()
}

#[test]
fn each_topic_of_a_list_is_resumed_and_one_that_is_left_out_is_kept() {
    let mut fleet = Fleet::new();
    fleet.create("a", 2);
    fleet.create("b", 1);
    let [a, b] = ["a", "b"].map(|name| fleet.topic(name));
    let both = format!("{a},{b}");
    fleet.send("a", 2, 100);
    fleet.send("b", 1, 50);
    fleet.read("out", &both, &["--workers", "2"]);
    assert_eq!(fleet.offsets("out"), at([("a", 0, 50), ("a", 1, 50), ("b", 0, 50)]));
    fleet.verify("out", &both);

    // One is left out.
    fleet.send("a", 2, 100);
    fleet.send("b", 1, 50);
    let said = fleet.read("out", &a, &[]);
    assert_eq!(said.matches("no longer among the topics of the job").count(), 1, "{said}");
    assert!(said.contains(&b), "{said}");
    assert_eq!(fleet.rows("out"), 250);
    fleet.verify("out", &a);

    // It continues where it was, and there is another one.
    fleet.create("c", 1);
    fleet.send("c", 1, 30);
    let said = fleet.read("out", &format!("{both},{}", fleet.topic("c")), &[]);
    assert!(!said.contains("no longer"), "{said}");
    assert_eq!(fleet.offsets("out"), at([("a", 0, 100), ("a", 1, 100), ("b", 0, 100), ("c", 0, 30)]));
    assert_eq!(fleet.origins("out"), at([("a", 0, 0), ("a", 1, 0), ("b", 0, 0), ("c", 0, 0)]));
    assert_eq!(fleet.known("out"), 3);
    fleet.verify("out", &both);
    fleet.read("whole", &fleet.pattern(), &[]);
    assert_same(&fleet.out("whole"), &fleet.out("out"));

    // A job whose topics are all others has another input.
    fleet.create("d", 1);
    let said = sentence(fleet.start("out", &fleet.topic("d"), &["--until-end", "--listen", "off"]));
    assert!(said.contains("is configured to read topic"), "{said}");
}

#[test]
fn topics_that_match_a_pattern_are_found_at_a_start_and_while_the_job_runs() {
    let mut fleet = Fleet::new();
    fleet.create("a", 1);
    fleet.create("letters", 1);
    fleet.send("a", 1, 100);
    kafka().produce(&fleet.topic("a"), [(0, None, "no reading")]);
    let (pattern, letters) = (fleet.pattern(), format!("dead_letters.topic={}", fleet.topic("letters")));
    let more = ["--workers", "2", "--listen", "off", "--set", &letters];
    let job = fleet.start("out", &pattern, &more);
    fleet.wait_for("out", 100);
    fleet.create("b", 2);
    fleet.send("b", 2, 100);
    fleet.wait_for("out", 200);
    assert!(job.stderr().contains("reading a new topic"), "{}", job.stderr());
    // It is watched like the first one.
    kafka().grow_topic(&fleet.topic("b"), 3);
    fleet.send("b", 3, 90);
    fleet.wait_for("out", 290);
    assert_eq!(fleet.known("out"), 2);
    end(job);
    let offsets = at([("a", 0, 101), ("b", 0, 80), ("b", 1, 80), ("b", 2, 30)]);
    assert_eq!(fleet.offsets("out"), offsets);
    assert_eq!(kafka().ends(&fleet.topic("letters")), [1], "the job does not read its own dead letters");

    // The next start finds another one, and continues with the others.
    fleet.create("c", 1);
    fleet.send("c", 1, 50);
    fleet.send("a", 1, 50);
    fleet.read("out", &pattern, &["--set", &letters]);
    assert_eq!((fleet.rows("out"), fleet.known("out")), (390, 3));
    fleet.read("whole", &pattern, &["--set", &letters]);
    assert_same(&fleet.out("whole"), &fleet.out("out"));
    for out in ["whole", "out"] {
        fleet.verify(out, &pattern);
    }
    let group = |topic| kafka().committed("truckflow", &fleet.topic(topic));
    assert_eq!([group("a"), group("b"), group("c")], [151, 190, 50]);
}

#[test]
fn new_topics_are_read_by_all_processes() {
    let mut fleet = Fleet::new();
    fleet.create("a", 2);
    fleet.send("a", 2, 100);
    let hosts = fleet.out("hosts").display().to_string();
    let addresses = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    std::fs::write(&hosts, addresses.join("\n")).unwrap();
    let start = |out: &str, process: &str| {
        let args = ["--processes", "2", "--process", process, "--hosts", &hosts, "--listen", "off"];
        fleet.start(out, &fleet.pattern(), &args)
    };
    let [first, mut second] = [start("out", "0"), start("not made", "1")];
    fleet.wait_for("out", 100);
    let mut sent = fleet.sent;
    for topic in ["b", "c", "d"] {
        fleet.create(topic, 2);
        let lines = (sent..sent + 100).map(|n| (n as i32 % 2, None, line(n)));
        kafka().produce(&fleet.topic(topic), lines);
        sent += 100;
    }
    fleet.wait_for("out", 400);
    eventually(TIMEOUT, "the ids of all topics are kept", || fleet.known("out") == 4);
    end(first);
    assert!(second.wait(TIMEOUT).0.success(), "{}", second.stderr());
    fleet.read("whole", &fleet.pattern(), &[]);
    assert_same(&fleet.out("whole"), &fleet.out("out"));
    assert_eq!(fleet.origins("out"), fleet.origins("whole"));
    fleet.verify("out", &fleet.pattern());
}

#[test]
fn a_pattern_that_matches_nothing_is_like_a_missing_topic() {
    let mut fleet = Fleet::new();
    let pattern = fleet.pattern();
    let said = sentence(fleet.start("out", &pattern, &["--listen", "off"]));
    assert!(said.contains(&format!("matches `{pattern}`; create one or correct --topic")), "{said}");
    assert!(said.contains("--wait"), "{said}");
    let mut check = fleet.job("check", "out", &pattern, &[]);
    assert!(!check.wait(TIMEOUT).0.success());
    assert!(check.stdout().contains(&format!("matches `{pattern}`")), "{}", check.stdout());

    let mut job = fleet.start("out", &pattern, &["--until-end", "--wait", "--listen", "off"]);
    job.wait_for_line(&format!("matches `{pattern}`; create one"), TIMEOUT);
    fleet.create("a", 1);
    fleet.send("a", 1, 10);
    ended(job);
    // What was there when it found the topic.
    fleet.read("out", &pattern, &[]);
    assert_eq!(fleet.rows("out"), 10);
    let mut check = fleet.job("check", "out", &pattern, &[]);
    let (status, said) = check.wait(TIMEOUT);
    assert!(status.success(), "{said}{}", check.stdout());
    let expected = format!("1 topic matches `{pattern}`: {}", fleet.topic("a"));
    assert!(check.stdout().contains(&expected), "{}", check.stdout());
}

#[test]
fn a_topic_that_is_deleted_is_reported_and_the_next_start_reads_the_others() {
    let mut fleet = Fleet::new();
    fleet.create("a", 1);
    fleet.create("b", 1);
    fleet.send("a", 1, 10);
    fleet.send("b", 1, 10);
    let (pattern, port) = (fleet.pattern(), free_port());
    let job = fleet.start("out", &pattern, &["--listen", &format!("127.0.0.1:{port}")]);
    fleet.wait_for("out", 20);
    kafka().delete_topic(&fleet.topic("b"));
    let missing = format!("topic {} is not available on", fleet.topic("b"));
    eventually(TIMEOUT, "it is not ready", || get(port, "/readyz").contains(&missing));
    fleet.send("a", 1, 10);
    fleet.wait_for("out", 30);
    end(job);

    fleet.send("a", 1, 10);
    let said = fleet.read("out", &pattern, &[]);
    assert!(said.contains("no longer exists"), "{said}");
    assert_eq!(fleet.rows("out"), 40);
    // It is another topic of this name.
    fleet.create("b", 1);
    let said = sentence(fleet.start("out", &pattern, &["--until-end", "--listen", "off"]));
    assert!(said.contains("re-created"), "{said}");
}

/// Milliseconds since 1970, this many hours ago.
fn hours_ago(hours: u64) -> i64 {
    let time = SystemTime::now() - Duration::from_secs(hours * 3600);
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis() as i64
}

#[test]
fn a_new_job_begins_where_it_is_told_and_is_verified_from_there() {
    let mut fleet = Fleet::new();
    fleet.create("a", 1);
    let topic = fleet.topic("a");
    for (hours, lines) in [(30, 0..10), (20, 10..30), (2, 30..60)] {
        kafka().produce_at(&topic, hours_ago(hours), lines.map(line));
    }
    fleet.sent = 60;
    let time = |millis: i64| jiff::Timestamp::from_second(millis / 1000).unwrap().to_string();
    let (between, later) = (time(hours_ago(25)), time(hours_ago(0) + 24 * 3600 * 1000));
    let starts = [("earliest", 0), ("latest", 60), (&between, 10), ("-1d", 10), ("-3h", 30), (&later, 60)];
    for (number, (start, first)) in starts.into_iter().enumerate() {
        let (out, set) = (number.to_string(), format!("kafka.start={start}"));
        let mut check = fleet.job("check", &out, &topic, &["--set", &set]);
        assert!(check.wait(TIMEOUT).0.success(), "{}", check.stdout());
        if number > 0 {
            let begins = format!("a new job begins at {start}: {topic} 0:{first}");
            assert!(check.stdout().contains(&begins), "{begins}: {}", check.stdout());
        }
        fleet.read(&out, &topic, &["--set", &set]);
        assert_eq!(fleet.rows(&out), 60 - first as usize, "{start}");
        assert_eq!(fleet.origins(&out), at([("a", 0, first)]), "{start}");
        assert_eq!(fleet.offsets(&out), at([("a", 0, 60)]), "{start}");
        fleet.verify(&out, &topic);
    }

    // A job that has committed continues. A new partition is read from its beginning.
    kafka().grow_topic(&topic, 2);
    fleet.send("a", 2, 40);
    for (number, (start, first)) in starts.into_iter().enumerate() {
        let (out, set) = (number.to_string(), format!("kafka.start={start}"));
        let said = fleet.read(&out, &topic, &["--set", &set]);
        assert!(!said.contains("is ignored"), "{said}");
        assert_eq!(fleet.rows(&out), 100 - first as usize, "{start}");
        assert_eq!(fleet.origins(&out), at([("a", 0, first), ("a", 1, 0)]), "{start}");
        fleet.verify(&out, &topic);
        let mut check = fleet.job("check", &out, &topic, &[]);
        assert!(check.wait(TIMEOUT).0.success(), "{}", check.stdout());
        let began = format!("the job began at {start}: {topic} 0:{first}, {topic} 1:0");
        assert!(check.stdout().contains(&began), "{began}: {}", check.stdout());
    }
    let said = fleet.read("1", &topic, &["--set", "kafka.start=-7d"]);
    assert_eq!(said.matches("kafka.start = -7d is ignored").count(), 1, "{said}");
    assert!(said.contains("began=\"latest\""), "{said}");

    // What is before the origin may be deleted.
    kafka().delete_before(&topic, 0, 20);
    fleet.verify("1", &topic);
    let mut verify = fleet.job("verify", "0", &topic, &[]);
    assert!(!verify.wait(TIMEOUT).0.success());
}

#[test]
fn a_view_that_is_added_is_filled_from_where_the_job_began() {
    let mut fleet = Fleet::new();
    fleet.create("a", 2);
    fleet.send("a", 2, 100);
    let (pattern, config) = (fleet.pattern(), fleet.out("job.toml").display().to_string());
    std::fs::write(&config, "").unwrap();
    let more = ["--set", "kafka.start=latest", "--config", &config];
    fleet.read("out", &pattern, &more);
    assert_eq!(fleet.rows("out"), 0);
    fleet.send("a", 2, 100);
    fleet.create("b", 1);
    fleet.send("b", 1, 50);
    fleet.read("out", &pattern, &more);
    assert_eq!(fleet.rows("out"), 150);
    let everything = "CREATE MATERIALIZED VIEW everything WITH (backfill = true) AS \
                      SELECT truck_id, timestamp FROM readings;\n";
    std::fs::write(fleet.out("views.sql"), everything).unwrap();
    std::fs::write(&config, "views = \"views.sql\"\nbuiltin_views = true\n").unwrap();
    fleet.send("b", 1, 10);
    // The topic that is left out was read before, so it is part of what fills the view.
    fleet.read("out", &fleet.topic("b"), &more);
    assert_eq!(csv_rows(&fleet.out("out").join("everything.csv")).len(), 160);
    let mut verify = fleet.job("verify", "out", &pattern, &["--config", &config]);
    let (status, said) = verify.wait(TIMEOUT);
    assert!(status.success(), "{said}{}", verify.stdout());
}

#[test]
fn the_name_of_its_topic_is_a_field_of_a_reading() {
    let mut fleet = Fleet::new();
    let (pattern, config) = (fleet.pattern(), fleet.out("job.toml").display().to_string());
    let sources = "CREATE MATERIALIZED VIEW sources AS SELECT truck_id, source FROM readings;\n";
    std::fs::write(fleet.out("views.sql"), sources).unwrap();
    let text = "views = \"views.sql\"\nbuiltin_views = true\n\
                [record]\nsource = { type = \"text\", from = \"kafka.topic\" }\n";
    std::fs::write(&config, text).unwrap();
    for (topic, count) in [("a", 30), ("b", 20)] {
        fleet.create(topic, 1);
        fleet.send(topic, 1, count);
    }
    fleet.read("out", &pattern, &["--config", &config]);
    let rows = csv_rows(&fleet.out("out").join("sources.csv"));
    let of = |topic| rows.iter().filter(|row| row[1] == fleet.topic(topic)).count();
    assert_eq!([of("a"), of("b"), rows.len()], [30, 20, 50]);
    let mut verify = fleet.job("verify", "out", &pattern, &["--config", &config]);
    let (status, said) = verify.wait(TIMEOUT);
    assert!(status.success(), "{said}{}", verify.stdout());
}
