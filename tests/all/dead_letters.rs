//! Dead letters keep their bytes, whatever they are, and count exactly once when they are replayed.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Mariadb, mariadb};
use crate::support::output::csv_rows;

const TIMEOUT: Duration = Duration::from_secs(120);

fn call(args: &[&str]) -> (i32, String, String) {
    let mut job = Job::start(args);
    let (status, said) = job.wait(TIMEOUT);
    (status.code().unwrap_or(-1), said, job.stdout())
}

fn run(flags: &[&str]) -> String {
    let (status, said, _) = call(&[&["run", "--until-end", "--listen", "off"], flags].concat());
    assert_eq!(status, 0, "{said}");
    said
}

/// Payloads that are no readings, none with a line feed: a file has a line each.
fn payloads() -> Vec<Vec<u8>> {
    let mebibyte: Vec<u8> = (0..1 << 20).map(|n| b'a' + (n % 23) as u8).collect();
    // Random enough, and of all bytes but the line feed.
    let binary: Vec<u8> = (0..1u32 << 20)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8)
        .map(|b| if b == b'\n' { 0 } else { b })
        .collect();
    vec![
        mebibyte.clone(),
        binary,
        [&mebibyte[..], b"and more"].concat(),
        vec![0; 1000],
        vec![0xff, 0xfe, 0x80, b'"', b',', 0xc3],
        b"=cmd|' /C calc'!A0".to_vec(),
        b"base64:AAAA".to_vec(),
        b"'); DROP TABLE TRUCK_DEAD_LETTERS; -- \\ \" \t\r x".to_vec(),
        vec![0],
        // Blanks at its ends; a line of blanks alone is skipped.
        b" . ".to_vec(),
    ]
}

/// The payloads that a replay of the file sends, as a broker gives them back.
fn replayed(letters: &Path) -> Vec<Vec<u8>> {
    let topic = unique_topic();
    kafka().create_large_topic(&topic, 1);
    let letters = letters.to_str().unwrap();
    let large = ["--property", "message.max.bytes=4000000"];
    let to = ["replay", letters, "--topic", &topic, "--brokers", kafka().brokers()];
    let (status, said, _) = call(&[&to[..], &large].concat());
    assert_eq!(status, 0, "{said}");
    kafka().read(&topic).into_iter().map(|message| message.payload.unwrap()).collect()
}

fn input_of(folder: &Path, payloads: &[Vec<u8>]) -> String {
    let input = folder.join("input.jsonl");
    fs::write(&input, payloads.iter().flat_map(|payload| [payload, &b"\n"[..]].concat()).collect::<Vec<_>>())
        .unwrap();
    input.to_str().unwrap().to_owned()
}

#[test]
fn a_dead_letter_keeps_its_bytes_in_file_and_table() {
    let payloads = payloads();
    let folder = tempfile::tempdir().unwrap();
    let input = input_of(folder.path(), &payloads);
    // To a table by LOAD DATA, and by INSERT.
    let loads = mariadb().create_database();
    let url = &*loads.url;
    for database in [None, Some(url)] {
        let out = folder.path().join(if database.is_some() { "mariadb" } else { "sqlite" });
        let job = ["--input", &input, "--out", out.to_str().unwrap()];
        let to: Vec<&str> = database.iter().flat_map(|url| ["--database", url]).collect();
        run(&[&job[..], &to].concat());
        let found: Vec<Vec<u8>> = if database.is_some() {
            let rows = loads.query("SELECT HEX(payload) FROM TRUCK_DEAD_LETTERS ORDER BY `offset`");
            let bytes = |hex: &str| {
                (0..hex.len())
                    .step_by(2)
                    .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
                    .collect()
            };
            rows.iter().map(|row| bytes(row[0].as_deref().unwrap())).collect()
        } else {
            let raw = Connection::open(out.join("truckflow.db")).unwrap();
            let mut rows = raw.prepare("SELECT payload FROM TRUCK_DEAD_LETTERS ORDER BY offset").unwrap();
            rows.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        };
        assert!(found == payloads, "the table holds other bytes");
        assert!(replayed(&out.join("dead_letters.csv")) == payloads, "the replay has other bytes");
        let (status, said, shown) = call(&[&["verify"], &job[..], &to].concat());
        assert_eq!(status, 0, "{said}{shown}");
    }
}

#[test]
fn a_row_larger_than_the_server_takes_does_not_stop_the_job() {
    let server = Mariadb::start();
    server.create_database().query("SET GLOBAL max_allowed_packet = 1048576");
    let folder = tempfile::tempdir().unwrap();
    let reading = |second: u32| {
        format!(
            "{{\"timestamp\": \"2023-04-10 01:02:0{second}\", \"distance_covered\": {second}, \"engine_speed\": 90, \"fuel_consumed\": 0, \"truck_id\": \"a\"}}"
        )
        .into_bytes()
    };
    let mut lines = payloads();
    lines.insert(0, reading(1));
    lines.push(reading(2));
    let input = input_of(folder.path(), &lines);
    for load in ["1", "0"] {
        let database = server.create_database();
        database.query(&format!("SET GLOBAL local_infile = {load}"));
        let out = folder.path().join(load);
        let job = ["--input", &input, "--out", out.to_str().unwrap(), "--database", &database.url];
        let said = run(&job);
        let one = |sql: &str| database.query(sql)[0][0].clone().unwrap();
        assert_eq!(one("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP"), "2");
        // Each letter is in the table: whole, or as what is said of it.
        let whole: usize =
            one("SELECT COUNT(*) FROM TRUCK_DEAD_LETTERS WHERE topic <> 'dead_letters'").parse().unwrap();
        let told = database.query(
            "SELECT payload, field, LENGTH(payload) < 1000 FROM TRUCK_DEAD_LETTERS WHERE topic = 'dead_letters' \
             AND reason = 'refused_by_database' ORDER BY id",
        );
        assert_eq!(whole + told.len(), payloads().len(), "{said}");
        for row in &told {
            let [payload, field, is_short] = row.as_slice() else { panic!("{row:?}") };
            assert!(payload.as_ref().unwrap().contains("input.jsonl,0,"), "{row:?}");
            assert!(field.as_ref().unwrap().contains("max_allowed_packet"), "{row:?}");
            assert_eq!(is_short.as_deref(), Some("1"));
        }
        if load == "0" {
            assert!(!told.is_empty(), "a mebibyte does not fit");
        }
        if !told.is_empty() {
            assert!(
                said.contains("the database refused rows") && said.contains("max_allowed_packet"),
                "{said}"
            );
        }
        // The file has them all, and a replay sends them.
        assert!(replayed(&out.join("dead_letters.csv")) == payloads(), "the replay has other bytes");
        let (status, said, shown) = call(&[&["verify"], &job[..]].concat());
        assert_eq!(status, 0, "{said}{shown}");
        run(&job);
        assert_eq!(one("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP"), "2");
    }
}

