//! What a database does to a job that writes to it: nothing is lost, nothing is doubled, the memory stays
//! where it is, and the job goes on by itself.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use crate::seen::get;
use crate::support::job::{Job, readings};
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, Mariadb, TextRow, databases, mariadb};
use crate::support::output::{assert_same, csv_rows};
use crate::support::process::free_port;
use crate::support::proxy::{Cut, Proxy};
use crate::support::sqlite;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);

/// A file of readings, and the folder of the jobs that read it.
struct Work {
    folder: tempfile::TempDir,
    file: String,
    records: usize,
    port: u16,
}

impl Work {
    fn new(records: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = readings(folder.path(), records);
        Self { folder, file, records, port: free_port() }
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn args(&self, command: &str, out: &str, database: Option<&str>) -> Vec<String> {
        let out = self.out(out).display().to_string();
        let mut args: Vec<String> = [command, "--input", &self.file, "--out", &out].map(String::from).into();
        args.extend(database.into_iter().flat_map(|url| ["--database".into(), url.to_owned()]));
        args
    }

    /// Small epochs, so that there are many commits to be disturbed.
    fn start(&self, out: &str, database: Option<&str>, more: &[&str]) -> Job {
        let listen = match out {
            "disturbed" => format!("127.0.0.1:{}", self.port),
            _ => "off".into(),
        };
        let mut args = self.args("run", out, database);
        args.extend(["--listen", &listen].iter().chain(more).map(|arg| (*arg).to_owned()));
        if !more.contains(&"--commit-interval") {
            args.extend(
                ["--set", "limits.epoch_records=4000", "--commit-interval", "50ms"].map(String::from),
            );
        }
        Job::start(args)
    }

    fn answers(&self, path: &str) -> String {
        get(self.port, path)
    }

    /// The value of a metric without labels; 0 while the job does not answer.
    fn metric(&self, name: &str) -> u64 {
        let name = format!("truckflow_{name} ");
        let metrics = self.answers("/metrics");
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
        value.map_or(0, |value| value.parse().unwrap())
    }

    /// What was committed is what an undisturbed run gives.
    #[track_caller]
    fn assert_undisturbed(&self, database: Option<&Database>, more: &[&str]) {
        finish(self.start("undisturbed", None, &[&["--until-end"], more].concat()));
        assert_same(&self.out("undisturbed"), &self.out("disturbed"));
        let mut args = self.args("verify", "disturbed", database.map(|database| &*database.url));
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        let mut verify = Job::start(args);
        let (status, said) = verify.wait(TIMEOUT);
        assert!(status.success(), "{said}{}", verify.stdout());
    }

    fn rows(&self, database: &Database) -> usize {
        if database.query("SHOW TABLES LIKE 'TRUCK_PARAMETER_MAP'").is_empty() {
            return 0;
        }
        number(database, "SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP")
    }

    #[track_caller]
    fn wait_for_all(&self, database: &Database) {
        eventually(TIMEOUT, "all is committed", || self.rows(database) == self.records);
    }

    /// Adds readings to the file, which a job without an end reads on.
    fn grow(&mut self) {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let more = text.lines().take(1000).map(|line| format!("{line}\n")).collect::<String>();
        self.append(&more);
    }

    fn append(&mut self, lines: &str) {
        let mut file = File::options().append(true).open(&self.file).unwrap();
        file.write_all(lines.as_bytes()).unwrap();
        self.records += lines.lines().count();
    }
}

fn number(database: &Database, sql: &str) -> usize {
    database.query(sql)[0][0].as_deref().unwrap_or("0").parse().unwrap()
}

#[track_caller]
fn finish(mut job: Job) -> String {
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
    said
}

#[track_caller]
fn end(mut job: Job) {
    job.terminate();
    finish(job);
}

/// How many connections of a job are killed.
const KILLED: usize = 12;

#[test]
fn connections_that_are_killed_while_epochs_overlap_leave_no_trace() {
    for database in databases() {
        let work = Work::new(60_000);
        let overlapping = ["--set", "tables.connections=3", "--set", "limits.epochs_in_flight=4"];
        let job = work.start("disturbed", Some(&database.url), &overlapping);
        let mut killed = 0;
        let of_job = |row: &TextRow| row[3].as_deref() == Some(&*database.name);
        eventually(TIMEOUT, "all is committed", || {
            let mut session = database.session();
            let own = session.query("SELECT CONNECTION_ID()")[0][0].clone();
            let connections = session.query("SHOW PROCESSLIST");
            let mut ids = connections.iter().filter(|row| of_job(row) && row[0] != own).cycle();
            // A start without --wait ends if its connection does.
            let has_begun = work.rows(&database) > 0;
            if killed < KILLED
                && has_begun
                && let Some(row) = ids.nth(killed)
            {
                // It may have ended by itself meanwhile.
                let _ = session.try_query(&format!("KILL {}", row[0].as_deref().unwrap()));
                killed += 1;
            }
            work.rows(&database) == work.records
        });
        assert!(killed > 2, "{killed} connections were killed: {}", job.stderr());
        end(job);
        work.assert_undisturbed(Some(&database), &[]);
    }
}

#[test]
fn a_database_that_is_restarted_killed_or_long_away_is_waited_for() {
    let mut work = Work::new(40_000);
    let mut server = Mariadb::start();
    let database = server.create_database();
    let job = work.start("disturbed", Some(&database.url), &[]);
    work.wait_for_all(&database);
    eventually(TIMEOUT, "it is ready", || work.answers("/readyz").contains("200 OK"));
    // There is nothing to write meanwhile, and it is seen all the same.
    server.stop();
    eventually(TIMEOUT, "it is not ready", || work.answers("/readyz").contains("does not answer"));
    eventually(TIMEOUT, "the page says so", || {
        work.answers("/api/v1/status").contains("Waiting, and will continue")
    });
    server.restart();
    eventually(TIMEOUT, "it is ready again", || work.answers("/readyz").contains("200 OK"));
    work.grow();
    work.wait_for_all(&database);
    // Here there is.
    server.kill();
    work.grow();
    eventually(TIMEOUT, "it tries", || !work.answers("/metrics").contains("commit_retries_total 0\n"));
    assert!(work.answers("/readyz").contains("503") && work.answers("/healthz").contains("200 OK"));
    server.restart();
    work.wait_for_all(&database);
    eventually(TIMEOUT, "it is ready again", || work.answers("/readyz").contains("200 OK"));
    end(job);
    work.assert_undisturbed(Some(&database), &[]);
}

#[test]
fn a_job_that_tries_again_does_not_advise_to_keep_trying() {
    let work = Work::new(20_000);
    let (server, database) = (mariadb(), mariadb().create_database());
    let proxy = Proxy::start(server.port());
    let job = work.start("disturbed", Some(&proxy.url(&database.url)), &["--until-end"]);
    proxy.cut_next_commit(Cut::Before);
    eventually(TIMEOUT, "a commit is cut", || proxy.cuts() > 0);
    let said = finish(job);
    let tries = said.lines().find(|line| line.contains("trying again")).expect("it tries again");
    assert!(
        tries.contains("does not answer") && !tries.contains("--wait") && !tries.contains("--database"),
        "{tries}"
    );

    // One that waits at its start does so already; one that looks, and does not run, cannot.
    let dead = format!("mysql://root@127.0.0.1:{}/d", free_port());
    let mut waits = work.start("waits", Some(&dead), &["--wait"]);
    let tries = waits.wait_for_line("trying again", TIMEOUT);
    assert!(tries.contains("does not answer") && !tries.contains("--wait"), "{tries}");
    waits.kill9();
    for command in ["check", "verify"] {
        let mut job = Job::start(work.args(command, "undisturbed", Some(&dead)));
        let said = job.wait(TIMEOUT).1 + &job.stdout();
        assert!(said.contains("start it or correct --database") && !said.contains("--wait"), "{said}");
    }
    let (status, said) = work.start("waits", Some(&dead), &[]).wait(TIMEOUT);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("start it or correct --database, or keep trying with --wait"), "{said}");
}

