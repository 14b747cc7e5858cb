//! Views that are added to a job that runs already: from where it is, or from the beginning, with
//! kills in between; the other views go on as if nothing was.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::{csv_rows, latest};
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);

const BASE: &str = "builtin_views = [\"parameter_map\", \"distance_correlation\"]\n";
/// The views of [`SQL`], and `fuel_speed` from the beginning.
const MORE: &str = r#"
views = "views.sql"
"#;
/// `hot` and `fuel_speed` from the beginning, `cold` from where the job is.
const SQL: &str = "
CREATE MATERIALIZED VIEW hot WITH (table = 'TRUCK_HOT', backfill = true) AS
SELECT timestamp, truck_id, engine_speed FROM readings WHERE engine_speed > 81;
CREATE MATERIALIZED VIEW cold WITH (table = 'TRUCK_COLD') AS
SELECT timestamp, truck_id, engine_speed FROM readings WHERE engine_speed > 81;
CREATE MATERIALIZED VIEW fuel_speed WITH (table = 'TRUCK_FUEL_SPEED', keep = 'history', backfill = true) AS
SELECT LAST_VALUE(fuel_consumed) AS fuel_consumed, LAST_VALUE(engine_speed) AS engine_speed,
    CORR(fuel_consumed, engine_speed) AS correlation, truck_id, COUNT(*) AS samples, MAX(timestamp) AS timestamp
FROM readings GROUP BY truck_id;
";

/// A job in a folder of its own.
struct Grown {
    folder: tempfile::TempDir,
    args: Vec<String>,
}

impl Grown {
    fn new(args: &[&str]) -> Self {
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        let grown = Self { folder: tempfile::tempdir().unwrap(), args };
        grown.write_views(SQL);
        grown
    }

    /// Writes the file that a configuration with `views = "views.sql"` names.
    fn write_views(&self, sql: &str) {
        std::fs::write(self.folder.path().join("views.sql"), sql).unwrap();
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn csv(&self, view: &str) -> PathBuf {
        self.out().join(format!("{view}.csv"))
    }

    fn start(&self, config: &str, workers: &str) -> Job {
        self.start_with(config, workers, &[])
    }

    /// A start that dies at a moment.
    fn start_dying(&self, config: &str, at: &str) -> Job {
        self.start_with(config, "1", &["--die-at", at])
    }

    fn start_with(&self, config: &str, workers: &str, more: &[&str]) -> Job {
        let path = self.folder.path().join("job.toml");
        std::fs::write(&path, config).unwrap();
        let mut args = ["run", "--until-end", "--listen", "off", "--workers", workers, "--config"]
            .map(String::from)
            .to_vec();
        args.extend([path.display().to_string(), "--out".into(), self.out().display().to_string()]);
        args.extend(self.args.iter().cloned());
        // Small epochs, so that there are many commits to be killed at.
        args.extend(["--set".into(), "limits.epoch_records=2000".into()]);
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        Job::start(args)
    }

    fn run(&self, config: &str, workers: &str) {
        let (status, said) = self.start(config, workers).wait(TIMEOUT);
        assert!(status.success(), "{said}");
    }

    /// What it holds is right, for a view that began later too.
    fn verify(&self) {
        let config = self.folder.path().join("job.toml").display().to_string();
        let mut args = vec!["verify".into(), "--config".into(), config];
        args.extend(["--out".into(), self.out().display().to_string()]);
        args.extend(self.args.iter().cloned());
        let mut verify = Job::start(args);
        let (status, said) = verify.wait(TIMEOUT);
        assert!(status.success(), "{said}{}", verify.stdout());
    }

    /// Kills the job when its file of the view `hot` has grown past each of these lengths.
    fn kill_while_filling(&self, config: &str, lengths: &[u64]) {
        for (length, workers) in lengths.iter().zip(["1", "2"].into_iter().cycle()) {
            let mut job = self.start(config, workers);
            let file = self.csv("hot");
            eventually(TIMEOUT, "the new view is filled", || {
                std::fs::metadata(&file).map_or(0, |file| file.len()) > *length || job_ended(&mut job)
            });
            job.kill9();
        }
    }
}

fn job_ended(job: &mut Job) -> bool {
    job.stderr().contains("done")
}

/// Simulated readings, as lines.
fn readings(records: usize) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.jsonl").to_str().unwrap().to_owned();
    let records = records.to_string();
    let args = ["simulate", "--trucks", "3", "--records", &records, "--seed", "11", "--to", &path];
    assert!(Job::start(args).wait(TIMEOUT).0.success());
    std::fs::read_to_string(&path).unwrap().lines().map(str::to_owned).collect()
}

