//! Throughput and memory of the job over its whole input, compared with baseline readers that only count the same
//! messages.

use serde::Serialize;

use super::bare::{self, Span, Way};
use super::child::{Job, JobLog};
use super::error::BenchError;
use super::figures::{Run, median, rate};
use super::scratch::Place;
use super::subject::Bench;
use crate::command::error::Error;
use crate::job::options::topic_options_now;
use crate::runtime::print;
use crate::source::kafka::{Beginning, TopicOptions, TopicSet};

/// The result.
#[derive(Debug, Serialize)]
pub(super) struct Throughput {
    /// The baseline readers.
    pub(super) bare: Vec<Bare>,
    /// The fastest of them.
    pub(super) compared_with: Way,
    pub(super) job: Vec<JobRun>,
    pub(super) job_records_per_second: f64,
    /// The job's median records per second, divided by those of the fastest baseline.
    pub(super) ratio: f64,
    pub(super) peak_memory_bytes: u64,
    /// From the process start to the first commit, which ends an epoch.
    pub(super) start_to_first_commit_ms: f64,
    /// From the process start until it reads, if everything is already committed.
    pub(super) restart_to_reading_ms: f64,
}

/// The runs of a baseline reader.
#[derive(Debug, Serialize)]
pub(super) struct Bare {
    pub(super) way: Way,
    pub(super) runs: Vec<Run>,
    pub(super) records_per_second: f64,
}

/// One run of the job.
#[derive(Debug, Serialize)]
pub(super) struct JobRun {
    #[serde(flatten)]
    pub(super) run: Run,
    pub(super) dead_letters: u64,
    pub(super) peak_memory_bytes: u64,
    pub(super) start_to_first_commit_ms: f64,
}

/// The input.
enum Input {
    Topics { options: TopicOptions, ends: Vec<dataflows::item::NextOffset>, records: u64 },
    File { path: String, records: u64 },
}

impl Input {
    fn find(bench: &Bench<'_>) -> Result<Self, Error> {
        let limit = bench.args.records.unwrap_or(u64::MAX);
        let config = &bench.job;
        if let Some(path) = &config.input {
            let records = bare::lines(path, limit, bench.stop)?.records.min(limit);
            return Ok(Self::File { path: path.clone(), records });
        }
        let options = topic_options_now(config, config.kafka.topic.clone())?;
        let options = TopicOptions { until_end: true, ..options };
        let topics = TopicSet::connect(options.clone(), Beginning::default())?;
        let (starts, mut ends) = (topics.starts(), topics.ends());
        // The limit is divided evenly among the partitions, as far as each has records.
        let (mut left, mut partitions) = (limit, ends.len() as u64);
        let mut order: Vec<usize> = (0..ends.len()).collect();
        order.sort_by_key(|&at| ends[at].offset - starts[at].offset);
        for at in order {
            let there = (ends[at].offset - starts[at].offset) as u64;
            let share = there.min(left / partitions);
            ends[at].offset = starts[at].offset + share as i64;
            left -= share;
            partitions -= 1;
        }
        let records = Span { options: &options, ends: &ends, threads: config.workers }.offsets(&starts);
        Ok(Self::Topics { options, ends, records })
    }

    fn records(&self) -> u64 {
        match self {
            Self::Topics { records, .. } | Self::File { records, .. } => *records,
        }
    }

    fn ways(&self) -> &'static [Way] {
        match self {
            Self::Topics { options, .. } if options.topics.single().is_some() => &[Way::Batch, Way::Poll],
            Self::Topics { .. } => &[Way::Batch],
            Self::File { .. } => &[Way::Lines],
        }
    }

    fn count(&self, way: Way, bench: &Bench<'_>) -> Result<Run, Error> {
        match self {
            Self::Topics { options, ends, .. } => {
                Span { options, ends, threads: bench.job.workers }.read(way, bench.stop)
            }
            Self::File { path, records } => bare::lines(path, *records, bench.stop),
        }
    }
}

/// Measures the throughput.
pub(super) fn measure(bench: &Bench<'_>) -> Result<Throughput, Error> {
    let input = Input::find(bench)?;
    let records = input.records();
    if records == 0 {
        return Err(BenchError::Empty(bench.source()).into());
    }
    let mut bare: Vec<Bare> =
        input.ways().iter().map(|&way| Bare { way, runs: Vec::new(), records_per_second: 0.0 }).collect();
    let (mut job, mut restart) = (Vec::new(), 0.0);
    for round in 1..=bench.args.runs {
        for side in &mut bare {
            let run = input.count(side.way, bench)?;
            let way = side.way.describe();
            print::note(format_args!("run {round}: {} records/s, {way}", rate(run.records_per_second)));
            side.runs.push(run);
        }
        let place = Place::create(&bench.job)?;
        let run = run_job(bench, &place, records)?;
        print::note(format_args!("run {round}: {} records/s, the job", rate(run.run.records_per_second)));
        job.push(run);
        if round == bench.args.runs {
            restart = restart_job(bench, &place)?;
        }
    }
    for side in &mut bare {
        side.records_per_second = median(side.runs.iter().map(|run| run.records_per_second));
    }
    let fastest = bare.iter().max_by(|a, b| a.records_per_second.total_cmp(&b.records_per_second));
    let (way, fastest) = fastest.map_or((Way::Lines, 0.0), |side| (side.way, side.records_per_second));
    let job_records_per_second = median(job.iter().map(|run| run.run.records_per_second));
    Ok(Throughput {
        compared_with: way,
        job_records_per_second,
        ratio: job_records_per_second / fastest,
        peak_memory_bytes: median(job.iter().map(|run| run.peak_memory_bytes as f64)) as u64,
        start_to_first_commit_ms: median(job.iter().map(|run| run.start_to_first_commit_ms)),
        restart_to_reading_ms: restart,
        bare,
        job,
    })
}

/// Runs the job until it has committed `records` records.
fn run_job(bench: &Bench<'_>, place: &Place, records: u64) -> Result<JobRun, Error> {
    let config = crate::config::Config { until_end: true, ..place.config.clone() };
    let mut job = Job::start(&config)?;
    let enough = |log: &JobLog| log.messages() >= records;
    job.follow(bench.stop, enough)?;
    let log = job.finish()?;
    // Commits after that, while the job stops, do not count.
    let last = log.commits.iter().find(|commit| commit.messages >= records).or(log.commits.last());
    let (Some(last), Some(reading)) = (last, log.reading) else {
        return Err(BenchError::NothingCommitted.into());
    };
    let seconds = last.at.duration_since(reading).unwrap_or_default().as_secs_f64();
    Ok(JobRun {
        run: Run::of(last.messages, seconds),
        dead_letters: log.dead_letters,
        peak_memory_bytes: log.peak_memory,
        start_to_first_commit_ms: log.to_first_commit().unwrap_or_default().as_secs_f64() * 1e3,
    })
}

/// Restarts the job after everything is committed, and measures the time until it reads.
fn restart_job(bench: &Bench<'_>, place: &Place) -> Result<f64, Error> {
    let mut job = Job::start(&crate::config::Config { until_end: true, ..place.config.clone() })?;
    job.follow(bench.stop, |log| log.reading.is_some())?;
    let log = job.finish()?;
    Ok(log.to_reading().unwrap_or_default().as_secs_f64() * 1e3)
}