#[test]
fn memory_stays_where_it_is_while_the_database_is_away() {
    let work = Work::new(400_000);
    let mut server = Mariadb::start();
    let database = server.create_database();
    // Little may be in flight, so that it is soon there.
    let limits = ["--set", "limits.bytes_in_flight=4000000", "--set", "limits.epoch_bytes=1000000"];
    let mut job = work.start("disturbed", Some(&database.url), &limits);
    eventually(TIMEOUT, "something is committed", || work.rows(&database) > 0);
    server.kill();
    job.wait_for_line("trying again", TIMEOUT);
    eventually(TIMEOUT, "the source is paused", || work.metric("source_paused") == 1);
    let before = job.resident_mib();
    // As long as it takes to try several times.
    eventually(TIMEOUT, "it goes on trying", || {
        job.stderr().lines().filter(|line| line.contains("trying again")).count() >= 7
    });
    let after = job.resident_mib();
    assert!(after <= before + 16, "{before} MiB, and then {after}");
    server.restart();
    eventually(TIMEOUT, "it goes on", || work.answers("/readyz").contains("200 OK"));
    end(job);
}

#[test]
fn a_commit_whose_answer_is_lost_and_one_that_never_arrives_are_told_apart() {
    let work = Work::new(60_000);
    let (server, database) = (mariadb(), mariadb().create_database());
    let proxy = Proxy::start(server.port());
    let job = work.start("disturbed", Some(&proxy.url(&database.url)), &["--until-end"]);
    for (cuts, cut) in (0..).zip([Cut::After, Cut::Before, Cut::Before, Cut::After]) {
        proxy.cut_next_commit(cut);
        eventually(TIMEOUT, "a commit is cut", || proxy.cuts() > cuts);
    }
    let said = finish(job);
    assert!(said.contains("trying again"), "{said}");
    work.wait_for_all(&database);
    work.assert_undisturbed(Some(&database), &[]);
}

