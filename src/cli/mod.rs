//! The command line: every command and flag. A flag of `run` is a key of the configuration.

pub mod properties;
pub mod replay;
mod setting;
pub mod simulate;
pub mod top;

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use self::setting::setting;
use crate::config::origin::{self, Shown};
use crate::config::{self, ConfigError, Job};
use crate::runtime::fault::Passage;
use replay::ReplayArgs;
use simulate::SimulateArgs;
use top::TopArgs;

/// The version, with the commit it was built from, if known.
const VERSION: &str = env!("VERSION_WITH_COMMIT");

/// Exact correlations of truck telemetry: from Kafka to SQL and CSV, exactly once.
#[derive(Parser)]
#[command(version = VERSION, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
    /// Format of the log on standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "TRUCKFLOW_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// The log format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Human-readable lines.
    Text,
    /// One JSON object per line.
    Json,
}

/// The commands.
#[derive(Subcommand)]
pub enum Command {
    /// Run the job: keep the views up to date as readings arrive
    #[command(after_help = RUN)]
    Run(RunArgs),
    /// Send the lines of a file, or dead letters, to a Kafka topic
    #[command(after_help = REPLAY)]
    Replay(ReplayArgs),
    /// Generate simulated truck readings to a topic, a file or standard output
    #[command(after_help = SIMULATE)]
    Simulate(SimulateArgs),
    /// Benchmark this configuration: throughput compared with a bare consumer, latency, memory and start-up time
    #[command(after_help = BENCH)]
    Bench(BenchArgs),
    /// Dry run: check configuration, brokers, topics, ACLs, a sample of the input, database, privileges, tables and
    /// disk; report `ok` or a fix for each
    #[command(after_help = CHECK)]
    Check(CheckArgs),
    /// Verify the results: recompute every view from the input independently, and compare it with tables and files
    #[command(after_help = VERIFY)]
    Verify(CheckArgs),
    /// Test views: run each case of a folder, and compare its tables with the expected rows
    #[command(after_help = TEST)]
    Test(TestArgs),
    /// Draw the job's dataflow graph; needs no broker or database
    #[command(after_help = EXPLAIN)]
    Explain(ExplainArgs),
    /// Monitor a running job in the terminal: status, rate, lag, commits, trucks and their correlations
    #[command(after_help = TOP)]
    Top(TopArgs),
    /// Write a configuration template, or show the effective settings and where they come from
    #[command(after_help = CONFIG)]
    Config(ConfigArgs),
    /// Print a shell completion script
    #[command(after_help = COMPLETIONS)]
    Completions(CompletionsArgs),
    /// Write the manual pages
    #[command(after_help = MAN)]
    Man(ManArgs),
    /// Export, import or reset the committed state of a stopped job (without its rows)
    #[command(after_help = STATE)]
    State(StateArgs),
}

const RUN: &str = "\
Examples:
  truckflow run --input readings.jsonl --until-end --summary
  truckflow run --brokers kafka:9092 --topic Truck-Data --workers 2 --out /var/lib/truckflow \\
      --database mysql://truckflow@db:3306/KAFKA_DB --set database_password_file=/run/secrets/db
  truckflow run --config job.toml --set parameters.above_speed=85
  truckflow run --sql views.sql --input readings.jsonl --print trips

Exit status: 0 done, 1 failed while running, 2 wrong usage or configuration.";
const REPLAY: &str = "\
Examples:
  truckflow replay fixtures/demo/input.jsonl --topic Truck-Data --rate 1000 --loop
  truckflow replay out/dead_letters.csv
  truckflow replay corrected.csv --parts --config job.toml
  truckflow replay --explain '{\"timestamp\": 1681088547}' --config job.toml
  truckflow replay --explain kafka:0/17 --config job.toml

Exit status: 0 all sent, or the message is read; 1 failed, or the message would be a dead letter; 2 wrong usage.";
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
const TEST: &str = "\
A case is a folder with views.sql, one input, such as input.jsonl, an optional job.toml, and expected/TABLE.csv: a header
with the columns to compare, and the rows in any order, as in CSV files of a job. All readings are one epoch.

Examples:
  truckflow test cases
  truckflow test cases/trips --update

