//! `truckflow top`: a running job on a terminal, and in scripts.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use crate::seen::get;
use crate::support::job::{Job, TRUCKFLOW, readings};
use crate::support::process::free_port;
use crate::support::terminal::Terminal;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(60);
const RECORDS: usize = 2000;

/// What `readings` makes, and one of a truck whose name would clear the terminal and begin a line.
fn input(folder: &Path) -> String {
    let path = readings(folder, RECORDS);
    let hostile = r#"{"truck_id": "\u001b[2J\nowned", "timestamp": "2023-04-10 01:02:27", "distance_covered": 7, "engine_speed": 99.5, "fuel_consumed": 1}"#;
    writeln!(std::fs::File::options().append(true).open(&path).unwrap(), "{hostile}\nno reading").unwrap();
    path
}

/// A job that follows this file.
fn follow(input: &str, out: &Path, listen: &str) -> Job {
    let out = out.to_str().unwrap();
    let run = ["run", "--input", input, "--out", out, "--listen", listen, "--commit-interval", "100ms"];
    Job::start(run)
}

/// What `top` ends with: its status, what it printed, what it said.
fn top(args: &[&str]) -> (Option<i32>, String, String) {
    let mut top = Job::start(["top"].iter().chain(args));
    let (status, said) = top.wait(TIMEOUT);
    (status.code(), top.stdout(), said)
}

/// All is committed that the file has.
fn is_committed(port: u16) -> bool {
    get(port, "/api/v1/status").contains(&format!("\"messages\":{}", RECORDS + 2))
}

#[test]
fn a_script_is_shown_the_job() {
    let folder = tempfile::tempdir().unwrap();
    let (port, input) = (free_port(), input(folder.path()));
    let listen = format!("127.0.0.1:{port}");
    let _job = follow(&input, &folder.path().join("out"), &listen);
    eventually(TIMEOUT, "all is committed", || is_committed(port));

    let (status, plain, said) = top(&[&listen, "--once"]);
    assert_eq!((status, &*said), (Some(0), ""), "{plain}");
    for part in [
        "job truckflow · ",
        "readings.jsonl · 1 worker\n",
        "messages      2,002, ",
        "readings      2,001 accepted, 1 rejected\n",
        "dead letters  1 (not_an_object 1)\n",
        "trucks: 6, sorted by truck\n",
        "\n\\u{1b}[2J\\nowned ",
        "  99.50  ",
    ] {
        assert!(plain.contains(part), "`{part}` is not in:\n{plain}");
    }
    assert!(!plain.contains('\x1b'), "{plain}");
    let first = |args: &[&str]| {
        let (status, plain, said) = top(&[&[&*listen], args].concat());
        assert_eq!(status, Some(0), "{said}");
        let row = plain.lines().skip_while(|line| !line.starts_with("trucks: ")).nth(2);
        row.map(|row| row.split("  ").next().unwrap().to_owned())
    };
    // Standard output is no terminal here, and every truck but that one drives at about 80.
    assert_eq!(first(&["--sort", "-speed"]).as_deref(), Some("\\u{1b}[2J\\nowned"));
    assert_eq!(first(&["--search", "OWNED"]).as_deref(), Some("\\u{1b}[2J\\nowned"));
    assert_eq!(first(&["--search", "of no truck"]), None);

    let (status, json, said) = top(&[&listen, "--json", "--once"]);
    assert_eq!((status, json.lines().count()), (Some(0), 1), "{said}");
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["messages"], &json["trucks"], &json["letters"]), (&2002.into(), &6.into(), &1.into()));
}

#[test]
fn statuses_are_lines_until_the_connection_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (port, input) = (free_port(), input(folder.path()));
    let listen = format!("127.0.0.1:{port}");
    let mut job = follow(&input, &folder.path().join("out"), &listen);
    eventually(TIMEOUT, "all is committed", || is_committed(port));
    let mut top = Job::start(["top", &listen, "--json"]);
    eventually(TIMEOUT, "three statuses", || top.stdout().lines().count() >= 3);
    job.kill9();
    let (status, said) = top.wait(TIMEOUT);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.starts_with(&format!("truckflow: lost the connection to the job at {listen}: ")), "{said}");
    for line in top.stdout().lines() {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap()["messages"], 2002);
    }

    // An end that the job says is no failure.
    let mut job = follow(&input, &folder.path().join("out"), &listen);
    eventually(TIMEOUT, "it is there again", || get(port, "/readyz").contains("200 OK"));
    let mut top = Job::start(["top", &listen, "--json"]);
    eventually(TIMEOUT, "a status", || top.stdout().lines().count() >= 1);
    assert!(job.terminated(TIMEOUT).success());
    let (status, said) = top.wait(TIMEOUT);
    let ended = top.stdout().lines().last().unwrap().contains(r#""doing":"ended""#);
    // A job does not wait for long until its end was heard.
    assert_eq!(status.success(), ended, "{said}");
}

