//! Several processes that work on one job: they hold what one process would, whoever is killed, stopped
//! or added meanwhile.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use crate::support::job::{Job, readings};
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::{assert_same, csv_rows, lines};
use crate::support::process::free_port;
use crate::support::sqlite;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);
const LINE: &str =
    r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;

/// A topic, and the processes that read it into one folder.
struct Cluster {
    folder: tempfile::TempDir,
    topic: String,
    hosts: Vec<String>,
    more: Vec<String>,
}

impl Cluster {
    fn new(more: &[&str]) -> Self {
        let topic = unique_topic();
        kafka().create_topic(&topic, 4);
        let hosts: Vec<String> = (0..2).map(|_| format!("127.0.0.1:{}", free_port())).collect();
        let more = more.iter().map(|arg| (*arg).to_owned()).collect();
        let cluster = Self { folder: tempfile::tempdir().unwrap(), topic, hosts, more };
        cluster.write_hosts(&cluster.hosts);
        cluster
    }

    /// Names other addresses, while no process reads them.
    fn write_hosts(&self, hosts: &[String]) {
        std::fs::write(self.out("hosts"), hosts.join("\n")).unwrap();
    }

    /// Sends simulated readings of five trucks, and some of what cannot be read.
    fn feed(&self, records: usize) {
        let text = std::fs::read_to_string(readings(self.folder.path(), records)).unwrap();
        self.send(&(text + "{\"timestamp\", \"a\"\nno reading\n"));
    }