Exit status: 0 all as expected, 1 some differ, 2 wrong usage or configuration.";
const TOP: &str = "\
Examples:
  truckflow top
  truckflow top node0:9600 --token-file /run/secrets/token
  truckflow top --once --sort -speed --search truck-7
  truckflow top --json | jq --unbuffered .lag

Keys: q quits; arrows, Page Up, Page Down select a truck; / searches; n d s f c e r t sort, pressed again reverse.
v lists the views, Enter shows the rows of one: 1 to 9 sort by a column, 0 shows the last changed first, Esc goes back.
Set NO_COLOR to disable colours. Exit status 1: no job answers, or the connection to it was lost.";
const CONFIG: &str = "\
Examples:
  truckflow config init job.toml
  truckflow config init job.toml --from-topic vehicle-data --brokers kafka:9092
  truckflow config show --config job.toml";
const CONFIG_INIT: &str = "\
Examples:
  truckflow config init job.toml
  truckflow config init job.toml --from-topic vehicle-data --brokers kafka:9092
  truckflow config init --from-file readings.jsonl --sample 10000

With --from-topic or --from-file it looks at some messages and proposes [message] and [record]: where the readings
are, their fields, event time and key. It prints how many of the readings the proposal accepts.";
const CONFIG_SHOW: &str = "\
Precedence, lowest first: default, file, TRUCKFLOW_… variable, --set, the key's own flag.

Examples:
  truckflow config show --config job.toml
  truckflow config show --config job.toml --set parameters.above_speed=85 --json";
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

/// Arguments of `config`.
#[derive(Args)]
pub struct ConfigArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// The subcommands of `config`.
#[derive(Subcommand)]
pub enum ConfigCommand {
    /// Write a configuration file with every key and its default, commented out, or one that is proposed from messages
    #[command(after_help = CONFIG_INIT)]
    Init(InitArgs),
    /// Show the effective settings and where they come from; secrets are shown as ***
    #[command(after_help = CONFIG_SHOW)]
    Show(Box<CheckArgs>),
}

/// Flags of `config init`.
#[derive(Args)]
pub struct InitArgs {
    /// The file to write [default: standard output]
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Overwrite an existing file
    #[arg(long, requires = "file")]
    pub force: bool,
    /// Write the built-in views, in SQL, instead of all keys
    #[arg(long, conflicts_with = "from")]
    pub views: bool,
    /// Propose how to read the messages of this topic, instead of writing all keys
    #[arg(long, value_name = "TOPIC", group = "from")]
    pub from_topic: Option<String>,
    /// Propose how to read the lines of this file, instead of writing all keys
    #[arg(long, value_name = "FILE", group = "from")]
    pub from_file: Option<String>,
    /// How many messages to look at
    #[arg(long, value_name = "N", default_value_t = 1000, requires = "from",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub sample: u32,
    /// Kafka brokers; or TRUCKFLOW_BROKERS [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT,…", requires = "from_topic")]
    pub brokers: Option<String>,
    /// URL of the schema registry, if messages begin with the id of a schema
    #[arg(long, value_name = "URL", requires = "from")]
    pub registry: Option<String>,
    /// A configuration file with the connection to Kafka; TRUCKFLOW_… variables and flags override it
    #[arg(long, value_name = "FILE", requires = "from_topic")]
    pub config: Option<PathBuf>,
    /// Set a configuration key, such as kafka.properties.security.protocol; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting, requires = "from_topic")]
    pub set: Vec<(String, String)>,
}

impl InitArgs {
    /// The configuration with the connection to a topic: file, variables, flags.
    pub fn load(&self, topic: &str) -> Result<Job, ConfigError> {
        let mut keys: Vec<(String, toml::Value)> =
            self.set.iter().map(|(key, value)| (key.clone(), config::value_of(key, value))).collect();
        let mut text = |key: &str, value: &str| keys.push((key.into(), toml::Value::String(value.into())));
        self.brokers.iter().for_each(|brokers| text("kafka.brokers", brokers));
        text("kafka.topic", topic);
        if let Some(registry) = &self.registry {
            // So that keys of its login can be set.
            text("message.registry", registry);
            text("message.format", "json");
        }
        Job::load(self.config.as_deref(), config::variables()?.into_iter(), keys)
    }
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
    /// The folder to write them to
    #[arg(long, value_name = "DIR")]
    pub to: PathBuf,
}