fn hot(lines: &[String]) -> usize {
    let is_hot = |line: &&String| {
        let reading: serde_json::Value = serde_json::from_str(line).unwrap();
        reading["engine_speed"].as_f64().unwrap() > 81.0
    };
    lines.iter().filter(is_hot).count()
}

/// What the grown job holds, against one that had all views from the beginning.
fn assert_grown(grown: &Grown, whole: &Grown, lines: &[String], half: usize, database: Option<&Database>) {
    for view in ["parameter_map", "hot"] {
        assert!(csv_rows(&grown.csv(view)) == csv_rows(&whole.csv(view)), "{view} differs");
    }
    for view in ["distance_correlation", "fuel_speed"] {
        assert_eq!(latest(&grown.csv(view)), latest(&whole.csv(view)), "{view}");
    }
    assert_eq!(csv_rows(&grown.csv("hot")).len(), hot(lines));
    assert_eq!(csv_rows(&grown.csv("cold")).len(), hot(&lines[half..]));
    assert_eq!(csv_rows(&grown.csv("dead_letters")).len(), 1, "the bad line is told of once");
    if let Some(database) = database {
        let count = |table: &str| {
            database.query(&format!("SELECT COUNT(*) FROM {table}"))[0][0]
                .clone()
                .unwrap()
                .parse::<usize>()
                .unwrap()
        };
        assert_eq!(count("TRUCK_HOT"), hot(lines));
        assert_eq!(count("TRUCK_COLD"), hot(&lines[half..]));
        assert_eq!(count("TRUCK_PARAMETER_MAP"), lines.len());
        assert_eq!(count("TRUCK_DEAD_LETTERS"), 1);
    }
}

#[test]
fn a_view_is_filled_from_kafka_into_mariadb_whatever_kills_it() {
    let lines = readings(60_000);
    let half = lines.len() / 2;
    let (topic, database) = (unique_topic(), mariadb().create_database());
    kafka().create_topic(&topic, 3);
    let produce =
        |lines: &[String]| kafka().produce(&topic, (0..).zip(lines).map(|(n, line)| (n % 3, None, line)));
    kafka().produce(&topic, [(0, None, "bad")]);
    produce(&lines[..half]);
    let source = ["--brokers", kafka().brokers(), "--topic", &topic];
    let grown = Grown::new(&[&source[..], &["--database", &database.url]].concat());
    grown.run(BASE, "1");
    let config = format!("{BASE}{MORE}");
    grown.kill_while_filling(&config, &[10_000, 100_000]);
    produce(&lines[half..]);
    grown.run(&config, "2");
    grown.run(&config, "1");
    let whole = Grown::new(&source);
    whole.run(&config, "2");
    assert_grown(&grown, &whole, &lines, half, Some(&database));
    grown.verify();
}

#[test]
fn a_view_is_filled_from_a_file_and_through_the_embedded_broker() {
    let lines = readings(30_000);
    let half = lines.len() / 2;
    let folder = tempfile::tempdir().unwrap();
    for embedded in [false, true] {
        let path = folder.path().join(format!("readings-{embedded}.jsonl"));
        let text =
            |lines: &[String]| lines.iter().fold(String::from("bad\n"), |text, line| text + line + "\n");
        std::fs::write(&path, text(&lines[..half])).unwrap();
        let mut source = vec!["--input", path.to_str().unwrap()];
        source.extend(embedded.then_some("--embedded"));
        let grown = Grown::new(&source);
        grown.run(BASE, "2");
        let config = format!("{BASE}{MORE}");
        grown.kill_while_filling(&config, &[5_000]);
        std::fs::write(&path, text(&lines)).unwrap();
        grown.run(&config, "1");
        let whole = Grown::new(&source);
        whole.run(&config, "2");
        assert_grown(&grown, &whole, &lines, half, None);
        grown.verify();
    }
}