    fn send(&self, lines: &str) {
        let path = self.out("lines");
        std::fs::write(&path, lines).unwrap();
        let path = path.display().to_string();
        finish(Job::start(["replay", &path, "--topic", &self.topic, "--brokers", kafka().brokers()]));
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Flags of `command` for the job in the folder `out`.
    fn args(&self, command: &str, out: &str, database: Option<&Database>) -> Vec<String> {
        let out = self.out(out).display().to_string();
        let mut args: Vec<String> =
            [command, "--brokers", kafka().brokers(), "--topic", &self.topic, "--out", &out]
                .map(String::from)
                .into();
        if let Some(database) = database {
            args.extend(["--database".into(), database.url.clone()]);
        }
        args.extend(self.more.iter().cloned());
        args
    }

    fn start(&self, out: &str, database: Option<&Database>, more: &[&str]) -> Job {
        let mut args = self.args("run", out, database);
        // Small epochs, so that there are many.
        let epochs = ["--listen", "off", "--set", "limits.epoch_records=3000", "--commit-interval", "50ms"];
        args.extend(epochs.iter().chain(more).map(|arg| (*arg).to_owned()));
        Job::start(args)
    }

    /// One of two processes; only the first is told of out folder and database.
    fn process(&self, process: usize, out: &str, database: Option<&Database>, more: &[&str]) -> Job {
        let (number, hosts) = (process.to_string(), self.out("hosts").display().to_string());
        let mut args = vec!["--processes", "2", "--process", &number, "--hosts", &hosts];
        args.extend(more);
        match process {
            0 => self.start(out, database, &args),
            _ => self.start("not made", None, &args),
        }
    }

    fn two(&self, out: &str, database: Option<&Database>, more: &[&str]) -> [Job; 2] {
        // The second first: the order is not to matter.
        let second = self.process(1, out, database, more);
        [self.process(0, out, database, more), second]
    }

    /// Recomputes everything from the topic.
    fn verify(&self, out: &str, database: Option<&Database>) {
        let mut verify = Job::start(self.args("verify", out, database));
        let (status, said) = verify.wait(TIMEOUT);
        assert!(status.success(), "{said}{}", verify.stdout());
    }
}

fn finish(mut job: Job) {
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
}

/// Waits until a process has failed, and gives the one sentence that it said.
#[track_caller]
fn sentence(job: &mut Job, status: i32) -> String {
    let (ended, said) = job.wait(Duration::from_secs(30));
    assert_eq!(ended.code(), Some(status), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    let sentences: Vec<&str> = said.lines().filter(|line| !line.starts_with("20")).collect();
    let [sentence] = sentences.as_slice() else { panic!("one sentence is said, not:\n{said}") };
    assert!(sentence.starts_with("truckflow: "), "{said}");
    (*sentence).to_owned()
}

#[test]
fn process_0_counts_what_all_processes_read() {
    let cluster = Cluster::new(&[]);
    cluster.feed(1000);
    let [mut first, mut second] = cluster.two("out", None, &["--until-end", "--json"]);
    let counts = [&mut first, &mut second].map(|job| {
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        serde_json::from_str::<serde_json::Value>(&job.stdout()).expect("JSON")
    });
    let number = |process: usize, what: &str| counts[process][what].as_u64().expect("a number");
    assert_eq!([number(0, "records"), number(0, "rejected"), number(0, "dead_letters")], [1000, 2, 2]);
    assert_eq!(counts[0]["rejected_by_reason"], serde_json::json!({ "not_an_object": 2 }));
    // Another process says what it has read itself.
    let other = number(1, "records");
    assert!(0 < other && other < 1000 && number(1, "dead_letters") == 0, "{counts:?}");

    // All that comes is rejected, by whichever process reads it.
    cluster.send(&"no reading\n".repeat(150));
    let [mut first, mut second] = cluster.two("out", None, &["--until-end"]);
    let (status, said) = first.wait(TIMEOUT);
    assert!(status.success(), "{said}");
    let last = said.lines().last().unwrap();
    assert!(last.contains("all 150 messages were rejected, the first for not_an_object;"), "{said}");
    assert!(second.wait(TIMEOUT).0.success());
}

#[test]
fn two_processes_produce_the_results_of_one() {
    let cluster = Cluster::new(&["--set", "parameters.correlation_tables=latest"]);
    cluster.feed(40_000);
    finish(cluster.start("one", None, &["--until-end", "--workers", "2"]));
    for workers in ["1", "2"] {
        cluster.two(workers, None, &["--until-end", "--workers", workers]).into_iter().for_each(finish);
        assert_same(&cluster.out("one"), &cluster.out(workers));
        for (table, columns) in [
            ("TRUCK_PARAMETER_MAP", "timestamp, distance_covered, engine_speed, fuel_consumed, truck_id"),
            ("TRUCK_DISTANCE_CORRELATION", "distance_covered, time_elapsed, correlation, truck_id, samples"),
            ("TRUCK_ENGINE_SPEED_CORRELATION", "engine_speed, time_elapsed, correlation, truck_id, samples"),
            ("TRUCK_DEAD_LETTERS", "topic, partition, offset, payload, reason, field"),
        ] {
            let rows = |out: &str| {
                let order = (1..=columns.split(',').count()).map(|n| n.to_string()).collect::<Vec<_>>();
                let sql = format!("SELECT {columns} FROM {table} ORDER BY {}", order.join(", "));
                sqlite::query(&cluster.out(out).join("truckflow.db"), &sql)
            };
            assert!(rows("one") == rows(workers), "{table} differs");
        }
        cluster.verify(workers, None);
    }
}

#[test]
fn an_epoch_that_alone_has_more_bytes_than_may_be_in_flight_is_committed() {
    let cluster = Cluster::new(&[]);
    cluster.feed(20_000);
    let any = ["--until-end", "--set", "limits.bytes_in_flight=1"];
    finish(cluster.start("alone", None, &any));
    cluster.two("two", None, &any).into_iter().for_each(finish);
    finish(cluster.start("undisturbed", None, &["--until-end"]));
    assert_same(&cluster.out("undisturbed"), &cluster.out("alone"));
    assert_same(&cluster.out("undisturbed"), &cluster.out("two"));
}

#[test]
fn a_killed_process_ends_the_other_and_leaves_no_trace() {
    let cluster = Cluster::new(&[]);
    let database = mariadb().create_database();
    let committed = || -> usize {
        if database.query("SHOW TABLES LIKE 'truckflow_offsets'").is_empty() {
            return 0;
        }
        let rows = database.query("SELECT COALESCE(SUM(next_offset), 0) FROM truckflow_offsets");
        rows[0][0].as_deref().unwrap_or("0").parse().unwrap()
    };
    let text = std::fs::read_to_string(readings(cluster.folder.path(), 90_000)).unwrap();
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    for (killed, lines) in [1, 0, 1].into_iter().zip(lines.chunks(30_000)) {
        // However fast the last round was, there is work in this one.
        cluster.send(&lines.concat());
        let before = committed();
        let mut two = cluster.two("disturbed", Some(&database), &[]);
        eventually(TIMEOUT, "more is committed", || committed() > before + 5000);
        two[killed].kill9();
        let said = sentence(&mut two[1 - killed], 1);
        let gone = format!("lost process {killed} at {}", cluster.hosts[killed]);
        assert!(said.contains(&gone) && said.contains("from its last commit"), "{said}");
    }
    cluster.two("disturbed", Some(&database), &["--until-end"]).into_iter().for_each(finish);
    finish(cluster.start("undisturbed", None, &["--until-end"]));
    assert_same(&cluster.out("undisturbed"), &cluster.out("disturbed"));
    cluster.verify("disturbed", Some(&database));
}

#[test]
fn a_job_goes_on_with_another_number_of_processes() {
    let cluster = Cluster::new(&[]);
    let step = |processes: usize, workers: &str| {
        cluster.feed(5_000);
        let args = ["--until-end", "--workers", workers];
        match processes {
            1 => finish(cluster.start("steps", None, &args)),
            _ => cluster.two("steps", None, &args).into_iter().for_each(finish),
        }
    };
    step(1, "1");
    step(2, "1");
    step(2, "2");
    step(1, "1");
    finish(cluster.start("whole", None, &["--until-end"]));
    assert_same(&cluster.out("whole"), &cluster.out("steps"));
    cluster.verify("steps", None);
}

#[test]
fn readings_are_corrected_across_processes() {
    let cluster = Cluster::new(&["--set", "mode=upsert"]);
    let send = |range: std::ops::Range<i32>, speed: i32| {
        let message = |n: i32| {
            let line = format!(
                r#"{{"timestamp": "2023-04-10 01:{:02}:{:02}", "distance_covered": {n}, "engine_speed": {}, "fuel_consumed": 0, "truck_id": "{}"}}"#,
                n / 60 % 60,
                n % 60,
                speed + n % 7,
                n % 5
            );
            (n % 4, Some(n.to_string().into_bytes()), (n % 11 > 0 || speed < 80).then_some(line))
        };
        kafka().produce_with_nulls(&cluster.topic, range.map(message));
    };
    send(0..2000, 78);
    cluster.two("out", None, &["--until-end"]).into_iter().for_each(finish);
    // Replaced or taken back.
    send(1000..2000, 90);
    cluster.two("out", None, &["--until-end"]).into_iter().for_each(finish);
    cluster.verify("out", None);
}

#[test]
fn a_file_is_read_by_the_first_process() {
    let cluster = Cluster::new(&[]);
    let path = cluster.folder.path().join("readings.jsonl");
    std::fs::write(&path, [LINE; 100].join("\n")).unwrap();
    let input = ["--until-end", "--input", path.to_str().unwrap()];
    cluster.two("out", None, &input).into_iter().for_each(finish);
    assert_eq!(csv_rows(&cluster.out("out").join("parameter_map.csv")).len(), 100);
}

#[test]
fn a_signal_to_one_process_ends_all_after_a_commit() {
    let cluster = Cluster::new(&[]);
    kafka().produce(&cluster.topic, (0..100).map(|n| (n % 4, None, LINE)));
    let [first, mut second] = cluster.two("out", None, &[]);
    let file = cluster.out("out").join("parameter_map.csv");
    eventually(TIMEOUT, "all is written", || file.exists() && csv_rows(&file).len() == 100);
    second.terminate();
    finish(second);
    finish(first);
    // What came meanwhile is not lost.
    kafka().produce(&cluster.topic, (0..100).map(|n| (n % 4, None, LINE)));
    cluster.two("out", None, &["--until-end"]).into_iter().for_each(finish);
    assert_eq!(csv_rows(&file).len(), 200);
}

#[test]
fn a_process_that_is_terminated_while_it_waits_ends_well() {
    let cluster = Cluster::new(&[]);
    let mut second = cluster.process(1, "out", None, &[]);
    second.wait_for_line("waiting for process 0", TIMEOUT);
    second.terminate();
    finish(second);
    let mut first = cluster.process(0, "out", None, &[]);
    first.wait_for_line("waiting for", TIMEOUT);
    first.terminate();
    finish(first);
}

#[test]
fn a_stop_reaches_a_process_that_still_waits_for_its_brokers() {
    let cluster = Cluster::new(&[]);
    let (hosts, dead) = (cluster.out("hosts").display().to_string(), format!("127.0.0.1:{}", free_port()));
    for terminated in [0, 1] {
        let first = cluster.process(0, "out", None, &[]);
        // The brokers' addresses are a machine's own.
        let mut args = cluster.args("run", "not made", None);
        let brokers = args.iter().position(|arg| arg == kafka().brokers()).unwrap();
        args[brokers].clone_from(&dead);
        let second = ["--wait", "--listen", "off", "--set", "limits.epoch_records=3000", "--commit-interval"];
        let process = ["50ms", "--processes", "2", "--process", "1", "--hosts", &hosts];
        args.extend(second.into_iter().chain(process).map(str::to_owned));
        let mut jobs = [first, Job::start(args)];
        jobs[1].wait_for_line("trying again", TIMEOUT);
        jobs[terminated].terminate();
        jobs.into_iter().for_each(finish);
    }
}

#[test]
fn a_process_that_does_not_fit_is_refused_and_the_others_wait_on() {
    let cluster = Cluster::new(&[]);
    kafka().produce(&cluster.topic, (0..100).map(|n| (n % 4, None, LINE)));
    let first = cluster.process(0, "out", None, &["--until-end"]);
    let other = ["--until-end", "--set", "parameters.join_limit=5"];
    let said = sentence(&mut cluster.process(1, "out", None, &other), 2);
    assert!(said.contains("`parameters.join_limit` is 10000 in process 0 and 5 in process 1"), "{said}");
    let secret = cluster.folder.path().join("secret");
    std::fs::write(&secret, "sesame\n").unwrap();
    let secret = format!("cluster_secret_file={}", secret.display());
    let said = sentence(&mut cluster.process(1, "out", None, &["--until-end", "--set", &secret]), 2);
    assert!(said.contains("does not know the cluster secret"), "{said}");
    finish(cluster.process(1, "out", None, &["--until-end"]));
    finish(first);
}

/// Sends garbage to a port as unknown clients would, and returns the connections that stay open.
fn make_noise(address: &str) -> Vec<TcpStream> {
    let noise: [&[u8]; 7] = [
        b"",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\x00\x00\x00\x00",
        b"\x02\x00\x00\x00{}",
        b"\x00\x10\x00\x00half of it",
        b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n",
        // How TLS begins.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ];
    let say = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(address).unwrap();
        // It may have hung up.
        let _ = stream.write_all(bytes);
        stream
    };
    let connections = noise.into_iter().chain([&b""[..]; 100]).map(say).collect();
    // One that is gone at once.
    drop(say(b"\x10\x00\x00\x00"));
    connections
}

#[test]
fn unknown_clients_are_refused_and_disturb_nothing() {
    let cluster = Cluster::new(&[]);
    cluster.feed(5_000);
    finish(cluster.start("one", None, &["--until-end"]));
    let secret = cluster.out("secret");
    std::fs::write(&secret, "sesame\n").unwrap();
    let secret = format!("cluster_secret_file={}", secret.display());
    let args = ["--set", &secret];
    let mut first = cluster.process(0, "two", None, &args);
    first.wait_for_line("waiting for", TIMEOUT);
    let early = make_noise(&cluster.hosts[0]);
    let mut second = cluster.process(1, "two", None, &args);
    second.wait_for_line("reading for process 0", TIMEOUT);
    first.wait_for_line("refused 127.0.0.1", TIMEOUT);
    let late = cluster.hosts.iter().map(|host| make_noise(host)).collect::<Vec<_>>();
    second.wait_for_line("refused 127.0.0.1", TIMEOUT);
    let written = |out: &str| lines(&cluster.out(out).join("parameter_map.csv"));
    eventually(TIMEOUT, "all is written", || written("two") == written("one"));
    second.terminate();
    for mut job in [first, second] {
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success() && !said.contains("panicked"), "{said}");
    }
    drop((early, late));
    assert_same(&cluster.out("one"), &cluster.out("two"));
    cluster.verify("two", None);
}

#[test]
fn a_process_that_joins_a_running_cluster_is_refused_immediately() {
    let cluster = Cluster::new(&[]);
    let [mut first, mut second] = cluster.two("out", None, &[]);
    second.wait_for_line("reading for process 0", TIMEOUT);
    first.wait_for_line("reading", TIMEOUT);
    // Its own port is taken on this machine, but not on another.
    let (hosts, own) = (cluster.out("other-hosts"), format!("127.0.0.1:{}", free_port()));
    std::fs::write(&hosts, [&*cluster.hosts[0], &own].join("\n")).unwrap();
    let hosts = hosts.display().to_string();
    let third = ["--processes", "2", "--process", "1", "--hosts", &hosts];
    let said = sentence(&mut cluster.start("not made", None, &third), 1);
    let works = format!("process 0 at {} already runs the job", cluster.hosts[0]);
    assert!(said.contains(&works) && said.contains("--wait"), "{said}");
    // With --wait it comes when they have ended.
    let mut patient = cluster.start("not made", None, &[&third[..], &["--wait"]].concat());
    patient.wait_for_line("the job already runs with all its processes", TIMEOUT);
    first.terminate();
    finish(first);
    finish(second);
    let again = cluster.process(0, "out", None, &["--until-end"]);
    let said = sentence(&mut patient, 2);
    assert!(said.contains("`until_end` is true in process 0 and false in process 1"), "{said}");
    finish(cluster.process(1, "out", None, &["--until-end"]));
    finish(again);
}

#[test]
fn a_process_that_waits_forever_can_be_terminated() {
    let mut cluster = Cluster::new(&[]);
    cluster.hosts.push(format!("127.0.0.1:{}", free_port()));
    cluster.write_hosts(&cluster.hosts);
    let hosts = cluster.out("hosts").display().to_string();
    let process = |number: &str| {
        let args = ["--processes", "3", "--process", number, "--hosts", &hosts, "--wait"];
        cluster.start(number, None, &args)
    };
    // The third does not come.
    let (mut first, mut second) = (process("0"), process("1"));
    first.wait_for_line("waiting for", TIMEOUT);
    second.terminate();
    finish(second);
    first.terminate();
    finish(first);
}

#[test]
fn a_backfill_requires_a_single_process() {
    let cluster = Cluster::new(&[]);
    kafka().produce(&cluster.topic, (0..100).map(|n| (n % 4, None, LINE)));
    let builtin = ["--until-end", "--builtin-views", "parameter_map"];
    finish(cluster.start("out", None, &builtin));
    let sql = cluster.out("views.sql").display().to_string();
    let fast = "CREATE MATERIALIZED VIEW fast WITH (backfill = true) AS SELECT engine_speed FROM readings WHERE engine_speed > 80;";
    std::fs::write(&sql, fast).unwrap();
    let args = [&builtin[..], &["--sql", &sql]].concat();
    let said = sentence(&mut cluster.process(0, "out", None, &args), 2);
    assert!(said.contains("`fast`") && said.contains("without --processes"), "{said}");
    finish(cluster.start("out", None, &args));
    cluster.two("out", None, &args).into_iter().for_each(finish);
    assert_eq!(csv_rows(&cluster.out("out").join("fast.csv")).len(), 100);
}

#[test]
fn wrong_use_is_one_sentence() {
    let mut cluster = Cluster::new(&[]);
    let hosts = cluster.out("hosts").display().to_string();
    cluster.write_hosts(&cluster.hosts[..1]);
    for (args, words) in [
        (&["--process", "1"][..], "--processes N"),
        (&["--processes", "2", "--process", "2", "--hosts", &hosts], "give 0 to 1, as there are 2 processes"),
        (&["--processes", "2"], "--hosts FILE"),
        (&["--processes", "2", "--hosts", &hosts], "1 of 2 processes"),
        (&["--processes", "2", "--hosts", "no-such-file"], "no-such-file"),
        (&["--processes", "2", "--hosts", &hosts, "--embedded", "--input", "-"], "--embedded"),
    ] {
        let said = sentence(&mut cluster.start("out", None, args), 2);
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    cluster.hosts[0] = taken.local_addr().unwrap().to_string();
    cluster.write_hosts(&cluster.hosts);
    let said = sentence(&mut cluster.process(0, "out", None, &[]), 1);
    assert!(said.contains(&cluster.hosts[0]) && said.contains("cannot listen"), "{said}");
}
