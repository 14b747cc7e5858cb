//! What `check` finds on real servers, and what `explain` draws.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::net::TcpListener;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::job::{Job, TRUCKFLOW, readings};
use crate::support::kafka::{Kafka, Operation, Resource, kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::lines;
use crate::support::process::{built_in, free_port};
use crate::support::wait::comes_true;

const SOON: Duration = Duration::from_secs(30);

/// Runs a command to its end: its status, its standard output, its standard error.
fn run(args: &[&str]) -> (Option<i32>, String, String) {
    let mut job = Job::start(args);
    let (status, said) = job.wait(SOON);
    (status.code(), job.stdout(), said)
}

/// Checks a topic and a database, and expects a line for each of `lines`: its beginning and words of it.
#[track_caller]
fn check(args: &[&str], status: i32, lines: &[(&str, &[&str])]) {
    let (ended, stdout, said) = run(&[&["check"], args].concat());
    assert_eq!(ended, Some(status), "{stdout}{said}");
    for (beginning, words) in lines {
        let found = stdout.lines().find(|line| line.starts_with(beginning));
        let line = found.unwrap_or_else(|| panic!("`{beginning}` is not in:\n{stdout}"));
        for word in *words {
            assert!(line.contains(word), "`{word}` is not in: {line}");
        }
    }
    let failed = lines.iter().filter(|(beginning, _)| beginning.starts_with("FAILED")).count();
    assert_eq!(stdout.lines().filter(|line| line.starts_with("FAILED")).count(), failed, "{stdout}");
}

#[test]
fn check_goes_through_everything_and_changes_nothing() {
    let (topic, letters) = (unique_topic(), unique_topic());
    kafka().create_topic(&topic, 2);
    kafka().create_topic(&letters, 1);
    kafka().produce(&topic, (0..5).map(|n| (n % 2, None, "message")));
    let database = mariadb().create_database();
    let forward = format!("dead_letters.topic={letters}");
    let args =
        ["--brokers", kafka().brokers(), "--topic", &topic, "--database", &database.url, "--set", &forward];
    check(
        &args,
        0,
        &[
            ("ok      configuration", &["truckflow"]),
            ("ok      broker port", &[kafka().brokers()]),
            ("ok      topic: ", &[&topic, "2 partitions, each with a leader"]),
            ("ok      offsets", &["has 5 offsets"]),
            ("ok      read access", &["User:ANONYMOUS"]),
            ("ok      group access", &["`truckflow`"]),
            ("WARNING sample", &["0 of 5 readings accepted; most common rejection: not_an_object (5);"]),
            ("ok      topic of dead letters", &[&letters]),
            ("ok      folder", &[]),
            ("ok      disk", &["iB free at"]),
            ("ok      database", &["job_"]),
            ("ok      table TRUCK_PARAMETER_MAP", &["will be created on the first run"]),
            ("ok      privileges", &["CREATE", "DELETE", "granted"]),
        ],
    );
    assert!(database.query("SHOW TABLES").is_empty());
}

#[test]
fn check_decodes_a_sample_of_all_partitions_and_reports_rejections() {
    let good = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;
    let bad = r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "fuel_consumed": 0}"#;
    let topic = unique_topic();
    kafka().create_topic(&topic, 4);
    // What most messages are is in one partition; what it begins and ends with is another thing.
    let many = (0..3000).map(|n| (0, None, if (10..2990).contains(&n) { good } else { "no reading" }));
    let few = (0..30).map(|_| (1, None, bad)).chain([(3, None, good)]);
    kafka().produce(&topic, many.chain(few));
    let args = ["--brokers", kafka().brokers(), "--topic", &topic, "--database", "sqlite:x.db"];
    // Of partition 0 a third of a thousand, half of it from each end.
    let line = format!(
        "`{topic}`: 314 of 364 readings accepted; most common rejection: missing_field `engine_speed` (30)"
    );
    let example = format!("`truckflow replay --explain kafka:{topic}/1/0`");
    let kind = "30 readings rejected, missing_field `engine_speed`: at /engine_speed there is nothing; expected a number";
    check(&args, 0, &[("ok      sample", &[&line]), ("WARNING sample", &[kind, &example])]);

    let file = std::env::temp_dir().join(&topic);
    std::fs::write(&file, format!("{good}\n{bad}\n{good}\n")).unwrap();
    let input = ["--input", file.to_str().unwrap(), "--database", "sqlite:x.db"];
    let line = "2 of 3 readings accepted; most common rejection: missing_field `engine_speed` (1)";
    check(&input, 0, &[("ok      sample", &[line])]);
    std::fs::write(&file, format!("{bad}\n")).unwrap();
    let (status, stdout, _) = run(&[&["check", "--json"], &input[..]].concat());
    let json: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    let look = json["checks"].as_array().unwrap().iter().find(|look| look["what"] == "sample").unwrap();
    let warning = look["warning"].as_str().unwrap();
    assert!(warning.contains("0 of 1 reading accepted") && look["ok"] == true, "{look}");
    assert_eq!((status, &json["failed"]), (Some(0), &0.into()), "a run does not fail for it either");
    std::fs::remove_file(&file).unwrap();
}