#[test]
fn a_view_of_an_upsert_job_is_given_the_readings_that_are_left() {
    let reading = |truck: &str, speed: u32| {
        format!(
            r#"{{"timestamp": "2023-04-10 01:00:00", "distance_covered": 1, "engine_speed": {speed}, "fuel_consumed": 1, "truck_id": "{truck}"}}"#
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.tsv");
    let first = format!("a\t{}\nb\t{}\nc\t{}\nb\t\n", reading("x", 82), reading("x", 83), reading("y", 84));
    std::fs::write(&path, &first).unwrap();
    let grown = Grown::new(&["--input", path.to_str().unwrap()]);
    let upsert = |views: &str| format!("mode = \"upsert\"\nkey_separator = \"\\t\"\n{views}");
    grown.run(&upsert(BASE), "1");
    // Both are given them, as what is left is what a view of an upsert job holds.
    let config = upsert(&format!("{BASE}{MORE}"));
    grown.run(&config, "2");
    let rows = |view: &str| csv_rows(&grown.csv(view));
    let row = |truck: &str, speed: &str, change: &str| {
        ["2023-04-10 01:00:00.000000", truck, speed, change].map(str::to_owned).to_vec()
    };
    assert_eq!(rows("hot"), [row("x", "82", "1"), row("y", "84", "1")]);
    assert_eq!(rows("cold"), rows("hot"));
    // Once: a restart does not tell of them again, and corrections undo them.
    std::fs::write(&path, format!("{first}a\t{}\nc\t\n", reading("x", 85))).unwrap();
    grown.run(&config, "1");
    let expected = [
        row("x", "82", "-1"),
        row("x", "82", "1"),
        row("x", "85", "1"),
        row("y", "84", "-1"),
        row("y", "84", "1"),
    ];
    assert_eq!(rows("hot"), expected);
    // Of an epoch only the net change shows.
    assert_eq!(rows("parameter_map").len(), 2 + 3);
    grown.verify();
}

#[test]
fn a_view_that_became_another_is_refused_with_a_sentence() {
    let input = crate::support::process::repository().join("fixtures/demo/input.jsonl");
    let grown = Grown::new(&["--input", input.to_str().unwrap()]);
    let start = |speed: u32| {
        grown.write_views(&format!(
            "CREATE MATERIALIZED VIEW hot AS SELECT truck_id FROM readings WHERE engine_speed > {speed};"
        ));
        grown.start("views = \"views.sql\"\nbuiltin_views = true\n", "1").wait(TIMEOUT)
    };
    let (status, said) = start(80);
    assert!(status.success(), "{said}");
    let (status, said) = start(81);
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("view `hot`") && said.contains("another name"), "{said}");
    let (status, said) = start(80);
    assert!(status.success(), "{said}");
}

#[test]
fn an_input_whose_path_names_a_view_is_not_taken_for_that_views_progress() {
    let lines = readings(300);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    for word in ["for", "since", "left"] {
        let input = path(&format!("readings.jsonl {word} hot"));
        std::fs::write(&input, lines.join("\n") + "\n").unwrap();
        let job = Grown::new(&["--input", &input]);
        job.run(BASE, "1");
        job.run(&format!("{BASE}{MORE}"), "1");
        assert_eq!(csv_rows(&job.csv("parameter_map")).len(), lines.len());
        assert_eq!(csv_rows(&job.csv("hot")).len(), hot(&lines), "{word}");
        job.verify();
        // Left out and back, it has missed nothing.
        job.run(BASE, "1");
        let (status, said) = job.start(&format!("{BASE}{MORE}"), "1").wait(TIMEOUT);
        assert!(status.success() && !said.contains("left out"), "{said}");
    }
}

#[test]
fn a_new_view_gets_every_reading_of_messages_with_several() {
    let lines = readings(300);
    let far = lines[0].replace("2023-", "9998-");
    assert_ne!(far, lines[0]);
    // A reading among others is in the future, and one is none: only they are left out.
    let message = |readings: &[String]| format!("[{}, {far}, 1]\n", readings.join(", "));
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("readings.jsonl");
    std::fs::write(&input, lines.chunks(7).map(message).collect::<String>()).unwrap();
    let grown = Grown::new(&["--input", input.to_str().unwrap()]);
    grown.run(BASE, "2");
    grown.run(&format!("{BASE}{MORE}"), "2");
    for (view, count) in [("parameter_map", lines.len()), ("hot", hot(&lines)), ("cold", 0)] {
        assert_eq!(csv_rows(&grown.csv(view)).len(), count, "{view}");
    }
    let letters = csv_rows(&grown.csv("dead_letters"));
    assert_eq!(letters.len(), 2 * lines.len().div_ceil(7));
    for letter in letters.iter().filter(|letter| letter[5] == "in_the_future") {
        assert_eq!(letter[7], far);
        assert!(letter[8] == "7" || letter[1..3] == ["0", "42"].map(String::from), "{letter:?}");
    }
    grown.verify();
}

#[test]
fn a_view_is_added_to_the_phone_s_job() {
    let case = crate::support::process::repository().join("fixtures/phone");
    let input = case.join("orientation.csv");
    let grown = Grown::new(&["--input", input.to_str().unwrap()]);
    let base =
        "message = { preset = \"orientation\", format = \"csv\" }\nbuiltin_views = [\"orientation\"]\n";
    grown.run(base, "1");
    let readings = csv_rows(&grown.csv("orientation"));
    grown.write_views(
        "CREATE MATERIALIZED VIEW tilted WITH (backfill = true) AS SELECT time, pitch FROM readings WHERE pitch > 0;",
    );
    grown.run(&format!("{base}views = \"views.sql\"\n"), "1");
    let tilted = readings.iter().filter(|row| row[7].parse::<f64>().unwrap() > 0.0);
    let times: Vec<&String> = tilted.map(|row| &row[0]).collect();
    let found = csv_rows(&grown.csv("tilted"));
    assert!(times.len() > 5 && found.iter().map(|row| &row[0]).eq(times), "{found:?}");
    assert_eq!(csv_rows(&grown.csv("orientation")), readings);
    grown.verify();
}

#[test]
fn a_view_that_comes_back_says_what_it_has_missed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.jsonl");
    let lines = readings(300);
    let write = |count: usize| std::fs::write(&path, lines[..count].join("\n") + "\n").unwrap();
    let job = Grown::new(&["--input", path.to_str().unwrap()]);
    let said = |views: &str| {
        let mut job = job.start(&format!("builtin_views = [{views}]"), "1");
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        said
    };
    let both = "\"parameter_map\", \"transformed\"";
    write(100);
    said(both);
    assert!(!said("\"parameter_map\"").contains("left out"));
    // Nothing came meanwhile.
    assert!(!said(both).contains("left out"));
    write(200);
    said("\"parameter_map\"");
    said("\"parameter_map\"");
    write(300);
    let back = said(both);
    assert!(
        back.contains("transformed") && back.contains("left out") && back.contains("missed=100"),
        "{back}"
    );
    assert_eq!(csv_rows(&job.csv("transformed")).len(), 200);
    assert!(!said(both).contains("left out"), "it is told once");
}

