//! The phone: its topic and its file beside the trucks' readings, in one job or alone.

use std::path::Path;
use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::csv_rows;
use crate::support::process::free_port;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(60);

/// The seed's table: no id, and nothing but FLOATs.
const SEED: &str = "
    CREATE TABLE INGESTED_TABLE_1 (time FLOAT, seconds_elapsed FLOAT, qz FLOAT, qy FLOAT, qx FLOAT, qw FLOAT, roll FLOAT,
        pitch FLOAT, yaw FLOAT);
    INSERT INTO INGESTED_TABLE_1 VALUES (1.68109e18, 0.5, 0, 0, 0, 1, 0, 0, 0);";

const HEADER: &str = "time,seconds_elapsed,qz,qy,qx,qw,roll,pitch,yaw";

/// The fields of the `n`-th reading.
fn reading(n: i64) -> [String; 9] {
    let real = |k: i64| format!("{}", ((n * 7 + k) % 2000 - 1000) as f64 / 1003.0);
    [
        (1_681_088_547_123_456_789 + n * 10_000_019).to_string(),
        format!("{}", n as f64 / 100.0),
        real(1),
        real(2),
        real(3),
        real(4),
        real(5),
        real(6),
        real(7),
    ]
}

/// A reading as the phone's producer sends it: JSON, a dict, numpy's, a dict of texts.
fn message(n: i64) -> String {
    let fields = HEADER.split(',').zip(reading(n));
    let fields = fields.map(|(name, value)| match n % 4 {
        0 => format!("\"{name}\": {value}"),
        1 => format!("'{name}': {value}"),
        2 if name == "time" => format!("'{name}': np.int64({value})"),
        2 => format!("'{name}': np.float64({value})"),
        _ => format!("'{name}': '{value}'"),
    });
    format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
}

fn truck(n: i64) -> String {
    format!(
        r#"{{"timestamp": "2023-04-10 {:02}:{:02}:{:02}", "distance_covered": {n}, "engine_speed": {}, "fuel_consumed": 0}}"#,
        n / 3600 % 24,
        n / 60 % 60,
        n % 60,
        80 + n % 7
    )
}

/// The readings of these numbers, as rows of the CSV file, sorted.
fn rows(numbers: impl IntoIterator<Item = i64>) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = numbers.into_iter().map(|n| comparable(reading(n).into())).collect();
    rows.sort();
    rows
}

/// The time as text, all else as the bits of a double.
fn comparable(row: Vec<String>) -> Vec<String> {
    let mut fields = row.into_iter();
    let time = fields.next();
    let bits = |field: String| format!("{:016x}", (field.parse::<f64>().unwrap() + 0.0).to_bits());
    time.into_iter().chain(fields.map(bits)).collect()
}

fn in_file(out: &Path) -> Vec<Vec<String>> {
    let mut rows: Vec<_> = csv_rows(&out.join("orientation.csv")).into_iter().map(comparable).collect();
    rows.sort();
    rows
}

fn in_table(database: &Database) -> Vec<Vec<String>> {
    let table = database.query(&format!("SELECT {HEADER} FROM INGESTED_TABLE_1"));
    let mut rows: Vec<_> = table
        .into_iter()
        .map(|row| comparable(row.into_iter().map(Option::unwrap_or_default).collect()))
        .collect();
    rows.sort();
    rows
}

fn count(database: &Database, table: &str) -> usize {
    if database.query(&format!("SHOW TABLES LIKE '{table}'")).is_empty() {
        return 0;
    }
    database.query(&format!("SELECT COUNT(*) FROM {table}"))[0][0].as_deref().unwrap().parse().unwrap()
}

fn start(args: &[&str], out: &Path, database: Option<&Database>) -> Job {
    let url = database.map(|database| ["--database", database.url.as_str()]);
    let mut all = vec!["run", "--out", out.to_str().unwrap()];
    for default in [["--listen", "off"], ["--brokers", kafka().brokers()]] {
        all.extend(default.iter().filter(|_| !args.contains(&default[0])));
    }
    Job::start(all.into_iter().chain(args.iter().copied()).chain(url.into_iter().flatten()))
}

/// Runs to the end, and expects that it succeeds.
#[track_caller]
fn run(args: &[&str], out: &Path, database: Option<&Database>) {
    let (status, said) = start(&[args, &["--until-end"]].concat(), out, database).wait(TIMEOUT);
    assert!(status.success(), "{said}");
}

