//! The phone: a job of its own, over its topic or its app's file.

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

/// What makes a job the phone's.
const PHONE: [&str; 4] = ["--job", "phone", "--set", "message.preset=orientation"];

/// What makes it read the app's file.
const CSV: [&str; 2] = ["--set", "message.format=csv"];

/// The fields of the `n`-th reading, none with more than nine decimals.
fn reading(n: i64) -> [String; 9] {
    let real = |k: i64| format!("{}", ((n * 7 + k) % 2000 - 1000) as f64 / 512.0);
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

/// Dead letters of a file: these columns of each.
fn letters<const N: usize>(out: &Path, columns: [usize; N]) -> Vec<[String; N]> {
    let rows = csv_rows(&out.join("dead_letters.csv"));
    rows.iter().map(|row| columns.map(|column| row[column].clone())).collect()
}

fn command(command: &str, args: &[&str], out: &Path, database: Option<&Database>) -> Job {
    let url = database.map(|database| ["--database", database.url.as_str()]);
    let mut all = vec![command, "--out", out.to_str().unwrap()];
    for default in [["--listen", "off"], ["--brokers", kafka().brokers()]] {
        all.extend(default.iter().filter(|_| !args.contains(&default[0])));
    }
    Job::start(all.into_iter().chain(args.iter().copied()).chain(url.into_iter().flatten()))
}

/// Starts the phone's job.
fn start(args: &[&str], out: &Path, database: Option<&Database>) -> Job {
    command("run", &[&PHONE, args].concat(), out, database)
}

/// Runs the phone's job to the end, and expects that it succeeds.
#[track_caller]
fn run(args: &[&str], out: &Path, database: Option<&Database>) -> String {
    let (status, said) = start(&[args, &["--until-end"]].concat(), out, database).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    said
}

/// The phone's job is as it should be.
#[track_caller]
fn verified(args: &[&str], out: &Path, database: Option<&Database>) {
    let mut job = command("verify", &[&PHONE, args].concat(), out, database);
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}{}", job.stdout());
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

/// A topic with this many readings.
fn topic(readings: i64) -> String {
    let topic = unique_topic();
    kafka().create_topic(&topic, 2);
    kafka().produce(&topic, (0..readings).map(|n| ((n % 2) as i32, None, message(n))));
    topic
}

#[test]
fn the_phone_s_topic_is_read_into_a_new_table_and_the_seed_s() {
    let topic = topic(300);
    kafka().produce(&topic, [(1, None, "{'time': 1.5}")]);
    for workers in ["1", "3"] {
        let args = ["--topic", &topic, "--workers", workers];
        let (out, database) = (tempfile::tempdir().unwrap(), mariadb().create_database());
        let said = run(&args, out.path(), Some(&database));
        assert_eq!(in_file(out.path()), rows(0..300));
        assert_eq!(in_table(&database), rows(0..300), "a BIGINT and DOUBLEs hold every digit");
        let letters = database.query("SELECT topic, reason, field, payload, place FROM TRUCK_DEAD_LETTERS");
        let letter = [&topic, "wrong_type", "time", "{'time': 1.5}"].map(|text| Some(text.to_owned()));
        assert_eq!(letters, [[&letter[..], &[None]].concat()]);
        // The views of trucks are neither built nor missed.
        assert!(!out.path().join("parameter_map.csv").exists());
        assert!(database.query("SHOW TABLES LIKE 'TRUCK_PARAMETER_MAP'").is_empty());
        assert!(!said.contains("not built"), "{said}");
        verified(&args, out.path(), Some(&database));
    }
    let (out, database) = (tempfile::tempdir().unwrap(), mariadb().create_database());
    database.query(SEED);
    run(&["--topic", &topic], out.path(), Some(&database));
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
fn kills_leave_no_trace_of_topic_or_file() {
    const READINGS: i64 = 40_000;
    let folder = tempfile::tempdir().unwrap();
    let (topic, file) = (topic(READINGS), csv_file(folder.path(), 0..READINGS));
    let small = ["--set", "limits.epoch_records=1000", "--commit-interval", "20ms"];
    for input in [&["--topic", &topic][..], &["--input", &file, CSV[0], CSV[1]]] {
        let (out, database) = (tempfile::tempdir().unwrap(), mariadb().create_database());
        let args = |workers| [input, &small, &["--workers", workers]].concat();
        let committed = || count(&database, "INGESTED_TABLE_1");
        for (kill, workers) in [(1, "1"), (2, "2"), (3, "1")] {
            let mut job = start(&args(workers), out.path(), Some(&database));
            eventually(TIMEOUT, "more is committed", || committed() > kill * READINGS as usize / 5);
            job.kill9();
        }
        assert!(committed() < READINGS as usize, "it was killed while there was work left");
        run(&args("2"), out.path(), Some(&database));
        assert!(in_table(&database) == rows(0..READINGS), "the table holds each reading once");
        assert!(in_file(out.path()) == rows(0..READINGS), "the file holds each reading once");
        assert_eq!(count(&database, "TRUCK_DEAD_LETTERS"), 0);
        verified(input, out.path(), Some(&database));
    }
}

#[test]
fn the_jobs_of_phone_and_trucks_share_a_database() {
    let (phone, trucks) = (topic(200), unique_topic());
    kafka().create_topic(&trucks, 1);
    let truck = |n: i64| {
        format!(
            r#"{{"timestamp": "2023-04-10 01:02:{n:02}", "distance_covered": {n}, "engine_speed": 80, "fuel_consumed": 0}}"#
        )
    };
    kafka().produce(&trucks, (0..50).map(|n| (0, None, truck(n))));
    // Each gets a message of the other.
    kafka().produce(&trucks, [(0, None, message(0))]);
    kafka().produce(&phone, [(0, None, truck(0))]);
    let (folder, database) = (tempfile::tempdir().unwrap(), mariadb().create_database());
    let (of_phone, of_trucks) = (folder.path().join("phone"), folder.path().join("trucks"));
    let trucks_job = ["--topic", &trucks];
    for readings in [200, 260] {
        let mut other =
            command("run", &[&trucks_job[..], &["--until-end"]].concat(), &of_trucks, Some(&database));
        run(&["--topic", &phone], &of_phone, Some(&database));
        let (status, said) = other.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        assert_eq!(in_table(&database), rows(0..readings));
        assert_eq!(count(&database, "TRUCK_PARAMETER_MAP"), 50);
        kafka().produce(&phone, (readings..readings + 60).map(|n| (1, None, message(n))));
    }
    let letters = database.query("SELECT topic, reason, field FROM TRUCK_DEAD_LETTERS ORDER BY field");
    let letter =
        |topic: &str| [topic, "missing_field", "timestamp"].map(|text| Some(text.to_owned())).to_vec();
    assert_eq!(letters.len(), 2);
    assert!(letters.contains(&letter(&trucks)) && letters.contains(&letter(&phone)), "{letters:?}");
    let jobs = database.query("SELECT job, COUNT(DISTINCT topic) FROM truckflow_offsets GROUP BY job");
    let job = |name: &str| [Some(name.to_owned()), Some("1".to_owned())].to_vec();
    assert_eq!(jobs, [job("phone"), job("truckflow")]);
    let (status, said) = command("verify", &trucks_job, &of_trucks, Some(&database)).wait(TIMEOUT);
    assert!(status.success(), "{said}");
}

#[test]
fn a_file_is_read_without_a_broker() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    // Another order, another column, CR LF, a byte order mark, blanks, quotes, and records that cannot be used.
    let mut content = "\u{feff}yaw, pitch ,roll,note,qw,qx,qy,qz,seconds_elapsed,time\r\n".to_owned();
    let record = |n| {
        let [time, seconds, qz, qy, qx, qw, roll, pitch, yaw] = reading(n);
        format!("{yaw},{pitch},\"{roll}\",\"a\r\n\"\"b\"\"\",{qw},{qx},{qy},{qz},{seconds},{time}\r\n")
    };
    let bad = ["1,2", "\"1\",2,3,,5,6,,8,9,10", "1,2,3,,5,6,NaN,8,9,10", "1,2,3,,5,6,7,8,9,10.5"];
    (0..100).for_each(|n| content.push_str(&record(n)));
    bad.iter().for_each(|bad| content.push_str(&format!("{bad}\r\n")));
    let path = write(folder.path(), "Orientation.csv", &content);
    let dead = format!("127.0.0.1:{}", free_port());
    let args = |path| [&CSV[..], &["--brokers", &dead, "--input", path]].concat();
    run(&args(&path), &out, None);
    assert_eq!(in_file(&out), rows(0..100));
    assert_eq!(
        letters(&out, [0, 2, 5, 6, 7, 8]),
        [
            [&path, "101", "not_an_object", "", bad[0], ""],
            [&path, "102", "missing_field", "qy", bad[1], ""],
            [&path, "103", "not_finite", "qy", bad[2], ""],
            [&path, "104", "wrong_type", "time", bad[3], ""],
        ]
        .map(|letter| letter.map(str::to_owned))
    );
    // It grows, and is read on from where it was, by the names of the same header.
    (100..150).for_each(|n| content.push_str(&record(n)));
    write(folder.path(), "Orientation.csv", &content);
    let roundabout = format!("{}/./Orientation.csv", folder.path().display());
    run(&args(&roundabout), &out, None);
    assert_eq!(in_file(&out), rows(0..150));
    assert_eq!(csv_rows(&out.join("dead_letters.csv")).len(), bad.len());
    verified(&args(&roundabout), &out, None);
}

#[test]
fn a_file_may_hold_messages_instead() {
    let folder = tempfile::tempdir().unwrap();
    let messages: Vec<String> = (0..50).map(message).chain(["time,qz".to_owned()]).collect();
    let input = write(folder.path(), "orientation.jsonl", messages.join("\n") + "\n");
    let out = folder.path().join("out");
    run(&["--input", &input], &out, None);
    assert_eq!(in_file(&out), rows(0..50));
    assert_eq!(letters(&out, [2, 5, 7]), [["50", "not_an_object", "time,qz"].map(str::to_owned)]);
    // The embedded broker is fed from it.
    let out = folder.path().join("embedded");
    run(&["--embedded", "--input", &input], &out, None);
    assert_eq!(in_file(&out), rows(0..50));
}

#[test]
fn a_file_without_a_header_has_the_columns_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let lines: String = (0..20).map(|n| reading(n).join(";") + "\n").collect();
    let path = write(folder.path(), "readings.csv", lines);
    let columns = HEADER.replace(',', "\", \"");
    let config = format!(
        "[message]\nformat = \"csv\"\nseparator = \";\"\ncolumns = [\"{columns}\"]\npreset = \"orientation\"\n"
    );
    let config = write(folder.path(), "job.toml", config);
    let out = folder.path().join("out");
    run(&["--config", &config, "--input", &path], &out, None);
    assert_eq!(in_file(&out), rows(0..20));
}

