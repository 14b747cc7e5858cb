//! `truckflow bench`: what a user's own broker, database and messages give.
//!
//! ```text
//! throughput  bare consumers, and the job in a process of its own, over the same messages in turn
//! latency     simulator -> scratch topic -> the job, which says when each offset was committed
//! start       a process over a few readings, to its first commit
//! ```
//!
//! | module | holds |
//! |---|---|
//! | [`throughput`], [`latency`], [`start`] | what is measured |
//! | [`bare`] | readers that only count |
//! | [`child`] | a job in a process of its own, told by its log |
//! | [`scratch`] | folders, databases and topics that are removed again |
//! | [`subject`], [`figures`] | what is measured, and the numbers of a run |
//! | [`report`] | the numbers, as text and as JSON |
//!
//! The user's job, tables and files are never opened: only his topic or file is read.

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
use crate::config::defined::ViewEntry;
use crate::config::{Config, Job, Orientation};
use crate::runtime::print;
use crate::runtime::stop::{Hangup, Stop};
use crate::source::file::full_path;

/// Measures, and prints what was found.
pub fn run(args: &BenchArgs) -> Result<(), Error> {
    let config = args.job.load()?;
    let stop = Stop::on_signals(Hangup::Stops)?;
    let bench = Bench { args, config: alone(&config)?, stop: &stop };
    let measured = Measured {
        throughput: throughput::measure(&bench)?,
        latency: match args.seconds > 0 && bench.config.input.is_none() {
            true => Some(latency::measure(&bench)?),
            false => None,
        },
        start: start::measure(&bench)?,
    };
    let report = Report::new(&bench, Machine::look(), measured)?;
    match args.json {
        true => report.print_json(),
        false => Ok(print::out(report)?),
    }
}

/// The configuration of a job that reaches nothing but what it reads.
fn alone(job: &Job) -> Result<Config, Error> {
    if !job.reads.trucks {
        return Err(BenchError::NoTrucks.into());
    }
    let mut config = job.config().clone();
    match config.input.as_deref() {
        Some("-") => return Err(BenchError::Unrepeatable.into()),
        Some(path) => config.input = Some(full_path(path)),
        None => {}
    }
    let is_phone = |name: &str| name == dataflows::views::ORIENTATION;
    config.views.retain(|entry| !matches!(entry, ViewEntry::Name(name) if is_phone(name)));
    config.selected.retain(|name| !is_phone(name));
    config.orientation = Orientation::default();
    config.dead_letters.topic = None;
    config.listen = "off".into();
    config.wait = false;
    config.until_end = false;
    // The user's group keeps telling how far his own job is.
    config.kafka.properties.remove("group.id");
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::secret::ExposeSecret;

    #[test]
    fn a_measured_job_reaches_nothing_but_its_input() {
        let toml = r#"
            views = ["above_speed", "orientation", { name = "hot", columns = ["truck_id"] }]
            dead_letters.topic = "letters"
            orientation.topic = "phone"
            [kafka.properties]
            group.id = "mine"
            security.protocol = "plaintext"
        "#;
        let config = alone(&Job::read(toml, "", std::iter::empty(), Vec::new()).unwrap()).unwrap();
        assert_eq!(config.kafka_properties().unwrap().names().collect::<Vec<_>>(), ["security.protocol"]);
        assert!(config.dead_letters.topic.is_none() && config.orientation.topic.is_none());
        let names: Vec<String> = Job::try_from(config.clone())
            .unwrap()
            .active_views
            .into_iter()
            .map(|view| view.name.into())
            .collect();
        assert_eq!(names, ["above_speed", "hot", "dead_letters"]);
        // What the child is given says the same.
        let told: Config = toml::from_str(config.exposed().unwrap().expose_secret()).unwrap();
        assert_eq!(format!("{told:?}"), format!("{config:?}"));
    }
}