#[test]
fn top_explains_in_a_sentence_why_it_shows_no_job() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (token, other, input) = (path("token", "s3cret\n"), path("other", "0ther\n"), path("none", ""));
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let says = |args: &[&str], code: i32, sentence: &str| {
        let (status, printed, said) = top(args);
        assert_eq!((status, &*printed), (Some(code), ""), "{said}");
        assert!(said.contains(sentence) && said.lines().count() == 1, "`{sentence}` is not said:\n{said}");
        assert!(!said.contains("s3cret") && !said.contains("0ther"), "{said}");
    };
    says(&[&listen, "--once"], 1, &format!("no job answers at {listen}: Connection refused"));
    says(&[&listen, "--json"], 1, "give its --listen address");
    says(&[&listen, "--token-file", "/none"], 2, "cannot read it");

    let set = format!("listen_token_file={token}");
    let out = folder.path().join("out").display().to_string();
    let _job = Job::start(["run", "--input", &input, "--out", &out, "--listen", &listen, "--set", &set]);
    eventually(TIMEOUT, "it answers", || get(port, "/metrics").contains("401"));
    says(&[&listen], 1, "requires a token");
    says(&[&listen, "--token-file", &other], 1, "rejects the token");
    let (status, printed, said) = top(&[&listen, "--token-file", &token]);
    assert_eq!(status, Some(0), "{said}");
    assert!(printed.contains("\nmessages      0, ") && printed.contains("\ntrucks: none"), "{printed}");

    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in stranger.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi\n");
        }
    });
    says(&[&address], 1, "is not a truckflow");
}

#[test]
fn the_terminal_shows_a_job_that_runs_disconnects_and_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let (port, input) = (free_port(), input(folder.path()));
    let listen = format!("127.0.0.1:{port}");
    let out = folder.path().join("out");
    let mut job = follow(&input, &out, &listen);
    eventually(TIMEOUT, "all is committed", || is_committed(port));
    let mut terminal = Terminal::start(&format!("exec '{}' top {listen}", env!("CARGO_BIN_EXE_truckflow")));
    terminal.wait_for("messages      2,002", TIMEOUT);
    terminal.wait_for("trucks: 6, sorted by truck", TIMEOUT);
    terminal.wait_for("\\u{1b}[2J\\nowned", TIMEOUT);

    terminal.press("s");
    terminal.wait_for("trucks: 6, sorted by speed\n", TIMEOUT);
    terminal.press("/OWNED\r");
    terminal.wait_for("trucks: 1 matching `OWNED` of 6, sorted by speed", TIMEOUT);

    job.kill9();
    terminal.wait_for(" disconnected  no connection to the job since 20", TIMEOUT);
    terminal.wait_for("Connection refused", TIMEOUT);
    drop(job);
    let mut job = follow(&input, &out, &listen);
    terminal.wait_for(" idle  Everything is committed", TIMEOUT);
    terminal.press("q");
    assert!(terminal.wait(TIMEOUT).success(), "{}", terminal.shown());
    // The terminal is as it was before.
    assert!(terminal.written().contains("\x1b[?1049l"), "{}", terminal.shown());
    assert!(job.terminated(TIMEOUT).success());
}

/// Closes the terminal on which `top` runs between each of these parts of a command line.
fn close_its_terminal(lines: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    let (port, input) = (free_port(), input(folder.path()));
    let listen = format!("127.0.0.1:{port}");
    let mut job = follow(&input, &folder.path().join("out"), &listen);
    eventually(TIMEOUT, "all is committed", || is_committed(port));
    for (before, after) in lines {
        let (terminal, number) =
            Terminal::start_numbered(before, &format!("{TRUCKFLOW} top {listen}"), after);
        terminal.wait_for("messages      2,002", TIMEOUT);
        assert!(terminal.close(number, TIMEOUT), "`{before}top{after}` does not end");
    }
    assert!(get(port, "/readyz").contains("200 OK"), "the job goes on");
    assert!(job.terminated(TIMEOUT).success());
}

#[test]
fn it_ends_when_its_terminal_is_closed() {
    // It leads the session, or a shell does.
    close_its_terminal(&[("exec ", ""), ("", "; true")]);
}

#[test]
fn it_ends_when_its_terminal_is_closed_without_a_signal() {
    // SIGHUP is ignored, and a shell that ignores it lives on.
    close_its_terminal(&[("trap '' HUP; exec ", ""), ("trap '' HUP; ", "; true")]);
}
