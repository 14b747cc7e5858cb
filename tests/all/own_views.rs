//! Views of the user's own that say what a built-in view does hold what it holds, whose content
//! [`golden`](crate::golden) compares with another language's.

use std::time::Duration;

use crate::support::job::Job;
use crate::support::output::csv_rows;
use crate::support::process::repository;

const TIMEOUT: Duration = Duration::from_secs(60);

const JOB: &str = r#"
views = [
    "above_speed",
    "transformed",
    { name = "fast", where = "engine_speed > 80", columns = [
        "timestamp", "distance_covered", "engine_speed", "truck_id",
    ] },
    { name = "scaled", columns = [
        "timestamp", "distance_covered", "engine_speed", "fuel_consumed",
        "engine_speed * 1.2 AS engine_speed_scaled",
        "distance_covered / engine_speed AS distance_engine_ratio",
        "truck_id",
    ] },
    { name = "none", table = "T", where = "engine_speed > 80 AND truck_id IS NULL", columns = ["timestamp"] },
]
[[correlations]]
name = "own_speed"
x = "timestamp"
y = "engine_speed"
"#;

#[test]
fn views_of_ones_own_hold_what_built_in_ones_do() {
    for case in ["demo", "forms", "bad"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.toml");
        std::fs::write(&path, JOB).unwrap();
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
        for (own, built_in) in [("fast", "above_speed"), ("scaled", "transformed")] {
            assert_eq!(header(own), header(built_in), "{case}");
            assert_eq!(rows(own), rows(built_in), "{case}: {own}");
        }
        assert_eq!(header("none").as_deref(), Some("timestamp"));
        assert_eq!((rows("none").len(), out.join("parameter_map.csv").exists()), (0, false));
        assert!(!rows("own_speed").is_empty(), "{case}");
    }
}

const DECLARED: &str = r#"
views = ["parameter_map", { name = "oily", where = "oil * 2 >= 6.5 OR driver IS NULL", columns = ["truck_id", "oil", "driver", "oil / 2 AS half"] }]
[record]
oil = "number"
driver = "text"
[[correlations]]
name = "oil_speed"
x = "oil"
y = "engine_speed"
"#;

#[test]
fn declared_fields_are_read_shown_and_correlated() {
    let folder = tempfile::tempdir().unwrap();
    let [path, input, out] = ["job.toml", "input.jsonl", "out"].map(|name| folder.path().join(name));
    std::fs::write(&path, DECLARED).unwrap();
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