#[test]
fn standard_input_cannot_be_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let run = |config: &str| {
        let path = folder.path().join("job.toml");
        std::fs::write(&path, config).unwrap();
        std::fs::write(folder.path().join("views.sql"), SQL).unwrap();
        let input = crate::support::process::repository().join("fixtures/demo/input.jsonl");
        std::process::Command::new(env!("CARGO_BIN_EXE_truckflow"))
            .args(["run", "--input", "-", "--listen", "off", "--config"])
            .arg(path)
            .arg("--out")
            .arg(folder.path().join("out"))
            .stdin(std::fs::File::open(input).unwrap())
            .output()
            .unwrap()
    };
    assert!(run(BASE).status.success());
    let refused = run(&format!("{BASE}{MORE}"));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("view `hot`") && said.contains("cannot be read again"), "{said}");
}

/// Corrections of a few hundred readings, over and over.
fn corrections(path: &Path, messages: usize) {
    let mut text = String::new();
    let mut state = 7u64;
    let mut random = |below: u64| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) % below
    };
    for _ in 0..messages {
        let key = random(400);
        if random(5) == 0 {
            writeln!(text, "k{key}\t").unwrap();
            continue;
        }
        let (minute, speed, distance, truck) = (random(60), 70 + random(20), random(1000), random(4));
        writeln!(
            text,
            "k{key}\t{{\"timestamp\": \"2023-04-10 01:{minute:02}:00\", \"distance_covered\": {distance}, \
             \"engine_speed\": {speed}, \"fuel_consumed\": 1, \"truck_id\": \"t{truck}\"}}"
        )
        .unwrap();
    }
    std::fs::write(path, text).unwrap();
}

