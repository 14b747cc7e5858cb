//! What a job says of its input: how many readings, rows and dead letters there were, and that it accepts
//! nothing.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::seen::get;
use crate::support::browser::Browser;
use crate::support::job::Job;
use crate::support::process::free_port;
use crate::support::terminal::Terminal;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(60);

/// What is said of a job that accepts nothing.
const NOTHING: &str = "no reading was accepted: all 120 messages were rejected, the first for missing_field `engine_speed`; compare the messages with the fields that the job reads, or run `truckflow check`";

fn reading(day: u32, second: u32, speed: u32) -> String {
    format!(
        r#"{{"truck_id": "a", "timestamp": "2023-04-{day:02} 01:02:{second:02}", "distance_covered": {second}, "engine_speed": {speed}, "fuel_consumed": 1}}"#
    )
}

/// Lines of which none has the engine's speed.
fn rejected(lines: usize) -> String {
    r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "fuel_consumed": 0}
"#
    .repeat(lines)
}

/// Makes a database whose table refuses the rows of engines that turn at 100 or faster.
fn create_table(database: &Path) {
    let sql = "CREATE TABLE TRUCK_PARAMETER_MAP (id INTEGER PRIMARY KEY, engine_speed REAL CHECK (engine_speed < 100))";
    Connection::open(database).unwrap().execute_batch(sql).unwrap();
}

/// Runs a job over a file to its end, and gives what it wrote to standard output and to standard error.
#[track_caller]
fn done(input: &Path, more: &[&str]) -> (String, String) {
    let out = input.with_file_name("out");
    let args = ["run", "--until-end", "--listen", "off", "--input", input.to_str().unwrap(), "--out"];
    let mut job = Job::start(args.iter().chain(&[out.to_str().unwrap()]).chain(more));
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
    (job.stdout(), said)
}

#[test]
fn a_job_that_rejects_all_messages_warns_after_ten_and_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.jsonl");
    std::fs::write(&input, rejected(120)).unwrap();
    let (_, said) = done(&input, &["--job", "one"]);
    let lines: Vec<&str> = said.lines().collect();
    let at = |word: &str| lines.iter().position(|line| line.contains(word)).expect("it is said");
    assert!(lines[at(NOTHING)].contains(" WARN "), "{said}");
    assert!(at(NOTHING) < at("done records=0 rejected=120"), "{said}");
    assert!(lines.last().unwrap().ends_with(NOTHING), "{said}");

    // Fewer than ten are told at the end.
    std::fs::remove_dir_all(folder.path().join("out")).unwrap();
    std::fs::write(&input, rejected(1)).unwrap();
    let (summary, said) = done(&input, &["--summary"]);
    let last = summary.lines().last().unwrap();
    assert!(
        last.starts_with(
            "no reading was accepted: the only message was rejected, for missing_field `engine_speed`"
        ),
        "{summary}"
    );
    assert!(!said.contains("WARN"), "{said}");

    // One that accepts something says nothing of the kind.
    std::fs::remove_dir_all(folder.path().join("out")).unwrap();
    std::fs::write(&input, rejected(120) + &reading(10, 1, 80) + "\n").unwrap();
    let (_, said) = done(&input, &[]);
    assert!(!said.contains("no reading"), "{said}");
}