#[test]
fn check_as_json_has_the_same_results_and_status() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 1);
    let args = |topic| {
        ["check", "--json", "--brokers", kafka().brokers(), "--topic", topic, "--database", "sqlite:x.db"]
    };
    let parse =
        |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap_or_else(|_| panic!("{text}"));
    let (status, stdout, _) = run(&args(&topic));
    let json = parse(&stdout);
    assert_eq!((status, &json["failed"]), (Some(0), &0.into()), "{stdout}");
    for look in json["checks"].as_array().unwrap() {
        let is_said = look["detail"].is_string() || look["warning"].is_string();
        assert!(look["what"].is_string() && look["ok"] == true && is_said, "{look}");
    }
    let (status, stdout, _) = run(&args("no-such-topic"));
    let json = parse(&stdout);
    assert_eq!((status, &json["failed"]), (Some(1), &1.into()), "{stdout}");
    let look = json["checks"].as_array().unwrap().iter().find(|look| look["what"] == "topic").unwrap();
    assert_eq!(look["ok"], false);
    assert!(look["problem"].as_str().unwrap().contains("`no-such-topic` does not exist"), "{look}");
    let (status, stdout, said) = run(&["check", "--json", "--workers", "0"]);
    let json = parse(&stdout);
    assert_eq!((status, &json["failed"]), (Some(2), &1.into()), "{stdout}");
    assert!(said.contains("workers = 0"), "{said}");
}

#[test]
fn check_finds_a_missing_topic_and_a_missing_topic_of_dead_letters() {
    let brokers = kafka().brokers();
    let missing = ["does not exist", "create it"];
    check(
        &[
            "--brokers",
            brokers,
            "--topic",
            "no-such-topic",
            "--database",
            "sqlite:x.db",
            "--set",
            "dead_letters.topic=no-letters",
        ],
        1,
        &[
            ("FAILED  topic: topic `no-such-topic`", &missing),
            ("FAILED  topic of dead letters: topic `no-letters`", &missing),
        ],
    );
}