#[test]
fn the_first_commit_of_a_start_is_there_whether_it_or_its_answer_is_lost() {
    let (server, folder) = (mariadb(), tempfile::tempdir().unwrap());
    for (name, cut) in [("before", Cut::Before), ("after", Cut::After)] {
        let (database, topic) = (server.create_database(), unique_topic());
        kafka().create_topic(&topic, 2);
        let (proxy, out) = (Proxy::start(server.port()), folder.path().join(name));
        let url = proxy.url(&database.url);
        let input = ["--brokers", kafka().brokers(), "--topic", &topic, "--out", out.to_str().unwrap()];
        let args = ["run", "--until-end", "--listen", "off", "--database", &url];
        // Also where there are commits before it.
        for start in 0..2 {
            database.query("DROP TABLE IF EXISTS truckflow_topics, truckflow_offsets, truckflow_files");
            if start > 0 {
                std::fs::remove_dir_all(&out).unwrap();
            }
            proxy.cut_next_commit(cut);
            let said = finish(Job::start(args.into_iter().chain(input)));
            assert_eq!(proxy.cuts(), start + 1);
            assert!(said.contains("trying again"), "{said}");
            // Where each partition begins, which topic it is, and how long the headers are.
            assert_eq!(number(&database, "SELECT COUNT(*) FROM truckflow_topics"), 1);
            assert_eq!(number(&database, "SELECT COUNT(*) FROM truckflow_offsets"), 2);
            assert!(number(&database, "SELECT MIN(length) FROM truckflow_files") > 0);
        }
    }
}