#[test]
fn dead_letters_replayed_after_a_fix_count_exactly_once() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 2);
    let reading = |second: u32, speed: &str| {
        format!(
            "{{'timestamp': '2023-04-10 01:02:{second:02}', 'distance_covered': {second}, 'engine_speed': {speed}, 'fuel_consumed': 0, 'truck_id': 'a'}}"
        )
    };
    // Two were sent with a comma for a point, one is none at all.
    let sent =
        [reading(1, "80"), reading(2, "'81,5'"), reading(3, "82"), reading(4, "'83,5'"), "hello".into()];
    kafka().produce(&topic, sent.iter().enumerate().map(|(n, text)| (n as i32 % 2, None, text)));
    let database = mariadb().create_database();
    let out = tempfile::tempdir().unwrap();
    let job = ["--topic", &topic, "--brokers", kafka().brokers(), "--out", out.path().to_str().unwrap()];
    let job = [&job[..], &["--database", &database.url]].concat();
    let replay = |file: &Path| {
        let (status, said, _) = call(&["replay", file.to_str().unwrap(), "--brokers", kafka().brokers()]);
        assert_eq!(status, 0, "{said}");
    };
    let counted = || {
        run(&job);
        let (status, said, shown) = call(&[&["verify"], &job[..]].concat());
        assert_eq!(status, 0, "{said}{shown}");
        let rows =
            |table: &str| database.query(&format!("SELECT COUNT(*) FROM {table}"))[0][0].clone().unwrap();
        let numbers = [rows("TRUCK_PARAMETER_MAP"), rows("TRUCK_DEAD_LETTERS")];
        let files = ["parameter_map", "dead_letters"]
            .map(|view| csv_rows(&out.path().join(format!("{view}.csv"))).len());
        assert_eq!(numbers, files.map(|count| count.to_string()));
        files
    };
    assert_eq!(counted(), [2, 3]);
    let samples = || {
        let sql = "SELECT samples FROM TRUCK_DISTANCE_CORRELATION ORDER BY id DESC LIMIT 1";
        database.query(sql)[0][0].clone().unwrap()
    };

    // Mended in a copy, as one does; what cannot be mended is taken out.
    let letters = fs::read_to_string(out.path().join("dead_letters.csv")).unwrap();
    let mended: String = letters
        .lines()
        .filter(|line| !line.contains("hello"))
        .map(|line| line.replace("'81,5'", "81.5").replace("'83,5'", "83.5") + "\n")
        .collect();
    let copy = out.path().join("mended.csv");
    fs::write(&copy, mended).unwrap();
    replay(&copy);
    assert_eq!(counted(), [4, 3]);
    assert_eq!(samples(), "4");
    // Once sent, they are messages like others: a restart does not count them again.
    assert_eq!(counted(), [4, 3]);

    // Sent as they were, they are dead letters again, of their new offsets, and count in no other view.
    replay(&out.path().join("dead_letters.csv"));
    assert_eq!(counted(), [4, 6]);

    // Sent twice, they are two messages, and count twice: nothing tells the second from a producer's own.
    replay(&copy);
    assert_eq!(counted(), [6, 6]);
    assert_eq!(samples(), "6");
}

#[test]
fn a_keyed_letter_may_be_replayed_twice() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 1);
    let reading = "{'timestamp': '2023-04-10 01:02:27', 'distance_covered': 1, 'engine_speed': '81,5', 'fuel_consumed': 0}";
    kafka().produce(&topic, [(0, Some(b"k1".to_vec()), reading)]);
    let out = tempfile::tempdir().unwrap();
    let job = ["--topic", &topic, "--brokers", kafka().brokers(), "--out", out.path().to_str().unwrap()];
    let job = [&job[..], &["--set", "mode=upsert"]].concat();
    run(&job);
    let letters = fs::read_to_string(out.path().join("dead_letters.csv")).unwrap();
    let copy = out.path().join("mended.csv");
    fs::write(&copy, letters.replace("'81,5'", "81.5")).unwrap();
    for _ in 0..2 {
        let (status, said, _) = call(&["replay", copy.to_str().unwrap(), "--brokers", kafka().brokers()]);
        assert_eq!(status, 0, "{said}");
        run(&job);
        let raw = Connection::open(out.path().join("truckflow.db")).unwrap();
        let rows: i64 =
            raw.query_row("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 1);
        let samples: i64 =
            raw.query_row("SELECT samples FROM TRUCK_DISTANCE_CORRELATION", [], |row| row.get(0)).unwrap();
        assert_eq!(samples, 1);
    }
}