#[test]
fn check_finds_missing_kafka_acls() {
    let kafka = Kafka::start_secured("truck", "secret");
    let topic = unique_topic();
    kafka.create_topic(&topic, 2);
    let property = |name: &str, value: &str| format!("kafka.properties.{name}={value}");
    let properties = [
        property("security.protocol", "sasl_plaintext"),
        property("sasl.mechanism", "PLAIN"),
        property("sasl.username", "truck"),
        property("sasl.password", "secret"),
    ];
    let mut args = vec!["--brokers", kafka.secured(), "--topic", &topic, "--database", "sqlite:x.db"];
    for property in &properties {
        args.extend(["--set", property]);
    }
    let command = |operation: &str, kind: &str, name: &str| {
        format!(
            "run kafka-acls --bootstrap-server {} --add --allow-principal User:truck --operation {operation} --{kind} {name}",
            kafka.secured()
        )
    };
    let (topic_command, group_command) =
        (command("Read", "topic", &topic), command("Read", "group", "truckflow"));
    check(&args, 1, &[("FAILED  topic: ", &["is not allowed to describe it", &topic_command])]);

    // An answer to the list is not yet its effect.
    kafka.allow("truck", Operation::Describe, &Resource::Topic(&topic));
    let seen =
        comes_true(SOON, || run(&[&["check"], args.as_slice()].concat()).1.contains("each with a leader"));
    assert!(seen, "it may be described now");
    check(
        &args,
        1,
        &[
            ("ok      topic: ", &["2 partitions"]),
            ("FAILED  read access", &["User:truck is not allowed to read topic", &topic_command]),
            ("FAILED  group access", &["group `truckflow`", &group_command]),
        ],
    );

    kafka.allow("truck", Operation::Read, &Resource::Topic(&topic));
    kafka.allow("truck", Operation::Read, &Resource::Group("truckflow"));
    let green = comes_true(SOON, || run(&[&["check"], args.as_slice()].concat()).0 == Some(0));
    assert!(
        green,
        "the commands that it named are enough: {}",
        run(&[&["check"], args.as_slice()].concat()).1
    );

    let wrong = args
        .iter()
        .map(|arg| if arg.ends_with("=secret") { "kafka.properties.sasl.password=wr0ng" } else { arg });
    let wrong: Vec<&str> = wrong.collect();
    check(&wrong, 1, &[("FAILED  topic: ", &[kafka.secured(), "uthentication"])]);
}

#[test]
fn check_looks_at_the_hosts_and_the_port_of_a_cluster() {
    let folder = tempfile::tempdir().unwrap();
    let hosts = folder.path().join("hosts");
    let hosts_name = hosts.display().to_string();
    let own = format!("127.0.0.1:{}", free_port());
    let listens = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = listens.local_addr().unwrap().to_string();
    let check_as = |lines: &[&str], process: &str, status: i32, expected: &[(&str, &[&str])]| {
        std::fs::write(&hosts, lines.join("\n")).unwrap();
        let job = ["--input", "-", "--database", "sqlite:x.db", "--processes", "2"];
        check(&[&job[..], &["--process", process, "--hosts", &hosts_name]].concat(), status, expected);
    };
    let good: [(&str, &[&str]); 4] = [
        ("ok      hosts", &["2 processes; this is process 0", &own]),
        ("ok      cluster secret", &["not set; not required"]),
        ("ok      cluster port", &["can listen on", &own]),
        ("ok      cluster host", &[&taken, "of process 1 resolves"]),
    ];
    check_as(&[&own, &taken], "0", 0, &good);
    let refused: [(&str, &[&str]); 2] = [
        ("FAILED  cluster port", &["process 1 cannot listen on", &taken]),
        ("ok      cluster host", &[&own]),
    ];
    check_as(&[&own, &taken], "1", 1, &refused);
    let unknown: [(&str, &[&str]); 1] =
        [("FAILED  cluster host", &["no-such-host.invalid", "correct --hosts"])];
    check_as(&[&own, "no-such-host.invalid:7100"], "0", 1, &unknown);
    check_as(&[&own], "0", 1, &[("FAILED  hosts", &["1 of 2 processes"])]);
    check_as(&["0.0.0.0:7100", &own], "0", 1, &[("FAILED  hosts", &["cluster_secret_file"])]);
}

/// The URL of a database for a new user, and the user as grants name it.
fn user_of(database: &Database) -> (String, String) {
    let name = format!("u_{}", database.name);
    let user = format!("'{name}'@'127.0.0.1'");
    database.query(&format!("CREATE USER {user} IDENTIFIED BY 'pw'"));
    (database.url_of(&name, "pw"), user)
}

