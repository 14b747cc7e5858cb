//! Views of the user's own that say what a built-in view does hold what it holds, whose content
//! [`golden`](crate::golden) compares with another language's.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::support::job::Job;
use crate::support::output::csv_rows;
use crate::support::process::repository;
use crate::support::sqlite;
use crate::support::terminal::Terminal;

const TIMEOUT: Duration = Duration::from_secs(60);

const JOB: &str = r#"
views = "views.sql"
builtin_views = ["above_speed", "transformed"]
"#;
const SQL: &str = "
CREATE MATERIALIZED VIEW fast AS
SELECT timestamp, distance_covered, engine_speed, truck_id FROM readings WHERE engine_speed > 80;

CREATE MATERIALIZED VIEW scaled AS
SELECT timestamp, distance_covered, engine_speed, fuel_consumed,
    CAST(engine_speed * 1.2 AS DOUBLE) AS engine_speed_scaled,
    distance_covered / engine_speed AS distance_engine_ratio,
    truck_id
FROM readings;

CREATE VIEW moving AS
SELECT timestamp AS moment, distance_covered AS way, engine_speed AS speed, truck_id
FROM readings WHERE engine_speed > 79;

CREATE MATERIALIZED VIEW fast_of_a_view AS
SELECT moment AS timestamp, way AS distance_covered, speed AS engine_speed, truck_id FROM moving WHERE speed > 80;

CREATE MATERIALIZED VIEW fast_of_a_subquery AS
SELECT timestamp, distance_covered, engine_speed, truck_id
FROM (SELECT timestamp, distance_covered, engine_speed, engine_speed * 2 AS twice, truck_id FROM readings) AS doubled
WHERE twice > 160;

CREATE MATERIALIZED VIEW none WITH (table = 'T') AS
SELECT timestamp FROM readings WHERE engine_speed > 80 AND truck_id IS NULL;

CREATE MATERIALIZED VIEW fast_of_a_built_in_view AS SELECT * FROM above_speed;

CREATE MATERIALIZED VIEW own_speed AS SELECT truck_id, CORR(engine_speed, timestamp) AS r FROM readings GROUP BY truck_id;
";

#[test]
fn views_of_ones_own_hold_what_built_in_ones_do() {
    for case in ["demo", "forms", "bad"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(&path, JOB).unwrap();
        std::fs::write(folder.path().join("views.sql"), SQL).unwrap();
        let input = repository().join("fixtures").join(case).join("input.jsonl");
        let out = folder.path().join("out");
        let run = ["run", "--until-end", "--listen", "off", "--workers", "2"];
        let [path, input, out_text] = [&path, &input, &out].map(|path| path.to_str().unwrap());
        let args = run.into_iter().chain(["--config", path, "--input", input, "--out", out_text]);
        let (status, said) = Job::start(args).wait(TIMEOUT);
        assert!(status.success(), "{said}");
        let rows = |view: &str| csv_rows(&out.join(format!("{view}.csv")));
        let header = |view: &str| {
            let text = std::fs::read_to_string(out.join(format!("{view}.csv"))).unwrap();
            text.lines().next().map(str::to_owned)
        };
        for (own, built_in) in [
            ("fast", "above_speed"),
            ("fast_of_a_view", "above_speed"),
            ("fast_of_a_subquery", "above_speed"),
            ("fast_of_a_built_in_view", "above_speed"),
            ("scaled", "transformed"),
        ] {
            assert_eq!(header(own), header(built_in), "{case}");
            assert_eq!(rows(own), rows(built_in), "{case}: {own}");
        }
        assert_eq!(header("none").as_deref(), Some("timestamp"));
        assert_eq!((rows("none").len(), out.join("parameter_map.csv").exists()), (0, false));
        // One without MATERIALIZED is only read by others.
        assert!(!out.join("moving.csv").exists(), "{case}");
        assert!(!rows("own_speed").is_empty(), "{case}");
    }
}

const DECLARED: &str = r#"
views = "views.sql"
builtin_views = ["parameter_map"]
[record]
oil = "number"
driver = "text"
"#;
const OILY: &str = "
CREATE MATERIALIZED VIEW oily AS
SELECT truck_id, oil, driver, oil / 2 AS half FROM readings WHERE oil * 2 >= 6.5 OR driver IS NULL;
CREATE MATERIALIZED VIEW oil_speed WITH (keep = 'history') AS
SELECT LAST_VALUE(engine_speed) AS engine_speed, LAST_VALUE(oil) AS oil,
    CORR(engine_speed, oil) AS correlation, truck_id, COUNT(*) AS samples, MAX(timestamp) AS timestamp
FROM readings WHERE oil IS NOT NULL GROUP BY truck_id;
";