#[test]
fn a_row_that_only_the_retry_of_a_commit_refuses_becomes_a_dead_letter() {
    let mut work = Work::new(0);
    let (server, database) = (mariadb(), mariadb().create_database());
    database.query(
        "CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, distance_covered DOUBLE, \
         CONSTRAINT not_7 CHECK (distance_covered <> 7))",
    );
    let proxy = Proxy::start(server.port());
    // The epoch ends with the sixth record.
    let flags = ["--commit-interval", "1h", "--set", "limits.epoch_records=6"];
    let mut job = work.start("disturbed", Some(&proxy.url(&database.url)), &flags);
    let reading = |distance: u32| {
        format!(
            "{{\"timestamp\": \"2023-04-10 01:02:0{distance}\", \"distance_covered\": {distance}, \
             \"engine_speed\": 80, \"fuel_consumed\": 0, \"truck_id\": \"a\"}}\n"
        )
    };
    work.append(&[3, 5, 7, 8, 9].map(reading).concat());
    job.wait_for_line("not_7", TIMEOUT);
    let mut reader = database.session();
    reader.query("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED");
    eventually(TIMEOUT, "the rows are in the open transaction", || {
        reader.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP")[0][0].as_deref() == Some("4")
    });
    // It waits for the transaction, and comes before its retry.
    let change = "ALTER TABLE TRUCK_PARAMETER_MAP DROP CONSTRAINT not_7, \
                  ADD CONSTRAINT not_5 CHECK (distance_covered <> 5)";
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| database.query(change));
        let waits = format!(
            "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{}' \
             AND STATE LIKE 'Waiting for table metadata lock%'",
            database.name
        );
        eventually(TIMEOUT, "the change waits", || number(&database, &waits) == 1);
        proxy.cut_next_commit(Cut::Before);
        work.append(&reading(4));
        changing.join().unwrap();
    });
    job.wait_for_line("not_5", TIMEOUT);
    let distances = "SELECT distance_covered FROM TRUCK_PARAMETER_MAP ORDER BY distance_covered";
    let committed = || database.query(distances).into_iter().flatten().flatten().collect::<Vec<_>>();
    eventually(TIMEOUT, "it is committed", || committed() == ["3", "4", "7", "8", "9"]);
    end(job);
    let letters = database.query("SELECT topic, field, payload FROM TRUCK_DEAD_LETTERS");
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert_eq!(letter[0].as_deref(), Some("parameter_map"));
    assert!(letter[1].as_deref().unwrap().contains("not_5"), "{letter:?}");
    assert_eq!(letter[2].as_deref(), Some("2023-04-10 01:02:05.000000,5,80,0,a"));
    // The file has the same, and none of the first attempt.
    let letters = csv_rows(&work.out("disturbed").join("dead_letters.csv"));
    let [letter] = letters.as_slice() else { panic!("{letters:?}") };
    assert!(letter.iter().any(|field| field == "2023-04-10 01:02:05.000000,5,80,0,a"), "{letter:?}");
    let mut verify = Job::start(work.args("verify", "disturbed", Some(&database.url)));
    let (status, said) = verify.wait(TIMEOUT);
    assert!(status.success(), "{said}{}", verify.stdout());
}

#[test]
fn refused_rows_of_a_commit_whose_answer_is_lost_are_counted() {
    let (server, database, folder) = (mariadb(), mariadb().create_database(), tempfile::tempdir().unwrap());
    database.query(
        "CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, distance_covered DOUBLE, \
         CONSTRAINT not_7 CHECK (distance_covered <> 7))",
    );
    let [input, out] = ["in.jsonl", "out"].map(|name| folder.path().join(name).display().to_string());
    let reading = |distance: u32| {
        format!(
            "{{\"timestamp\": \"2023-04-10 01:02:0{distance}\", \"distance_covered\": {distance}, \
             \"engine_speed\": 80, \"fuel_consumed\": 0}}\n"
        )
    };
    std::fs::write(&input, reading(3)).unwrap();
    let proxy = Proxy::start(server.port());
    let url = proxy.url(&database.url);
    let run = ["run", "--input", &input, "--out", &out, "--database", &url, "--until-end", "--json"];
    let started = || Job::start(run.into_iter().chain(["--listen", "off"]));
    // Its second start has one commit with rows, after that of the start.
    let (status, said) = started().wait(TIMEOUT);
    assert!(status.success(), "{said}");
    std::fs::write(&input, reading(3) + &reading(7)).unwrap();
    proxy.cut_commit_after(1, Cut::After);
    let mut job = started();
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success() && said.contains("trying again"), "{said}");
    let summary: serde_json::Value = serde_json::from_str(&job.stdout()).unwrap();
    assert_eq!(summary["refused_rows"], 1, "{summary}");
    assert_eq!(number(&database, "SELECT COUNT(*) FROM TRUCK_DEAD_LETTERS"), 1);
}

