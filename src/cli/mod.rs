//! The command line: every command and flag. A flag of `run` is a key of the configuration.

pub mod replay;
pub mod simulate;
pub mod top;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::config::origin::{self, Shown};
use crate::config::{self, ConfigError, Job};
use crate::runtime::fault::Passage;
use replay::ReplayArgs;
use simulate::SimulateArgs;
use top::TopArgs;

/// The version, and the commit that it is made from where that is known.
const VERSION: &str = env!("VERSION_WITH_COMMIT");

/// Exact correlations of truck telemetry: from Kafka to SQL and CSV, exactly once.
#[derive(Parser)]
#[command(version = VERSION, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How log lines are written to standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "TRUCKFLOW_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Launch the job: keep the views up to date while readings stream in
    #[command(after_help = RUN)]
    Run(RunArgs),
    /// Send a fixture, or dead letters, into a topic
    #[command(after_help = REPLAY)]
    Replay(ReplayArgs),
    /// Simulate trucks: to a topic, a file or standard output
    #[command(after_help = SIMULATE)]
    Simulate(SimulateArgs),
    /// Measure throughput, latency, memory and start of a job of this configuration, beside the bare consumer
    #[command(after_help = BENCH)]
    Bench(BenchArgs),
    /// Check configuration, brokers, topics, ACLs, a sample of the input, database, privileges, tables and disk: each ok,
    /// or what to do
    #[command(after_help = CHECK)]
    Check(CheckArgs),
    /// Recompute every view from the input by another path, and compare it with tables and files
    #[command(after_help = VERIFY)]
    Verify(CheckArgs),
    /// Draw the job's dataflow as it is built, without any server
    #[command(after_help = EXPLAIN)]
    Explain(ExplainArgs),
    /// Show a running job on the terminal: what it waits for, rate, lag, commits, trucks and their correlations
    #[command(after_help = TOP)]
    Top(TopArgs),
    /// Write a configuration file with every key, or show what is in force and where it comes from
    #[command(after_help = CONFIG)]
    Config(ConfigArgs),
    /// Print what lets a shell complete commands and flags
    #[command(after_help = COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write the manual pages
    #[command(after_help = MAN)]
    Man(ManArgs),
    /// Move what a stopped job has committed, but its rows, to a file and back, or forget it
    #[command(after_help = STATE)]
    State(StateArgs),
}

const RUN: &str = "\
Examples:
  truckflow run --input readings.jsonl --until-end --summary
  truckflow run --brokers kafka:9092 --topic Truck-Data --workers 2 --out /var/lib/truckflow \\
      --database mysql://truckflow@db:3306/KAFKA_DB --set database_password_file=/run/secrets/db
  truckflow run --config job.toml --set settings.above_speed=85

Status 0: done. 1: failed while running. 2: wrong usage or configuration.";
const REPLAY: &str = "\
Examples:
  truckflow replay fixtures/demo/input.jsonl --topic Truck-Data --rate 1000 --loop
  truckflow replay out/dead_letters.csv";
const SIMULATE: &str = "\
Examples:
  truckflow simulate --trucks 5 --records 1000000 --to readings.jsonl
  truckflow simulate --trucks 100 --rate 10000 --to topic --brokers kafka:9092";
const BENCH: &str = "\
Examples:
  truckflow bench --config job.toml
  truckflow bench --config job.toml --records 1000000 --seconds 0 --json";
const CHECK: &str = "\
Examples:
  truckflow check --config job.toml
  truckflow check --brokers kafka:9092 --topic Truck-Data --json";
const VERIFY: &str = "\
Examples, with the job stopped:
  truckflow verify --config job.toml
  truckflow verify --input readings.jsonl --out out --json";
const EXPLAIN: &str = "\
Examples:
  truckflow explain --config job.toml > job.mmd
  truckflow explain --format dot | dot -Tsvg > job.svg";
const TOP: &str = "\
Examples:
  truckflow top
  truckflow top node0:9600 --token-file /run/secrets/token
  truckflow top --once --sort -speed --search truck-7
  truckflow top --json | jq --unbuffered .lag

Keys: q ends; arrows, Page Up, Page Down choose a truck; / searches; n d s f c e r t sort, again: turned around.
Colours are left out where NO_COLOR is set. Status 1: no job answers, or it is gone.";
const CONFIG: &str = "\
Examples:
  truckflow config init job.toml
  truckflow config init | less
  truckflow config show --config job.toml";
const CONFIG_SHOW: &str = "\
The last of these that gives a key is in force: default, file, TRUCKFLOW_… variable, --set, the key's own flag.

Examples:
  truckflow config show --config job.toml
  truckflow config show --config job.toml --set settings.above_speed=85 --json";
const COMPLETIONS: &str = "\
Examples:
  truckflow completions bash > /etc/bash_completion.d/truckflow
  truckflow completions zsh > \"${fpath[1]}/_truckflow\"";
const MAN: &str = "\
Example:
  truckflow man --to /usr/local/share/man/man1 && man truckflow-run";

