//! Signals: SIGTERM ends whatever waits, and SIGHUP means what it does to other services.
//!
//! What SIGHUP reads again is in [`crate::access`].

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::seen::get;
use crate::support::job::{Job, TRUCKFLOW};
use crate::support::output::lines;
use crate::support::process::free_port;
use crate::support::sqlite;
use crate::support::terminal::Terminal;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(60);
const LINE: &str =
    r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;

fn append(path: &Path, text: &str) {
    let mut file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// Something that accepts connections and never says a word.
struct Silent(TcpListener);

impl Silent {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }
}

#[test]
fn a_stop_during_any_wait_of_a_start_ends_the_job_with_status_0() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (readings, fifo, hosts) = (path("readings.jsonl"), path("fifo"), path("hosts"));
    fs::write(&readings, format!("{LINE}\n")).unwrap();
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let [kafka, database, letters, first] = [(); 4].map(|()| Silent::new());
    fs::write(&hosts, format!("{}\n127.0.0.1:{}", first.address(), free_port())).unwrap();
    let dead = format!("127.0.0.1:{}", free_port());
    let url = |address: &str| format!("mysql://nobody@{address}/none");
    let (no_database, silent_database) = (url(&dead), url(&database.address()));

    let args = |more: &[&str]| -> Vec<String> {
        let out = tempfile::tempdir_in(folder.path()).unwrap().keep().display().to_string();
        let run = ["run", "--out", &out].into_iter().chain(more.iter().copied());
        run.map(str::to_owned).collect()
    };
    let off = ["--listen", "off"];
    let start = |more: &[&str]| Job::start(args(&[&off[..], more].concat()));
    let mut jobs = Vec::new();
    // What is not there is tried again and again.
    let mut tries = |more: &[&str]| {
        let mut job = start(&[&["--wait"], more].concat());
        job.wait_for_line("trying again", TIMEOUT);
        jobs.push((more.join(" "), job));
    };
    tries(&["--brokers", &dead]);
    tries(&["--input", &readings, "--database", &no_database]);
    // What accepts a connection may never answer.
    let mut asks = |silent: Silent, more: &[&str]| {
        let job = start(more);
        // Held until the job has ended.
        let asked = silent.0.accept().unwrap();
        jobs.push((more.join(" "), job));
        (silent, asked)
    };
    let letters_address = letters.address();
    let letter = ["--input", &readings, "--set", "dead_letters.topic=t", "--brokers", &letters_address];
    let _held = [
        asks(letters, &letter),
        asks(first, &["--processes", "2", "--process", "1", "--hosts", &hosts]),
        asks(database, &["--wait", "--input", &readings, "--database", &silent_database]),
        {
            let address = kafka.address();
            asks(kafka, &["--wait", "--brokers", &address])
        },
    ];
    // Pipes to which nobody writes.
    for (more, is_pipe) in [
        (&["--input", "-"][..], true),
        (&["--embedded", "--input", "-"], true),
        (&["--input", &fifo], false),
        (&["--embedded", "--input", &fifo], false),
        (&["--set", "message.format=csv", "--input", &fifo], false),
    ] {
        let port = free_port();
        let args = args(&[&["--listen", &format!("127.0.0.1:{port}")], more].concat());
        let job = if is_pipe { Job::start_on_pipe(args) } else { Job::start(args) };
        eventually(TIMEOUT, "it is there", || get(port, "/healthz").contains("200 OK"));
        jobs.push((more.join(" "), job));
    }
    for (what, mut job) in jobs {
        job.terminate();
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{what}: {status}\n{said}");
        assert!(!said.contains("truckflow: ") && !said.contains("panicked"), "{what}: {said}");
    }
}

/// A job that follows a file, and has written its first line.
struct Following {
    job: Job,
    folder: tempfile::TempDir,
}

impl Following {
    fn start(commands: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [input, out] = ["in.jsonl", "out"].map(|name| folder.path().join(name).display().to_string());
        fs::write(&input, format!("{LINE}\n")).unwrap();
        let run = ["run", "--input", &input, "--out", &out, "--listen", "off", "--commit-interval", "50ms"];
        let following = Self { job: Job::start_under(commands, run), folder };
        following.wait_for(1);
        following
    }

    fn append(&self) {
        append(&self.folder.path().join("in.jsonl"), &format!("{LINE}\n"));
    }

    /// Waits until so many readings are written.
    fn wait_for(&self, readings: usize) {
        let written = self.folder.path().join("out/parameter_map.csv");
        eventually(TIMEOUT, "all is written", || lines(&written) == readings + 1);
    }

    fn end(mut self) {
        let status = self.job.terminated(TIMEOUT);
        assert!(status.success(), "{}", self.job.stderr());
    }
}

#[test]
fn a_hangup_that_nohup_has_ignored_stays_ignored() {
    let mut following = Following::start(&["nohup"]);
    following.job.signal("HUP");
    following.append();
    following.wait_for(2);
    let said = following.job.stderr();
    assert!(!said.contains("SIGHUP") && !said.contains("stopping"), "{said}");
    following.end();
}

#[test]
fn a_hangup_of_a_service_neither_ends_it_nor_reads_its_configuration() {
    let mut following = Following::start(&[]);
    for _ in 0..3 {
        following.job.signal("HUP");
    }
    following.job.wait_for_line("secrets and certificates were re-read", TIMEOUT);
    following.append();
    following.wait_for(2);
    following.end();
}

/// A job on a terminal that follows a file and says what becomes of it in files.
fn on_terminal(folder: &Path, end: &str) -> (Terminal, u32) {
    let path = |name: &str| folder.join(name).display().to_string();
    fs::write(folder.join("in.jsonl"), format!("{LINE}\n")).unwrap();
    let program = format!(
        "{TRUCKFLOW} run --input {input} --out {out} --listen off --commit-interval 1h 2> {log}",
        input = path("in.jsonl"),
        out = path("out"),
        log = path("log"),
    );
    let (terminal, pid) = Terminal::start_numbered("", &program, end);
    eventually(TIMEOUT, "it has read", || lines(&folder.join("out/parameter_map.csv")) == 2);
    assert_eq!(committed(folder), "0", "its epoch is an hour long");
    (terminal, pid)
}

/// The rows that are committed.
fn committed(folder: &Path) -> String {
    let rows = sqlite::query(&folder.join("out/truckflow.db"), "SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP");
    rows[0][0].clone().unwrap_or_default()
}

fn log(folder: &Path) -> String {
    fs::read_to_string(folder.join("log")).unwrap_or_default()
}

#[test]
fn a_job_whose_terminal_is_closed_commits_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let (terminal, pid) = on_terminal(folder.path(), "");
    assert!(terminal.close(pid, TIMEOUT), "it does not end: {}", log(folder.path()));
    assert!(log(folder.path()).contains("done"), "{}", log(folder.path()));
    assert_eq!(committed(folder.path()), "1");
}

#[test]
fn a_hangup_on_a_terminal_ends_a_job_with_status_0() {
    let folder = tempfile::tempdir().unwrap();
    let (terminal, pid) = on_terminal(folder.path(), "; echo status $?.");
    let hangup = Command::new("sh").args(["-c", &format!("kill -HUP {pid}")]).status();
    assert!(hangup.unwrap().success());
    terminal.wait_for("status 0.", TIMEOUT);
    let said = log(folder.path());
    assert!(said.contains("done") && !said.contains("read again"), "{said}");
    assert_eq!(committed(folder.path()), "1");
}