#[test]
fn a_header_without_a_field_makes_every_line_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    for (lacking, field) in [("yaw", "yaw"), ("time", "timestamp"), ("qw", "qw")] {
        let header = HEADER.replace(lacking, "other");
        let lines: Vec<String> = (0..3).map(|n| reading(n).join(",")).collect();
        let path = write(folder.path(), "wrong.csv", format!("{header}\n{}\n", lines.join("\n")));
        let out = folder.path().join(lacking);
        let args = [&CSV[..], &["--input", &path]].concat();
        let said = run(&args, &out, None);
        assert!(said.contains(&format!("missing_field `{field}`")), "{said}");
        let expected =
            |n: usize| [&(n + 1).to_string(), "missing_field", field, &lines[n]].map(str::to_owned);
        assert_eq!(letters(&out, [2, 5, 6, 7]), [0, 1, 2].map(expected));
        assert_eq!(in_file(&out), rows([]));
        // `check` says so before.
        let mut check = command("check", &[&PHONE, &args[..]].concat(), &folder.path().join("new"), None);
        check.wait(TIMEOUT);
        let said = check.stdout();
        assert!(
            said.contains(&format!(
                "0 of 3 readings accepted; most common rejection: missing_field `{field}`"
            )),
            "{said}"
        );
    }
}