/// An `Orientation.csv` as Sensor Logger writes it; gives its path.
fn csv_file(folder: &Path, numbers: std::ops::Range<i64>) -> String {
    let lines = numbers.map(|n| reading(n).join(","));
    let lines: Vec<String> = std::iter::once(HEADER.to_owned()).chain(lines).collect();
    write(folder, "Orientation.csv", lines.join("\n") + "\n")
}

fn write(folder: &Path, name: &str, content: impl AsRef<[u8]>) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Two topics that hold some readings of trucks and of the phone.
fn topics(trucks: i64, phone: i64) -> (String, String) {
    let topics = (unique_topic(), unique_topic());
    kafka().create_topic(&topics.0, 3);
    kafka().create_topic(&topics.1, 2);
    kafka().produce(&topics.0, (0..trucks).map(|n| ((n % 3) as i32, None, truck(n))));
    kafka().produce(&topics.1, (0..phone).map(|n| ((n % 2) as i32, None, message(n))));
    topics
}

#[test]
fn one_job_reads_both_topics_into_new_tables_and_the_seed_s() {
    let (trucks, phone) = topics(500, 300);
    kafka().produce(&phone, [(1, None, "{'time': 1.5}")]);
    let orientation = format!("orientation.topic={phone}");
    for workers in ["1", "3"] {
        let args = ["--topic", &trucks, "--set", &orientation, "--workers", workers];
        let (out, database) = (tempfile::tempdir().unwrap(), mariadb().create_database());
        run(&args, out.path(), Some(&database));
        assert_eq!(in_file(out.path()), rows(0..300));
        assert_eq!(in_table(&database), rows(0..300), "a BIGINT and DOUBLEs hold every digit");
        assert_eq!(count(&database, "TRUCK_PARAMETER_MAP"), 500);
        let letters = database.query("SELECT topic, reason, field, payload FROM TRUCK_DEAD_LETTERS");
        let letter = [&phone, "wrong_type", "time", "{'time': 1.5}"].map(|text| Some(text.to_owned()));
        assert_eq!(letters, [letter]);
    }
    let (out, database) = (tempfile::tempdir().unwrap(), mariadb().create_database());
    database.query(SEED);
    run(&["--topic", &trucks, "--set", &orientation], out.path(), Some(&database));
    assert_eq!(in_file(out.path()), rows(0..300));
    let narrow = database.query("SELECT time + 0e0, qz + 0e0, yaw + 0e0 FROM INGESTED_TABLE_1");
    assert_eq!(narrow.len(), 301, "the seed's row stays");
    let mut got: Vec<Vec<f32>> = narrow
        .into_iter()
        .map(|row| row.into_iter().map(|field| field.unwrap().parse::<f64>().unwrap() as f32).collect())
        .filter(|row: &Vec<f32>| row[1] != 0.0)
        .collect();
    let mut expected: Vec<Vec<f32>> = (0..300)
        .map(|n| [0, 2, 8].map(|at| reading(n)[at].parse::<f64>().unwrap() as f32).to_vec())
        .collect();
    got.sort_by(|a, b| a.partial_cmp(b).unwrap());
    expected.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(got, expected, "each number is the FLOAT next to it");
}

#[test]
fn kills_leave_no_trace_of_either_topic() {
    const TRUCKS: i64 = 40_000;
    const PHONE: i64 = 30_000;
    let (trucks, phone) = topics(TRUCKS, PHONE);
    let folder = tempfile::tempdir().unwrap();
    let file = csv_file(folder.path(), PHONE..2 * PHONE);
    let (topic, input) = (format!("orientation.topic={phone}"), format!("orientation.input={file}"));
    let (out, database) = (tempfile::tempdir().unwrap(), mariadb().create_database());
    let small = ["--set", "limits.epoch_records=1000", "--commit-interval", "20ms"];
    let args = |workers| {
        [&["--topic", &trucks, "--set", &topic, "--set", &input, "--workers", workers][..], &small].concat()
    };
    let committed = || count(&database, "TRUCK_PARAMETER_MAP") + count(&database, "INGESTED_TABLE_1");
    for (kill, workers) in [(1, "1"), (2, "2"), (3, "1")] {
        let mut job = start(&args(workers), out.path(), Some(&database));
        let enough = kill * (TRUCKS + PHONE) as usize / 5;
        eventually(TIMEOUT, "more is committed", || committed() > enough);
        job.kill9();
    }
    assert!(committed() < (TRUCKS + 2 * PHONE) as usize, "it was killed while there was work left");
    run(&args("2"), out.path(), Some(&database));
    assert!(in_table(&database) == rows(0..2 * PHONE), "the table holds each reading once");
    assert!(in_file(out.path()) == rows(0..2 * PHONE), "the file holds each reading once");
    assert_eq!(count(&database, "TRUCK_PARAMETER_MAP"), TRUCKS as usize);
    assert_eq!(count(&database, "TRUCK_DEAD_LETTERS"), 0);
    // Everything that was read has its offset in the one place.
    let sources = database.query("SELECT COUNT(DISTINCT topic) FROM truckflow_offsets");
    assert_eq!(sources[0][0].as_deref(), Some("3"));
}

