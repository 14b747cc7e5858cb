//! The port for metrics and the live page.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;

use super::{LINE, TIMEOUT};
use crate::support::job::Job;
use crate::support::output::lines;
use crate::support::process::free_port;
use crate::support::wait::eventually;

/// What an HTTP server answers to these bytes until it hangs up.
fn ask(port: u16, request: &str) -> String {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return String::new() };
    stream.set_read_timeout(Some(TIMEOUT)).unwrap();
    // One that is refused before it has sent all still gets its answer.
    let _ = stream.write_all(request.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

pub(super) fn get(port: u16, path: &str, header: &str) -> String {
    ask(port, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n"))
}

#[test]
fn the_page_takes_no_more_than_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("readings.jsonl"), folder.path().join("out"));
    std::fs::write(&input, format!("{LINE}\n")).unwrap();
    let port = free_port();
    let (listen, rows) = (format!("127.0.0.1:{port}"), out.join("parameter_map.csv"));
    let [input_name, out] = [&input, &out].map(|path| path.display().to_string());
    let run =
        ["run", "--input", &input_name, "--out", &out, "--listen", &listen, "--commit-interval", "50ms"];
    let mut job = Job::start(run);
    eventually(TIMEOUT, "it is ready", || get(port, "/readyz", "").starts_with("HTTP/1.1 200"));

    assert!(ask(port, "HEAD /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 200"));
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "NONSENSE"] {
        let answer = ask(port, &format!("{method} /metrics HTTP/1.1\r\n\r\n"));
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("allow: GET, HEAD"), "{answer}");
    }
    for body in ["Content-Length: 1000000000\r\n", "Transfer-Encoding: chunked\r\n"] {
        let answer = get(port, "/metrics", body);
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
    let large = get(port, "/metrics", &format!("Large: {}\r\n", "a".repeat(100_000)));
    assert!(large.starts_with("HTTP/1.1 431"), "{large}");
    let many: String = (0..1000).map(|n| format!("H{n}: 1\r\n")).collect();
    assert!(get(port, "/metrics", &many).starts_with("HTTP/1.1 431"));
    assert!(get(port, &format!("/{}", "a".repeat(100_000)), "").starts_with("HTTP/1.1 4"));
    assert!(get(port, "/../../etc/passwd", "").starts_with("HTTP/1.1 404"));
    for noise in ["\u{16}\u{3}\u{1}\u{2}\0", "\r\n\r\n\r\n", "GET\r\n\r\n"] {
        assert!(!ask(port, noise).starts_with("HTTP/1.1 2"));
    }

    // Those who are silent, and those who never come to an end, give way to who asks.
    let mut slow = VecDeque::new();
    for n in 0..1000 {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        if n % 2 == 0 {
            // It may have given way already.
            let _ = stream.write_all(b"GET /metrics HT");
        }
        slow.push_back(stream);
        // A process of tests has not that many files.
        if slow.len() > 100 {
            slow.pop_front();
        }
    }
    eventually(TIMEOUT, "it answers", || get(port, "/healthz", "").starts_with("HTTP/1.1 200"));
    // The last of them is cut off without having been crowded out.
    let last = slow.back_mut().unwrap();
    last.set_read_timeout(Some(TIMEOUT)).unwrap();
    let ended = last.read(&mut [0]);
    assert!(ended.is_ok() || ended.is_err_and(|error| error.kind() == std::io::ErrorKind::ConnectionReset));

    std::fs::write(&input, [LINE; 5].join("\n") + "\n").unwrap();
    eventually(TIMEOUT, "the job goes on", || lines(&rows) == 6);
    job.terminate();
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success() && !said.contains("panicked"), "{said}");
}