/// Arguments of `state`.
#[derive(Args)]
pub struct StateArgs {
    /// The subcommand.
    #[command(subcommand)]
    pub command: StateCommand,
}

/// The subcommands of `state`.
#[derive(Subcommand)]
pub enum StateCommand {
    /// Write epoch, offsets, file lengths, view definitions and state to one file; read-only
    Export(ExportArgs),
    /// Load an export into a database of any kind that does not have the job yet
    Import(ImportArgs),
    /// Delete the job's state and offsets; table rows and files stay
    Reset(ResetArgs),
}

/// Flags of `state export`.
#[derive(Args)]
pub struct ExportArgs {
    /// The file to write; an existing file is replaced atomically
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
    /// Import even if table row counts differ from the export; use it if you know that they are correct
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
    /// Confirm; without this flag, only print what would be deleted
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
    /// Print the latest correlations and the files at the end
    #[arg(long)]
    pub summary: bool,
    /// Print a summary as one JSON object on standard output at the end
    #[arg(long, conflicts_with = "summary")]
    pub json: bool,
    /// Run once up to the end of the input, without files and database, and print the tables of these views
    #[arg(long, value_name = "VIEW", value_delimiter = ',', conflicts_with_all = ["summary", "json"])]
    pub print: Vec<String>,
    /// Exit with the parent process, so that `bench` leaves no job behind
    #[arg(long, hide = true)]
    pub die_with_parent: bool,
    /// Write events as JSON lines to this file descriptor, for `bench`
    #[arg(long, hide = true, value_name = "FD")]
    pub events: Option<u32>,
    /// Abort as with `kill -9` at a fault point, `MOMENT#N` for its Nth time; for tests
    #[arg(long, hide = true, value_name = "MOMENT")]
    pub die_at: Option<Passage>,
}

/// Flags of `test`.
#[derive(Args)]
pub struct TestArgs {
    /// Cases, or folders with cases
    #[arg(required = true, value_name = "DIR")]
    pub folders: Vec<PathBuf>,
    /// Write what was found as what is expected
    #[arg(long)]
    pub update: bool,
    /// Worker threads [default: 1]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
}

/// Flags of `bench`.
///
/// The job itself is not touched: the benchmark runs under its own name, with a temporary folder, database
/// and topic named `truckflow-bench-…` (databases `truckflow_bench_…`), which are removed at the end. After a
/// `kill -9`, remove them by hand.
#[derive(Args)]
pub struct BenchArgs {
    /// Which job: its topic or file is read from the beginning to the end as of the start
    #[command(flatten)]
    pub job: JobArgs,
    /// One JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Measure throughput on the first N records [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub records: Option<u64>,
    /// Number of throughput and start-up runs; the report compares medians
    #[arg(long, value_name = "K", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub runs: u32,
    /// Readings per second to send for the latency measurement
    #[arg(long, value_name = "R", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Seconds to send them for, after a one-second warm-up; 0 skips the latency measurement
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
    /// Output language
    #[arg(long, value_enum, default_value_t = Drawing::Mermaid)]
    pub format: Drawing,
    /// Operators, channels and views as one JSON object instead of a drawing
    #[arg(long, conflicts_with = "format")]
    pub json: bool,
}

/// What `explain` writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Drawing {
    /// Mermaid, for Markdown.
    Mermaid,
    /// Graphviz: `dot -Tsvg`.
    Dot,
    /// The logical plan of each view, as text.
    Plan,
}