#[test]
fn check_finds_missing_privileges_and_the_grants_that_it_names_are_enough() {
    let database = mariadb().create_database();
    let name = &database.name;
    let (url, user) = user_of(&database);
    database
        .query("CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, timestamp DATETIME)");
    database.query(&format!("GRANT SELECT, INSERT ON {name}.* TO {user}"));
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out").display().to_string();
    let args = ["--input", "-", "--database", &url, "--out", &out];
    let grant = format!("GRANT CREATE, DELETE, UPDATE ON `{name}`.* TO {user}");
    let alter = format!("GRANT ALTER ON `{name}`.`TRUCK_PARAMETER_MAP` TO {user}");
    let words = [&*format!("run {grant}; {alter}"), "lacks CREATE, DELETE, UPDATE for missing tables"];
    check(&args, 1, &[("FAILED  privileges", &words)]);
    assert_eq!(database.query("SHOW TABLES").len(), 1);
    database.query(&grant);
    database.query(&alter);
    check(&args, 0, &[("ok      privileges", &["ALTER", "CREATE", "granted"])]);
    // A run agrees.
    let job =
        ["run", "--input", "/dev/null", "--until-end", "--listen", "off", "--database", &url, "--out", &out];
    let (status, _, said) = run(&job);
    assert_eq!(status, Some(0), "{said}");
    check(&args, 0, &[("ok      privileges", &["no table has to be created or altered"])]);
}

#[test]
fn check_accepts_privileges_of_a_role() {
    let database = mariadb().create_database();
    let (name, role) = (&database.name, format!("r_{}", database.name));
    let (url, user) = user_of(&database);
    database.query(&format!(
        "CREATE ROLE {role}; GRANT ALL ON {name}.* TO {role}; GRANT {role} TO {user}; SET DEFAULT ROLE {role} FOR {user}"
    ));
    check(&["--input", "-", "--database", &url], 0, &[("ok      privileges", &[])]);
}

#[test]
fn check_accepts_privileges_of_everybody() {
    let database = mariadb().create_database();
    let (url, _) = user_of(&database);
    database.query(&format!("GRANT ALL ON {}.* TO PUBLIC", database.name));
    check(&["--input", "-", "--database", &url], 0, &[("ok      privileges", &[])]);
}

#[test]
fn explain_names_every_view_in_every_language() {
    let views: Vec<String> = built_in().into_iter().map(|view| view.name.into_owned()).collect();
    // No server is asked, and nothing is written.
    let job = ["explain", "--brokers", "no.such.host:1", "--database", "mysql://u:secret@no.such.host/d"];
    let explained = |args: &[&str]| {
        let (status, stdout, said) = run(&[&job, args].concat());
        assert_eq!(status, Some(0), "{said}");
        assert!(!stdout.contains("secret"), "{stdout}");
        stdout
    };
    let (mermaid, dot) = (explained(&[]), explained(&["--format", "dot"]));
    assert!(mermaid.starts_with("flowchart TB\n") && dot.starts_with("digraph truckflow {\n"));
    for (index, view) in views.iter().enumerate() {
        assert!(mermaid.contains(&format!("subgraph view{index}[\"{view}\"]\n")), "{mermaid}");
        assert!(mermaid.contains(&format!("[(\"file out/{view}.csv\")]\n")), "{mermaid}");
        assert!(
            dot.contains(&format!("subgraph cluster_view{index} {{\n        label=\"{view}\";\n")),
            "{dot}"
        );
    }
    let json: serde_json::Value = serde_json::from_str(&explained(&["--json"])).unwrap();
    let names: Vec<&str> =
        json["views"].as_array().unwrap().iter().map(|view| view["name"].as_str().unwrap()).collect();
    assert_eq!(names, views);
    assert_eq!(json["sources"][0]["name"], "topic Truck-Data");
    for key in ["operators", "channels"] {
        assert!(json[key].as_array().is_some_and(|all| all.len() > 20), "{json}");
    }
    let one = explained(&["--builtin-views", "above_speed"]);
    assert!(one.contains("above_speed") && !one.contains("transformed"), "{one}");
}