#[test]
fn kills_leave_no_trace_in_an_upsert_job() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("corrections.tsv");
    corrections(&path, 120_000);
    let source = ["--input", path.to_str().unwrap()];
    let config = "mode = \"upsert\"\nkey_separator = \"\\t\"\n[parameters]\ncorrelation_tables = \"latest\"";
    let (database, other) = (mariadb().create_database(), mariadb().create_database());
    let undisturbed = Grown::new(&[&source[..], &["--database", &other.url]].concat());
    undisturbed.run(config, "1");
    let disturbed = Grown::new(&[&source[..], &["--database", &database.url]].concat());
    let committed = || -> i64 {
        if database.query("SHOW TABLES LIKE 'truckflow_offsets'").is_empty() {
            return 0;
        }
        let rows = database.query("SELECT COALESCE(SUM(next_offset), 0) FROM truckflow_offsets");
        rows[0][0].as_deref().unwrap_or("0").parse().unwrap()
    };
    for workers in ["1", "2", "1", "2"] {
        let before = committed();
        let mut job = disturbed.start(config, workers);
        eventually(TIMEOUT, "more is committed", || committed() > before || job_ended(&mut job));
        job.kill9();
    }
    disturbed.run(config, "2");
    let tables = database.query("SHOW TABLES LIKE '%RUCK\\_%'");
    assert!(tables.len() >= 8, "{tables:?}");
    for table in tables.into_iter().flatten().flatten().chain(["SPARK_TABLE_TRANSFORMED".into()]) {
        if table == "TRUCK_DEAD_LETTERS" || table.starts_with("truckflow") {
            continue;
        }
        let columns = database.query(&format!("SHOW COLUMNS FROM {table}"));
        let names: Vec<String> =
            columns.into_iter().map(|row| row[0].clone().unwrap()).filter(|name| name != "id").collect();
        let query = format!("SELECT {} FROM {table} ORDER BY row_key", names.join(", "));
        let (rows, expected) = (database.query(&query), other.query(&query));
        assert!(!rows.is_empty() && rows == expected, "{table} differs");
        // One reading, one row: what the file adds up to is what the table holds.
        assert!(rows.iter().all(|row| row.last().unwrap().is_some()), "{table} has a row without a key");
    }
    for view in ["parameter_map", "filtered_join", "distance_correlation", "derived_metrics"] {
        let sum = |grown: &Grown| {
            let mut sum = std::collections::BTreeMap::new();
            for mut row in csv_rows(&grown.csv(view)) {
                let change: i64 = row.pop().unwrap().parse().unwrap();
                *sum.entry(row).or_insert(0) += change;
            }
            sum.retain(|_, count| *count != 0);
            sum
        };
        assert_eq!(sum(&disturbed), sum(&undisturbed), "{view}");
    }
}

