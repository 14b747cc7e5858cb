//! Inputs, outputs, brokers and databases that cannot be used.

use crate::session::{READING, Session};

/// A port at which nothing listens.
const CLOSED: &str = "127.0.0.1:1";
fn session() -> Session {
    let session = Session::new();
    session.file("r.jsonl", READING);
    session
}

#[test]
fn inputs_and_outputs() {
    let mut wrong = session();
    let utf_16: Vec<u8> = "\u{feff}{}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    wrong.file("utf-16.jsonl", utf_16);
    wrong.file("not.gz", READING);
    wrong.file("file", "");
    for (out, more) in [
        "--input missing.jsonl",
        "--input .",
        "--input utf-16.jsonl",
        "--input not.gz",
        "--input r.jsonl --set listen_token_file=missing",
        "--input r.jsonl --processes 2 --hosts missing",
    ]
    .into_iter()
    .enumerate()
    {
        wrong.run(&format!("run --until-end --listen off --out out-{out} {more}"));
    }
    for more in [
        "--out file --listen off",
        "--out file/out --listen off",
        "--listen 127.0.0.1",
        "--listen 192.0.2.1:9600",
    ] {
        wrong.run(&format!("run --until-end --input r.jsonl {more}"));
    }
    wrong.is_page("inputs_and_outputs");
}

#[test]
fn databases() {
    let mut wrong = session();
    wrong.file("text.db", "This is no database, however long it may be. ".repeat(100));
    wrong.file("cut.pem", "-----BEGIN CERTIFICATE-----\n");
    wrong.file("secret", "p");
    for url in [
        "postgres://host/d",
        "host",
        "mysql://host",
        "mysql://host:port/d",
        "mysql://host/d?ssl-mode=MAYBE",
        "mysql://host/d?colour=red",
        "mysql://127.0.0.1:1/d?ssl-mode=VERIFY_CA&ssl-ca=missing.pem",
        "mysql://127.0.0.1:1/d?ssl-mode=VERIFY_CA&ssl-ca=cut.pem",
        "mysql://host/d?ssl-mode=REQUIRED&ssl-ca=cut.pem",
        "mysql://127.0.0.1:1/d",
        "sqlite:",
        "sqlite:text.db",
        "sqlite:.",
    ] {
        wrong.run(&format!("run --input r.jsonl --until-end --listen off --database {url}"));
    }
    wrong.run(
        "run --input r.jsonl --until-end --listen off --set database_password_file=missing --database mysql://u@host/d",
    );
    wrong.run("run --input r.jsonl --until-end --listen off --set database_password_file=secret --database sqlite:t.db");
    wrong.is_page("databases");
}

#[test]
fn brokers() {
    let mut wrong = session();
    for line in [
        "run --listen off --brokers 127.0.0.1:1",
        "run --listen off --set kafka.properties.no.such=1",
        "run --listen off --set kafka.property_files.sasl.password=missing",
        "simulate --records 1 --to topic --brokers 127.0.0.1:1",
        "simulate --records 1 --to topic --property no.such=1",
        "replay r.jsonl --topic t --brokers 127.0.0.1:1",
        "top 127.0.0.1:1 --once",
    ] {
        assert!(line.contains(CLOSED) || !line.contains("127.0.0.1"));
        // Without the log of librdkafka, whose lines depend on time.
        wrong.run_with(&[("TRUCKFLOW_LOG", "off")], line);
    }
    wrong.is_page("brokers");
}