#[test]
fn readings_rows_and_dead_letters_are_counted_apart_by_reason() {
    let folder = tempfile::tempdir().unwrap();
    let (input, database) = (folder.path().join("input.jsonl"), folder.path().join("rows.db"));
    create_table(&database);
    let url = format!("sqlite:{}", database.display());
    let views = "parameter_map,filtered_join,window_averages";
    let args = ["--json", "--database", &url, "--builtin-views", views];
    let count = || -> Value { serde_json::from_str(&done(&input, &args).0).expect("JSON") };

    std::fs::write(&input, (0..10).map(|second| reading(20, second, 50) + "\n").collect::<String>()).unwrap();
    let first = count();
    assert_eq!([&first["records"], &first["rejected"], &first["dead_letters"]], [10, 0, 0], "{first}");

    // Two that come late for both views, two whose rows the database refuses, three that are no reading.
    let late: String = (0..2).map(|second| reading(1, second, 50) + "\n").collect();
    let refused: String = (10..12).map(|second| reading(20, second, 900) + "\n").collect();
    let mut file = std::fs::File::options().append(true).open(&input).unwrap();
    write!(file, "{late}{refused}no reading\n{}", rejected(2)).unwrap();
    let second = count();
    for (what, number) in [
        ("records", json!(4)),
        ("rejected", json!(3)),
        ("rejected_by_reason", json!({ "not_an_object": 1, "missing_field": 2 })),
        ("left_out", json!(2)),
        ("left_out_by_reason", json!({ "late": 2 })),
        ("refused_rows", json!(2)),
        ("dead_letters", json!(9)),
        (
            "dead_letters_by_reason",
            json!({ "not_an_object": 1, "missing_field": 2, "late": 4, "refused_by_database": 2 }),
        ),
    ] {
        assert_eq!(second[what], number, "{what} of {second}");
    }
    let rows = Connection::open(&database).unwrap();
    let in_table = |table: &str| -> i64 {
        rows.query_row(&format!("SELECT COUNT(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    };
    assert_eq!((in_table("TRUCK_PARAMETER_MAP"), in_table("TRUCK_DEAD_LETTERS")), (12, 9));
}

#[test]
fn the_metrics_count_records_messages_and_refused_rows_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (input, database) = (folder.path().join("input.jsonl"), folder.path().join("rows.db"));
    create_table(&database);
    std::fs::write(&input, format!("{}\n{}\n{}", reading(1, 1, 50), reading(1, 2, 900), rejected(3)))
        .unwrap();
    let (port, out) = (free_port(), folder.path().join("out"));
    let (listen, url) = (format!("127.0.0.1:{port}"), format!("sqlite:{}", database.display()));
    let args = ["run", "--input", input.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let _job = Job::start(args.iter().chain(&["--listen", &listen, "--database", &url]));
    let is_read = || get(port, "/metrics").contains("truckflow_records_total 2\n");
    eventually(TIMEOUT, "two records are committed", is_read);
    let metrics = get(port, "/metrics");
    for line in [
        format!("truckflow_offsets_consumed_total{{partition=\"0\",topic=\"{}\"}} 5", input.display()),
        "truckflow_rejected_messages_total{reason=\"missing_field\"} 3".into(),
        "truckflow_rejected_messages_total{reason=\"late\"} 0".into(),
        "truckflow_dead_letters_total{reason=\"missing_field\"} 3".into(),
        "truckflow_dead_letters_total{reason=\"refused_by_database\"} 1".into(),
        "truckflow_rows_refused_total{view=\"parameter_map\"} 1".into(),
        "truckflow_rows_written_total{sink=\"table\",view=\"parameter_map\"} 1".into(),
        "truckflow_rows_written_total{sink=\"csv\",view=\"parameter_map\"} 2".into(),
    ] {
        assert!(metrics.contains(&line), "`{line}` is not in:\n{metrics}");
    }
}

#[test]
fn the_page_and_top_say_that_nothing_is_accepted_until_something_is() {
    let folder = tempfile::tempdir().unwrap();
    let (port, input) = (free_port(), folder.path().join("input.jsonl"));
    let (listen, out) = (format!("127.0.0.1:{port}"), folder.path().join("out"));
    std::fs::write(&input, rejected(120)).unwrap();
    let args = ["run", "--input", input.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let mut job = Job::start(args.iter().chain(&["--listen", &listen, "--commit-interval", "100ms"]));
    job.wait_for_line(NOTHING, TIMEOUT);

    let browser = Browser::start(1280, 1000);
    browser.open(&format!("http://{listen}/"));
    let mut banner = NOTHING.replacen('n', "N", 1);
    banner.push('.');
    browser.wait("body > #warning:not([hidden])", "the banner is there", |text| text == banner);
    browser.wait("#n-records", "no reading was accepted", |text| text == "0");
    browser.wait("#n-rate", "the rejections are counted", |text| text.ends_with("/s, 120 rejected"));
    let once = || {
        let mut top = Job::start(["top", &listen, "--once"]);
        assert!(top.wait(TIMEOUT).0.success());
        top.stdout()
    };
    assert!(once().contains(&format!("\nwarning: {NOTHING}\n")), "{}", once());
    let terminal = Terminal::start(&format!("exec '{}' top {listen}", env!("CARGO_BIN_EXE_truckflow")));
    terminal.wait_for(" warning  no reading was accepted: all 120 messages were rejected", TIMEOUT);

    let mut file = std::fs::File::options().append(true).open(&input).unwrap();
    writeln!(file, "{}", reading(10, 1, 80)).unwrap();
    browser.wait("#n-records", "a reading is accepted", |text| text == "1");
    browser.wait("body > #warning[hidden]", "the banner is gone", str::is_empty);
    assert!(!once().contains("warning:"), "{}", once());
    terminal.wait_for("readings      1 accepted, 120 rejected", TIMEOUT);
    assert!(!terminal.shown().contains(" warning "), "{}", terminal.shown());
    job.wait_for_line("a reading was accepted", TIMEOUT);
}
