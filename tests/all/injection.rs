//! Names and texts that are written to be something else: SQL, a formula, a line of the log, a drawing's.
//! On SQLite and MariaDB.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::seen::get;
use crate::support::job::Job;
use crate::support::mariadb::{Database, TextRow, mariadb};
use crate::support::output::csv_rows;
use crate::support::process::free_port;
use crate::support::sqlite;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Names of trucks.
const NAMES: [&str; 24] = [
    "'); DROP TABLE TRUCK_PARAMETER_MAP; --",
    "\"; DELETE FROM truckflow_jobs; --",
    "' OR '1'='1",
    "\\",
    "\\'",
    "'",
    "''",
    "`",
    "\"",
    "/*",
    "NULL",
    "\\N",
    "X'00'",
    "a\tb",
    "a\nb",
    "a\r\nb,c",
    "\0\u{1a}\u{8}",
    "=cmd|' /C calc'!A0",
    "+1+1",
    "-1",
    "@SUM(A1:A9)",
    "\u{1b}[31mred\u{1b}[0m",
    "\u{202e}näher 日本 🚚",
    "%s%n${jndi:ldap://x}",
];

fn line(truck: &str, second: usize) -> String {
    let truck = serde_json::to_string(truck).unwrap();
    format!(
        "{{\"timestamp\": \"2023-04-10 01:{:02}:{:02}\", \"distance_covered\": {second}, \"engine_speed\": 90, \
         \"fuel_consumed\": 0, \"truck_id\": {truck}, \"note\": {truck}}}\n",
        second / 60,
        second % 60
    )
}

/// Where a job's rows are.
enum Rows<'a> {
    Sqlite(&'a Path),
    Mariadb(Database),
}

impl Rows<'_> {
    fn query(&self, sql: &str) -> Vec<TextRow> {
        match self {
            Self::Sqlite(out) => sqlite::query(&out.join("truckflow.db"), sql),
            Self::Mariadb(database) => database.query(sql),
        }
    }

    fn flags(&self) -> Vec<&str> {
        match self {
            Self::Sqlite(_) => Vec::new(),
            Self::Mariadb(database) => vec!["--database", &database.url],
        }
    }
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02X}")).collect()
}

fn run(args: &[&str]) -> (i32, String) {
    let all = ["run", "--until-end", "--listen", "off"].iter().chain(args);
    let (status, said) = Job::start(all).wait(TIMEOUT);
    (status.code().unwrap_or(-1), said)
}

#[test]
fn names_of_trucks_are_kept_as_they_are_and_are_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    // Of the input's path, too, which is kept with the offsets.
    let input = folder.path().join("it's \\ \"; DROP TABLE truckflow_jobs; --.jsonl");
    let text: String =
        NAMES.iter().enumerate().flat_map(|(n, name)| [line(name, n), line(name, n + 60)]).collect();
    fs::write(&input, text).unwrap();
    let sql = folder.path().join("views.sql");
    let noted = "CREATE MATERIALIZED VIEW noted AS SELECT truck_id, note, note AS `select` FROM readings WHERE note = truck_id;";
    fs::write(&sql, noted).unwrap();
    let own = ["record.note=text", "builtin_views=true"].map(|set| ["--set", set]);
    let own = [own.as_flattened(), &["--sql", sql.to_str().unwrap()]].concat();
    let keyed = ["--set", "parameters.correlation_tables=latest"];
    for (number, modes) in [&[][..], &keyed].into_iter().enumerate() {
        let out = folder.path().join(format!("out-{number}"));
        let mine = folder.path().join(format!("out-maria-{number}"));
        for (out, rows) in [(&out, Rows::Sqlite(&out)), (&mine, Rows::Mariadb(mariadb().create_database()))] {
            let job = ["--input", input.to_str().unwrap(), "--out", out.to_str().unwrap()];
            let (status, said) = run(&[&job[..], &own, modes, &rows.flags()].concat());
            assert_eq!(status, 0, "{said}");
            let expected: BTreeSet<String> = NAMES.iter().map(|name| hex(name)).collect();
            let distinct = |table: &str, column: &str| -> BTreeSet<String> {
                let rows = rows.query(&format!("SELECT DISTINCT HEX({column}) FROM {table}"));
                rows.into_iter().map(|mut row| row.remove(0).unwrap()).collect()
            };
            for table in ["TRUCK_PARAMETER_MAP", "TRUCK_DISTANCE_CORRELATION", "TRUCK_WINDOW_AVERAGES"] {
                assert_eq!(distinct(table, "truck_id"), expected, "{table}");
            }
            assert_eq!(distinct("NOTED", "note"), expected);
            let select = if matches!(rows, Rows::Sqlite(_)) { "\"select\"" } else { "`select`" };
            assert_eq!(distinct("NOTED", select), expected);
            // The files hold the exact bytes, formulas among them.
            let of_file: BTreeSet<String> =
                csv_rows(&out.join("parameter_map.csv")).into_iter().map(|row| hex(&row[4])).collect();
            assert_eq!(of_file, expected);
            let count = rows.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP");
            assert_eq!(count, [[Some((2 * NAMES.len()).to_string())]]);
            // State is kept by these names, offsets by that path: it goes on from there, and it is all right.
            let (status, said) = run(&[&job[..], &own, modes, &rows.flags()].concat());
            assert_eq!(status, 0, "{said}");
            assert_eq!(rows.query("SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP"), count);
            let (status, said) =
                Job::start([&["verify"], &job[..], &own, modes, &rows.flags()].concat()).wait(TIMEOUT);
            assert!(status.success(), "{said}");
        }
    }
}