#[test]
fn every_command_has_help_with_an_example_and_a_manual_page() {
    let (status, help, _) = run(&["help"]);
    assert_eq!(status, Some(0));
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands: Vec<&str> = commands
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.contains(&"run") && commands.contains(&"completions"), "{help}");
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("man1");
    assert_eq!(run(&["man", "--to", pages.to_str().unwrap()]).0, Some(0));
    for command in commands.into_iter().filter(|command| *command != "help") {
        let (status, help, _) = run(&[command, "--help"]);
        assert!(status == Some(0) && help.contains("Example"), "{command}: {help}");
        assert!(help.contains(&format!("  truckflow {command} ")), "{command}: {help}");
        let page = std::fs::read_to_string(pages.join(format!("truckflow-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS") && !page.contains("die"), "{command}");
    }
}

#[test]
fn a_shell_takes_its_completions() {
    let (status, script, _) = run(&["completions", "bash"]);
    assert_eq!(status, Some(0));
    let ask = "COMP_WORDS=(truckflow ru); COMP_CWORD=1; _truckflow truckflow ru truckflow; echo \"${COMPREPLY[@]}\"";
    let output =
        std::process::Command::new("bash").args(["-c", &format!("{script}\n{ask}")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "run");
    for shell in ["zsh", "fish"] {
        let (status, script, _) = run(&["completions", shell]);
        assert!(status == Some(0) && script.contains("commit-interval"), "{shell}");
    }
    assert_eq!(run(&["completions", "csh"]).0, Some(2));
}

#[test]
fn config_init_writes_a_file_that_a_job_takes_and_replaces_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.toml");
    let name = path.to_str().unwrap();
    let (status, shown, said) = run(&["config", "init"]);
    assert_eq!(status, Some(0), "{said}");
    let (status, stdout, said) = run(&["config", "init", name]);
    assert_eq!((status, &*stdout), (Some(0), ""), "{said}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), shown);
    let (status, _, said) = run(&["explain", "--config", name]);
    assert_eq!(status, Some(0), "{said}");

    std::fs::write(&path, "mine").unwrap();
    let (status, _, said) = run(&["config", "init", name]);
    assert_eq!((status, said.trim().lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains(name) && said.contains("--force"), "{said}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "mine");
    let (status, _, said) = run(&["config", "init", name, "--force"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), shown);

    let nowhere = folder.path().join("no/job.toml");
    let (status, _, said) = run(&["config", "init", nowhere.to_str().unwrap()]);
    assert!(status == Some(1) && said.contains("cannot write"), "{said}");
}

#[test]
fn config_show_reports_the_origin_of_values_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("job.toml");
    let name = path.to_str().unwrap();
    std::fs::write(&path, "workers = 2\n[kafka.properties]\nsasl.password = \"s3cret\"\n").unwrap();
    let args = ["config", "show", "--config", name, "--topic", "T", "--set", "job=j"];
    let variables = [("TRUCKFLOW_DATABASE", "mysql://u:s3cret@h/d"), ("TRUCKFLOW_JOB", "before")];
    let show = |more: &[&str]| {
        let mut job = Job::start_with([&args[..], more].concat(), &variables);
        let (status, said) = job.wait(SOON);
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(!(job.stdout() + &said).contains("s3cret"));
        job.stdout()
    };
    let text = show(&[]);
    let json: serde_json::Value = serde_json::from_str(&show(&["--json"])).unwrap();
    for (key, value, from) in [
        ("workers", "2", name),
        ("kafka.topic", "\"T\"", "--topic"),
        ("job", "\"j\"", "--set"),
        ("commit_interval", "\"1s\"", "default"),
        ("database", "\"mysql://u:***@h/d\"", "TRUCKFLOW_DATABASE"),
        ("kafka.properties.sasl.password", "\"***\"", name),
    ] {
        let is_said = |line: &str| line.split_whitespace().eq([key, value, from]);
        assert!(text.lines().any(is_said), "{key} {value} {from} in:\n{text}");
        let row = json.as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
        assert_eq!((row["value"].to_string().as_str(), row["from"].as_str()), (value, Some(from)));
    }
}

#[test]
fn summaries_are_json_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("r.jsonl"), folder.path().join("out"));
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let topic = unique_topic();
    kafka().create_topic(&topic, 1);
    let done = |args: &[&str]| -> serde_json::Value {
        let (status, stdout, said) = run(args);
        assert_eq!(status, Some(0), "{said}");
        serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stdout}"))
    };
    let made = done(&["simulate", "--records", "50", "--to", file, "--json"]);
    assert_eq!(made["readings"], 50);
    let job = done(&["run", "--input", file, "--until-end", "--out", out, "--listen", "off", "--json"]);
    assert_eq!([&job["records"], &job["dead_letters"], &job["epoch"]], [50, 0, 2]);
    let sent = done(&["replay", file, "--topic", &topic, "--brokers", kafka().brokers(), "--json"]);
    assert_eq!([&sent["sent"], &sent["failed"], &sent["left_out"]], [50, 0, 0]);
    for each in [made, job, sent] {
        assert!(each["seconds"].is_f64(), "{each}");
    }
    let (status, stdout, said) = run(&["simulate", "--records", "50", "--json"]);
    assert_eq!((status, &*stdout), (Some(2), ""), "{said}");
    assert!(said.contains("--to"), "{said}");
}

