//! The report, as a table and as one JSON object, with a description of the machine.

use std::fmt;
use std::time::SystemTime;

use serde::Serialize;

use super::figures::rate;
use super::latency::Latency;
use super::start::Start;
use super::subject::Bench;
use super::throughput::Throughput;
use crate::command::error::Error;
use crate::runtime::failure::Bug;
use crate::runtime::print;
use crate::runtime::process::kib;
use crate::runtime::secret::hidden;

const MIB: f64 = 1048576.0;

/// The results of all measurements.
#[derive(Debug, Serialize)]
pub(super) struct Measured {
    pub(super) throughput: Throughput,
    /// None for a file, or if the measurement was skipped.
    pub(super) latency: Option<Latency>,
    pub(super) start: Vec<Start>,
}

/// The whole report.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    date: String,
    command: String,
    truckflow: &'static str,
    librdkafka: String,
    machine: Machine,
    source: String,
    workers: usize,
    views: Vec<String>,
    #[serde(flatten)]
    measured: Measured,
}

/// The machine.
#[derive(Debug, Serialize)]
pub(super) struct Machine {
    cores: usize,
    memory_bytes: u64,
    kernel: String,
}

impl Machine {
    pub(super) fn inspect() -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            cores: std::thread::available_parallelism().map_or(1, Into::into),
            memory_bytes: kib(&read("/proc/meminfo"), "MemTotal:"),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

impl Report {
    pub(super) fn new(bench: &Bench<'_>, machine: Machine, measured: Measured) -> Self {
        Self {
            date: humantime::format_rfc3339_seconds(SystemTime::now()).to_string(),
            command: std::env::args_os()
                .map(|arg| hidden(&arg.to_string_lossy()))
                .collect::<Vec<_>>()
                .join(" "),
            truckflow: env!("CARGO_PKG_VERSION"),
            librdkafka: rdkafka::util::get_rdkafka_version().1,
            machine,
            source: bench.source(),
            workers: bench.job.workers,
            views: bench.job.active_views.iter().map(|view| view.name.to_string()).collect(),
            measured,
        }
    }

    pub(super) fn print_json(&self) -> Result<(), Error> {
        let json = serde_json::to_string_pretty(self).map_err(|_| Bug("the report as JSON"))?;
        Ok(print::line(json)?)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, truckflow, librdkafka, machine, source, workers, views, measured, .. } = self;
        let memory = machine.memory_bytes as f64 / MIB / 1024.0;
        writeln!(f, "{date}: {} cores, {memory:.1} GiB, kernel {}", machine.cores, machine.kernel)?;
        writeln!(f, "truckflow {truckflow}, librdkafka {librdkafka}")?;
        let Measured { throughput, latency, start } = measured;
        let records = throughput.job.first().map_or(0, |job| job.run.records);
        writeln!(f, "{source}, {} records; {} views, {workers} workers", rate(records as f64), views.len())?;

        writeln!(f, "\n{:<40} {:>14}  runs", "throughput, median", "records/s")?;
        let mut line = |name: &str, median: f64, runs: &mut dyn Iterator<Item = f64>| {
            let runs: Vec<String> = runs.map(rate).collect();
            writeln!(f, "  {name:<38} {:>14}  {}", rate(median), runs.join(" "))
        };
        for bare in &throughput.bare {
            let mut runs = bare.runs.iter().map(|run| run.records_per_second);
            line(bare.way.describe(), bare.records_per_second, &mut runs)?;
        }
        let mut runs = throughput.job.iter().map(|job| job.run.records_per_second);
        line("the job", throughput.job_records_per_second, &mut runs)?;
        let compared = throughput.compared_with.describe();
        writeln!(f, "  {:<38} {:>14.3}  of {compared}", "the job, as a fraction", throughput.ratio)?;
        writeln!(
            f,
            "  {:<38} {:>14.1}  MiB",
            "the job's peak memory",
            throughput.peak_memory_bytes as f64 / MIB
        )?;

        match latency {
            None => writeln!(f, "\nlatency was not measured; it requires a topic and --seconds above 0")?,
            Some(latency) => {
                writeln!(
                    f,
                    "\nlatency, from record to committed row: {} records/s for {} s, commit interval {}",
                    rate(latency.records_per_second.into()),
                    latency.seconds,
                    latency.commit_interval
                )?;
                let percentiles = [
                    ("p50", latency.p50_ms),
                    ("p90", latency.p90_ms),
                    ("p99", latency.p99_ms),
                    ("p99.9", latency.p99_9_ms),
                    ("max", latency.max_ms),
                ];
                for (name, ms) in percentiles {
                    writeln!(f, "  {name:<38} {ms:>14.1}  ms")?;
                }
                let mib = latency.peak_memory_bytes as f64 / MIB;
                writeln!(f, "  {:<38} {mib:>14.1}  MiB", "the job's peak memory")?;
            }
        }

        writeln!(f, "\n{:<40} {:>14}  restart, ms", "process start to first commit", "ms")?;
        for start in start {
            writeln!(
                f,
                "  {:<38} {:>14.0}  {:.0}",
                start.database, start.first_commit_ms, start.restart_first_commit_ms
            )?;
        }
        writeln!(
            f,
            "  {:<38} {:>14.0}  {:.0}, to the first read",
            "the job, on its input", throughput.start_to_first_commit_ms, throughput.restart_to_reading_ms
        )
    }
}