#[test]
fn names_that_a_job_defines_are_names_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.jsonl");
    fs::write(&input, line("a", 0)).unwrap();
    let sql = folder.path().join("views.sql");
    // Quoted as SQL quotes names and texts.
    let view = |name: &str, column: &str, table: &str| {
        let (name, table) = (name.replace('"', "\"\""), table.replace('\'', "''"));
        format!(
            "CREATE MATERIALIZED VIEW \"{name}\" WITH (table = '{table}') AS SELECT {column} FROM readings;"
        )
    };
    let of_views = ["--sql", sql.to_str().unwrap()];
    let hostile =
        ["x; DROP TABLE y", "x` (id INT); --", "x\"", "x'", "x y", "x\ny", "", "é", "../x", "x/y", "x\0"];
    for rows in [Rows::Sqlite(&folder.path().join("out")), Rows::Mariadb(mariadb().create_database())] {
        let out = folder.path().join("out");
        let job = ["--input", input.to_str().unwrap(), "--out", out.to_str().unwrap()];
        for name in hostile {
            let column = format!("truck_id AS `{}`", name.replace('`', "``"));
            let field = toml::to_string(&std::collections::BTreeMap::from([(name, "text")])).unwrap();
            let config = folder.path().join("job.toml");
            fs::write(&config, format!("[record]\n{field}")).unwrap();
            let config = ["--config", config.to_str().unwrap()];
            for (set, views) in [
                (of_views, view(name, "truck_id", "T")),
                (of_views, view("hot", &column, "T")),
                (of_views, view("hot", "truck_id", name)),
                (config, String::new()),
                (["--job", name], String::new()),
            ] {
                // An empty job is none, and a NUL cannot be said in a command.
                if set.iter().any(|text| text.contains('\0')) {
                    continue;
                }
                fs::write(&sql, &views).unwrap();
                let (status, said) = run(&[&job[..], &set, &rows.flags()].concat());
                assert_eq!(status, 2, "{set:?} {views}: {said}");
                let sentences: Vec<&str> = said.lines().collect();
                assert!(
                    sentences.len() == 1 && sentences[0].starts_with("truckflow: configuration"),
                    "{set:?} {views}: {said}"
                );
            }
        }
        // Words of SQL are names like others.
        fs::write(&sql, view("select", "truck_id AS `order`", "TABLE")).unwrap();
        let (status, said) = run(&[&job[..], &of_views, &rows.flags()].concat());
        assert_eq!(status, 0, "{said}");
        let found = match &rows {
            Rows::Sqlite(_) => rows.query("SELECT \"order\" FROM \"TABLE\""),
            Rows::Mariadb(_) => rows.query("SELECT `order` FROM `TABLE`"),
        };
        assert_eq!(found, [[Some("a".to_owned())]]);
        fs::remove_dir_all(&out).unwrap();
    }
}