#[test]
fn a_file_is_read_alone_without_a_broker() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // Another order, another column, CR LF, a byte order mark, quotes, and records that cannot be used.
    let mut content = "\u{feff}yaw,pitch,roll,note,qw,qx,qy,qz,seconds_elapsed,time\r\n".to_owned();
    let record = |n| {
        let [time, seconds, qz, qy, qx, qw, roll, pitch, yaw] = reading(n);
        format!("{yaw},{pitch},\"{roll}\",\"a\r\n\"\"b\"\"\",{qw},{qx},{qy},{qz},{seconds},{time}\r\n")
    };
    let bad = ["1,2", "\"1\",2,3,,5,6,,8,9,10", "1,2,3,,5,6,NaN,8,9,10", "1,2,3,,5,6,7,8,9,10.5"];
    (0..100).for_each(|n| content.push_str(&record(n)));
    bad.iter().for_each(|bad| content.push_str(&format!("{bad}\r\n")));
    let path = write(folder.path(), "Orientation.csv", &content);
    let dead = format!("127.0.0.1:{}", free_port());
    let input = format!("orientation.input={path}");
    let args = ["--views", "orientation", "--brokers", &dead, "--set", &input];
    run(&args, &out, None);
    assert_eq!(in_file(&out), rows(0..100));
    let letters = csv_rows(&out.join("dead_letters.csv"));
    let letters: Vec<Vec<&str>> =
        letters.iter().map(|row| [0, 2, 5, 6, 7].map(|at| row[at].as_str()).to_vec()).collect();
    assert_eq!(
        letters,
        [
            [&path, "101", "not_an_object", "", bad[0]],
            [&path, "102", "missing_field", "qy", bad[1]],
            [&path, "103", "not_finite", "qy", bad[2]],
            [&path, "104", "wrong_type", "time", bad[3]],
        ]
    );
    // It grows, and is read on from where it was, by the names of the same header.
    (100..150).for_each(|n| content.push_str(&record(n)));
    write(folder.path(), "Orientation.csv", &content);
    let roundabout = format!("orientation.input={}/./Orientation.csv", folder.path().display());
    run(&["--views", "orientation", "--brokers", &dead, "--set", &roundabout], &out, None);
    assert_eq!(in_file(&out), rows(0..150));
    assert_eq!(csv_rows(&out.join("dead_letters.csv")).len(), bad.len());
    assert!(!out.join("parameter_map.csv").exists());
}

#[test]
fn a_file_may_hold_messages_instead() {
    let folder = tempfile::tempdir().unwrap();
    let messages: Vec<String> = (0..50).map(message).chain(["time,qz".to_owned()]).collect();
    let input = write(folder.path(), "orientation.jsonl", messages.join("\n") + "\n");
    let input = format!("orientation.input={input}");
    run(&["--views", "orientation", "--set", &input], &folder.path().join("out"), None);
    assert_eq!(in_file(&folder.path().join("out")), rows(0..50));
    assert_eq!(csv_rows(&folder.path().join("out/dead_letters.csv")).len(), 1);
}

