//! Two instances of one job: an instance that is stopped (`SIGSTOP`) keeps what it has, and one that was
//! replaced meanwhile changes nothing when it is continued.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::job::{Job, readings};
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::{assert_same, csv_files};
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);
const RECORDS: usize = 60_000;

/// A topic with readings, and a database.
struct Place {
    folder: tempfile::TempDir,
    topic: String,
    database: Database,
}

impl Place {
    fn new() -> Self {
        let (folder, topic) = (tempfile::tempdir().unwrap(), unique_topic());
        kafka().create_topic(&topic, 4);
        let file = readings(folder.path(), RECORDS);
        let replay = ["replay", &file, "--topic", &topic, "--brokers", kafka().brokers()];
        let (status, said) = Job::start(replay).wait(TIMEOUT);
        assert!(status.success(), "{said}");
        Self { folder, topic, database: mariadb().create_database() }
    }

    fn out(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn args(&self, command: &str, out: &Path) -> Vec<String> {
        let out = out.display().to_string();
        let args = [command, "--brokers", kafka().brokers(), "--topic", &self.topic, "--out", &out];
        args.into_iter().chain(["--database", &self.database.url]).map(String::from).collect()
    }

    fn start(&self, out: &str, more: &[&str]) -> Job {
        let mut args = self.args("run", &self.out(out));
        // Small epochs, so that it is stopped between two of many.
        let epochs = ["--listen", "off", "--set", "limits.epoch_records=1000", "--commit-interval", "50ms"];
        args.extend(epochs.iter().chain(more).map(|arg| (*arg).to_owned()));
        Job::start(args)
    }

    fn committed(&self) -> usize {
        if self.database.query("SHOW TABLES LIKE 'truckflow_offsets'").is_empty() {
            return 0;
        }
        let rows = self.database.query("SELECT COALESCE(SUM(next_offset), 0) FROM truckflow_offsets");
        rows[0][0].as_deref().unwrap_or("0").parse().unwrap()
    }

    /// An instance that is stopped while it works.
    fn stopped(&self, out: &str) -> Job {
        let mut job = self.start(out, &[]);
        eventually(TIMEOUT, "something is committed", || self.committed() > 2000);
        job.signal("STOP");
        job
    }
}

/// What an instance says that does not start, in its one sentence.
#[track_caller]
fn refused(mut job: Job) -> String {
    let (status, said) = job.wait(TIMEOUT);
    assert_eq!(status.code(), Some(1), "{said}");
    said.lines().find(|line| line.starts_with("truckflow: ")).expect("a sentence").to_owned()
}

#[test]
fn a_stopped_instance_keeps_its_folder_and_its_job() {
    let place = Place::new();
    let mut first = place.stopped("a");
    let said = refused(place.start("a", &[]));
    assert!(said.contains(&format!("(process {})", first.id())) && said.contains("--out"), "{said}");
    // Somebody takes the lock's file for a leftover.
    std::fs::remove_file(place.out("a").join(".truckflow.lock")).unwrap();
    let said = refused(place.start("a", &[]));
    assert!(said.contains("another instance") && said.contains("--out"), "{said}");
    let said = refused(place.start("b", &[]));
    assert!(said.contains("another instance of job `truckflow`"), "{said}");
    first.signal("CONT");
    eventually(TIMEOUT, "all is committed", || place.committed() == RECORDS);
    assert!(first.terminated(TIMEOUT).success(), "{}", first.stderr());
}

#[test]
fn a_stopped_instance_that_was_replaced_commits_nothing_and_writes_nothing() {
    let place = Place::new();
    let mut first = place.stopped("a");
    // As on another machine: with a copy of the folder, when the server has given up the connection.
    let copy = Command::new("cp").arg("-a").arg(place.out("a")).arg(place.out("b")).status().unwrap();
    assert!(copy.success());
    let connections = format!(
        "SELECT id FROM information_schema.processlist WHERE db = '{}' AND id <> CONNECTION_ID()",
        place.database.name
    );
    for connection in place.database.query(&connections) {
        place.database.query(&format!("KILL {}", connection[0].as_deref().unwrap()));
    }
    let (status, said) = place.start("b", &["--until-end"]).wait(TIMEOUT);
    assert!(status.success(), "{said}");

    let tables = || {
        let names = place.database.query("SHOW TABLES");
        let names: Vec<&str> = names.iter().map(|row| row[0].as_deref().unwrap()).collect();
        place.database.query(&format!("CHECKSUM TABLE {}", names.join(", ")))
    };
    let files =
        || csv_files(&place.out("b")).into_iter().map(|file| std::fs::read(file).ok()).collect::<Vec<_>>();
    let before = (tables(), files());
    first.signal("CONT");
    let said = refused(first);
    assert!(said.contains("took over") && said.contains("this one stops"), "{said}");
    assert!(before == (tables(), files()), "the replaced instance changed something");

    let undisturbed = place.out("undisturbed");
    let args = [
        "run",
        "--brokers",
        kafka().brokers(),
        "--topic",
        &place.topic,
        "--listen",
        "off",
        "--until-end",
        "--out",
    ];
    let (status, said) = Job::start(args.into_iter().chain([undisturbed.to_str().unwrap()])).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    assert_same(&undisturbed, &place.out("b"));
    let mut verify = Job::start(place.args("verify", &place.out("b")));
    let (status, said) = verify.wait(TIMEOUT);
    assert!(status.success(), "{said}{}", verify.stdout());
}
