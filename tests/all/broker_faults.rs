//! What brokers and topics do to a job that reads them: nothing is lost, nothing is doubled, and what
//! cannot go on says why.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::seen::get;
use crate::support::job::Job;
use crate::support::kafka::{Kafka, kafka, unique_topic};
use crate::support::output::{assert_same, csv_rows};
use crate::support::process::free_port;
use crate::support::sqlite;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);

/// A reading that no other number has; ten thousand of them are no longer than a job waits for one.
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

/// A topic, and the folder of the jobs that read it.
struct Road {
    brokers: String,
    topic: String,
    folder: tempfile::TempDir,
    sent: usize,
}

impl Road {
    fn new(kafka: &Kafka, partitions: i32) -> Self {
        let road = Self::missing(kafka);
        kafka.create_topic(&road.topic, partitions);
        road
    }

    /// One whose topic is still to be made.
    fn missing(kafka: &Kafka) -> Self {
        let (brokers, topic) = (kafka.brokers().to_owned(), unique_topic());
        Self { brokers, topic, folder: tempfile::tempdir().unwrap(), sent: 0 }
    }

    /// The next readings that are sent, in turn to the partitions.
    fn lines(&mut self, count: usize, partitions: &[i32]) -> Vec<(i32, String)> {
        let lines = (self.sent..self.sent + count).map(|n| (partitions[n % partitions.len()], line(n)));
        self.sent += count;
        lines.collect()
    }

