//! Wrong use, as a new user would try it: each ends soon, with one sentence that names the thing and
//! the next step, and status 1 or 2.

use std::time::Duration;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::mariadb;
use crate::support::process::{free_port, repository};

const SOON: Duration = Duration::from_secs(10);

/// Runs with `args`, expects `status`, and that the last line says all of `words`.
#[track_caller]
fn refused(args: &[&str], status: i32, words: &[&str]) {
    let (ended, said) = Job::start(args.iter().copied().chain(["--listen", "off"])).wait(SOON);
    assert_eq!(ended.code(), Some(status), "{said}");
    let sentences: Vec<&str> = said.lines().filter(|line| line.starts_with("truckflow: ")).collect();
    let [sentence] = sentences.as_slice() else { panic!("one sentence is said, not:\n{said}") };
    for word in words {
        assert!(sentence.contains(word), "`{word}` is not in: {sentence}");
    }
    assert!(!said.contains("panicked") && !said.contains("backtrace"), "{said}");
}

fn fixture() -> String {
    repository().join("fixtures/demo/input.jsonl").to_str().unwrap().to_owned()
}

#[test]
fn no_broker() {
    let brokers = format!("127.0.0.1:{}", free_port());
    refused(
        &["run", "--brokers", &brokers],
        1,
        &[&brokers, "start it or correct --brokers, or keep trying with --wait"],
    );
}

#[test]
fn truckflow_brokers_is_taken_by_every_command() {
    let port = free_port();
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let commands: [&[&str]; 7] = [
        &["run", "--listen", "off", "--out", &out],
        &["check", "--out", &out],
        &["bench", "--out", &out],
        &["simulate", "--records", "1", "--to", "topic"],
        &["replay", &fixture(), "--topic", "t"],
        &["config", "show"],
        &["explain"],
    ];
    for variable in ["TRUCKFLOW_BROKERS", "TRUCKFLOW_KAFKA__BROKERS"] {
        let brokers = format!("127.0.0.1:{port}");
        let jobs = commands.map(|command| (command, Job::start_with(command, &[(variable, &brokers)])));
        for (command, mut job) in jobs {
            let said = job.wait(SOON * 2).1 + &job.stdout();
            // The graph does not show where its topic is.
            let is_known = command[0] == "explain" || said.contains(&brokers);
            assert!(is_known && !said.contains("unknown key"), "{variable}: {command:?}: {said}");
        }
    }
}

#[test]
fn a_missing_topic() {
    refused(
        &["run", "--brokers", kafka().brokers(), "--topic", "no-such-topic"],
        1,
        &["`no-such-topic` does not exist", "create it or correct --topic, or keep trying with --wait"],
    );
}

#[test]
fn a_missing_file() {
    refused(&["run", "--input", "no-such-file.jsonl"], 1, &["no-such-file.jsonl", "--input"]);
}

#[test]
fn a_mistyped_file_does_not_keep_the_job_from_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let (typo, out) = (path("raedings.jsonl"), path("out"));
    refused(&["run", "--input", &typo, "--out", &out], 1, &[&typo, "--input"]);
    let right = ["run", "--input", &fixture(), "--out", &out, "--until-end", "--listen", "off"];
    let (status, said) = Job::start(right).wait(SOON);
    assert!(status.success(), "{said}");
    // From then on it has an input.
    std::fs::copy(fixture(), path("other.jsonl")).unwrap();
    refused(&["run", "--input", &path("other.jsonl"), "--out", &out], 2, &["reads file", "demo/input.jsonl"]);
}

#[test]
fn a_folder_that_cannot_be_made() {
    refused(&["run", "--input", &fixture(), "--out", "/dev/null/out"], 1, &["/dev/null/out", "--out"]);
}

#[test]
fn no_database_server() {
    let port = free_port();
    let url = format!("mysql://root:secret@127.0.0.1:{port}/d");
    refused(
        &["run", "--input", &fixture(), "--database", &url],
        1,
        &[
            &format!("127.0.0.1:{port}"),
            "does not answer",
            "start it or correct --database, or keep trying with --wait",
        ],
    );
}

#[test]
fn a_wrong_password_which_is_not_shown() {
    let database = mariadb().create_database();
    let url = database.url_of("root", "wr0ng-secret");
    let (status, said) =
        Job::start(["run", "--input", &fixture(), "--database", &url, "--listen", "off"]).wait(SOON);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("password") && !said.contains("wr0ng-secret"), "{said}");
}

#[test]
fn a_missing_database() {
    let url = mariadb().create_database().root;
    let (server, _) = url.rsplit_once('/').unwrap();
    let url = format!("{server}/no_such_database");
    refused(&["run", "--input", &fixture(), "--database", &url], 1, &["no_such_database", "CREATE DATABASE"]);
}

#[test]
fn a_url_that_names_no_database() {
    refused(
        &["run", "--input", &fixture(), "--database", "postgres://x"],
        2,
        &["--database", "mysql://", "sqlite:"],
    );
}