#[test]
fn declared_fields_are_read_shown_and_correlated() {
    let folder = tempfile::tempdir().unwrap();
    let [path, input, out] = ["job.toml", "input.jsonl", "out"].map(|name| folder.path().join(name));
    std::fs::write(&path, DECLARED).unwrap();
    std::fs::write(folder.path().join("views.sql"), OILY).unwrap();
    let reading = |second: u32, speed: u32, more: &str| {
        format!(
            "{{\"timestamp\": \"2023-04-10 01:00:0{second}\", \"distance_covered\": 1, \
             \"engine_speed\": {speed}, \"fuel_consumed\": 1, \"truck_id\": \"a\"{more}}}\n"
        )
    };
    let lines = [
        reading(0, 80, ", \"oil\": 3.25, \"driver\": \"Ann, B.\""),
        reading(1, 90, ", \"driver\": \"Bo\""),
        reading(2, 70, ", \"oil\": 3.24, \"driver\": \"Bo\""),
        reading(3, 75, ""),
    ];
    std::fs::write(&input, lines.concat()).unwrap();
    let [path, input, out_text] = [&path, &input, &out].map(|path| path.to_str().unwrap());
    let args =
        ["run", "--until-end", "--listen", "off", "--config", path, "--input", input, "--out", out_text];
    let (status, said) = Job::start(args).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    let text = |view: &str| std::fs::read_to_string(out.join(format!("{view}.csv"))).unwrap();
    assert_eq!(text("oily"), "truck_id,oil,driver,half\na,3.25,\"Ann, B.\",1.625\na,,,\n");
    // Only the two readings that have it count.
    let correlations = csv_rows(&out.join("oil_speed.csv"));
    assert_eq!(correlations[0][2..5], ["1.0", "a", "2"]);
}

#[test]
fn options_say_where_a_view_goes_and_the_job_which_built_in_ones_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let [sql, input, out] = ["views.sql", "input.jsonl", "out"].map(|name| folder.path().join(name));
    let text = "
        CREATE MATERIALIZED VIEW Hot AS SELECT truck_id FROM readings;
        CREATE MATERIALIZED VIEW of_a_table WITH (csv = false, table = 'MINE') AS SELECT truck_id FROM readings;
        CREATE MATERIALIZED VIEW of_a_file WITH (table = false) AS SELECT truck_id FROM readings;";
    std::fs::write(&sql, text).unwrap();
    let readings = std::fs::read_to_string(repository().join("fixtures/demo/input.jsonl")).unwrap();
    std::fs::write(&input, readings + "no reading\n").unwrap();
    let [sql, input, out_text] = [&sql, &input, &out].map(|path| path.to_str().unwrap());
    let run = |more: &[&str]| {
        let job = ["run", "--until-end", "--listen", "off", "--input", input, "--out", out_text];
        let (status, said) = Job::start(job.iter().chain(more)).wait(TIMEOUT);
        assert!(status.success(), "{said}");
        let names = |sql: &str| -> BTreeSet<String> {
            let rows = sqlite::query(&out.join("truckflow.db"), sql);
            rows.into_iter().map(|mut row| row.remove(0).unwrap()).collect()
        };
        let mut tables = names("SELECT name FROM sqlite_master WHERE type = 'table'");
        tables.retain(|table| !table.starts_with("truckflow_") && !table.starts_with("sqlite_"));
        let files = std::fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|end| end == "csv"));
        let files: BTreeSet<String> =
            files.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        std::fs::remove_dir_all(&out).unwrap();
        (tables, files)
    };
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let own_tables = ["HOT", "MINE", "TRUCK_DEAD_LETTERS"];
    let own_files = ["hot", "of_a_file", "dead_letters"];
    assert_eq!(run(&["--sql", sql]), (set(&own_tables), set(&own_files)));
    // With built-in views, by name or all of them.
    let (tables, files) = run(&["--sql", sql, "--builtin-views", "above_speed"]);
    assert_eq!(tables, set(&[&own_tables[..], &["TRUCK_ABOVE_SPEED"]].concat()));
    assert_eq!(files, set(&[&own_files[..], &["above_speed"]].concat()));
    let (_, builtin) = run(&[]);
    assert!(builtin.is_superset(&set(&["parameter_map", "transformed", "dead_letters"])), "{builtin:?}");
    let (_, all) = run(&["--sql", sql, "--set", "builtin_views=true"]);
    assert_eq!(all, builtin.union(&set(&own_files)).cloned().collect());
    assert_eq!(run(&["--set", "builtin_views=false"]).1, set(&["dead_letters"]));
}

#[test]
fn an_error_on_a_terminal_shows_its_place_in_the_text() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("v.sql");
    std::fs::write(&file, "CREATE MATERIALIZED VIEW hot AS\nSELECT speed FROM readings;\n").unwrap();
    let program = env!("CARGO_BIN_EXE_truckflow");
    let mut terminal = Terminal::start(&format!("exec '{program}' explain --sql '{}'", file.display()));
    assert_eq!(terminal.wait(TIMEOUT).code(), Some(2));
    let shown = terminal.shown();
    assert!(
        shown.starts_with("    SELECT speed FROM readings;\n           ^\ntruckflow: configuration "),
        "{shown}"
    );
}
