//! `truckflow bench`: benchmarks the user's own broker, database and messages.
//!
//! ```text
//! throughput  bare consumers, then the job as a child process, over the same messages
//! latency     simulator -> scratch topic -> the job, which logs when each offset was committed
//! start       from the process start to the first commit, with few readings
//! ```
//!
//! | module | contains |
//! |---|---|
//! | [`throughput`], [`latency`], [`start`] | the measurements |
//! | [`bare`] | baseline readers that only count |
//! | [`child`] | the job as a child process, followed through its log |
//! | [`scratch`] | temporary folders, databases and topics |
//! | [`subject`], [`figures`] | the measured configuration, and the numbers of a run |
//! | [`report`] | the report, as text and as JSON |
//!
//! The user's job, tables and files are never opened; only the input is read.

mod bare;
mod child;
pub mod error;
mod figures;
mod latency;
mod report;
mod scratch;
mod start;
mod subject;
mod throughput;

use self::error::BenchError;
use self::report::{Machine, Measured, Report};
use self::subject::Bench;
use crate::cli::BenchArgs;
use crate::command::error::Error;
use crate::config::Job;
use crate::job::options::topic_options_now;
use crate::kafka::topics::Topics;
use crate::runtime::print;
use crate::runtime::stop::{Hangup, Stop};
use crate::source::file::full_path;
use crate::source::kafka::{Start, existing};

/// Runs the benchmark and prints the report.
pub fn run(args: &BenchArgs) -> Result<(), Error> {
    let job = isolated(&with_names(args.job.load()?)?)?;
    let stop = Stop::on_signals(Hangup::Stops)?;
    let bench = Bench { args, job, stop: &stop };
    let has_latency = args.seconds > 0 && bench.job.input.is_none();
    if has_latency && !bench.accepts_simulated() {
        return Err(BenchError::OtherReadings.into());
    }
    let measured = Measured {
        throughput: throughput::measure(&bench)?,
        latency: if has_latency { Some(latency::measure(&bench)?) } else { None },
        start: start::measure(&bench)?,
    };
    let report = Report::new(&bench, Machine::inspect(), measured);
    match args.json {
        true => report.print_json(),
        false => Ok(print::out(report)?),
    }
}

/// The job with the topics that match now in place of patterns, so that all parts of the benchmark read the same ones.
fn with_names(job: Job) -> Result<Job, Error> {
    if job.input.is_some() || job.kafka.topic.patterns().next().is_none() {
        return Ok(job);
    }
    let names = existing(topic_options_now(&job, job.kafka.topic.clone())?)?;
    let mut config = job.config().clone();
    if let Ok(topics) = Topics::parse(names.iter().map(String::as_str)) {
        config.kafka.topic = topics;
    }
    Ok(Job::try_from(config)?)
}

/// A job that touches nothing but the input of `job`.
fn isolated(job: &Job) -> Result<Job, Error> {
    let mut config = job.config().clone();
    match config.input.as_deref() {
        Some("-") => return Err(BenchError::Unrepeatable.into()),
        Some(path) => config.input = Some(full_path(path)),
        None => {}
    }
    config.dead_letters.topic = None;
    config.kafka.start = Start::Earliest.to_string();
    config.listen = "off".into();
    config.wait = false;
    config.until_end = false;
    // The user's group keeps the offsets of the user's job.
    config.kafka.properties.remove("group.id");
    Ok(Job::try_from(config)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::runtime::secret::ExposeSecret;

    #[test]
    fn a_measured_job_touches_nothing_but_its_input() {
        let toml = r#"
            builtin_views = ["above_speed"]
            dead_letters.topic = "letters"
            [kafka.properties]
            group.id = "mine"
            security.protocol = "plaintext"
        "#;
        let job = isolated(&Job::read(toml, "", std::iter::empty(), Vec::new()).unwrap()).unwrap();
        assert_eq!(job.kafka_properties().unwrap().names().collect::<Vec<_>>(), ["security.protocol"]);
        assert!(job.dead_letters.topic.is_none());
        let names: Vec<&str> = job.active_views.iter().map(|view| &*view.name).collect();
        assert_eq!(names, ["above_speed", "dead_letters"]);
        // The child process gets the same configuration.
        let parsed: Config = toml::from_str(job.exposed().unwrap().expose_secret()).unwrap();
        assert_eq!(format!("{parsed:?}"), format!("{job:?}"));
    }
}
