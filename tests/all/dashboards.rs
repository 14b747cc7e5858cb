//! What an operator looks at: every query of the dashboards gives data, every alert fires when it must,
//! the metrics are what Prometheus wants and what is true.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;

use crate::seen::get;
use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::process::{free_port, repository};
use crate::support::prometheus::{Prometheus, deployed, program};
use crate::support::wait::{comes_true, eventually};

/// Prometheus and the job are two of everybody's processes.
const TIMEOUT: Duration = Duration::from_secs(180);

const READING: &str =
    r#"{"timestamp": "2023-04-10 01:02:27", "distance_covered": 1, "engine_speed": 81, "fuel_consumed": 0}"#;

/// A query of a dashboard, and where it is.
struct Query {
    place: String,
    source: String,
    text: String,
}

/// Every query of every dashboard, and the query of every variable, by the variable's name.
fn queries() -> (Vec<Query>, BTreeMap<String, Query>) {
    let (mut queries, mut variables) = (Vec::new(), BTreeMap::new());
    let files = fs::read_dir(repository().join("deploy/grafana/dashboards")).expect("the dashboards");
    for path in files.map(|file| file.expect("a file").path()) {
        let text = fs::read_to_string(&path).expect("a dashboard");
        let board: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let query = |what: &Value, target: &Value, text: &Value| Query {
            place: format!("{}: {}", board["title"], what),
            source: target["datasource"]["uid"].as_str().unwrap_or_default().to_owned(),
            text: text.as_str().unwrap_or_else(|| panic!("{what} of {path:?} has a query")).to_owned(),
        };
        for variable in board["templating"]["list"].as_array().expect("variables") {
            let name = variable["name"].as_str().expect("a variable's name").to_owned();
            variables.insert(name, query(&variable["name"], variable, &variable["query"]));
        }
        for panel in board["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let text = if target["expr"].is_null() { &target["rawSql"] } else { &target["expr"] };
                queries.push(query(&panel["title"], target, text));
            }
        }
    }
    (queries, variables)
}

/// Runs a query of the tables as Grafana would, with the variables' values.
fn rows(database: &Database, sql: &str, values: &BTreeMap<String, String>) -> Vec<Vec<Option<String>>> {
    let mut sql = sql.to_owned();
    for (name, value) in values {
        sql = sql.replace(&format!("${{{name}:sqlstring}}"), &format!("'{value}'"));
    }
    while let Some(at) = sql.find("$__timeFilter(") {
        let end = at + sql[at..].find(')').expect("a macro's end");
        let column = sql[at + "$__timeFilter(".len()..end].to_owned();
        let filter = format!(
            "{column} BETWEEN UTC_TIMESTAMP() - INTERVAL 1 HOUR AND UTC_TIMESTAMP() + INTERVAL 10 DAY"
        );
        sql.replace_range(at..=end, &filter);
    }
    assert!(!sql.contains('$'), "Grafana would put something into {sql}");
    database.query(&sql)
}

#[test]
fn every_query_of_the_dashboards_gives_data() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 2);
    kafka().produce(&topic, [(0, None, "not a reading")]);
    let database = mariadb().create_database();
    let (out, port) = (tempfile::tempdir().unwrap(), free_port());
    let listen = format!("127.0.0.1:{port}");
    let args = ["run", "--brokers", kafka().brokers(), "--topic", &topic, "--database", &database.url];
    let args = args.into_iter().chain(["--commit-interval", "200ms", "--listen", &listen]);
    let _job = Job::start(args.chain(["--out", out.path().to_str().unwrap()]));
    // Readings come all the time; they begin now, as the demonstration's do.
    let now = Command::new("date").args(["-u", "+%F %T"]).output().expect("the time");
    let now = String::from_utf8(now.stdout).expect("the time");
    let simulate = ["simulate", "--to", "topic", "--brokers", kafka().brokers(), "--topic", &topic];
    let simulate = simulate.into_iter().chain(["--trucks", "4", "--rate", "50", "--start", now.trim()]);
    let _trucks = Job::start(simulate);
    let prometheus = Prometheus::start(port);

    let (queries, variables) = queries();
    let sources =
        fs::read_to_string(repository().join("deploy/grafana/provisioning/datasources/truckflow.yml"))
            .expect("the data sources");
    let mut values = BTreeMap::new();
    eventually(TIMEOUT, "the job is ready", || get(port, "/readyz").contains("200 OK"));
    for (name, query) in &variables {
        if let Some(labels) = query.text.strip_prefix("label_values(") {
            let (metric, label) =
                labels.trim_end_matches(')').split_once(", ").expect("a metric and a label");
            eventually(TIMEOUT, &format!("{} has values", query.place), || {
                let samples = prometheus.query(metric).unwrap_or_default();
                !samples.is_empty() && samples.iter().all(|(labels, _)| labels[label].is_string())
            });
            // What a panel shows before one is chosen.
            values.insert(name.clone(), ".*".to_owned());
            continue;
        }
        eventually(TIMEOUT, &format!("{} has values", query.place), || {
            let rows = rows(&database, &query.text, &values);
            values.extend(rows.first().map(|row| (name.clone(), row[0].clone().expect("a value"))));
            values.contains_key(name)
        });
    }
    for Query { place, source, text } in &queries {
        assert!(sources.contains(&format!("uid: {source}\n")), "{place}: {source} is provisioned");
        let mut said = String::new();
        let has_data = comes_true(TIMEOUT, || match &**source {
            "prometheus" => {
                let expression = text.replace("$__rate_interval", "20s").replace("$view", &values["view"]);
                let samples = prometheus.query(&expression);
                said = format!("{samples:?}");
                samples.is_ok_and(|samples| samples.iter().any(|(_, value)| value.is_finite()))
            }
            _ => {
                let rows = rows(&database, text, &values);
                said = format!("{rows:?}");
                // A last column without a value is a correlation of one reading.
                rows.iter().any(|row| row.iter().all(Option::is_some))
                    || place.contains("Dead letters") && !rows.is_empty()
            }
        });
        assert!(has_data, "{place} has no data: {text}\n{said}");
        println!("{place}\t{text}\t{said}");
    }
    assert!(queries.len() > 50, "{} queries", queries.len());

    eventually(TIMEOUT, "every rule was evaluated", || {
        prometheus.rules().iter().all(|rule| rule["health"] != "unknown")
    });
    let rules = prometheus.rules();
    assert!(!rules.is_empty());
    for rule in rules {
        assert_eq!(rule["health"], "ok", "{rule}");
        let action = rule["annotations"]["action"].as_str().unwrap_or_default();
        assert!(action.len() > 40, "it says what to do: {rule}");
    }
}

