//! Times at both ends of the calendar: readings in the first and the last microsecond that have four digits
//! for a year, in windows that reach beyond.

use std::path::Path;
use std::time::Duration;

use crate::support::browser::Browser;
use crate::support::job::Job;
use crate::support::mariadb::databases;
use crate::support::output::csv_rows;
use crate::support::process::free_port;
use crate::support::sqlite;

const TIMEOUT: Duration = Duration::from_secs(60);

const FIRST: &str = "0001-01-01 00:00:00.000000";
const LAST: &str = "9999-12-31 23:59:59.999999";
/// The last reading is thousands of years ahead.
const AHEAD: &str = "limits.max_ahead=off";
/// No window of this length begins or ends where the calendar does.
const WINDOW: &str = "parameters.window=7m";
const WINDOWS: &str = "SELECT truck_id, window_start, window_end, samples FROM TRUCK_WINDOW_AVERAGES";

fn reading(truck: &str, time: &str) -> String {
    format!(
        r#"{{"truck_id": "{truck}", "timestamp": "{time}", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}}"#
    )
}

/// A file of readings of two trucks, one at each end.
fn input(folder: &Path) -> String {
    let path = folder.join("readings.jsonl");
    let readings = [
        reading("first", FIRST),
        reading("first", "0001-01-01 00:00:01"),
        reading("last", "9999-12-31 23:59:59"),
        reading("last", LAST),
    ];
    std::fs::write(&path, readings.join("\n") + "\n").unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn the_ends_of_the_calendar_are_the_same_in_tables_files_and_verify() {
    let folder = tempfile::tempdir().unwrap();
    let input = input(folder.path());
    let windows = [
        ["first", FIRST, "0001-01-01 00:01:00.000000", "2"],
        ["last", "9999-12-31 23:57:00.000000", LAST, "2"],
    ];
    let servers = databases();
    let urls = [None].into_iter().chain(servers.iter().map(Some));
    for (out, database) in urls.enumerate().map(|(n, database)| (folder.path().join(n.to_string()), database))
    {
        let mut args = vec![
            "--input",
            &input,
            "--out",
            out.to_str().unwrap(),
            "--listen",
            "off",
            "--set",
            WINDOW,
            "--set",
            AHEAD,
        ];
        if let Some(database) = database {
            args.extend(["--database", &*database.url]);
        }
        let mut run = Job::start(["run", "--until-end"].iter().chain(&args));
        let (status, said) = run.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        let sql = format!("{WINDOWS} ORDER BY truck_id");
        let rows = match database {
            Some(database) => database.query(&sql),
            None => sqlite::query(&out.join("truckflow.db"), &sql),
        };
        let rows: Vec<Vec<String>> =
            rows.into_iter().map(|row| row.into_iter().flatten().collect()).collect();
        assert_eq!(rows, windows, "{}", out.display());
        // The last window cannot be over.
        let file = csv_rows(&out.join("window_averages.csv"));
        assert_eq!(file.len(), 1);
        assert_eq!(file[0][..4], windows[0]);
        let times: Vec<String> =
            csv_rows(&out.join("parameter_map.csv")).into_iter().map(|mut row| row.swap_remove(0)).collect();
        assert_eq!(times, [FIRST, "0001-01-01 00:00:01.000000", "9999-12-31 23:59:59.000000", LAST]);

        let mut verify = Job::start(["verify"].iter().chain(&args));
        let (status, said) = verify.wait(TIMEOUT);
        assert!(status.success(), "{said}{}", verify.stdout());
    }
}

#[test]
fn the_page_shows_the_ends_of_the_calendar_as_tables_have_them() {
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let (input, listen) = (input(folder.path()), format!("127.0.0.1:{port}"));
    let out = folder.path().join("out").to_str().unwrap().to_owned();
    let _job = Job::start([
        "run", "--input", &input, "--out", &out, "--listen", &listen, "--set", WINDOW, "--set", AHEAD,
    ]);
    let browser = Browser::start(1280, 1000);
    browser.open(&format!("http://127.0.0.1:{port}/"));
    browser.wait("#truck-range", "both trucks are listed", |text| text == "1–2 of 2");
    for (row, time, window) in
        [(1, "0001-01-01 00:00:01", "01-01 00:00"), (2, "9999-12-31 23:59:59", "12-31 23:57")]
    {
        let cell = format!("#truck-table tbody tr:nth-child({row})");
        let title = format!("return document.querySelector('{cell} td:nth-child(8)').title");
        assert_eq!(browser.run(&title), time);
        browser.click(&format!("{cell} button"));
        browser.wait("#truck-note", "its latest reading is there", |text| text.contains(time));
        browser.wait("#windows tbody td", "its window is there", |text| text == window);
    }
    let log = browser.log();
    assert!(log.as_array().is_some_and(Vec::is_empty), "the browser complains: {log}");
}