#[test]
fn a_deadlock_is_no_end() {
    let mut work = Work::new(5000);
    let database = mariadb().create_database();
    let job = work.start("disturbed", Some(&database.url), &[]);
    work.wait_for_all(&database);
    // What has changed less is given up, and that is to be the job.
    database.query("CREATE TABLE much (n INT) ENGINE = InnoDB");
    let mut other = database.session();
    other.query("BEGIN");
    other.query("INSERT INTO much SELECT seq FROM seq_1_to_100000");
    other.query("SELECT * FROM truckflow_jobs FOR UPDATE");
    let before = deadlocks(&database);
    work.grow();
    let waits = format!(
        "SELECT COUNT(*) FROM information_schema.INNODB_LOCK_WAITS w \
         JOIN information_schema.INNODB_LOCKS l ON l.lock_id = w.requested_lock_id \
         WHERE l.lock_table LIKE '%{}%truckflow_jobs%'",
        database.name
    );
    // It has inserted its rows, and waits for what the other has.
    eventually(TIMEOUT, "the job waits", || {
        // Who asks more often than every 100 ms is told the same again and again: InnoDB keeps its answer.
        std::thread::sleep(Duration::from_millis(150));
        number(&database, &waits) > 0
    });
    other.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP FOR UPDATE");
    assert!(deadlocks(&database) > before, "that is a deadlock");
    eventually(TIMEOUT, "the job is the one that is given up", || job.stderr().contains("1213"));
    other.query("ROLLBACK");
    work.wait_for_all(&database);
    end(job);
    work.assert_undisturbed(Some(&database), &[]);
}

fn deadlocks(database: &Database) -> usize {
    database.query("SHOW GLOBAL STATUS LIKE 'Innodb_deadlocks'")[0][1].as_deref().unwrap().parse().unwrap()
}

#[test]
fn a_lock_that_another_keeps_for_long_is_waited_for() {
    let mut work = Work::new(5000);
    let (server, database) = (mariadb(), mariadb().create_database());
    let proxy = Proxy::start(server.port());
    // The server's patience with the job, which is longer than a test's.
    proxy.replace("innodb_lock_wait_timeout = 50", "innodb_lock_wait_timeout = 01");
    let job = work.start("disturbed", Some(&proxy.url(&database.url)), &[]);
    work.wait_for_all(&database);
    let mut other = database.session();
    other.query("BEGIN");
    other.query("SELECT * FROM truckflow_jobs FOR UPDATE");
    work.grow();
    eventually(TIMEOUT, "the job is told that it takes too long", || job.stderr().contains("1205"));
    assert!(work.answers("/readyz").contains("1205"), "{}", work.answers("/readyz"));
    other.query("COMMIT");
    work.wait_for_all(&database);
    eventually(TIMEOUT, "it is ready again", || work.answers("/readyz").contains("200 OK"));
    end(job);
    work.assert_undisturbed(Some(&database), &[]);
}

#[test]
fn a_slow_server_holds_the_source_back() {
    let work = Work::new(100_000);
    let (server, database) = (mariadb(), mariadb().create_database());
    let proxy = Proxy::start(server.port());
    let limits = ["--set", "limits.bytes_in_flight=4000000", "--set", "limits.epoch_bytes=1000000"];
    let mut job =
        work.start("disturbed", Some(&proxy.url(&database.url)), &[&["--until-end"], &limits[..]].concat());
    job.wait_for_line("reading", TIMEOUT);
    proxy.limit(400_000);
    eventually(TIMEOUT, "the source is paused", || work.metric("source_paused") == 1);
    let before = work.rows(&database);
    let memory = job.resident_mib();
    eventually(TIMEOUT, "it goes on, slowly", || work.rows(&database) > before);
    let after = job.resident_mib();
    assert!(after <= memory + 32, "{memory} MiB, and then {after}");
    proxy.limit(0);
    let said = finish(job);
    assert!(!said.contains("trying again"), "slow is not away: {said}");
    work.wait_for_all(&database);
    work.assert_undisturbed(Some(&database), &limits);
}