#[test]
fn a_followed_file_may_get_its_header_later() {
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (write(folder.path(), "Orientation.csv", ""), folder.path().join("out"));
    let args = [&CSV[..], &["--commit-interval", "20ms", "--input", &path]].concat();
    let mut job = start(&args, &out, None);
    job.wait_for_line("reading", TIMEOUT);
    csv_file(folder.path(), 0..30);
    let file = out.join("orientation.csv");
    eventually(TIMEOUT, "all is written", || file.exists() && csv_rows(&file).len() == 30);
    job.terminate();
    assert!(job.wait(TIMEOUT).0.success());
    assert_eq!(in_file(&out), rows(0..30));
}

#[test]
fn a_message_may_have_many_readings() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 1);
    let numbered = |numbers: std::ops::Range<i64>| numbers.map(message).collect::<Vec<_>>();
    let bad = "{'time': 1}";
    let array = format!("[{}, {bad}, {}]", numbered(0..2).join(", "), numbered(2..4).join(", "));
    kafka().produce(&topic, [(0, None, array), (0, None, numbered(4..6).join("\n")), (0, None, "[]".into())]);
    let out = tempfile::tempdir().unwrap();
    run(&["--topic", &topic], out.path(), None);
    assert_eq!(in_file(out.path()), rows(0..6));
    let letter = [topic.as_str(), "0", "missing_field", "seconds_elapsed", bad, "2"].map(str::to_owned);
    assert_eq!(letters(out.path(), [0, 2, 5, 6, 7, 8]), [letter]);
    verified(&["--topic", &topic], out.path(), None);
    // Lines of CSV, each message with its header.
    let csv = unique_topic();
    kafka().create_topic(&csv, 1);
    let lines = |numbers: [i64; 2]| {
        let [one, two] = numbers.map(|n| reading(n).join(","));
        format!("{HEADER}\n{one}\r\n1,2\n{two}")
    };
    kafka().produce(&csv, [(0, None, lines([0, 1])), (0, None, lines([2, 3])), (0, None, HEADER.into())]);
    let out = tempfile::tempdir().unwrap();
    let args = [&CSV[..], &["--topic", &csv]].concat();
    run(&args, out.path(), None);
    assert_eq!(in_file(out.path()), rows(0..4));
    let letter = |offset: &str| [offset, "not_an_object", "", "1,2", "1"].map(str::to_owned);
    assert_eq!(letters(out.path(), [2, 5, 6, 7, 8]), ["0", "1"].map(letter));
    verified(&args, out.path(), None);
}