const STATE: &str = "\
Examples, with the job stopped:
  truckflow state export job.state --config job.toml
  truckflow state reset --config job.toml --yes
  truckflow state import job.state --config job.toml";

/// Of `config`.
#[derive(Args)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What is done with a configuration.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Write a file with every key, commented out: as it is, it says the defaults
    Init(InitArgs),
    /// Show what is in force, and where each value comes from; secrets as ***
    #[command(after_help = CONFIG_SHOW)]
    Show(Box<CheckArgs>),
}

/// Flags of `config init`.
#[derive(Args)]
pub struct InitArgs {
    /// The file to write [default: standard output]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Replace a file that is there
    #[arg(long, requires = "file")]
    pub force: bool,
}

/// Flags of `completions`.
#[derive(Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Flags of `man`.
#[derive(Args)]
pub struct ManArgs {
    /// The folder that they go to
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// Of `state`.
#[derive(Args)]
pub struct StateArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: StateCommand,
}

/// What is done with the state of a job that is stopped.
#[derive(Subcommand)]
pub enum StateCommand {
    /// Write epoch, offsets, lengths of files, views and state to one file; changes nothing
    Export(ExportArgs),
    /// Put an export into a database that does not have the job, of whatever kind
    Import(ImportArgs),
    /// Forget the job; rows of tables and files stay
    Reset(ResetArgs),
}

/// Flags of `state export`.
#[derive(Args)]
pub struct ExportArgs {
    /// The file to write; one that is there is replaced when the new one is whole
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
    /// One JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Flags of `state import`.
#[derive(Args)]
pub struct ImportArgs {
    /// A file that `state export` wrote
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Go on although tables hold more or fewer rows than at the export: you know that they are right
    #[arg(long)]
    pub tables_as_they_are: bool,
    /// One JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Flags of `state reset`.
#[derive(Args)]
pub struct ResetArgs {
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Do it; without this it is only said what would be forgotten
    #[arg(long)]
    pub yes: bool,
    /// One JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Flags of `run`.
#[derive(Args)]
pub struct RunArgs {
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
    /// Show the latest correlations and the files at the end
    #[arg(long)]
    pub summary: bool,
    /// Say at the end what was done as one JSON object, on standard output
    #[arg(long, conflicts_with = "summary")]
    pub json: bool,
    /// End when the process that started it ends: what `bench` starts is not left behind
    #[arg(long, hide = true)]
    pub die_with_parent: bool,
    /// Die as by `kill -9` at a moment, `MOMENT#N` for the Nth time: tests look at what is left
    #[arg(long, hide = true, value_name = "MOMENT")]
    pub die_at: Option<Passage>,
}

/// Flags of `bench`.
///
/// Nothing of the job itself is touched: what is measured runs under a name of its own, in a folder, a
/// database and a topic that are made for it and removed again, all named `truckflow-bench-…`
/// (databases `truckflow_bench_…`). A `kill -9` leaves them behind.
#[derive(Args)]
pub struct BenchArgs {
    /// Which job: its topic or file is read, from its beginning to the end that is there at the start
    #[command(flatten)]
    pub job: JobArgs,
    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Measure throughput on the first N records [default: all that are there]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub records: Option<u64>,
    /// How often throughput and start are measured; medians are compared
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Readings a second that are sent to measure latency
    #[arg(long, value_name = "R", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// How long they are sent, after one second that does not count; 0: no latency is measured
    #[arg(long, value_name = "S", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=86_400))]
    pub seconds: u32,
}

/// Flags of `check`, `verify` and `config show`.
#[derive(Args)]
pub struct CheckArgs {
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
    /// One JSON object instead of lines
    #[arg(long)]
    pub json: bool,
}

/// Flags of `explain`.
#[derive(Args)]
pub struct ExplainArgs {
    /// Which job.
    #[command(flatten)]
    pub job: JobArgs,
    /// The language of the drawing
    #[arg(long, value_enum, default_value_t = Drawing::Mermaid)]
    pub format: Drawing,
    /// Operators, channels and views as one JSON object instead of a drawing
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// How a graph is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drawing {
    /// For Markdown: GitHub and others show it.
    Mermaid,
    /// For Graphviz: `dot -Tsvg`.
    Dot,
}

/// What says which job: a configuration file, and flags over it.
#[derive(Args)]
pub struct JobArgs {
    /// A TOML file; variables TRUCKFLOW_… and flags go over it
    #[arg(long, value_name = "FILE", env = "TRUCKFLOW_CONFIG")]
    pub config: Option<PathBuf>,
    /// The job's name: what its state and offsets are kept under [default: truckflow]
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
    /// Worker threads [default: 1]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Processes that work on the job together, each with --workers threads [default: 1]
    #[arg(long, value_name = "N")]
    pub processes: Option<u32>,
    /// Which of them this is; process 0 holds the sinks and commits [default: 0]
    #[arg(long, value_name = "I")]
    pub process: Option<u32>,
    /// Where they listen to each other: the file's first line, `host:port`, is process 0's, and so on
    #[arg(long, value_name = "FILE")]
    pub hosts: Option<String>,
    /// Need no server: an in-process broker, fed from --input
    #[arg(long)]
    pub embedded: bool,
    /// Read lines of a file instead of Kafka; `-`: standard input
    #[arg(long, value_name = "FILE")]
    pub input: Option<String>,
    /// Kafka brokers; or TRUCKFLOW_BROKERS [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT,…")]
    pub brokers: Option<String>,
    /// Kafka topic; or TRUCKFLOW_TOPIC [default: Truck-Data]
    #[arg(long, value_name = "TOPIC")]
    pub topic: Option<String>,
    /// The folder of the CSV files and truckflow.db [default: out]
    #[arg(long, value_name = "DIR")]
    pub out: Option<String>,
    /// mysql://user:password@host:port/database or sqlite:PATH [default: sqlite:OUT/truckflow.db]
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// The views to keep, separated by commas [default: all]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub views: Option<Vec<String>>,
    /// Stop, after the commit, at the end that was there at the start
    #[arg(long)]
    pub until_end: bool,
    /// Keep trying when broker, topic or database are not there at the start
    #[arg(long)]
    pub wait: bool,
    /// Where /metrics, /healthz and /readyz are, or `off` [default: 127.0.0.1:9600]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// How long an epoch lasts, such as 250ms [default: 1s]
    #[arg(long, value_name = "TIME")]
    pub commit_interval: Option<String>,
    /// Any key of the configuration; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub set: Vec<(String, String)>,
}

fn key_value(text: &str) -> Result<(String, String), &'static str> {
    let (key, value) = text.split_once('=').ok_or("give KEY=VALUE")?;
    Ok((key.trim().to_owned(), value.trim().to_owned()))
}

impl JobArgs {
    /// The configuration: file, variables, flags.
    pub fn load(&self) -> Result<Job, ConfigError> {
        Job::load(self.config.as_deref(), config::variables()?.into_iter(), self.keys())
    }