#[test]
fn the_phone_is_added_to_a_job_that_ran_without() {
    let (trucks, phone) = topics(200, 100);
    let (out, database) = (tempfile::tempdir().unwrap(), mariadb().create_database());
    run(&["--topic", &trucks], out.path(), Some(&database));
    assert!(!out.path().join("orientation.csv").exists(), "nothing feeds it");
    assert!(database.query("SHOW TABLES LIKE 'INGESTED_TABLE_1'").is_empty());
    kafka().produce(&trucks, (200..250).map(|n| (0, None, truck(n))));
    let topic = format!("orientation.topic={phone}");
    run(&["--topic", &trucks, "--set", &topic], out.path(), Some(&database));
    assert_eq!(count(&database, "TRUCK_PARAMETER_MAP"), 250);
    assert_eq!(in_table(&database), rows(0..100));
    // And a file to that, and then the phone alone.
    let folder = tempfile::tempdir().unwrap();
    let input = format!("orientation.input={}", csv_file(folder.path(), 100..150));
    run(&["--topic", &trucks, "--set", &topic, "--set", &input], out.path(), Some(&database));
    assert_eq!(in_table(&database), rows(0..150));
    kafka().produce(&phone, (150..160).map(|n| (0, None, message(n))));
    kafka().produce(&trucks, (250..260).map(|n| (0, None, truck(n))));
    run(&["--topic", &trucks, "--views", "orientation", "--set", &topic], out.path(), Some(&database));
    assert_eq!(in_table(&database), rows(0..160));
    assert_eq!(count(&database, "TRUCK_PARAMETER_MAP"), 250, "the trucks are not read for it");
    // The trucks go on where they were.
    run(&["--topic", &trucks], out.path(), Some(&database));
    assert_eq!(count(&database, "TRUCK_PARAMETER_MAP"), 260);
    assert_eq!(in_file(out.path()), rows(0..160));
}

#[test]
fn the_phone_is_added_to_a_job_on_a_file_and_on_the_embedded_broker() {
    let folder = tempfile::tempdir().unwrap();
    let trucks = write(folder.path(), "readings.jsonl", (0..100).map(truck).collect::<Vec<_>>().join("\n"));
    let phone = format!("orientation.input={}", csv_file(folder.path(), 0..70));
    for (name, kind) in
        [("file", &["--input", trucks.as_str()][..]), ("embedded", &["--embedded", "--input", &trucks])]
    {
        let out = folder.path().join(name);
        run(kind, &out, None);
        for _ in 0..2 {
            run(&[kind, &["--set", &phone]].concat(), &out, None);
            assert_eq!(csv_rows(&out.join("parameter_map.csv")).len(), 100, "{name}");
            assert_eq!(in_file(&out), rows(0..70), "{name}");
        }
    }
}

#[test]
fn what_is_off_is_not_opened() {
    let (trucks, phone) = topics(20, 10);
    let out = tempfile::tempdir().unwrap();
    let nowhere = ["--set", "orientation.topic=nowhere", "--set", "orientation.input=no-such-file.csv"];
    let views = ["--topic", trucks.as_str(), "--views", "parameter_map"];
    run(&[&views[..], &nowhere].concat(), &out.path().join("a"), None);
    let topic = format!("orientation.topic={phone}");
    run(&["--topic", "nowhere", "--views", "orientation", "--set", &topic], &out.path().join("b"), None);
    assert_eq!(in_file(&out.path().join("b")), rows(0..10));
}

#[test]
fn each_topic_s_lag_is_measured() {
    let (trucks, phone) = topics(90, 60);
    let (out, port) = (tempfile::tempdir().unwrap(), free_port());
    let (topic, listen) = (format!("orientation.topic={phone}"), format!("127.0.0.1:{port}"));
    let mut job = start(&["--topic", &trucks, "--set", &topic, "--listen", &listen], out.path(), None);
    let metrics = || crate::seen::get(port, "/metrics");
    for (topic, partition, records) in [(&trucks, 2, 30), (&phone, 1, 30)] {
        for line in [
            format!("truckflow_consumer_lag{{partition=\"{partition}\",topic=\"{topic}\"}} 0"),
            format!(
                "truckflow_offsets_consumed_total{{partition=\"{partition}\",topic=\"{topic}\"}} {records}"
            ),
        ] {
            eventually(TIMEOUT, &line, || metrics().contains(&line));
        }
    }
    assert!(metrics().contains("truckflow_rows_written_total{sink=\"table\",view=\"orientation\"} 60"));
    job.terminate();
    assert!(job.wait(TIMEOUT).0.success());
    // Lag tools see both topics in the job's group.
    for (topic, records) in [(&trucks, 90), (&phone, 60)] {
        assert_eq!(kafka().committed("truckflow", topic), records, "{topic}");
    }
}

/// Expects one sentence that says all of `words`, and this status.
#[track_caller]
fn refused(args: &[&str], status: i32, words: &[&str]) {
    let out = tempfile::tempdir().unwrap();
    let (ended, said) = start(args, out.path(), None).wait(TIMEOUT);
    assert_eq!(ended.code(), Some(status), "{said}");
    let sentences: Vec<&str> = said.lines().filter(|line| line.starts_with("truckflow: ")).collect();
    let [sentence] = sentences.as_slice() else { panic!("one sentence is said, not:\n{said}") };
    for word in words {
        assert!(sentence.contains(word), "`{word}` is not in: {sentence}");
    }
}

