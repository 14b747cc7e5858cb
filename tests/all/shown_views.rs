//! Views of any shape, as the API and the live page show them: their list, the current rows of each, and pinned numbers.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::seen::get;
use crate::support::browser::Browser;
use crate::support::job::Job;
use crate::support::process::free_port;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A truck's name that must stay one.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

const SQL: &str = "
CREATE MATERIALIZED VIEW per_truck AS
SELECT truck_id, COUNT(*) AS n, SUM(fuel_consumed) AS fuel, AVG(engine_speed) AS speed FROM readings GROUP BY truck_id;

CREATE MATERIALIZED VIEW by_minute AS
SELECT truck_id, window_start, COUNT(*) AS n
FROM TUMBLE(readings, timestamp, INTERVAL '1 minute') GROUP BY truck_id, window_start, window_end;

CREATE MATERIALIZED VIEW slow AS SELECT timestamp, truck_id, engine_speed FROM readings WHERE engine_speed < 50;

CREATE MATERIALIZED VIEW busy AS SELECT truck_id, COUNT(*) AS n FROM readings GROUP BY truck_id HAVING COUNT(*) < 3;
";

/// A job that follows a file.
struct Fleet {
    folder: tempfile::TempDir,
    port: u16,
}

impl Fleet {
    fn new() -> Self {
        let fleet = Self { folder: tempfile::tempdir().unwrap(), port: free_port() };
        std::fs::write(fleet.path("views.sql"), SQL).unwrap();
        std::fs::write(fleet.path("input.jsonl"), "").unwrap();
        fleet
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    fn start(&self) -> Job {
        let (sql, input, out) = (self.path("views.sql"), self.path("input.jsonl"), self.path("out"));
        let listen = format!("127.0.0.1:{}", self.port);
        let run = ["run", "--sql", &sql, "--input", &input, "--out", &out, "--listen", &listen];
        let job = Job::start(run.into_iter().chain(["--commit-interval", "100ms"]));
        eventually(TIMEOUT, "it is ready", || get(self.port, "/readyz").contains("200 OK"));
        job
    }

    /// Adds readings: truck, minute, engine speed, fuel.
    fn drive(&self, readings: &[(&str, u32, f64, f64)]) {
        let path = self.path("input.jsonl");
        let mut input = std::fs::File::options().append(true).open(Path::new(&path)).unwrap();
        for (truck, minute, speed, fuel) in readings {
            let reading = json!({
                "truck_id": truck, "timestamp": format!("2023-04-10 01:{minute:02}:27"),
                "distance_covered": 1, "engine_speed": speed, "fuel_consumed": fuel,
            });
            writeln!(input, "{reading}").unwrap();
        }
    }

    /// Status and body of an answer of the API.
    fn ask(&self, path: &str) -> (String, Value) {
        let answer = get(self.port, &format!("/api/v1/{path}"));
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let status = head.lines().next().unwrap_or_default();
        let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{path}: {error}: {answer}"));
        (status.trim_start_matches("HTTP/1.1 ").to_owned(), body)
    }

    /// The values of the requested rows.
    fn rows(&self, request: &str) -> Value {
        let (status, body) = self.ask(&format!("views/{request}"));
        assert_eq!(status, "200 OK", "{body}");
        body["found"]["list"].as_array().unwrap().iter().map(|row| row["values"].clone()).collect()
    }
}

#[test]
fn the_api_lists_views_and_their_current_rows() {
    let fleet = Fleet::new();
    let mut job = fleet.start();
    fleet.drive(&[
        ("a", 0, 40.0, 0.1),
        ("a", 1, 80.0, 0.2),
        ("b10", 0, 60.5, 0.3),
        (HOSTILE, 0, 49.25, 1e-9),
    ]);
    eventually(TIMEOUT, "all is committed", || fleet.rows("per_truck/rows") != json!([]));

    let (_, views) = fleet.ask("views");
    let names: Vec<&str> =
        views["views"].as_array().unwrap().iter().map(|view| view["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["per_truck", "by_minute", "slow", "busy", "dead_letters"]);
    let view = |place: usize, field: &str| views["views"][place][field].clone();
    assert_eq!(
        [0, 1, 2].map(|place| view(place, "shape")),
        [json!("groups"), json!("windows"), json!("rows")]
    );
    assert_eq!([view(0, "rows"), view(0, "complete"), view(1, "rows")], [json!(3), json!(true), json!(4)]);
    assert_eq!([view(1, "table"), view(1, "file")], [json!("BY_MINUTE"), json!("by_minute.csv")]);
    assert_eq!([view(1, "key"), view(1, "time")], [json!(["truck_id"]), json!("window_start")]);
    let types = json!([
        { "name": "truck_id", "type": "text" }, { "name": "n", "type": "integer" },
        { "name": "fuel", "type": "decimal" }, { "name": "speed", "type": "double" },
    ]);
    assert_eq!(view(0, "columns"), types);

    // Exact values, sorted and searched; rows that are updated, inserted and retracted.
    let (a, b, c) = (
        json!(["a", "2", "0.3", "60.0"]),
        json!(["b10", "1", "0.3", "60.5"]),
        json!([HOSTILE, "1", "0.000000001", "49.25"]),
    );
    assert_eq!(fleet.rows("per_truck/rows?sort=truck_id&order=desc"), json!([b, a, c]));
    assert_eq!(fleet.rows("per_truck/rows?sort=speed"), json!([c, a, b]));
    assert_eq!(fleet.rows("per_truck/rows?sort=speed&offset=1&limit=1"), json!([a]));
    assert_eq!(fleet.rows("per_truck/rows?search=ONERROR"), json!([c]));
    assert_eq!(fleet.rows("per_truck/rows?search=60.5"), json!([b]));
    let id: String = url::form_urlencoded::byte_serialize(br#"["a"]"#).collect();
    let windows = json!([["a", "2023-04-10 01:00:00.000000", "1"], ["a", "2023-04-10 01:01:00.000000", "1"]]);
    assert_eq!(fleet.rows(&format!("by_minute/rows?id={id}&sort=window_start")), windows);
    assert_eq!(fleet.rows("busy/rows?sort=truck_id&limit=999999").as_array().unwrap().len(), 3);
    fleet.drive(&[("a", 1, 60.0, 0.0)]);
    let now = json!([["a", "3", "0.3", "60.0"]]);
    eventually(TIMEOUT, "the row is updated", || {
        fleet.rows("per_truck/rows?search=a&sort=n&order=desc&limit=1") == now
    });
    let left: Vec<Value> = fleet.rows("busy/rows?sort=truck_id").as_array().unwrap().clone();
    assert!(left.iter().all(|row| row[0] != "a") && left.len() == 2, "{left:?}");

    for (path, status, said) in [
        ("views/none/rows", "404 Not Found", "the job has no view with this name"),
        ("views/per_truck/rows?sort=colour", "400 Bad Request", "expected one of truck_id, n, fuel, speed"),
        ("views/per_truck/rows?order=up", "400 Bad Request", "expected asc or desc"),
        ("views/per_truck/rows?limit=many", "400 Bad Request", "`limit` is not a number"),
        ("nothing", "404 Not Found", "/api/v1/openapi.json"),
    ] {
        let (found, error) = fleet.ask(path);
        assert!(
            found == status && error["error"].as_str().is_some_and(|text| text.contains(said)),
            "{path}: {error}"
        );
    }

    // The description has every path, and no other.
    let (_, described) = fleet.ask("openapi.json");
    let paths = described["paths"].as_object().unwrap();
    assert_eq!(paths.len(), 9);
    for path in paths.keys().filter(|path| !path.ends_with("/events")) {
        let path = path
            .trim_start_matches("/api/v1/")
            .replace("truck/{name}", "truck/a")
            .replace("{name}", "per_truck");
        let (status, body) = fleet.ask(&path);
        let is_there =
            status == "200 OK" || body["error"].as_str().is_some_and(|text| text.contains("truck"));
        assert!(is_there, "{path}: {status} {body}");
    }

    // After a restart, rows of groups are there, and it is said where others are missing.
    assert!(job.terminated(TIMEOUT).success());
    let _job = fleet.start();
    eventually(TIMEOUT, "the groups are there", || fleet.rows("per_truck/rows?search=b10") == json!([b]));
    let (_, views) = fleet.ask("views");
    let complete = |place: usize| views["views"][place]["complete"].clone();
    assert_eq!([0, 1, 2, 3].map(complete), [json!(true), json!(false), json!(false), json!(true)]);
    assert_eq!(views["views"][0]["rows"], 3);
}

#[test]
fn a_browser_finds_sorts_and_pins_the_rows_of_a_view() {
    let fleet = Fleet::new();
    let mut job = fleet.start();
    let trucks: Vec<String> = (0..60).map(|truck| format!("truck-{truck}")).collect();
    let readings: Vec<_> =
        trucks.iter().zip(0..).map(|(truck, n)| (&**truck, 0, f64::from(n), 0.5)).collect();
    fleet.drive(&readings);
    fleet.drive(&[(HOSTILE, 0, 99.0, 0.25)]);
    let browser = Browser::start(1280, 1000);
    browser.open(&format!("http://127.0.0.1:{}/", fleet.port));

    // The views are the first screen, and the rows of the first one are shown.
    let shown = "return ['#trucks', '#truck', '#views', '#view'].filter((part) => document.querySelector(part).checkVisibility())";
    browser.wait("#view-title", "a view is shown", |text| text == "per_truck");
    assert_eq!(browser.run(shown), json!(["#views", "#view"]));
    browser.wait("#row-range", "its rows are there", |text| text == "1–50 of 61");
    browser.wait("#view-table tr[data-name='per_truck'] td:nth-child(2)", "they are counted", |text| {
        text == "61"
    });
    browser.click("#rows-after");
    browser.wait("#row-range", "the next page is listed", |text| text == "51–61 of 61");
    browser.click("#view-table tr[data-name='slow'] button");
    browser.wait("#view-title", "another view is shown", |text| text == "slow");
    browser.wait("#row-range", "with its rows", |text| text == "1–50 of 50");
    browser.click("#view-table tr[data-name='per_truck'] button");
    browser.wait("#row-range", "the first one again", |text| text == "1–50 of 61");

    // Sorted by the values, from both ends, then as they come.
    let first = "#row-table tbody tr:first-child td:first-child";
    let head = |column: &str| format!("#row-table th[data-sort='{column}'] button");
    browser.click(&head("speed"));
    browser.wait(first, "the fastest is first", |text| text == HOSTILE);
    browser.click(&head("speed"));
    browser.wait(first, "the slowest is first", |text| text == "truck-0");
    assert_eq!(
        browser.run("return document.querySelector('#row-table th[data-sort=speed]').ariaSort"),
        "ascending"
    );

    browser.write("#view-search", "OnError");
    browser.wait("#row-range", "it is found", |text| text == "1–1 of 1 found of 61");
    browser.wait(first, "its name is a text", |text| text == HOSTILE);
    assert_eq!(browser.run("return document.querySelectorAll('main img').length"), 0);

    // A number is pinned, and its chart grows.
    let fuel = "#row-table button.pin[data-column='fuel']";
    browser.click(fuel);
    browser.wait("#pin-list output", "it is pinned", |text| text == "0.25");
    assert_eq!(browser.text("#pin-list .what"), format!("fuel of {HOSTILE}"));
    let pressed = format!("return document.querySelector(\"{fuel}\").ariaPressed");
    assert_eq!(browser.run(&pressed), "true");
    fleet.drive(&[(HOSTILE, 1, 98.0, 0.5)]);
    browser.wait("#pin-list output", "it changes", |text| text == "0.75");
    browser.wait(fuel, "so does the row", |text| text == "0.75");
    let label = "return document.querySelector('#pin-list .chart').ariaLabel";
    assert_eq!(browser.run(label), format!("fuel of {HOSTILE}: 2 points, now 0.75"));

    // By keyboard: from a number to the next one, and pinned.
    browser.run(&format!("document.querySelector(\"{fuel}\").focus()"));
    browser.write(fuel, "\u{e014}");
    assert_eq!(browser.run("return document.activeElement.dataset.column"), "speed");
    browser.write("#row-table button.pin[data-column='speed']", "\u{e007}");
    browser.wait("#pin-list figure:nth-child(2) output", "the other is pinned", |text| text == "98.5");

    // The address keeps what was chosen; a number of windows has their times.
    browser.run("location.reload()");
    browser.wait("#row-range", "the search is kept", |text| text == "1–1 of 1 found of 61");
    browser.wait("#pin-list figure:nth-child(2) output", "so are the pins", |text| text == "98.5");
    browser.click("#pin-list figure:nth-child(2) button");
    browser.click("#view-table tr[data-name='by_minute'] button");
    browser.wait("#view-title", "windows are shown", |text| text == "by_minute");
    browser.write("#view-search", "img");
    browser.wait("#row-range", "those of a truck", |text| text == "1–2 of 2 found of 62");
    browser.click("#row-table button.pin[data-column='n']");
    browser.wait("#pin-list figure:nth-child(2) output", "one is pinned", |text| text == "1");
    let label = "return document.querySelector('#pin-list figure:nth-child(2) .chart').ariaLabel";
    assert_eq!(browser.run(label), format!("n of {HOSTILE}: 2 points, now 1"));
    browser.click("#pin-list button");
    browser.click("#pin-list button");
    let hidden = "return document.querySelector('#pins').hidden";
    assert_eq!(browser.run(hidden), true);
    assert!(!browser.run("return location.hash").as_str().unwrap().contains("pin="));

    // A restarted job says what it does not show.
    assert!(job.terminated(TIMEOUT).success());
    let _job = fleet.start();
    browser.wait("#view-note", "what is missing is said", |text| {
        text.ends_with("Rows from before the job started appear when they change.")
    });
    let log = browser.log();
    let complaints = log.as_array().unwrap().iter().filter(|line| line["source"] == "javascript").count();
    assert_eq!(complaints, 0, "the browser complains: {log}");
    drop(browser);

    let phone = Browser::start(400, 900);
    phone.open(&format!("http://127.0.0.1:{}/#view=per_truck", fleet.port));
    phone.wait("#row-range", "rows are there", |text| text == "1–50 of 61");
    let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(phone.run(overflow), 0);
}