#[test]
fn the_page_is_shown_to_who_knows_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret-token\n").unwrap();
    let port = free_port();
    let (listen, token) = (format!("127.0.0.1:{port}"), format!("listen_token_file={}", token.display()));
    let out = folder.path().join("out").display().to_string();
    // A file is followed, so the job stays; a device would end it.
    let input = folder.path().join("none.jsonl");
    std::fs::write(&input, "").unwrap();
    let input = input.display().to_string();
    let run = ["run", "--input", &input, "--out", &out, "--listen", &listen, "--set", &token];
    let mut job = Job::start(run);
    let with = |header: &str| get(port, "/metrics", header);
    eventually(TIMEOUT, "it answers", || {
        with("Authorization: Bearer s3cret-token\r\n").starts_with("HTTP/1.1 200")
    });
    assert!(with("authorization: bearer  s3cret-token\r\n").contains("truckflow_epochs_in_flight"));
    for header in [
        "",
        "Authorization: Bearer \r\n",
        "Authorization: Bearer s3cret-toke\r\n",
        "Authorization: Bearer s3cret-token1\r\n",
        "Authorization: Basic s3cret-token\r\n",
        "Authorization: s3cret-token\r\n",
        "Authorization: \r\nAuthorization: Bearer s3cret-token\r\n",
    ] {
        let answer = with(header);
        assert!(
            answer.starts_with("HTTP/1.1 401") && answer.contains("www-authenticate: Bearer"),
            "{answer}"
        );
        assert!(!answer.contains("truckflow_"), "{answer}");
    }
    for path in [
        "/metrics",
        "/api/v1/status",
        "/api/v1/events",
        "/api/v1/trucks",
        "/api/v1/views",
        "/api/v1/views/x/rows",
    ] {
        assert!(get(port, path, "").starts_with("HTTP/1.1 401"), "{path}");
    }
    for path in ["/healthz", "/readyz"] {
        eventually(TIMEOUT, path, || get(port, path, "").starts_with("HTTP/1.1 200"));
    }
    // The page's own files hold nothing of the job, and ask for the token.
    let page = get(port, "/", "");
    assert!(page.starts_with("HTTP/1.1 200") && !page.contains("truckflow_"), "{page}");
    assert!(!get(port, "/none", "").starts_with("HTTP/1.1 200"));
    job.terminate();
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success() && !said.contains("s3cret"), "{said}");
}

#[test]
fn probes_need_no_token_and_are_told_no_reason_without_it() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "s3cret-token\n").unwrap();
    let (port, dead) = (free_port(), free_port());
    let (listen, token) = (format!("127.0.0.1:{port}"), format!("listen_token_file={}", token.display()));
    let database = format!("mysql://nobody@127.0.0.1:{dead}/none");
    let out = folder.path().join("out").display().to_string();
    let run = ["run", "--wait", "--input", "-", "--out", &out, "--database", &database, "--listen", &listen];
    let mut job = Job::start(run.into_iter().chain(["--set", &token]));
    eventually(TIMEOUT, "it lives", || get(port, "/healthz", "").starts_with("HTTP/1.1 200"));
    let unready = get(port, "/readyz", "");
    assert!(unready.starts_with("HTTP/1.1 503") && !unready.contains("is not reading"), "{unready}");
    let unready = get(port, "/readyz", "Authorization: Bearer s3cret-token\r\n");
    assert!(unready.starts_with("HTTP/1.1 503") && unready.contains("is not reading"), "{unready}");
    assert!(ask(port, "POST /healthz HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    job.terminate();
    assert!(job.wait(TIMEOUT).0.success());
}

#[test]
fn a_token_that_was_changed_counts_after_a_hangup() {
    let folder = tempfile::tempdir().unwrap();
    let (token, input) = (folder.path().join("token"), folder.path().join("none.jsonl"));
    std::fs::write(&token, "s3cret-one").unwrap();
    std::fs::write(&input, "").unwrap();
    let port = free_port();
    let (listen, key) = (format!("127.0.0.1:{port}"), format!("listen_token_file={}", token.display()));
    let [input, out] = [&input, &folder.path().join("out")].map(|path| path.display().to_string());
    let run = ["run", "--input", &input, "--out", &out, "--listen", &listen, "--set", &key];
    let mut job = Job::start_under(&[], run);
    let is_let_in = |token: &str| {
        get(port, "/metrics", &format!("Authorization: Bearer {token}\r\n")).starts_with("HTTP/1.1 200")
    };
    eventually(TIMEOUT, "it answers", || is_let_in("s3cret-one"));
    std::fs::write(&token, "s3cret-two").unwrap();
    assert!(is_let_in("s3cret-one"), "nobody said that it is to be read again");
    job.signal("HUP");
    eventually(TIMEOUT, "the new one counts", || is_let_in("s3cret-two"));
    assert!(!is_let_in("s3cret-one"));
    std::fs::remove_file(&token).unwrap();
    job.signal("HUP");
    let line = job.wait_for_line("cannot read the listen_token_file again", TIMEOUT);
    assert!(line.contains("the old value stays in use"), "{line}");
    assert!(is_let_in("s3cret-two"));
    let status = job.terminated(TIMEOUT);
    assert!(status.success() && !job.stderr().contains("s3cret"), "{}", job.stderr());
}
