//! Records that are not the default one: which built-in views they have, and NULL in what the views compute.

use std::path::Path;
use std::time::Duration;

use crate::support::job::Job;
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::{csv_rows, latest};
use crate::support::process::built_in;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Trucks in a tracker's words. Nothing measures the fuel.
const TRACKER: &str = r#"
[message]
preset = "none"
root = "/report"

[record]
timestamp = { type = "timestamp", path = "/at", unit = "ms" }
truck_id = { type = "text", path = "/unit/id" }
distance_covered = { type = "number", path = "/odometer" }
engine_speed = { type = "number", path = "/can/rpm", bad = "null" }
"#;

/// The default record, of which not all has to be there.
const OPTIONAL: &str = r#"
[record]
distance_covered = { optional = true }
engine_speed = { optional = true }
fuel_consumed = { optional = true }
"#;

/// The arguments of a job over `lines` with `config`.
fn job(folder: &Path, config: &str, lines: &[String], database: Option<&Database>) -> Vec<String> {
    let [input, path, out] = ["input.jsonl", "job.toml", "out"].map(|name| folder.join(name));
    std::fs::write(&input, lines.concat()).unwrap();
    std::fs::write(&path, config).unwrap();
    let [input, path, out] = [input, path, out].map(|path| path.display().to_string());
    let mut args =
        ["--listen", "off", "--input", &input, "--config", &path, "--out", &out].map(String::from).to_vec();
    args.extend(database.iter().flat_map(|database| ["--database".into(), database.url.clone()]));
    args
}

/// Runs a command on a job; what it says on both outputs.
#[track_caller]
fn done(command: &[&str], args: &[String]) -> String {
    let command = command.iter().map(|word| (*word).to_owned());
    let mut job = Job::start(command.chain(args.iter().cloned()));
    let (status, said) = job.wait(TIMEOUT);
    let said = said + &job.stdout();
    assert!(status.success(), "{said}");
    said
}

fn report(n: i64, more: &str) -> String {
    let at = 1_681_088_547_000 + n * 1000;
    format!("{{\"report\": {{\"at\": \"{at}\", \"unit\": {{\"id\": {}}}{more}}}}}\n", n % 2)
}

#[test]
fn a_record_with_some_measures_has_the_views_of_these() {
    let mut lines: Vec<String> = (0..40)
        .map(|n| report(n, &format!(", \"odometer\": {}, \"can\": {{\"rpm\": \"{}\"}}", n * n, 70 + n)))
        .collect();
    lines.push(report(40, ", \"odometer\": 7"));
    lines.push(report(41, ", \"can\": {\"rpm\": 99}"));
    lines.push(report(42, ", \"odometer\": 5, \"can\": {\"rpm\": \"n/a\"}"));
    lines.push(report(43, ", \"odometer\": \"far\", \"can\": {\"rpm\": 90}"));
    for database in [None, Some(mariadb().create_database())] {
        let folder = tempfile::tempdir().unwrap();
        let args = job(folder.path(), TRACKER, &lines, database.as_ref());
        let said = done(&["check"], &args);
        let lacking =
            "parameter_map (fuel_consumed), transformed (fuel_consumed), window_averages (fuel_consumed)";
        assert!(said.contains(lacking), "{said}");
        assert!(said.contains("43 of 44 readings accepted"), "{said}");
        let said = done(&["run", "--until-end"], &args);
        assert!(said.contains("some built-in views are not built"), "{said}");
        let out = folder.path().join("out");
        let built = [
            "distance_correlation",
            "engine_speed_correlation",
            "derived_metrics",
            "above_speed",
            "filtered_join",
        ];
        for view in built_in() {
            let view = &*view.name;
            let is_built = built.contains(&view) || view == "dead_letters";
            assert_eq!(out.join(format!("{view}.csv")).exists(), is_built, "{view}");
        }
        let samples = |view: &str, truck: &str| latest(&out.join(format!("{view}.csv")))[truck][4].clone();
        // NULL is no sample: 22 reports of truck 0, of which one has no speed and one a bad one.
        assert_eq!(samples("distance_correlation", "0"), "22");
        assert_eq!(samples("engine_speed_correlation", "0"), "20");
        // The last two of truck 1: no distance, and one that is none, which rejects it.
        assert_eq!(samples("distance_correlation", "1"), "20");
        assert_eq!(samples("engine_speed_correlation", "1"), "21");
        let above = csv_rows(&out.join("above_speed.csv"));
        assert_eq!(above.iter().filter(|row| row[1].is_empty()).count(), 1, "a distance may be NULL");
        assert_eq!(above.len(), 29 + 1);
        let letters = csv_rows(&out.join("dead_letters.csv"));
        assert_eq!(
            letters.iter().map(|row| &row[5..7]).collect::<Vec<_>>(),
            [["wrong_type", "distance_covered"]]
        );
        done(&["verify"], &args);
    }
}

#[test]
fn measures_that_are_null_are_left_out_of_what_is_computed() {
    let reading = |n: i64, fields: &str| {
        format!("key-{}\t{{\"timestamp\": \"2023-04-10 01:{:02}:{:02}\"{fields}}}\n", n % 30, n / 60, n % 60)
    };
    let lines: Vec<String> = (0..90)
        .map(|n| {
            let field = |name: &str, every: i64, value: i64| match n % every {
                0 => String::new(),
                1 => format!(", \"{name}\": null"),
                _ => format!(", \"{name}\": {value}"),
            };
            reading(
                n,
                &[
                    field("distance_covered", 5, n),
                    field("engine_speed", 4, 75 + n % 11),
                    field("fuel_consumed", 3, n % 7),
                    format!(", \"truck_id\": \"{}\"", n % 2),
                ]
                .concat(),
            )
        })
        .collect();
    for mode in ["append", "upsert"] {
        for database in [None, Some(mariadb().create_database())] {
            let folder = tempfile::tempdir().unwrap();
            let config = format!("mode = \"{mode}\"\nkey_separator = \"\\t\"\n{OPTIONAL}");
            let args = job(folder.path(), &config, &lines, database.as_ref());
            let said = done(&["run", "--until-end"], &args);
            assert!(!said.contains("not built"), "{said}");
            let out = folder.path().join("out");
            let readings = csv_rows(&out.join("parameter_map.csv"));
            assert!(readings.iter().any(|row| row[1..4].iter().all(String::is_empty)), "{mode}");
            assert!(csv_rows(&out.join("dead_letters.csv")).is_empty(), "{mode}");
            done(&["verify"], &args);
            // A restart continues with the same state.
            done(&["run", "--until-end"], &args);
            done(&["verify"], &args);
        }
    }
}