/// Epochs shorter than a batch, trucks spread over partitions that are read one after the other.
#[test]
fn nothing_is_late_because_partitions_are_read_unevenly() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 4);
    let line = |n: i64| {
        let (hour, minute, second) = (n / 3600 % 24, n / 60 % 60, n % 60);
        format!(
            "{{\"timestamp\": \"2023-04-10 {hour:02}:{minute:02}:{second:02}\", \"distance_covered\": {n}, \
             \"engine_speed\": 81, \"fuel_consumed\": 1, \"truck_id\": \"t{}\"}}",
            n % 3
        )
    };
    const RECORDS: i64 = 80_000;
    kafka().produce(&topic, (0..RECORDS).map(|n| ((n % 4) as i32, None, line(n))));
    for workers in ["1", "2"] {
        let job = Grown::new(&["--brokers", kafka().brokers(), "--topic", &topic]);
        job.run("builtin_views = [\"filtered_join\", \"window_averages\"]", workers);
        assert_eq!(csv_rows(&job.csv("dead_letters")).len(), 0);
        assert_eq!(csv_rows(&job.csv("filtered_join")).len(), RECORDS as usize);
    }
}

#[test]
fn a_new_view_of_an_aggregate_begins_with_its_current_rows() {
    let lines = readings(1000);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.jsonl");
    let write = |count: usize| std::fs::write(&path, lines[..count].join("\n") + "\n").unwrap();
    let grown = Grown::new(&["--input", path.to_str().unwrap()]);
    let config = "views = \"views.sql\"\n";
    let first =
        "CREATE MATERIALIZED VIEW early AS SELECT truck_id, COUNT(*) AS n FROM readings GROUP BY truck_id;";
    let counted = "CREATE MATERIALIZED VIEW counted AS SELECT truck_id, COUNT(*) AS n, MAX(engine_speed) AS speed FROM readings GROUP BY truck_id;";
    let summed = "CREATE MATERIALIZED VIEW summed AS SELECT SUM(n) AS n FROM counted;";
    write(300);
    grown.write_views(first);
    grown.run(config, "1");
    // From here on.
    grown.write_views(&format!("{first}{counted}"));
    grown.run(config, "1");
    write(600);
    grown.run(config, "2");
    // With the rows of what it reads, which has read the middle only.
    grown.write_views(&format!("{first}{counted}{summed}"));
    assert!(!grown.start_dying(config, "commit#2").wait(TIMEOUT).0.success());
    grown.run(config, "2");
    let total = |view: &str| csv_rows(&grown.csv(view)).last().unwrap()[0].clone();
    assert_eq!(total("summed"), "300");
    write(900);
    grown.run(config, "1");
    assert_eq!(total("summed"), "600");
    grown.verify();
    // Two that began elsewhere have no rows of the same readings.
    let both = "CREATE MATERIALIZED VIEW both_of AS SELECT c.truck_id, c.n - e.n AS more FROM counted c JOIN early e ON c.truck_id = e.truck_id;";
    grown.write_views(&format!("{first}{counted}{summed}{both}"));
    let (status, said) = grown.start(config, "1").wait(TIMEOUT);
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("did not begin at the same offsets; write WITH (backfill = true)"), "{said}");
    let both = both.replace("both_of AS", "both_of WITH (backfill = true) AS");
    grown.write_views(&format!("{first}{counted}{summed}{both}"));
    grown.run(config, "1");
    grown.verify();
    // A step has no state: a view that reads it begins here.
    let step = "CREATE VIEW step AS SELECT truck_id, COUNT(*) AS n FROM readings GROUP BY truck_id; CREATE MATERIALIZED VIEW late AS SELECT SUM(n) AS n FROM step;";
    grown.write_views(&format!("{first}{counted}{summed}{both}{step}"));
    grown.run(config, "1");
    grown.verify();
    write(1000);
    grown.run(config, "1");
    assert_eq!(total("late"), "100");
    grown.verify();
}