/// Selects and configures a job: a configuration file, and flags that override it.
#[derive(Args)]
pub struct JobArgs {
    /// A TOML file; TRUCKFLOW_… variables and flags override it
    #[arg(long, value_name = "FILE", env = "TRUCKFLOW_CONFIG")]
    pub config: Option<PathBuf>,
    /// The job's name, under which its state and offsets are stored [default: truckflow]
    #[arg(long, value_name = "NAME")]
    pub job: Option<String>,
    /// Worker threads [default: 1]
    #[arg(long, value_name = "N")]
    pub workers: Option<u32>,
    /// Number of processes that run the job together, each with --workers threads [default: 1]
    #[arg(long, value_name = "N")]
    pub processes: Option<u32>,
    /// Index of this process; process 0 owns the sinks and commits [default: 0]
    #[arg(long, value_name = "I")]
    pub process: Option<u32>,
    /// File with the cluster address of each process, one `host:port` per line, process 0 first
    #[arg(long, value_name = "FILE")]
    pub hosts: Option<String>,
    /// Use an in-process broker, fed from --input; needs no Kafka server
    #[arg(long)]
    pub embedded: bool,
    /// Read the lines of a file instead of Kafka; `-` for standard input
    #[arg(long, value_name = "FILE")]
    pub input: Option<String>,
    /// Kafka brokers; or TRUCKFLOW_BROKERS [default: 127.0.0.1:9092]
    #[arg(long, value_name = "HOST:PORT,…")]
    pub brokers: Option<String>,
    /// Kafka topics: names, or regular expressions that begin with ^; or TRUCKFLOW_TOPIC [default: Truck-Data]
    #[arg(long, value_name = "TOPIC,…")]
    pub topic: Option<String>,
    /// Folder for the CSV files and truckflow.db [default: out]
    #[arg(long, value_name = "DIR")]
    pub out: Option<String>,
    /// mysql://user:password@host:port/database or sqlite:PATH [default: sqlite:OUT/truckflow.db]
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// A file with views in SQL
    #[arg(long = "sql", value_name = "FILE")]
    pub views: Option<PathBuf>,
    /// Built-in views, separated by commas [default: all; none with --sql]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub builtin_views: Option<Vec<String>>,
    /// Rebuild these views if their definitions have changed, as CREATE OR REPLACE does
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub replace: Option<Vec<String>>,
    /// Stop after committing everything up to the end of the input as of the start
    #[arg(long)]
    pub until_end: bool,
    /// Retry if broker, topic or database are unavailable at the start
    #[arg(long)]
    pub wait: bool,
    /// Address for /metrics, /healthz, /readyz and the live page, or `off` [default: 127.0.0.1:9600]
    #[arg(long, value_name = "ADDR")]
    pub listen: Option<String>,
    /// How long an epoch lasts, such as 250ms [default: 1s]
    #[arg(long, value_name = "TIME")]
    pub commit_interval: Option<String>,
    /// Set any configuration key; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<(String, String)>,
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
            false if key == "views" => "--sql".to_owned(),
            false => format!("--{}", key.strip_prefix("kafka.").unwrap_or(key).replace('_', "-")),
        };
        let keys = self.keys().into_iter().enumerate();
        let flags = keys.map(|(at, (key, value))| (key.clone(), value, written(at, &key))).collect();
        origin::shown(self.config.as_deref(), &config::variables()?, flags)
    }

    /// The keys set by `--set`, then by the other flags, which override it.
    pub fn keys(&self) -> Vec<(String, toml::Value)> {
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
        // A path of a flag begins at the working directory, one in the file at its folder.
        keys.extend(self.views.as_ref().map(|path| {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            ("views".to_owned(), String(path.display().to_string()))
        }));
        for (key, views) in [("builtin_views", &self.builtin_views), ("replace", &self.replace)] {
            keys.extend(views.as_ref().map(|views| {
                let names = views.iter().map(|view| String(view.trim().to_owned()));
                (key.to_owned(), Array(names.collect()))
            }));
        }
        keys
    }
}

/// The flag of `run` that sets a configuration key, other than `--set`.
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

    /// Set to `write` to regenerate the page.
    const VARIABLE: &str = "TRUCKFLOW_CONFIGURATION";
    const COMMAND: &str = "TRUCKFLOW_CONFIGURATION=write cargo test --locked --release --lib cli";

    #[test]
    fn the_configuration_page_matches_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
        if std::env::var(VARIABLE).is_ok_and(|value| value == "write") {
            std::fs::write(path, reference::page(flag_of)).unwrap();
        } else {
            let written = std::fs::read_to_string(path).unwrap();
            assert_eq!(written, reference::page(flag_of), "update docs/configuration.md with `{COMMAND}`");
        }
    }
}