#[test]
fn check_names_the_files_of_another_job() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("r.jsonl"), folder.path().join("out"));
    let (input, out) = (input.to_str().unwrap(), out.to_str().unwrap());
    let (status, _, said) = run(&["simulate", "--records", "50", "--to", input]);
    assert_eq!(status, Some(0), "{said}");
    let job = ["--input", input, "--out", out, "--listen", "off"];
    check(&job, 0, &[("ok      files", &["no conflicting files"])]);
    let (status, _, said) = run(&[&["run", "--until-end"], &job[..]].concat());
    assert_eq!(status, Some(0), "{said}");
    check(&job, 0, &[("ok      files", &[])]);
    let other = [&job[..], &["--job", "other"]].concat();
    check(&other, 1, &[("FAILED  files", &["parameter_map.csv", "use the --out"])]);
}

/// Runs a command in a folder with this standard output: its status, its standard error.
fn run_onto(output: impl Into<Stdio>, folder: &std::path::Path, args: &[&str]) -> (Option<i32>, String) {
    let ended = Command::new(TRUCKFLOW)
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(output)
        .output()
        .expect("truckflow can be started");
    (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
}

/// A pipe that nobody reads.
fn closed_pipe() -> std::io::PipeWriter {
    std::io::pipe().expect("a pipe").1
}

/// All that prints on standard output, over a job in the folder `out` that has read `readings.jsonl`.
const PRINTS: [&[&str]; 20] = [
    &["run", "--input", "readings.jsonl", "--until-end", "--listen", "off", "--summary"],
    &["run", "--input", "readings.jsonl", "--until-end", "--listen", "off", "--json"],
    &["check", "--input", "readings.jsonl"],
    &["check", "--input", "readings.jsonl", "--json"],
    &["verify", "--input", "readings.jsonl"],
    &["verify", "--input", "readings.jsonl", "--json"],
    &["explain"],
    &["explain", "--format", "dot"],
    &["explain", "--json"],
    &["config", "show"],
    &["config", "show", "--json"],
    &["config", "init"],
    &["completions", "bash"],
    &["simulate", "--records", "100000"],
    &["simulate", "--records", "10", "--to", "file", "--json"],
    &["state", "export", "one.state"],
    &["state", "export", "two.state", "--json"],
    &["state", "reset", "--yes", "--json"],
    &["state", "import", "one.state", "--input", "readings.jsonl"],
    &["--help"],
];

#[test]
fn a_reader_that_closes_the_pipe_changes_no_commands_status() {
    let folder = tempfile::tempdir().unwrap();
    readings(folder.path(), 100);
    for args in PRINTS {
        let (status, said) = run_onto(closed_pipe(), folder.path(), args);
        assert_eq!(status, Some(0), "{args:?}: {said}");
        assert!(!said.contains("truckflow: ") && !said.contains("panicked"), "{args:?}: {said}");
    }
    // What was found still counts.
    std::fs::write(folder.path().join("out/parameter_map.csv"), "").unwrap();
    let (status, said) = run_onto(closed_pipe(), folder.path(), &["verify", "--input", "readings.jsonl"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.starts_with("truckflow: ") && said.lines().count() == 1, "{said}");
}

#[test]
fn a_disk_that_is_full_under_standard_output_ends_a_command_in_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    readings(folder.path(), 100);
    // Help is clap's, which prints what it can.
    for args in PRINTS.into_iter().filter(|args| args[0] != "--help") {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let (status, said) = run_onto(full, folder.path(), args);
        assert_eq!(status, Some(1), "{args:?}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.starts_with("truckflow: ") && last.contains("standard output"), "{args:?}: {said}");
        assert!(!said.contains("panicked"), "{args:?}: {said}");
    }
}

#[test]
fn a_job_continues_if_its_log_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    readings(folder.path(), 100);
    let status = Command::new(TRUCKFLOW)
        .args(PRINTS[0])
        .current_dir(folder.path())
        .stdout(closed_pipe())
        .stderr(closed_pipe())
        .status();
    assert_eq!(status.unwrap().code(), Some(0));
    assert_eq!(lines(&folder.path().join("out/parameter_map.csv")), 101);
    // And one that fails has its status.
    let wrong = Command::new(TRUCKFLOW).args(["run", "--workers", "0"]).stderr(closed_pipe()).status();
    assert_eq!(wrong.unwrap().code(), Some(2));
}

#[test]
fn variables_that_are_not_utf_8_matter_only_where_they_are_keys() {
    let folder = tempfile::tempdir().unwrap();
    readings(folder.path(), 100);
    let bytes = OsString::from_vec(b"a\xff".to_vec());
    let with = |variable: &OsStr, args: &[&str]| {
        let mut command = Command::new(TRUCKFLOW);
        let ended = command.args(args).current_dir(folder.path()).env(variable, &bytes).output().unwrap();
        (ended.status.code(), String::from_utf8_lossy(&ended.stderr).into_owned())
    };
    // A job is forgotten, and brought back, but once.
    for args in PRINTS.into_iter().filter(|args| !["reset", "import"].contains(args.get(1).unwrap_or(&""))) {
        for variable in [OsStr::new("LS_COLORS"), &bytes] {
            let (status, said) = with(variable, args);
            assert_eq!(status, Some(0), "{args:?}: {said}");
        }
    }
    let (status, said) = with("TRUCKFLOW_JOB".as_ref(), &["explain"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(
        said.contains("TRUCKFLOW_JOB: its value is not valid UTF-8") && said.lines().count() == 1,
        "{said}"
    );
}

#[test]
fn epochs_grow_if_a_record_then_takes_less_to_commit() {
    let folder = tempfile::tempdir().unwrap();
    let [file, out] = ["r.jsonl", "out"].map(|name| folder.path().join(name).to_str().unwrap().to_owned());
    let simulated = ["simulate", "--records", "2000000", "--trucks", "1000", "--seed", "5", "--to", &file];
    let (status, _, said) = run(&simulated);
    assert_eq!(status, Some(0), "{said}");
    let epochs = |more: &[&str]| {
        let _ = std::fs::remove_dir_all(&out);
        let job = ["run", "--input", &file, "--until-end", "--out", &out, "--listen", "off", "--json"];
        let (status, stdout, said) = run(&[&job[..], &["--commit-interval", "1h"], more].concat());
        assert_eq!(status, Some(0), "{said}");
        serde_json::from_str::<serde_json::Value>(&stdout).unwrap()["epoch"].as_u64().unwrap()
    };
    // An epoch of more records has the same rows of trucks.
    let grown = epochs(&["--builtin-views", "distance_correlation"]);
    let limited =
        epochs(&["--builtin-views", "distance_correlation", "--set", "limits.epoch_records=200000"]);
    // At most three epochs are on their way before the first one says what it takes.
    assert!(limited >= 10 && grown + 2 < limited, "{grown} and {limited}");
}
