//! `truckflow check`: is everything there that the job needs? Each thing `ok`, or what to do.

use std::fmt::Display;
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::config::Config;
use crate::error::Error;
use crate::inputs;
use crate::sink::csv;
use crate::source::SourceError;
use crate::source::kafka::{Topic, TopicOptions};
use crate::store::{self, Table};

/// How long a host may take to accept a connection.
const REACH: Duration = Duration::from_secs(3);

/// The phone's topic, in the report.
const PHONE: &str = "orientation topic";

/// Looks at each part of the job and prints a line for it; fails if one is not in order.
pub fn check(config: &Config) -> Result<(), Error> {
    let mut report = Report::default();
    report.ok("configuration", format!("job `{}`, {} workers", config.job, config.workers));
    let reads = config.reads()?;
    match &config.input {
        _ if !reads.trucks => {}
        Some(path) if path == "-" => report.ok("input", "standard input"),
        Some(path) => report.add(
            "input",
            std::fs::File::open(path)
                .map(|_| path.clone())
                .map_err(|source| SourceError::File { path: path.clone(), source }),
        ),
        None => {}
    }
    match reads.phone_file {
        Some("-") => report.ok("orientation file", "standard input"),
        Some(path) => {
            report.add("orientation file", inputs::open_phone_file(path, 0, false).map(|_| path.to_owned()));
        }
        None => {}
    }
    let trucks = config.kafka.topic.as_str();
    let trucks = (reads.trucks && config.input.is_none()).then_some(("topic", trucks));
    let phone = reads.phone_topic.map(|topic| (PHONE, topic));
    check_kafka(config, trucks.into_iter().chain(phone).collect(), &mut report);
    report.add("folder", csv::prepare_folder(&config.out).map(|()| config.out.display().to_string()));
    check_database(config, &mut report)?;
    match report.failed {
        0 => Ok(()),
        failed => Err(Error::Check(failed)),
    }
}

#[derive(Default)]
struct Report {
    failed: usize,
}

impl Report {
    fn ok(&self, what: &str, detail: impl Display) {
        println!("ok      {what}: {detail}");
    }

    fn add(&mut self, what: &str, result: Result<impl Display, impl Display>) {
        match result {
            Ok(detail) => self.ok(what, detail),
            Err(error) => {
                self.failed += 1;
                println!("FAILED  {what}: {error}");
            }
        }
    }
}

/// Looks at each of the topics.
fn check_kafka(config: &Config, topics: Vec<(&str, &str)>, report: &mut Report) {
    if topics.is_empty() {
        return;
    }
    let brokers = &config.kafka.brokers;
    let mut reached = false;
    for broker in brokers.split(',').map(str::trim) {
        let result = reach(broker);
        reached |= result.is_ok();
        report.add("broker port", result);
    }
    if !reached {
        return;
    }
    for (what, name) in topics {
        let options = TopicOptions { until_end: false, ..inputs::topic_options(config, name) };
        let topic = Topic::connect(options, &[]);
        let topic = if what == PHONE { topic.map_err(SourceError::of_the_phone) } else { topic };
        report.add(what, topic.map(|topic| format!("`{name}`, {} partitions", topic.partitions())));
    }
}

/// Whether a host and port accept a connection.
fn reach(address: &str) -> Result<String, String> {
    let failed = |reason: std::io::Error| {
        format!("nothing accepts connections at {address} ({reason}); start the broker, or mend --brokers")
    };
    let addresses = address.to_socket_addrs().map_err(failed)?;
    let mut last = std::io::Error::from(std::io::ErrorKind::NotFound);
    for socket in addresses {
        match TcpStream::connect_timeout(&socket, REACH) {
            Ok(_) => return Ok(address.to_owned()),
            Err(error) => last = error,
        }
    }
    Err(failed(last))
}

fn check_database(config: &Config, report: &mut Report) -> Result<(), Error> {
    let tables: Vec<Table> = config
        .active_views()?
        .iter()
        .filter(|view| config.tables.takes(&view.name))
        .map(|view| Table { name: view.table.to_string(), columns: view.columns.to_vec() })
        .collect();
    match store::open(&config.database_url()?) {
        Ok(mut store) => {
            for finding in store.check(&tables) {
                report.add(&finding.what, finding.result);
            }
        }
        Err(error) => report.add("database", Err::<String, _>(error)),
    }
    Ok(())
}
