//! The live page, as a browser shows it while a job runs, dies, and comes back.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::seen::get;
use crate::support::browser::Browser;
use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::output::latest;
use crate::support::process::free_port;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A truck's name that must stay one.
const HOSTILE: &str = "<img src=x onerror=alert(1)>";

fn reading(truck: &str, second: u32, distance: f64, fuel: f64) -> String {
    format!(
        r#"{{"truck_id": "{truck}", "timestamp": "2023-04-10 01:02:{second:02}", "distance_covered": {distance}, "engine_speed": 8{second}.5, "fuel_consumed": {fuel}}}"#
    )
}

fn send(topic: &str, messages: impl IntoIterator<Item = String>) {
    let messages: Vec<String> = messages.into_iter().collect();
    kafka().produce(topic, messages.iter().map(|message| (0, None, &**message)));
}

#[test]
fn a_browser_sees_a_job_work_die_and_come_back() {
    let (topic, port, out) = (unique_topic(), free_port(), tempfile::tempdir().unwrap());
    kafka().create_topic(&topic, 2);
    let trucks = (0..60).map(|n| format!("truck-{n:02}")).chain([HOSTILE.to_owned()]);
    send(
        &topic,
        trucks.flat_map(|truck| [(1, 1.0), (2, 2.5)].map(|(s, km)| reading(&truck, s, km, km / 10.0))),
    );
    let start = || {
        let listen = format!("127.0.0.1:{port}");
        let out = out.path().to_str().unwrap();
        let args = ["--brokers", kafka().brokers(), "--topic", &topic, "--listen", &listen, "--out", out];
        let more = ["--commit-interval", "100ms"];
        Job::start(["run"].into_iter().chain(args).chain(more))
    };
    let mut job = start();
    eventually(TIMEOUT, "it is ready", || get(port, "/readyz").contains("200 OK"));
    let browser = Browser::start(1280, 1000);
    browser.open(&format!("http://127.0.0.1:{port}/"));

    // All trucks, a page at a time.
    browser.wait("#n-trucks", "all trucks are counted", |text| text == "61");
    browser.wait("#truck-range", "a page of them is listed", |text| text == "1–50 of 61");
    assert_eq!(browser.run("return document.querySelectorAll('#truck-table tbody tr').length"), 50);
    browser.click("#after");
    browser.wait("#truck-range", "the next page is listed", |text| text == "51–61 of 61");
    browser.wait("#graph", "the dataflow is drawn", |text| text.contains("distance_correlation"));

    // One of them, and its numbers as they change. Its name is a text.
    browser.write("#search", "OnError");
    browser.wait("#truck-range", "it is found", |text| text == "1–1 of 1 found of 61");
    browser.click("#truck-table tbody button");
    browser.wait("#truck-title", "it is shown", |text| text == HOSTILE);
    browser.wait("#t-distance", "its distance is there", |text| text == "2.50");
    send(&topic, [reading(HOSTILE, 3, 123.45, 7.25)]);
    browser.wait("#t-distance", "its distance changes", |text| text == "123.45");
    browser.wait("#t-fuel", "its fuel changes", |text| text == "7.25");
    browser.wait("#t-speed", "its speed changes", |text| text == "83.50");
    browser.wait("#truck-table tbody tr td:nth-child(2)", "the list changes", |text| text == "123.45");
    for (view, shown) in [("distance_correlation", "distance"), ("engine_speed_correlation", "speed")] {
        let in_file = latest(&out.path().join(format!("{view}.csv")))[HOSTILE][2].clone();
        let title = format!("return document.getElementById('t-{shown}-r').title");
        let in_page = browser.run(&title).as_str().unwrap().to_owned();
        assert_eq!(in_page.parse::<f64>().unwrap(), in_file.parse::<f64>().unwrap(), "{view}");
    }
    browser.wait("#windows tbody td:nth-child(2)", "its window is there", |text| text == "3");
    assert_eq!(browser.run("return document.querySelectorAll('main img').length"), 0);

    // A dead letter with its bytes, which are a text too.
    let bad = "<script>document.title = 'ran'</script>";
    send(&topic, [bad.to_owned()]);
    browser.wait("#letter-list code", "the dead letter is listed", |text| text == bad);
    assert_eq!(browser.text("#letter-list .reason"), "not_an_object");
    browser.click("#letter-list summary");
    browser.wait("#letter-list pre", "its bytes are shown", |text| text == bad);
    assert_ne!(browser.run("return document.title"), "ran");

    let log = browser.log();
    assert!(log.as_array().is_some_and(Vec::is_empty), "the browser complains: {log}");

    // A killed job is gone, and a restarted one shows at once what was committed.
    job.kill9();
    browser.wait("#gone-title", "the job is missed", |text| text == "Lost the connection to the job.");
    assert_eq!(browser.text("#t-distance"), "123.45", "what was known stays");
    let mut job = start();
    browser.wait("body > #gone[hidden] ~ header #state", "the page goes on", |text| text == "idle");
    browser.wait("#truck-title", "the same truck is shown", |text| text == HOSTILE);
    browser.wait("#t-distance", "its latest is there", |text| text == "123.45");
    browser.wait("#t-fuel-note:not([hidden])", "what is not known is said", |text| {
        text.contains("next reading")
    });
    assert_eq!(browser.text("#t-fuel"), "–");

    // One that ends says so.
    assert!(job.terminated(TIMEOUT).success());
    browser.wait("#gone-title", "the end is told", |text| {
        text == "The job has ended." || text == "The job has stopped."
    });
}