#[test]
fn wrong_use_is_told_in_one_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let alone = ["--views", "orientation", "--set"];
    let with = |set: &str, words: &[&str]| refused(&[&alone[..], &[set]].concat(), 1, words);
    let short =
        write(folder.path(), "short.csv", "time,seconds_elapsed,qz,qy,qx,qw,roll,pitch\n1,2,3,4,5,6,7,8\n");
    with(&format!("orientation.input={short}"), &["short.csv", "no column `yaw`", "orientation.input"]);
    with("orientation.input=no-such-file.csv", &["no-such-file.csv", "orientation.input"]);
    with("orientation.topic=no-such-topic", &["`no-such-topic`", "correct orientation.topic"]);
    refused(&["--views", "orientation"], 2, &["orientation.topic or orientation.input"]);
    refused(&["--set", "orientation.topic=Truck-Data"], 2, &["give another topic"]);
}

#[test]
fn a_followed_file_may_get_its_header_later() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (write(folder.path(), "Orientation.csv", ""), folder.path().join("out"));
    let input = format!("orientation.input={path}");
    let mut job =
        start(&["--views", "orientation", "--commit-interval", "20ms", "--set", &input], &out, None);
    job.wait_for_line("reading", TIMEOUT);
    csv_file(folder.path(), 0..30);
    let file = out.join("orientation.csv");
    eventually(TIMEOUT, "all is written", || file.exists() && csv_rows(&file).len() == 30);
    job.terminate();
    assert!(job.wait(TIMEOUT).0.success());
    assert_eq!(in_file(&out), rows(0..30));
    // One without the columns ends the job when it shows.
    write(folder.path(), "other.csv", "");
    let input = format!("orientation.input={}", folder.path().join("other.csv").display());
    let mut job = start(&["--views", "orientation", "--set", &input], &folder.path().join("other"), None);
    job.wait_for_line("reading", TIMEOUT);
    write(folder.path(), "other.csv", "time,x\n1,2\n");
    let (status, said) = job.wait(TIMEOUT);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("no column `seconds_elapsed`"), "{said}");
}

#[test]
fn check_looks_at_the_phone_too() {
    let (trucks, phone) = topics(1, 1);
    let folder = tempfile::tempdir().unwrap();
    let file = csv_file(folder.path(), 0..3);
    let database = mariadb().create_database();
    database.query(SEED);
    let check = |topic: &str, file: &str| {
        let (topic, input) = (format!("orientation.topic={topic}"), format!("orientation.input={file}"));
        let out = folder.path().join("out").to_str().unwrap().to_owned();
        let args = ["check", "--brokers", kafka().brokers(), "--topic", &trucks, "--database", &database.url];
        let mut job = Job::start(args.into_iter().chain(["--set", &topic, "--set", &input, "--out", &out]));
        (job.wait(TIMEOUT).0.code(), job.stdout())
    };
    let (status, said) = check(&phone, &file);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&format!("ok      orientation topic: `{phone}`, 2 partitions")), "{said}");
    assert!(said.contains("ok      orientation file: "), "{said}");
    let (status, said) = check("no-such-topic", &write(folder.path(), "short.csv", "time\n"));
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("FAILED  orientation topic: topic `no-such-topic` does not exist"), "{said}");
    assert!(said.contains("FAILED  orientation file: ") && said.contains("`seconds_elapsed`"), "{said}");
}

#[test]
fn a_reading_that_a_float_cannot_hold_becomes_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let (out, database) = (folder.path().join("out"), mariadb().create_database());
    database.query(SEED);
    let big = "1681088547123456789,0.5,1e300,0,0,1,0,0,0";
    let lines = [HEADER.to_owned(), reading(0).join(","), big.to_owned(), reading(1).join(",")];
    let input =
        format!("orientation.input={}", write(folder.path(), "Orientation.csv", lines.join("\n") + "\n"));
    run(&["--views", "orientation", "--set", &input], &out, Some(&database));
    assert_eq!(count(&database, "INGESTED_TABLE_1"), 1 + 2, "the seed's row and two more");
    let letters = database.query("SELECT topic, reason FROM TRUCK_DEAD_LETTERS");
    assert_eq!(letters, [["orientation", "refused_by_database"].map(|text| Some(text.to_owned()))]);
    assert_eq!(csv_rows(&out.join("orientation.csv")).len(), 3, "a file holds any double");
}