    fn send(&mut self, kafka: &Kafka, count: usize, partitions: &[i32]) {
        let lines = self.lines(count, partitions);
        kafka.produce(&self.topic, lines.into_iter().map(|(partition, line)| (partition, None, line)));
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn args(&self, command: &str, out: &str) -> Vec<String> {
        let out = self.out(out).display().to_string();
        [command, "--brokers", &self.brokers, "--topic", &self.topic, "--out", &out].map(String::from).into()
    }

    fn start(&self, out: &str, more: &[&str]) -> Job {
        let mut args = self.args("run", out);
        args.extend(["--commit-interval", "50ms"].iter().chain(more).map(|arg| (*arg).to_owned()));
        Job::start(args)
    }

    /// Reads to the end, and ends well.
    fn read(&self, out: &str, more: &[&str]) -> String {
        let args = [&["--until-end", "--listen", "off"], more].concat();
        let (status, said) = self.start(out, &args).wait(TIMEOUT);
        assert!(status.success(), "{said}");
        said
    }

    /// Fails with one sentence.
    fn refused(&self, out: &str, more: &[&str]) -> String {
        let args = [&["--until-end", "--listen", "off"], more].concat();
        sentence(&mut self.start(out, &args))
    }

    fn rows(&self, out: &str) -> usize {
        let file = self.out(out).join("parameter_map.csv");
        if file.exists() { csv_rows(&file).len() } else { 0 }
    }

    /// Waits until all that was sent is written.
    #[track_caller]
    fn wait_for_all(&self, out: &str) {
        eventually(TIMEOUT, "all is written", || self.rows(out) == self.sent);
    }

    #[track_caller]
    fn verify(&self, out: &str) {
        let mut verify = Job::start(self.args("verify", out));
        let (status, said) = verify.wait(TIMEOUT);
        assert!(status.success(), "{said}{}", verify.stdout());
    }

    fn offsets(&self, out: &str) -> Vec<(i32, i64)> {
        let sql = format!(
            "SELECT part, next_offset FROM truckflow_offsets WHERE topic = '{}' ORDER BY part",
            self.topic
        );
        let rows = sqlite::query(&self.out(out).join("truckflow.db"), &sql);
        let number = |cell: &Option<String>| cell.as_deref().unwrap().parse::<i64>().unwrap();
        rows.iter().map(|row| (number(&row[0]) as i32, number(&row[1]))).collect()
    }
}

/// The one sentence of a job that fails.
#[track_caller]
fn sentence(job: &mut Job) -> String {
    let (ended, said) = job.wait(TIMEOUT);
    assert_eq!(ended.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let sentences: Vec<&str> = said.lines().filter(|line| line.starts_with("truckflow: ")).collect();
    let [sentence] = sentences.as_slice() else { panic!("one sentence is said, not:\n{said}") };
    (*sentence).to_owned()
}

fn end(mut job: Job) {
    job.terminate();
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
}

fn is_ready(port: u16) -> bool {
    get(port, "/readyz").contains("200 OK")
}

#[test]
fn a_broker_that_is_restarted_and_one_that_is_killed_are_waited_for() {
    let mut kafka = Kafka::start();
    let mut road = Road::new(&kafka, 2);
    let port = free_port();
    let job = road.start("disturbed", &["--listen", &format!("127.0.0.1:{port}")]);
    for stop in [Kafka::stop, Kafka::kill] {
        road.send(&kafka, 2000, &[0, 1]);
        road.wait_for_all("disturbed");
        eventually(TIMEOUT, "it is ready", || is_ready(port));
        stop(&mut kafka);
        eventually(TIMEOUT, "it is not ready", || get(port, "/readyz").contains("is not available on"));
        assert!(get(port, "/healthz").contains("200 OK"));
        kafka.restart();
        eventually(TIMEOUT, "it is ready again", || is_ready(port));
        assert!(!job.stderr().contains("truckflow: "), "{}", job.stderr());
    }
    road.send(&kafka, 1000, &[0, 1]);
    road.wait_for_all("disturbed");
    end(job);
    road.read("undisturbed", &[]);
    assert_same(&road.out("undisturbed"), &road.out("disturbed"));
    road.verify("disturbed");
}

/// What is done to brokers, and to a topic of theirs.
type Act = fn(&mut Kafka, &str);

/// Stops a job whose brokers are away, once it has seen that or before: what it has read is committed, and its next
/// start goes on behind it.
fn stop_while_away(is_seen: bool) {
    let mut kafka = Kafka::start();
    let mut road = Road::new(&kafka, 2);
    let ways: [(&str, Act); 2] = [("dead", |kafka, _| kafka.kill()), ("hung", |kafka, _| kafka.freeze(true))];
    for (way, take_away) in ways {
        road.send(&kafka, 2000, &[0, 1]);
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let mut args = road.args("run", "disturbed");
        args.extend(["--listen", &listen, "--commit-interval", "1h"].map(String::from));
        let job = Job::start(args);
        road.wait_for_all("disturbed");
        eventually(TIMEOUT, "it is ready", || is_ready(port));
        take_away(&mut kafka, &road.topic);
        if is_seen {
            eventually(TIMEOUT, "it is not ready", || get(port, "/readyz").contains("is not available on"));
        }
        end(job);
        let read: i64 = road.offsets("disturbed").iter().map(|(_, next)| next).sum();
        assert_eq!(read, road.sent as i64, "brokers are {way}: the open epoch is committed");
        kafka.freeze(false);
        kafka.restart();
    }
    road.send(&kafka, 1000, &[0, 1]);
    road.read("disturbed", &[]);
    road.read("undisturbed", &[]);
    assert_same(&road.out("undisturbed"), &road.out("disturbed"));
    road.verify("disturbed");
}

#[test]
fn a_job_that_is_stopped_while_kafka_is_away_ends_well_and_goes_on_later() {
    stop_while_away(true);
}

#[test]
fn a_job_that_is_stopped_just_after_kafka_went_away_ends_well_and_goes_on_later() {
    stop_while_away(false);
}

#[test]
fn readyz_names_the_topic_of_dead_letters_while_it_cannot_be_written() {
    let mut kafka = Kafka::start();
    let (letters, folder, port) = (unique_topic(), tempfile::tempdir().unwrap(), free_port());
    kafka.create_topic(&letters, 1);
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (input, out, listen) = (path("input.jsonl"), path("out"), format!("127.0.0.1:{port}"));
    std::fs::write(&input, "").unwrap();
    let args = ["run", "--input", &input, "--out", &out, "--listen", &listen, "--commit-interval", "50ms"];
    let topic = ["--brokers", kafka.brokers(), "--set", &format!("dead_letters.topic={letters}")];
    let job = Job::start(args.iter().chain(&topic));
    eventually(TIMEOUT, "it is ready", || is_ready(port));

    let ways: [(&str, Act, Act); 2] = [
        ("killed", |kafka, _| kafka.kill(), |kafka, _| kafka.restart()),
        (
            "deleted",
            |kafka, letters| kafka.delete_topic(letters),
            |kafka, letters| kafka.create_topic(letters, 1),
        ),
    ];
    for (way, take_away, give_back) in ways {
        take_away(&mut kafka, &letters);
        let mut file = std::fs::File::options().append(true).open(&input).unwrap();
        writeln!(file, "no reading: {way}").unwrap();
        let named = format!("dead letter topic {letters}: ");
        eventually(TIMEOUT, "it names the topic", || get(port, "/readyz").contains(&named));
        assert!(get(port, "/readyz").contains(" 503 ") && get(port, "/healthz").contains("200 OK"));
        give_back(&mut kafka, &letters);
        eventually(TIMEOUT, "it is ready again", || is_ready(port));
        let sent = kafka.read(&letters);
        let sent = sent.iter().filter_map(|letter| letter.payload.as_deref());
        let sent: Vec<_> = sent.map(String::from_utf8_lossy).collect();
        assert!(sent.contains(&format!("no reading: {way}").into()), "{sent:?}");
    }
    end(job);
    assert_eq!(csv_rows(&folder.path().join("out/dead_letters.csv")).len(), 2);
}

#[test]
fn one_of_three_brokers_is_lost_and_comes_back() {
    let mut kafka = Kafka::start_three();
    let mut road = Road::new(&kafka, 3);
    let all = [0, 1, 2];
    let port = free_port();
    let job = road.start("disturbed", &["--listen", &format!("127.0.0.1:{port}")]);
    road.send(&kafka, 3000, &all);
    road.wait_for_all("disturbed");
    let leader = kafka.leader(&road.topic, 0).unwrap();
    kafka.kill_broker(leader);
    // It has moved to another broker, and what comes meanwhile is read from there.
    eventually(TIMEOUT, "another broker leads the partition", || {
        kafka.leader(&road.topic, 0).is_some_and(|now| now > 0 && now != leader)
    });
    road.send(&kafka, 3000, &all);
    road.wait_for_all("disturbed");
    eventually(TIMEOUT, "it is ready with two brokers", || is_ready(port));
    kafka.restart();
    road.send(&kafka, 3000, &all);
    eventually(TIMEOUT, "the first broker leads it again", || kafka.leader(&road.topic, 0) == Some(leader));
    road.send(&kafka, 3000, &all);
    road.wait_for_all("disturbed");
    end(job);
    road.read("undisturbed", &[]);
    assert_same(&road.out("undisturbed"), &road.out("disturbed"));
    road.verify("disturbed");
}

#[test]
fn partitions_that_a_topic_gets_are_read_without_a_restart() {
    let mut road = Road::new(kafka(), 2);
    road.send(kafka(), 100, &[0, 1]);
    let job = road.start("grown", &["--workers", "2", "--listen", "off"]);
    road.wait_for_all("grown");
    kafka().grow_topic(&road.topic, 5);
    // One of them stays empty for now, and is watched all the same.
    road.send(kafka(), 100, &[0, 1, 2, 3]);
    road.wait_for_all("grown");
    eventually(TIMEOUT, "the empty one is kept", || road.offsets("grown").contains(&(4, 0)));
    assert!(job.stderr().contains("new partition"), "{}", job.stderr());
    end(job);
    assert_eq!(road.offsets("grown"), [(0, 75), (1, 75), (2, 25), (3, 25), (4, 0)]);
    road.send(kafka(), 100, &[4]);
    kafka().grow_topic(&road.topic, 6);
    road.send(kafka(), 100, &[5]);
    road.read("grown", &[]);
    road.read("whole", &[]);
    assert_same(&road.out("whole"), &road.out("grown"));
    road.verify("grown");
}

#[test]
fn partitions_that_a_topic_gets_are_read_by_all_processes() {
    let mut road = Road::new(kafka(), 2);
    road.send(kafka(), 100, &[0, 1]);
    let hosts = road.out("hosts").display().to_string();
    let addresses = [free_port(), free_port()].map(|port| format!("127.0.0.1:{port}"));
    std::fs::write(&hosts, addresses.join("\n")).unwrap();
    let start = |out: &str, process: &str| {
        let args = ["--processes", "2", "--process", process, "--hosts", &hosts, "--listen", "off"];
        road.start(out, &args)
    };
    let [first, mut second] = [start("grown", "0"), start("not made", "1")];
    road.wait_for_all("grown");
    kafka().grow_topic(&road.topic, 4);
    road.send(kafka(), 100, &[2, 3]);
    road.wait_for_all("grown");
    // Both are told to end.
    end(first);
    assert!(second.wait(TIMEOUT).0.success(), "{}", second.stderr());
    road.read("whole", &[]);
    assert_same(&road.out("whole"), &road.out("grown"));
    road.verify("grown");
}

#[test]
fn aborted_transactions_are_not_read_and_do_not_keep_a_job_from_its_end() {
    let mut road = Road::new(kafka(), 2);
    let transact = |road: &Road, lines: Vec<(i32, String)>, commit| {
        kafka().transaction(&road.topic, lines).end(commit);
    };
    let aborted = || (0..100).map(|n| (n % 2, line(1000 + n as usize))).collect::<Vec<_>>();
    let lines = road.lines(100, &[0]);
    transact(&road, lines, true);
    transact(&road, aborted(), false);
    road.send(kafka(), 50, &[0]);
    // Partition 0 ends with what was aborted, and partition 1 holds nothing else.
    transact(&road, aborted(), false);
    road.read("out", &[]);
    assert_eq!(road.rows("out"), road.sent);
    let ends = kafka().ends(&road.topic);
    assert_eq!(road.offsets("out"), [(0, ends[0]), (1, ends[1])]);
    road.verify("out");

    // What is not decided yet is not read, and what comes behind it waits.
    let lines = road.lines(20, &[0]);
    let open = kafka().transaction(&road.topic, lines);
    road.send(kafka(), 30, &[0]);
    road.read("out", &[]);
    assert_eq!(road.rows("out"), 150);
    let port = free_port();
    let job = road.start("out", &["--listen", &format!("127.0.0.1:{port}")]);
    let lag =
        |of: i32| format!("truckflow_consumer_lag{{partition=\"{of}\",topic=\"{}\"}} 0", road.topic.clone());
    eventually(TIMEOUT, "the lag is 0", || get(port, "/metrics").contains(&lag(0)));
    open.end(true);
    road.wait_for_all("out");
    transact(&road, aborted(), false);
    let ends = kafka().ends(&road.topic);
    eventually(TIMEOUT, "it gets over what was aborted", || {
        road.offsets("out") == [(0, ends[0]), (1, ends[1])]
    });
    eventually(TIMEOUT, "the lag is 0", || {
        let metrics = get(port, "/metrics");
        metrics.contains(&lag(0)) && metrics.contains(&lag(1))
    });
    end(job);
    road.verify("out");
}

#[test]
fn a_compacted_topic_has_holes_that_are_no_loss() {
    let mut road = Road::missing(kafka());
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.001"),
        ("segment.ms", "100"),
        ("delete.retention.ms", "0"),
    ];
    kafka().create_topic_with(&road.topic, 1, &settings);
    // Of three messages with one key the last stays; the first job reads some of them before.
    let send = |road: &mut Road, key: &str, count: usize| {
        for line in road.lines(count, &[0]) {
            kafka().produce(&road.topic, [(0, Some(key.into()), line.1)]);
        }
    };
    send(&mut road, "a", 3);
    send(&mut road, "b", 3);
    road.read("early", &[]);
    // It may be compacted at any time.
    let before = road.rows("early");
    assert!((2..=6).contains(&before), "{before}");
    send(&mut road, "a", 3);
    send(&mut road, "c", 3);
    // The last segment is not compacted, so a new one has to begin behind what is.
    eventually(TIMEOUT, "the topic is compacted", || {
        send(&mut road, "end", 1);
        let left = kafka().read(&road.topic);
        ["a", "b", "c"].iter().all(|key| {
            left.iter().filter(|message| message.key.as_deref() == Some(key.as_bytes())).count() == 1
        })
    });
    let left = kafka().read(&road.topic).len();
    road.read("early", &[]);
    road.read("late", &[]);
    assert!((4..=left).contains(&road.rows("late")), "{} of {left}", road.rows("late"));
    assert_eq!(road.offsets("late"), [(0, road.sent as i64)]);
    assert_eq!(road.offsets("early"), [(0, road.sent as i64)]);
    // What it has read stays, and of what came later at least one of each key is left.
    assert!(road.rows("early") >= before + 3, "{}", road.rows("early"));
}

#[test]
fn a_topic_that_was_re_created_is_refused_even_if_it_holds_more() {
    let mut road = Road::new(kafka(), 2);
    road.send(kafka(), 100, &[0, 1]);
    road.read("out", &[]);
    kafka().delete_topic(&road.topic);
    kafka().create_topic(&road.topic, 2);
    road.send(kafka(), 200, &[0, 1]);
    let said = road.refused("out", &[]);
    assert!(said.contains("was re-created: its id was ") && said.contains("on_data_loss"), "{said}");
    let mut verify = Job::start(road.args("verify", "out"));
    let said = sentence(&mut verify);
    assert!(said.contains("was re-created"), "{said}");
    assert_eq!(road.rows("out"), 100);

    let said = road.read("out", &["--set", "on_data_loss=earliest"]);
    assert!(said.contains("reading the new topic from its beginning"), "{said}");
    assert_eq!((road.rows("out"), road.offsets("out")), (300, vec![(0, 100), (1, 100)]));
    // It is the job's topic from then on.
    road.send(kafka(), 10, &[0]);
    road.read("out", &[]);
    assert_eq!(road.rows("out"), 310);
}

#[test]
fn a_topic_that_is_re_created_while_it_is_read_ends_the_job() {
    let mut road = Road::new(kafka(), 2);
    road.send(kafka(), 100, &[0, 1]);
    let mut job = road.start("out", &["--listen", "off"]);
    road.wait_for_all("out");
    kafka().delete_topic(&road.topic);
    kafka().create_topic(&road.topic, 2);
    road.send(kafka(), 10, &[0, 1]);
    // It may have found no such topic meanwhile.
    let said = sentence(&mut job);
    assert!(said.contains("was re-created") || said.contains("Unknown"), "{said}");
    let said = road.refused("out", &[]);
    assert!(said.contains("was re-created: its id was "), "{said}");
    assert_eq!(road.rows("out"), 100, "nothing of the new topic is written");
}

#[test]
fn a_key_that_comes_from_another_partition_ends_an_upsert_job() {
    let mut road = Road::new(kafka(), 2);
    let send = |road: &mut Road, key: &str, partition| {
        let lines = road.lines(1, &[partition]);
        let key = key.as_bytes().to_vec();
        kafka().produce(
            &road.topic,
            lines.into_iter().map(|(partition, line)| (partition, Some(key.clone()), line)),
        );
    };
    let upsert = ["--set", "mode=upsert"];
    send(&mut road, "k1", 0);
    send(&mut road, "k2", 1);
    road.read("out", &upsert);
    let offsets = road.offsets("out");
    // As where partitions were added, or where two producers choose them differently.
    send(&mut road, "k1", 1);
    for _ in 0..2 {
        let said = road.refused("out", &upsert);
        for words in [
            "key `k1`",
            &format!("topic `{}`", road.topic),
            "from partition 0 and now",
            "in partition 1",
            "--job",
        ] {
            assert!(said.contains(words), "`{words}` is not in: {said}");
        }
        assert_eq!(road.offsets("out"), offsets, "nothing of it is committed");
    }
    assert_eq!(road.rows("out"), 2);
}

/// A job that has read ten readings, and that finds some of what came since gone.
fn behind_retention(more: &[&str]) -> (Road, Job) {
    let mut road = Road::new(kafka(), 1);
    road.send(kafka(), 10, &[0]);
    // What it had asked for before it was stopped may be answered with what is sent first, and no more.
    let one_batch = ["--listen", "off", "--set", "kafka.properties.fetch.message.max.bytes=1000"];
    let mut job = road.start("out", &[&one_batch, more].concat());
    road.wait_for_all("out");
    job.freeze(true);
    road.send(kafka(), 50, &[0]);
    road.send(kafka(), 50, &[0]);
    kafka().delete_before(&road.topic, 0, 100);
    job.freeze(false);
    (road, job)
}

#[test]
fn offsets_that_are_gone_while_a_job_runs_end_it() {
    let (road, mut job) = behind_retention(&[]);
    let said = sentence(&mut job);
    assert!(said.contains("partition 0: offsets ") && said.contains(" to 99 were not read"), "{said}");
    let said = road.refused("out", &[]);
    assert!(said.contains(" to 99 were not read"), "{said}");
}

#[test]
fn offsets_that_are_gone_while_a_job_runs_are_left_out_where_that_is_wanted() {
    let (mut road, mut job) = behind_retention(&["--set", "on_data_loss=earliest"]);
    job.wait_for_line("continuing from the earliest", TIMEOUT);
    road.send(kafka(), 5, &[0]);
    eventually(TIMEOUT, "it has got to the end", || road.offsets("out") == [(0, 115)]);
    end(job);
    let rows = road.rows("out");
    assert!((10 + 10 + 5..=10 + 50 + 10 + 5).contains(&rows), "{rows}");
}

#[test]
fn a_message_larger_than_every_limit_is_a_dead_letter_with_its_bytes() {
    let mut road = Road::missing(kafka());
    kafka().create_topic_with(&road.topic, 1, &[("max.message.bytes", "8000000")]);
    road.send(kafka(), 10, &[0]);
    let large = "x".repeat(3_000_000);
    kafka().produce(&road.topic, [(0, Some(b"k".to_vec()), &large)]);
    road.send(kafka(), 10, &[0]);
    // Less than a message has: it is fetched alone.
    let limits = [
        "kafka.properties.fetch.message.max.bytes=100000",
        "kafka.properties.fetch.max.bytes=100000",
        "kafka.properties.message.max.bytes=100000",
    ];
    let limits: Vec<&str> = limits.iter().flat_map(|limit| ["--set", limit]).collect();
    road.read("out", &limits);
    assert_eq!(road.rows("out"), 20);
    let letters = csv_rows(&road.out("out").join("dead_letters.csv"));
    assert_eq!(letters.len(), 1);
    assert!(letters[0].contains(&"too_large".to_owned()), "{:?}", &letters[0][..4]);
    assert!(letters[0].contains(&large), "its bytes are kept");
    road.verify("out");
}