#[test]
fn an_unknown_configuration_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.toml");
    std::fs::write(&path, "workers = 1\nbrokrs = \"x\"\n").unwrap();
    refused(&["run", "--config", path.to_str().unwrap()], 2, &["job.toml line 2", "brokrs"]);
}

#[test]
fn no_workers() {
    refused(&["run", "--input", &fixture(), "--workers", "0"], 2, &["workers = 0", "give 1 to"]);
}

#[test]
fn an_unknown_view() {
    refused(&["run", "--input", &fixture(), "--builtin-views", "nope"], 2, &["nope", "parameter_map"]);
}

#[test]
fn a_view_of_a_field_that_there_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("views.sql");
    let view = "CREATE MATERIALIZED VIEW hot AS\nSELECT truck_id FROM readings WHERE engine_speed > fuel;\n";
    std::fs::write(&path, view).unwrap();
    let words =
        "views.sql line 2, column 52: unknown field `fuel`; expected one of timestamp, distance_covered";
    refused(&["run", "--input", &fixture(), "--sql", path.to_str().unwrap()], 2, &[words]);
    let config = folder.path().join("job.toml");
    std::fs::write(&config, "views = \"views.sql\"\n").unwrap();
    refused(&["run", "--input", &fixture(), "--config", config.to_str().unwrap()], 2, &[words]);
}

#[test]
fn the_output_of_another_job() {
    let out = tempfile::tempdir().unwrap();
    let out = out.path().to_str().unwrap();
    let done = |args: &[&str]| {
        let (status, said) = Job::start(args.iter().copied()).wait(SOON);
        assert!(status.success(), "{said}");
    };
    done(&["run", "--input", &fixture(), "--until-end", "--out", out, "--listen", "off"]);
    // The same name, another input.
    let other = repository().join("fixtures/forms/input.jsonl");
    refused(&["run", "--input", other.to_str().unwrap(), "--out", out], 2, &["demo", "forms", "--job"]);
    // Another name, whose database knows nothing of the files.
    refused(
        &["run", "--input", &fixture(), "--out", out, "--job", "other"],
        1,
        &["parameter_map.csv", "--out"],
    );
    // The first goes on as if nothing had been tried.
    done(&["run", "--input", &fixture(), "--until-end", "--out", out, "--listen", "off"]);
}

#[test]
fn a_second_instance() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 1);
    let folder = tempfile::tempdir().unwrap();
    let out = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let database = mariadb().create_database();
    let args = |out: &str| {
        ["run", "--brokers", kafka().brokers(), "--topic", &topic, "--database", &database.url, "--out", out]
            .map(str::to_owned)
    };
    let mut first = Job::start(args(&out("a")).iter().map(String::as_str).chain(["--listen", "off"]));
    first.wait_for_line("reading", SOON);
    let second = args(&out("a"));
    refused(&second.each_ref().map(String::as_str), 1, &["another instance", "--out"]);
    let third = args(&out("b"));
    refused(&third.each_ref().map(String::as_str), 1, &["another instance of job `truckflow`", "--job"]);
    first.terminate();
    assert!(first.wait(SOON).0.success());
}

#[test]
fn a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    std::fs::create_dir(&out).unwrap();
    let (out, input) = (out.to_str().unwrap(), fixture());
    // A file system of its own, in a namespace of its own, that is full before the job is done.
    let run = |size: &str| {
        let script = format!(
            "mount -t tmpfs -o size={size} tmpfs {out} && exec {} run --input {input} --until-end --out {out} --listen off",
            env!("CARGO_BIN_EXE_truckflow")
        );
        let output =
            std::process::Command::new("unshare").args(["-rm", "sh", "-c", &script]).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = run("400k");
    assert_eq!(status, Some(1), "{said}");
    let sentence = said.lines().find(|line| line.starts_with("truckflow: ")).expect("a sentence");
    assert!(sentence.contains(out) && sentence.contains("space"), "{sentence}");
    assert_eq!(run("64m").0, Some(0));
}

#[test]
fn check_reports_what_is_ok_and_what_failed() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 2);
    let database = mariadb().create_database();
    let good = ["check", "--brokers", kafka().brokers(), "--topic", &topic, "--database", &database.url];
    let mut job = Job::start(good);
    let (status, said) = job.wait(SOON);
    assert!(status.success(), "{said}{}", job.stdout());
    // The join keeps readings for a shorter time than they may be ahead, by default.
    let expected = |line: &str| line.starts_with("ok ") || line.starts_with("WARNING view filtered_join");
    assert!(job.stdout().lines().all(expected), "{}", job.stdout());
    assert!(database.query("SHOW TABLES").is_empty(), "check changes nothing");
    let dead = format!("127.0.0.1:{}", free_port());
    let mut job = Job::start(["check", "--brokers", &dead, "--database", "sqlite:x.db"]);
    let (status, _) = job.wait(SOON);
    assert_eq!(status.code(), Some(1));
    assert!(job.stdout().contains(&format!("FAILED  broker port: cannot connect to {dead}")));
}
