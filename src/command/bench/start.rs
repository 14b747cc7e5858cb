//! Time from the process start to the first commit, for a new job and for a restart. The few readings come through
//! the embedded broker, so that only the database differs.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use dataflows::views::Mode;
use serde::Serialize;

use super::child::Job;
use super::error::BenchError;
use super::figures::median;
use super::scratch::{Folder, Place, name};
use super::subject::{Bench, of_text, simulated};
use crate::cli::simulate::{Destination, SimulateArgs};
use crate::command::error::Error;
use crate::command::simulate;
use crate::config::Config;
use crate::kafka::topics::Topics;
use crate::runtime::print;

/// Readings per start and restart.
const RECORDS: u64 = 1000;

/// The results, as medians.
#[derive(Debug, Serialize)]
pub(super) struct Start {
    /// The database.
    pub(super) database: String,
    pub(super) first_commit_ms: f64,
    pub(super) restart_first_commit_ms: f64,
}

/// Measures with SQLite and with the job's database.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Vec<Start>, Error> {
    let folder = Folder::create(&bench.job.out, &name())?;
    let readings = folder.path().join("readings");
    let args = SimulateArgs { records: 2 * RECORDS, to: Destination::File(readings.clone()), ..simulated() };
    simulate::run_until(&args, &[], bench.stop)?;
    let cannot = |source| BenchError::Folder { path: readings.clone(), source };
    let text = std::fs::read_to_string(&readings).map_err(cannot)?;
    let half = text.match_indices('\n').nth(RECORDS as usize - 1).map_or(text.len(), |(at, _)| at + 1);
    let (first, second) = text.split_at(half);

    let mut embedded = Config {
        embedded: true,
        until_end: true,
        mode: Mode::Append,
        key_separator: None,
        message: of_text(&bench.job.message),
        database: None,
        ..bench.job.config().clone()
    };
    embedded.kafka.topic = Topics::named(&name());
    let mut starts = vec![measure_one(bench, &embedded, folder.path(), [first, second])?];
    if let Some(database) = &bench.job.database {
        let config = Config { database: Some(database.clone()), ..embedded };
        starts.push(measure_one(bench, &config, folder.path(), [first, second])?);
    }
    Ok(starts)
}

fn measure_one(
    bench: &Bench<'_>,
    config: &Config,
    folder: &Path,
    readings: [&str; 2],
) -> Result<Start, Error> {
    let input = folder.join("input");
    let cannot = |source| BenchError::Folder { path: input.clone(), source };
    let mut database = String::from("SQLite");
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for _ in 0..bench.args.runs {
        let _ = std::fs::remove_file(&input);
        let config = Config { input: Some(input.display().to_string()), ..config.clone() };
        let place = Place::create(&config)?;
        for (readings, times) in readings.iter().zip([&mut first, &mut again]) {
            let mut file = OpenOptions::new().create(true).append(true).open(&input).map_err(cannot)?;
            file.write_all(readings.as_bytes()).map_err(cannot)?;
            let mut job = Job::start(&place.config)?;
            job.follow(bench.stop, |_| false)?;
            let took = job.log().to_first_commit().ok_or(BenchError::NothingCommitted)?;
            times.push(took.as_secs_f64() * 1e3);
        }
        if let Some(server) = &place.server {
            database.clone_from(server);
        }
    }
    let start = Start {
        database,
        first_commit_ms: median(first.into_iter()),
        restart_first_commit_ms: median(again.into_iter()),
    };
    print::note(format_args!(
        "start: {:.0} ms to the first commit, {}",
        start.first_commit_ms, start.database
    ));
    Ok(start)
}