#[test]
fn the_log_has_no_lines_and_no_colours_of_others() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.jsonl");
    let forged = "x\u{1b}[2J\n2023-04-10T00:00:00Z  INFO forged\r\u{202e}";
    fs::write(&input, line(forged, 0) + &line(forged, 1) + "\u{1b}[31mbad\u{1b}[0m\n").unwrap();
    let database = mariadb().create_database();
    // The server names the value in its message.
    database.query(
        "CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, truck_id VARCHAR(200) UNIQUE)",
    );
    for format in ["text", "json"] {
        let out = folder.path().join(format);
        let args =
            ["--input", input.to_str().unwrap(), "--out", out.to_str().unwrap(), "--log-format", format];
        let job = format!("job-{format}");
        let (status, said) = run(&[&args[..], &["--job", &job, "--database", &database.url]].concat());
        assert_eq!(status, 0, "{said}");
        assert!(said.contains("the database refused rows"), "{said}");
        assert!(!said.contains(['\u{1b}', '\r']), "{said:?}");
        assert!(format == "json" || !said.contains('\u{202e}'), "{said:?}");
        let begins = if format == "json" { "{" } else { "20" };
        assert!(said.lines().all(|line| line.starts_with(begins) && !line.starts_with("2023")), "{said:?}");
    }
    // What ends a command, and what is shown at its end.
    let name = "no\n2023-04-10 forged\u{1b}[31m";
    let (status, said) = run(&["--input", name, "--out", folder.path().join("none").to_str().unwrap()]);
    assert_eq!((status, said.lines().count()), (1, 1), "{said:?}");
    assert!(said.contains("no\\n2023") && !said.contains('\u{1b}'), "{said:?}");
    let out = folder.path().join("shown");
    let args = ["run", "--until-end", "--listen", "off", "--summary", "--input", input.to_str().unwrap()];
    let mut job = Job::start(args.iter().copied().chain(["--out", out.to_str().unwrap()]));
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
    let shown = job.stdout();
    assert!(
        shown.contains("x\\u{1b}[2J\\n2023") && !shown.contains(['\u{1b}', '\r', '\u{202e}']),
        "{shown:?}"
    );
}

#[test]
fn a_metric_is_of_no_truck() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("input.jsonl");
    let names: Vec<String> = (0..2000).map(|n| format!("wagon-{n}")).collect();
    fs::write(&input, names.iter().map(|name| line(name, 0)).collect::<String>() + "wagon-bad\n").unwrap();
    let (port, out) = (free_port(), folder.path().join("out"));
    let listen = format!("127.0.0.1:{port}");
    let args =
        ["run", "--input", input.to_str().unwrap(), "--out", out.to_str().unwrap(), "--listen", &listen];
    let mut job = Job::start(args);
    let all = "truckflow_state_records{view=\"distance_correlation\"} 2000";
    eventually(TIMEOUT, "all trucks are known", || get(port, "/metrics").contains(all));
    let metrics = get(port, "/metrics");
    assert!(!metrics.contains("wagon"), "no series is a truck's");
    let series = metrics.lines().filter(|line| line.starts_with("truckflow_")).count();
    assert!(series < 300, "{series} series");
    job.terminate();
    assert!(job.wait(TIMEOUT).0.success());
}

#[test]
fn a_drawing_has_names_as_labels_only() {
    let topic = "a\"]; evil[label=\"x\"\n%%{init: {}}%%<script>&lt;</script>\u{1b}[31m`";
    let explain = |flags: &[&str]| {
        let args = [&["explain", "--topic", topic, "--listen", "off"], flags].concat();
        let mut job = Job::start(args);
        let (status, said) = job.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        job.stdout()
    };
    let (mermaid, dot) = (explain(&[]), explain(&["--format", "dot"]));
    for drawing in [&mermaid, &dot] {
        assert!(drawing.contains("evil"), "the topic is shown");
        // Wherever it stands, it is inside the quotes of one label.
        for line in drawing.lines().filter(|line| line.contains("evil")) {
            let (before, _) = line.split_once("evil").unwrap();
            let open = before.replace("\\\"", "").matches('"').count();
            assert_eq!(open % 2, 1, "{line}");
        }
        assert!(!drawing.contains('\u{1b}') && !drawing.lines().any(|line| line.starts_with("%%{init: {}")));
    }
    assert!(!mermaid.contains("<script>"), "{mermaid}");
}