fn promtool(args: &[&str], input: &str) -> String {
    let mut promtool = Command::new(program("promtool"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts: `tools/install-test-servers` installs it");
    promtool.stdin.take().expect("its input").write_all(input.as_bytes()).expect("it reads");
    let output = promtool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "promtool {args:?}:\n{said}");
    said.into_owned()
}

#[test]
fn every_alert_fires_when_it_must_and_only_then() {
    let (config, tests) = (deployed("prometheus.yml"), deployed("rules_test.yml"));
    promtool(&["check", "config", config.to_str().unwrap()], "");
    promtool(&["test", "rules", tests.to_str().unwrap()], "");
    let rules = fs::read_to_string(deployed("rules.yml")).unwrap();
    let tests = fs::read_to_string(tests).unwrap();
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        assert!(tests.contains(alert), "{alert} has a test");
    }
}

/// The values of a metric, by the text of its labels.
fn shown(metrics: &str, name: &str) -> BTreeMap<String, String> {
    let lines = metrics.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{'));
    lines
        .filter_map(|line| line.split_once("} "))
        .map(|(labels, value)| (labels.to_owned(), value.to_owned()))
        .collect()
}

#[test]
fn lag_is_right_through_restarts_and_in_idle_and_empty_partitions() {
    let topic = unique_topic();
    kafka().create_topic(&topic, 3);
    let out = tempfile::tempdir().unwrap();
    let start = |interval: &str| {
        let port = free_port();
        let listen = format!("127.0.0.1:{port}");
        let args = ["run", "--brokers", kafka().brokers(), "--topic", &topic, "--listen", &listen];
        let more = ["--commit-interval", interval, "--out", out.path().to_str().unwrap()];
        (Job::start(args.into_iter().chain(more)), port)
    };
    // Of partitions 0, 1 and 2.
    let lags = |port, expected: [i64; 3]| {
        let expected: BTreeMap<String, String> = (0..)
            .zip(expected)
            .map(|(partition, lag)| (format!("partition=\"{partition}\",topic=\"{topic}\""), lag.to_string()))
            .collect();
        let mut found = BTreeMap::new();
        let came = comes_true(TIMEOUT, || {
            found = shown(&get(port, "/metrics"), "truckflow_consumer_lag");
            found == expected
        });
        assert!(came, "{found:?} instead of {expected:?}");
    };

    // Partition 1 ends with the marks of transactions, which are no messages; partition 2 has nothing.
    kafka().produce(&topic, (0..10).map(|_| (0, None, READING)));
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka().brokers())
        .set("transactional.id", &topic)
        .create()
        .expect("a producer");
    producer.init_transactions(TIMEOUT).expect("the broker has transactions");
    for commits in [true, false] {
        producer.begin_transaction().expect("a transaction");
        let record = BaseRecord::<[u8], str>::to(&topic).partition(1).payload(READING);
        producer.send(record).map_err(|(error, _)| error).expect("the queue has room");
        producer.flush(TIMEOUT).expect("it is sent");
        match commits {
            true => producer.commit_transaction(TIMEOUT).expect("it commits"),
            false => producer.abort_transaction(TIMEOUT).expect("it aborts"),
        }
    }
    assert_eq!(kafka().ends(&topic), [10, 4, 0]);
    let (mut job, port) = start("50ms");
    lags(port, [0, 0, 0]);
    let metrics = get(port, "/metrics");
    let body = metrics.split_once("\r\n\r\n").expect("a body").1;
    let said = promtool(&["check", "metrics"], body);
    assert_eq!(said, "", "names and units follow Prometheus' conventions");
    assert!(job.terminated(TIMEOUT).success());

    // What came meanwhile is behind until it is committed, however far it was read.
    kafka().produce(&topic, (0..7).map(|_| (0, None, READING)));
    let (mut job, port) = start("1h");
    lags(port, [7, 0, 0]);
    let epoch = |port| {
        let metrics = get(port, "/metrics");
        let line = metrics.lines().find_map(|line| line.strip_prefix("truckflow_committed_epoch "));
        line.and_then(|epoch| epoch.parse::<u64>().ok()).expect("the epoch")
    };
    let before = epoch(port);
    assert!(before > 0, "the last commit is another process's");
    assert!(job.terminated(TIMEOUT).success());

    // Nothing comes any more.
    let (mut job, port) = start("50ms");
    lags(port, [0, 0, 0]);
    assert!(epoch(port) > before);
    let consumed = shown(&get(port, "/metrics"), "truckflow_offsets_consumed_total");
    assert_eq!(consumed, BTreeMap::new(), "nothing is counted twice");
    assert!(job.terminated(TIMEOUT).success());
}