/// The configuration that docs/phone.md has for the app's push messages.
fn push() -> String {
    let page = std::fs::read_to_string(crate::support::process::repository().join("docs/phone.md")).unwrap();
    let block = page.split("```toml").find(|block| block.contains("/payload")).expect("it is there");
    block.split("```").next().unwrap_or_default().to_owned()
}

#[test]
fn push_messages_of_the_app_are_read_as_the_page_says() {
    let folder = tempfile::tempdir().unwrap();
    let element = |n: i64| {
        let [time, _, qz, qy, qx, qw, roll, pitch, yaw] = reading(n);
        format!(
            "{{\"name\": \"orientation\", \"time\": {time}, \"values\": {{\"qz\": {qz}, \"qy\": {qy}, \"qx\": {qx}, \"qw\": {qw}, \
             \"roll\": {roll}, \"pitch\": {pitch}, \"yaw\": {yaw}}}}}"
        )
    };
    let other = "{\"name\": \"location\", \"time\": 1681088547123456789, \"values\": {\"speed\": 1}}";
    let lame = "{\"name\": \"orientation\", \"time\": \"1681088547123456789\", \"values\": {\"qz\": 0}}";
    let message = |parts: &[String]| format!("{{\"messageId\": 1, \"payload\": [{}]}}\n", parts.join(", "));
    let input = message(&[element(0), other.into(), element(1)]) + &message(&[other.into(), lame.into()]);
    let input = write(folder.path(), "push.jsonl", input);
    let config = write(folder.path(), "job.toml", push());
    let (out, database) = (folder.path().join("out"), mariadb().create_database());
    let args = ["--config", &config, "--input", &input];
    run(&args, &out, Some(&database));
    let table = database.query(&format!("SELECT {HEADER} FROM INGESTED_TABLE_1 ORDER BY time"));
    for (n, row) in (0..).zip(&table) {
        assert_eq!(row[1], None, "seconds_elapsed");
        let [time, _, rest @ ..] = reading(n);
        let expected: Vec<String> = std::iter::once(time).chain(rest).collect();
        let row = row.iter().flatten().cloned().collect();
        assert_eq!(comparable(row), comparable(expected));
    }
    assert_eq!(table.len(), 2);
    assert_eq!(letters(&out, [2, 5, 6, 7, 8]), [["1", "missing_field", "qy", lame, "1"].map(str::to_owned)]);
    verified(&args, &out, Some(&database));
}

#[test]
fn the_phone_s_fields_are_there_for_views_of_one_s_own() {
    let folder = tempfile::tempdir().unwrap();
    let tilted = "CREATE MATERIALIZED VIEW tilted AS \
                  SELECT timestamp, time, roll * 2 AS twice FROM readings WHERE pitch > 0;\n\
                  CREATE MATERIALIZED VIEW turning AS SELECT CORR(yaw, timestamp) AS r, COUNT(*) AS samples \
                  FROM readings;\n";
    write(folder.path(), "views.sql", tilted);
    let config = write(folder.path(), "job.toml", "views = \"views.sql\"\nbuiltin_views = true\n");
    let file = csv_file(folder.path(), 0..500);
    let (out, database) = (folder.path().join("out"), mariadb().create_database());
    let args = [&CSV[..], &["--config", &config, "--input", &file]].concat();
    run(&args, &out, Some(&database));
    assert_eq!(in_file(&out), rows(0..500));
    let number = |n: i64, at: usize| reading(n)[at].parse::<f64>().unwrap();
    let tilted: Vec<String> =
        (0..500).filter(|n| number(*n, 7) > 0.0).map(|n| reading(n)[0].clone()).collect();
    let found = csv_rows(&out.join("tilted.csv"));
    assert_eq!(found.iter().map(|row| row[1].clone()).collect::<Vec<_>>(), tilted);
    let turning = csv_rows(&out.join("turning.csv"));
    let last = turning.last().unwrap();
    assert_eq!(last[1], "500");
    verified(&args, &out, Some(&database));
}