#[test]
fn state_that_waits_for_a_slow_server_holds_the_source_back() {
    let mut work = Work::new(60_000);
    // All readings are state in an upsert job, and this one writes nothing else.
    let text = std::fs::read_to_string(&work.file).unwrap();
    let keyed: String = (0..).zip(text.lines()).map(|(n, line)| format!("{n}|{line}\n")).collect();
    std::fs::write(&work.file, keyed).unwrap();
    let database = mariadb().create_database();
    let proxy = Proxy::start(mariadb().port());
    // Neither records nor bytes of input end an epoch.
    let more = [
        "--set",
        "mode=upsert",
        "--set",
        "key_separator=|",
        "--set",
        "tables.views=[]",
        "--set",
        "csv.views=[]",
        "--commit-interval",
        "50ms",
        "--set",
        "limits.epoch_records=1000000000",
        "--set",
        "limits.epoch_bytes=1000000000",
        "--set",
        "limits.bytes_in_flight=300000",
        "--until-end",
    ];
    let mut job = work.start("disturbed", Some(&proxy.url(&database.url)), &more);
    job.wait_for_line("reading", TIMEOUT);
    proxy.limit(100_000);
    eventually(TIMEOUT, "the source is paused", || work.metric("source_paused") == 1);
    eventually(TIMEOUT, "it is shown why", || work.metric("bytes_in_flight") >= 300_000);
    proxy.limit(0);
    finish(job);
    let offsets = "SELECT SUM(next_offset) FROM truckflow_offsets";
    work.records -= number(&database, offsets);
    assert_eq!(work.records, 0, "all is committed");
}

#[test]
fn a_server_that_is_read_only_for_a_while_is_waited_for() {
    let mut work = Work::new(5000);
    let server = Mariadb::start();
    let database = server.create_database();
    let job = work.start("disturbed", Some(&database.url), &[]);
    work.wait_for_all(&database);
    database.query("SET GLOBAL read_only = 1");
    work.grow();
    eventually(TIMEOUT, "it says so", || work.answers("/readyz").contains("make the server writable"));
    database.query("SET GLOBAL read_only = 0");
    work.wait_for_all(&database);
    eventually(TIMEOUT, "it is ready again", || work.answers("/readyz").contains("200 OK"));
    end(job);
    work.assert_undisturbed(Some(&database), &[]);
}

#[test]
fn rows_and_state_go_in_packets_that_the_server_takes() {
    let mut work = Work::new(60_000);
    // All readings are state in an upsert job, more of it than one packet.
    let text = std::fs::read_to_string(&work.file).unwrap();
    let keyed: String = (0..).zip(text.lines()).map(|(n, line)| format!("{n}|{line}\n")).collect();
    std::fs::write(&work.file, keyed).unwrap();
    let server = Mariadb::start();
    let database = server.create_database();
    database.query("SET GLOBAL max_allowed_packet = 1048576");
    let upsert = ["--set", "mode=upsert", "--set", "key_separator=|"];
    let one = ["--until-end", "--set", "limits.epoch_records=1000000", "--commit-interval", "1h"];
    finish(work.start("disturbed", Some(&database.url), &[&one[..], &upsert].concat()));
    let whole = number(&database, "SELECT SUM(LENGTH(bytes)) FROM truckflow_state");
    let largest = number(&database, "SELECT MAX(LENGTH(bytes)) FROM truckflow_state");
    assert!(whole > 2 << 20 && largest < 1 << 20, "{whole} bytes in parts of at most {largest}");
    // It is read as it was written.
    let job = work.start("disturbed", Some(&database.url), &upsert);
    work.append("3|{\"timestamp\": \"2023-04-10 01:02:27\", \"distance_covered\": 1, \"engine_speed\": 81, \"fuel_consumed\": 0}\n");
    work.records -= 1;
    let corrected = "SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP WHERE ENGINE_SPEED = 81";
    let before = number(&database, corrected);
    eventually(TIMEOUT, "a reading is corrected", || number(&database, corrected) > before);
    work.wait_for_all(&database);
    end(job);
    work.assert_undisturbed(Some(&database), &upsert);
}

#[test]
fn a_database_file_that_another_program_writes_to_is_waited_for() {
    let mut work = Work::new(5000);
    let mut job = work.start("disturbed", None, &[]);
    let file = work.out("disturbed").join("truckflow.db");
    let rows = || {
        let count = sqlite::query(&file, "SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP");
        count[0][0].as_deref().unwrap().parse::<usize>().unwrap()
    };
    eventually(TIMEOUT, "it is ready", || work.answers("/readyz").contains("200 OK"));
    eventually(TIMEOUT, "all is committed", || rows() == work.records);
    let other = rusqlite::Connection::open(&file).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    work.grow();
    job.wait_for_line("trying again", TIMEOUT);
    assert!(work.answers("/readyz").contains("end the program that writes to it"));
    other.execute_batch("COMMIT").unwrap();
    eventually(TIMEOUT, "all is committed", || rows() == work.records);
    end(job);
    work.assert_undisturbed(None, &[]);
}