    /// The configuration's values, and where each comes from.
    pub fn origins(&self) -> Result<Vec<Shown>, ConfigError> {
        let written = |at: usize, key: &str| match at < self.set.len() {
            true => "--set".to_owned(),
            false => format!("--{}", key.strip_prefix("kafka.").unwrap_or(key).replace('_', "-")),
        };
        let keys = self.keys().into_iter().enumerate();
        let flags = keys.map(|(at, (key, value))| (key.clone(), value, written(at, &key))).collect();
        origin::shown(self.config.as_deref(), &config::variables()?, flags)
    }

    /// What `--set`, and then the other flags, say of keys.
    fn keys(&self) -> Vec<(String, toml::Value)> {
        use toml::Value::{Array, Boolean, Integer, String};
        let mut keys = Vec::new();
        for (key, value) in &self.set {
            keys.push((key.clone(), config::value_of(key, value)));
        }
        let mut text = |key: &str, value: &Option<std::string::String>| {
            keys.extend(value.iter().map(|value| (key.to_owned(), String(value.clone()))));
        };
        text("job", &self.job);
        text("input", &self.input);
        text("kafka.brokers", &self.brokers);
        text("kafka.topic", &self.topic);
        text("out", &self.out);
        text("hosts", &self.hosts);
        text("database", &self.database);
        text("listen", &self.listen);
        text("commit_interval", &self.commit_interval);
        for (key, on) in [("embedded", self.embedded), ("until_end", self.until_end), ("wait", self.wait)] {
            keys.extend(on.then(|| (key.to_owned(), Boolean(true))));
        }
        for (key, number) in
            [("workers", self.workers), ("processes", self.processes), ("process", self.process)]
        {
            keys.extend(number.map(|number| (key.to_owned(), Integer(number.into()))));
        }
        keys.extend(self.views.as_ref().map(|views| {
            ("views".to_owned(), Array(views.iter().map(|view| String(view.trim().to_owned())).collect()))
        }));
        keys
    }
}

/// The flag of `run` that sets a key of the configuration, besides `--set`.
pub fn flag_of(key: &str) -> Option<String> {
    let id = key.strip_prefix("kafka.").unwrap_or(key);
    let command = Cli::command();
    let run = command.find_subcommand("run")?;
    let long = run.get_arguments().find(|argument| argument.get_id() == id)?.get_long()?;
    Some(format!("--{long}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::reference;

    /// Says what to do with the page: `write` makes it what the code says.
    const VARIABLE: &str = "TRUCKFLOW_CONFIGURATION";
    const COMMAND: &str = "TRUCKFLOW_CONFIGURATION=write cargo test --locked --release --lib cli";

    #[test]
    fn the_page_of_the_configuration_says_what_the_code_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        if std::env::var(VARIABLE).is_ok_and(|value| value == "write") {
            std::fs::write(path, reference::page(flag_of)).unwrap();
        } else {
            let written = std::fs::read_to_string(path).unwrap();
            assert_eq!(written, reference::page(flag_of), "update docs/configuration.md with `{COMMAND}`");
        }
    }
}