/// A record without the fields of trucks, of which all messages are rejected until one is not.
#[test]
fn the_page_of_another_record_has_no_trucks_and_says_that_nothing_is_accepted() {
    let (port, folder) = (free_port(), tempfile::tempdir().unwrap());
    let input = folder.path().join("input.jsonl");
    std::fs::write(&input, "{\"rpm\":1500}\n".repeat(10)).unwrap();
    let config = folder.path().join("job.toml");
    let record = "[message]\npreset = \"none\"\ntime = \"at\"\n\n[record]\nat = { type = \"timestamp\", unit = \"ms\", optional = false }\nrpm = \"number\"\n";
    std::fs::write(&config, record).unwrap();
    let (listen, out) = (format!("127.0.0.1:{port}"), folder.path().join("out"));
    let paths = [&config, &input, &out].map(|path| path.to_str().unwrap());
    let [config, file, out] = paths;
    let _job = Job::start(["run", "--config", config, "--input", file, "--out", out, "--listen", &listen]);
    eventually(TIMEOUT, "it is ready", || get(port, "/readyz").contains("200 OK"));
    let browser = Browser::start(1280, 1000);
    browser.open(&format!("http://127.0.0.1:{port}/"));
    browser.wait("#warning", "the warning is shown", |text| {
        text.contains(
            "No reading was accepted: all 10 messages were rejected, the first for missing_field `at`",
        )
    });
    browser.wait("#graph", "the dataflow is drawn", |text| text.contains("dead_letters"));
    let shown = "return ['#trucks', '#truck', '#n-trucks'].filter((part) => document.querySelector(part).checkVisibility())";
    assert_eq!(browser.run(shown), serde_json::json!([]));
    let mut top = Job::start(["top", &listen, "--once"]);
    assert!(top.wait(TIMEOUT).0.success());
    let seen = top.stdout();
    assert!(seen.contains("warning: no reading was accepted") && !seen.contains("trucks"), "{seen}");

    let mut more = std::fs::OpenOptions::new().append(true).open(&input).unwrap();
    more.write_all(b"{\"at\":1717225200000,\"rpm\":1500}\n").unwrap();
    browser.wait("#n-records", "it is accepted", |text| text == "1");
    let warned = "return document.querySelector('#warning').checkVisibility()";
    eventually(TIMEOUT, "the warning goes", || browser.run(warned) == false);
    let log = browser.log();
    assert!(log.as_array().is_some_and(Vec::is_empty), "the browser complains: {log}");
}

#[test]
fn the_api_reports_errors_and_limits_the_number_of_pages() {
    let (port, out) = (free_port(), tempfile::tempdir().unwrap());
    let input = out.path().join("readings.jsonl");
    std::fs::write(&input, reading("a/b ü", 1, 1.5, 0.25) + "\nbad\n").unwrap();
    let (listen, folder) = (format!("127.0.0.1:{port}"), out.path().join("out"));
    let run =
        ["run", "--input", input.to_str().unwrap(), "--listen", &listen, "--out", folder.to_str().unwrap()];
    let _job = Job::start(run);
    eventually(TIMEOUT, "the truck is known", || {
        get(port, "/api/v1/truck/a%2Fb%20%C3%BC").contains("200 OK")
    });
    let truck = get(port, "/api/v1/truck/a%2Fb%20%C3%BC");
    assert!(truck.contains(r#""distance":1.5"#) && truck.contains(r#""distance_r":null"#), "{truck}");
    assert!(get(port, "/api/v1/truck/").contains("404 Not Found"));
    let trucks = get(port, "/api/v1/trucks?search=%C3%9C&sort=-fuel&limit=5");
    assert!(trucks.contains(r#""matching":1"#) && trucks.contains(r#""fuel":0.25"#), "{trucks}");
    let letters = get(port, "/api/v1/dead-letters?reason=not_an_object");
    assert!(letters.contains(r#""text":"bad""#) && letters.contains("application/json"), "{letters}");
    for (path, said) in [("/api/v1/trucks?sort=colour", "`sort`"), ("/api/v1/events?limit=many", "`limit`")] {
        let answer = get(port, path);
        assert!(answer.contains("400 Bad Request") && answer.contains(said), "{answer}");
    }
    let page = get(port, "/").to_lowercase();
    assert!(page.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{page}");

    // Those that listen, and read nothing more, take the places of others only while they are there.
    let listen = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(TIMEOUT)).unwrap();
        write!(stream, "GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).unwrap();
        (stream, String::from_utf8(status.to_vec()).unwrap())
    };
    let listeners: Vec<_> = (0..16).map(|_| listen()).collect();
    assert!(listeners.iter().all(|(_, status)| status == "HTTP/1.1 200"));
    assert_eq!(listen().1, "HTTP/1.1 503");
    drop(listeners);
    eventually(TIMEOUT, "there is room again", || listen().1 == "HTTP/1.1 200");
}