#[test]
fn the_phone_s_lag_is_measured() {
    let topic = topic(60);
    let (out, port) = (tempfile::tempdir().unwrap(), free_port());
    let listen = format!("127.0.0.1:{port}");
    let mut job = start(&["--topic", &topic, "--listen", &listen], out.path(), None);
    let metrics = || crate::seen::get(port, "/metrics");
    for line in [
        format!("truckflow_consumer_lag{{partition=\"1\",topic=\"{topic}\"}} 0"),
        format!("truckflow_offsets_consumed_total{{partition=\"1\",topic=\"{topic}\"}} 30"),
        "truckflow_rows_written_total{sink=\"table\",view=\"orientation\"} 60".to_owned(),
    ] {
        eventually(TIMEOUT, &line, || metrics().contains(&line));
    }
    job.terminate();
    assert!(job.wait(TIMEOUT).0.success());
    assert_eq!(kafka().committed("phone", &topic), 60, "lag tools see it in the job's group");
}

#[test]
fn a_job_of_trucks_that_names_the_phone_s_view_says_that_it_is_not_built() {
    let folder = tempfile::tempdir().unwrap();
    let input = write(folder.path(), "orientation.jsonl", message(0) + "\n");
    let args = ["--input", &input, "--builtin-views", "orientation"];
    let mut check = command("check", &args, &folder.path().join("out"), None);
    let (_, said) = check.wait(TIMEOUT);
    let said = said + &check.stdout();
    let lacking =
        "the record lacks fields: orientation (time, seconds_elapsed, qz, qy, qx, qw, roll, pitch, yaw)";
    assert!(said.contains(lacking), "{said}");
    let args = [&args[..], &["--until-end"]].concat();
    let (status, said) = command("run", &args, &folder.path().join("out"), None).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    assert!(said.contains("some built-in views are not built"), "{said}");
}

#[test]
fn check_looks_at_the_phone_s_topic_and_file() {
    let folder = tempfile::tempdir().unwrap();
    let (topic, file) = (topic(20), csv_file(folder.path(), 0..3));
    let database = mariadb().create_database();
    database.query(SEED);
    let check = |args: &[&str]| {
        let args = [&PHONE, args].concat();
        let mut job = command("check", &args, &folder.path().join("out"), Some(&database));
        (job.wait(TIMEOUT).0.code(), job.stdout())
    };
    let (status, said) = check(&["--topic", &topic]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains(&format!("ok      topic: `{topic}`, 2 partitions")), "{said}");
    assert!(said.contains(&format!("ok      sample: `{topic}`: 20 of 20 readings accepted")), "{said}");
    assert!(!said.contains("not built"), "{said}");
    let (status, said) = check(&[&CSV[..], &["--input", &file]].concat());
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("3 of 3 readings accepted"), "{said}");
    let (status, said) = check(&["--topic", "no-such-topic"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("FAILED  topic: topic `no-such-topic` does not exist"), "{said}");
}

#[test]
fn a_number_that_the_record_cannot_hold_is_a_dead_letter() {
    let folder = tempfile::tempdir().unwrap();
    let (out, database) = (folder.path().join("out"), mariadb().create_database());
    database.query(SEED);
    let big = "1681088547123456789,0.5,1e300,0,0,1,0,0,0";
    let lines = [HEADER.to_owned(), reading(0).join(","), big.to_owned(), reading(1).join(",")];
    let input = write(folder.path(), "Orientation.csv", lines.join("\n") + "\n");
    run(&[&CSV[..], &["--input", &input]].concat(), &out, Some(&database));
    assert_eq!(count(&database, "INGESTED_TABLE_1"), 1 + 2, "the seed's row and two more");
    assert_eq!(letters(&out, [2, 5, 6, 7]), [["2", "out_of_range", "qz", big].map(str::to_owned)]);
    assert_eq!(in_file(&out), rows(0..2));
}
