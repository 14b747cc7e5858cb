//! What a job is told: a TOML file, `TRUCKFLOW_…` variables over it, flags over both.
//!
//! Every key is in [`Config`]; a key that is not is refused. `TRUCKFLOW_KAFKA__BROKERS` is the key
//! `kafka.brokers`, which has the short variable `TRUCKFLOW_BROKERS` as well, and `--set kafka.brokers=…` sets any key that has no flag of its own.
//! What a job defines for itself (fields, views, correlations) is in [`defined`].

pub mod defined;
pub mod origin;
pub mod reference;
pub mod sql;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataflows::batch::{FieldType, NANO};
use dataflows::real::Factor;
use dataflows::views::{self, CorrelationTables, Mode, Settings, View};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::kafka::properties::{Properties, flat};
use crate::runtime::clock::Limits;
use crate::runtime::secret::{self, DatabaseUrl, ExposeSecret, SecretString};
use crate::source::file::{is_same, is_separator};
use crate::source::kafka::OnDataLoss;

use self::defined::{OwnCorrelation, ViewEntry};

/// A configuration that cannot be used.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}; mend --config")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file does not say what a job needs.
    #[error("configuration {place}: {reason}; `truckflow config init` shows every key")]
    Parse {
        /// The file and line, or the variable.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A value is out of its range.
    #[error("configuration: {key} = {value}: {reason}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value.
        value: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// Something that the job defines for itself is wrong.
    #[error("configuration: {place}: {reason}")]
    Defined {
        /// The thing, such as `views.hot`, and the place in its text.
        place: String,
        /// What is wrong and what would be right.
        reason: String,
    },
}

/// Everything that can be configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The job's name: what its state and offsets are kept under.
    pub job: String,
    /// Worker threads, of each process.
    pub workers: usize,
    /// How many processes work on the job together.
    pub processes: usize,
    /// Which of them this is. Process 0 holds the sinks and commits.
    pub process: usize,
    /// A file that says where each process listens to the others: see [`crate::job::cluster`].
    pub hosts: Option<PathBuf>,
    /// A file that holds a secret which whoever joins the cluster has to know.
    pub cluster_secret_file: Option<PathBuf>,
    /// Runs with an in-process broker that is fed from `input`.
    pub embedded: bool,
    /// A file to read instead of Kafka, or `-` for standard input.
    pub input: Option<String>,
    /// Stops, after the commit, at the end that was there at the start.
    pub until_end: bool,
    /// Keeps trying when the broker, the topic or the database is not there at the start.
    pub wait: bool,
    /// The folder of the CSV files and `truckflow.db`.
    pub out: PathBuf,
    /// `mysql://user:password@host:port/database`, or `sqlite:PATH`; by default `<out>/truckflow.db`.
    pub database: Option<DatabaseUrl>,
    /// A file that holds the database's password, instead of in the URL.
    pub database_password_file: Option<PathBuf>,
    /// What a message does to the readings before it.
    pub mode: Mode,
    /// What stands between key and value in a line of a file; none: lines have no key.
    pub key_separator: Option<String>,
    /// The names of the built-in views to keep up to date, all if there are none, and the definitions
    /// of the job's own.
    pub views: Vec<ViewEntry>,
    /// The names that a flag or variable selects among all views, built-in or defined; all if empty.
    #[serde(skip)]
    pub selected: Vec<String>,
    /// The job's own correlations.
    pub correlations: Vec<OwnCorrelation>,
    /// Fields that readings have beyond the seed's.
    pub record: BTreeMap<String, FieldType>,
    /// Where `/metrics`, `/healthz` and `/readyz` are, or `off`.
    pub listen: String,
    /// A file that holds the token which whoever asks there has to send.
    pub listen_token_file: Option<PathBuf>,
    /// How long an epoch lasts, such as `1s` or `250ms`.
    pub commit_interval: String,
    /// What to do when unread offsets are gone from the broker.
    pub on_data_loss: OnDataLoss,
    /// The Kafka input.
    pub kafka: Kafka,
    /// The phone's orientation readings.
    pub orientation: Orientation,
    /// CSV files.
    pub csv: CsvSink,
    /// SQL tables.
    pub tables: Sink,
    /// The topic that dead letters are sent to, if any.
    pub dead_letters: DeadLetters,
    /// The views' thresholds and factors.
    pub settings: ViewSettings,
    /// What bounds memory.
    pub limits: LimitSettings,
}

/// `[kafka]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// Bootstrap servers.
    pub brokers: String,
    /// The topic.
    pub topic: String,
    /// Any librdkafka property.
    pub properties: Properties,
    /// Properties whose values are in files: secrets.
    pub property_files: BTreeMap<String, toml::Value>,
}

impl Kafka {
    /// The files that hold properties, by the properties' names.
    fn files(&self) -> BTreeMap<String, String> {
        flat(&self.property_files)
    }
}

/// `[csv]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvSink {
    /// The views that go here; absent: every view of the job, `[]`: none.
    pub views: Option<Vec<String>>,
    /// The most records of a file; absent: one file for each view.
    pub max_records: Option<u64>,
}

impl CsvSink {
    /// Whether a view goes here.
    pub fn takes(&self, view: &str) -> bool {
        chosen(self.views.as_deref(), view)
    }
}

/// `[orientation]`: both may be read at once.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Orientation {
    /// The topic; absent: none is read.
    pub topic: Option<String>,
    /// Sensor Logger's `Orientation.csv`, or a file of a JSON object or Python dict a line; `-`:
    /// standard input; absent: none is read.
    pub input: Option<String>,
}

/// Which of the configured inputs a job reads: those that one of its views needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reads<'config> {
    /// The trucks' readings.
    pub trucks: bool,
    /// The topic of the phone's.
    pub phone_topic: Option<&'config str>,
    /// The file of the phone's.
    pub phone_file: Option<&'config str>,
}

/// `[tables]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sink {
    /// The views that go here; absent: every view of the job, `[]`: none.
    pub views: Option<Vec<String>>,
}

impl Sink {
    /// Whether a view goes here.
    pub fn takes(&self, view: &str) -> bool {
        chosen(self.views.as_deref(), view)
    }
}

fn chosen(views: Option<&[String]>, view: &str) -> bool {
    views.is_none_or(|views| views.iter().any(|name| name == view))
}

/// `[dead_letters]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeadLetters {
    /// The topic.
    pub topic: Option<String>,
}

/// `[settings]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewSettings {
    /// `above_speed` keeps engine speeds strictly above this.
    pub above_speed: toml::Value,
    /// `transformed` multiplies the engine's speed by this.
    pub speed_factor: toml::Value,
    /// What the correlations' tables hold.
    pub correlation_tables: CorrelationTables,
    /// How long a window is.
    pub window: String,
    /// How far a truck may be behind the topic before it counts as idle.
    pub window_idle: String,
    /// How far behind a truck's latest event `window_averages` still takes readings.
    pub window_retention: String,
    /// How far behind a truck's latest event `filtered_join` still takes readings.
    pub join_retention: String,
    /// How many readings of a truck may share a timestamp in `filtered_join`.
    pub join_limit: usize,
}

/// `[limits]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// An epoch ends at about this many records.
    pub epoch_records: u64,
    /// An epoch ends at about this many bytes of input.
    pub epoch_bytes: u64,
    /// Epochs in flight.
    pub epochs_in_flight: u64,
    /// Rendered bytes that wait for their commit.
    pub bytes_in_flight: u64,
    /// Bytes of a message; longer ones are dead letters.
    pub message_bytes: usize,
    /// How far a reading's event time may be ahead of the clocks, or `off`.
    pub max_ahead: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            job: "truckflow".into(),
            workers: 1,
            processes: 1,
            process: 0,
            hosts: None,
            cluster_secret_file: None,
            embedded: false,
            input: None,
            until_end: false,
            wait: false,
            out: "out".into(),
            database: None,
            database_password_file: None,
            mode: Mode::default(),
            key_separator: None,
            views: Vec::new(),
            selected: Vec::new(),
            correlations: Vec::new(),
            record: BTreeMap::new(),
            listen: "127.0.0.1:9600".into(),
            listen_token_file: None,
            commit_interval: "1s".into(),
            on_data_loss: OnDataLoss::Stop,
            kafka: Kafka::default(),
            orientation: Orientation::default(),
            csv: CsvSink::default(),
            tables: Sink::default(),
            dead_letters: DeadLetters::default(),
            settings: ViewSettings::default(),
            limits: LimitSettings::default(),
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: BROKERS.into(),
            topic: TOPIC.into(),
            properties: Properties::default(),
            property_files: BTreeMap::new(),
        }
    }
}

impl Default for ViewSettings {
    fn default() -> Self {
        Self {
            above_speed: toml::Value::Integer(80),
            speed_factor: toml::Value::Float(1.2),
            correlation_tables: CorrelationTables::default(),
            window: "5m".into(),
            window_idle: "5m".into(),
            window_retention: "24h".into(),
            join_retention: "10m".into(),
            join_limit: 10_000,
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            epoch_records: 200_000,
            epoch_bytes: 32 << 20,
            epochs_in_flight: 3,
            bytes_in_flight: 64 << 20,
            message_bytes: 1 << 20,
            max_ahead: "1d".into(),
        }
    }
}

/// Where Kafka is unless something else is said.
pub(crate) const BROKERS: &str = "127.0.0.1:9092";
/// The topic unless something else is said.
pub(crate) const TOPIC: &str = "Truck-Data";
/// The beginning of the variables that set keys.
const PREFIX: &str = "TRUCKFLOW_";
/// Variables of that beginning which are no keys: flags of the command itself, and its log's filter.
const NO_KEYS: [&str; 3] = ["CONFIG", "LOG", "LOG_FORMAT"];

/// Keys whose flags are named otherwise: the variables of these names set them as well, for every command, and
/// go over those that are named as the key.
const FLAGS: [(&str, &str); 2] = [("BROKERS", "kafka.brokers"), ("TOPIC", "kafka.topic")];

/// The key that a variable sets, if it sets one.
fn key_of(variable: &str) -> Option<String> {
    let is_key = |key: &&str| !key.starts_with("TEST_") && !NO_KEYS.contains(key);
    let name = variable.strip_prefix(PREFIX).filter(is_key)?;
    let of_flag = FLAGS.iter().find(|(flag, _)| *flag == name);
    Some(of_flag.map_or_else(|| name.to_lowercase().replace("__", "."), |(_, key)| (*key).to_owned()))
}

/// The variables that set keys, each with its key; the last one of a key wins.
fn keys_of(variables: impl Iterator<Item = (String, String)>) -> Vec<(String, String, String)> {
    let is_flag = |name: &str| FLAGS.iter().any(|(flag, _)| name.strip_prefix(PREFIX) == Some(flag));
    let keyed = |(name, value): (String, String)| Some((key_of(&name)?, name, value));
    let mut keys: Vec<_> = variables.filter_map(keyed).collect();
    keys.sort_by_key(|(_, name, _)| is_flag(name));
    keys
}

/// What a variable that is named as a key says, for commands without a configuration.
pub(crate) fn variable_of(key: &str, default: &str) -> String {
    let name = format!("{PREFIX}{}", key.replace('.', "__").to_uppercase());
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// The variables of the environment that set keys. What others hold, such as bytes that are not UTF-8, does not
/// matter.
pub fn variables() -> Result<Vec<(String, String)>, ConfigError> {
    keys_among(std::env::vars_os())
}

fn keys_among(all: impl Iterator<Item = (OsString, OsString)>) -> Result<Vec<(String, String)>, ConfigError> {
    all.map(|(name, value)| (name.to_string_lossy().into_owned(), value))
        .filter(|(name, _)| key_of(name).is_some())
        .map(|(name, value)| match value.into_string() {
            Ok(value) => Ok((name, value)),
            Err(_) => {
                Err(ConfigError::Parse { place: name, reason: "its value is not valid UTF-8".to_owned() })
            }
        })
        .collect()
}

fn read_file(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })
}

impl Config {
    /// Reads the file, then the variables, then `flags` (`key = value` with dotted keys).
    pub fn load(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: Vec<(String, toml::Value)>,
    ) -> Result<Self, ConfigError> {
        let Some(path) = file else { return Self::read("", "", variables, flags) };
        let text = read_file(path)?;
        Self::read(&text, &path.display().to_string(), variables, flags)
    }

    /// Reads the text of a file, which is called `name`, then as [`load`](Self::load).
    pub fn read(
        text: &str,
        name: &str,
        variables: impl Iterator<Item = (String, String)>,
        flags: Vec<(String, toml::Value)>,
    ) -> Result<Self, ConfigError> {
        // Checked by itself first, so that what is wrong is told with its line.
        if let Err(error) = toml::from_str::<Self>(text) {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let place = format!("{name} line {line}");
            return Err(ConfigError::Parse { place, reason: one_line(error.message()) });
        }
        let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Parse {
            place: name.to_owned(),
            reason: one_line(error.message()),
        })?;
        let mut selected = Vec::new();
        let mut over = |place: String, key: &str, value| {
            match key {
                // The file's definitions stay: a name selects among them.
                "views" => defined::select(&mut table, value, &mut selected),
                _ => set(&mut table, key, value),
            }
            .and_then(|()| check(&table))
            .map_err(|reason| ConfigError::Parse { place, reason })
        };
        for (key, name, value) in keys_of(variables) {
            let value = value_of(&key, &value);
            over(name, &key, value)?;
        }
        for (key, value) in flags {
            over(format!("--set {key}"), &key, value)?;
        }
        let mut config: Self = table.try_into().map_err(|error: toml::de::Error| ConfigError::Parse {
            place: "flags".into(),
            reason: one_line(error.message()),
        })?;
        config.selected = selected;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), ConfigError> {
        let wrong = |key, value: &dyn ToString, reason: &str| {
            Err(ConfigError::Value { key, value: value.to_string(), reason: reason.into() })
        };
        if self.workers == 0 || self.workers > 256 {
            return wrong("workers", &self.workers, "give 1 to 256, at most one per core");
        }
        self.validate_processes()?;
        let name_fits = (1..=64).contains(&self.job.len())
            && self.job.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !name_fits {
            return wrong("job", &self.job, "give 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        if self.embedded && (self.key_separator.is_some() || self.mode == views::Mode::Upsert) {
            return wrong(
                "embedded",
                &true,
                "the embedded broker is fed messages without keys: leave out --embedded, the file is read as well without",
            );
        }
        if self.embedded && self.input.is_none() {
            return wrong("embedded", &true, "the embedded broker is fed from a file: give --input FILE");
        }
        let limits = &self.limits;
        if limits.epoch_records == 0
            || limits.epoch_bytes == 0
            || limits.bytes_in_flight == 0
            || limits.message_bytes == 0
        {
            return wrong("limits", &0, "every limit is at least 1");
        }
        if limits.epochs_in_flight < 2 {
            return wrong(
                "limits.epochs_in_flight",
                &limits.epochs_in_flight,
                "give at least 2: one open, one that commits",
            );
        }
        if self.csv.max_records == Some(0) {
            return wrong("csv.max_records", &0, "give at least 1, or leave it out for one file a view");
        }
        if let Some(separator) = &self.key_separator
            && !is_separator(separator)
        {
            return wrong(
                "key_separator",
                &format!("{separator:?}"),
                "give a text that lines do not end with, such as \"\\t\", or leave it out: lines have no key then",
            );
        }
        let given = &self.kafka.properties;
        if let Some(name) = self.kafka.files().into_keys().find(|name| given.contains(name)) {
            return wrong("kafka.property_files", &name, "it is in [kafka.properties] too: give it once");
        }
        self.interval()?;
        self.max_ahead()?;
        let names = self.names()?;
        names.check_known("views", self.builtin().chain(self.selected.iter().map(String::as_str)))?;
        for (key, sink) in [("csv.views", &self.csv.views), ("tables.views", &self.tables.views)] {
            names.check_known(key, sink.iter().flatten().map(String::as_str))?;
        }
        self.active_views()?;
        self.validate_reads()
    }

    fn validate_processes(&self) -> Result<(), ConfigError> {
        let wrong = |key, value: usize, reason: String| {
            Err(ConfigError::Value { key, value: value.to_string(), reason })
        };
        let processes = self.processes;
        if !(1..=MOST_PROCESSES).contains(&processes) {
            return wrong("processes", processes, format!("give 1 to {MOST_PROCESSES}"));
        }
        if self.process >= processes {
            let reason = match processes {
                1 => "there is one process, number 0: give --processes N as well".into(),
                _ => format!("the {processes} processes are numbered 0 to {}", processes - 1),
            };
            return wrong("process", self.process, reason);
        }
        if processes > 1 && self.hosts.is_none() {
            let reason = "give --hosts FILE, with a line `host:port` for each process";
            return wrong("processes", processes, reason.into());
        }
        if processes > 1 && self.embedded {
            let reason = "the embedded broker is one process's: leave out --embedded or --processes";
            return wrong("processes", processes, reason.into());
        }
        Ok(())
    }

    /// An offset is kept under its topic or file, which therefore is read once only.
    fn validate_reads(&self) -> Result<(), ConfigError> {
        let wrong = |key, value: &str, reason: &str| {
            Err(ConfigError::Value { key, value: value.to_owned(), reason: reason.into() })
        };
        let reads = self.reads()?;
        if let Some(topic) = reads.phone_topic {
            if self.embedded {
                return wrong(
                    "orientation.topic",
                    topic,
                    "the embedded broker holds the trucks' readings only: give orientation.input, or leave out --embedded",
                );
            }
            if reads.trucks && self.input.is_none() && topic == self.kafka.topic {
                return wrong(
                    "orientation.topic",
                    topic,
                    "the trucks' readings are read from it: give another topic",
                );
            }
        }
        if let (Some(path), Some(trucks)) = (reads.phone_file, self.input.as_deref().filter(|_| reads.trucks))
            && is_same(path, trucks)
        {
            return wrong(
                "orientation.input",
                path,
                "the trucks' readings are read from it: give another file",
            );
        }
        Ok(())
    }

    /// Which inputs the job reads.
    pub fn reads(&self) -> Result<Reads<'_>, ConfigError> {
        let views = self.active_views()?;
        let phone = views.iter().any(|view| view.name == views::ORIENTATION);
        let other = |view: &View| ![views::ORIENTATION, views::DEAD_LETTERS].contains(&&*view.name);
        Ok(Reads {
            trucks: !phone || views.iter().any(other),
            phone_topic: self.orientation.topic.as_deref().filter(|_| phone),
            phone_file: self.orientation.input.as_deref().filter(|_| phone),
        })
    }

    /// The views of the job: the built-in ones in their list's order, its own, dead letters.
    pub fn active_views(&self) -> Result<Vec<View>, ConfigError> {
        let settings = self.view_settings()?;
        let is_on = |name: &str| self.selected.is_empty() || self.selected.iter().any(|on| on == name);
        // A flag selects among all of them; else the file's names select among the built-in ones.
        let names_none = self.builtin().next().is_none() || !self.selected.is_empty();
        let is_built_in_on = |name: &str| is_on(name) && (names_none || self.builtin().any(|on| on == name));
        let (dead_letters, mut active): (Vec<_>, Vec<_>) =
            views::all(&settings).into_iter().partition(|view| view.name == views::DEAD_LETTERS);
        let has_phone = self.orientation.topic.is_some() || self.orientation.input.is_some();
        let asked = self.builtin().chain(self.selected.iter().map(String::as_str));
        if !has_phone && asked.into_iter().any(|name| name == views::ORIENTATION) {
            return Err(ConfigError::Value {
                key: "views",
                value: views::ORIENTATION.into(),
                reason: "nothing feeds it: give orientation.topic or orientation.input".into(),
            });
        }
        active.retain(|view| is_built_in_on(&view.name) && (has_phone || view.name != views::ORIENTATION));
        // What is off has to be right, too.
        for own in &self.correlations {
            let view = own.view(&settings)?;
            active.extend(is_on(&own.name).then_some(view));
        }
        for own in self.own_views() {
            let view = sql::compile(own, &settings)?.view(&settings);
            active.extend(is_on(&own.name).then_some(view));
        }
        if settings.upserts() {
            active.push(views::readings_view(&settings));
        }
        // Nothing is dropped silently: dead letters are always kept.
        active.extend(dead_letters);
        Ok(active)
    }

    /// The file's names of built-in views.
    fn builtin(&self) -> impl Iterator<Item = &str> {
        self.views.iter().filter_map(|entry| match entry {
            ViewEntry::Name(name) => Some(name.as_str()),
            ViewEntry::Own(_) => None,
        })
    }

    fn interval(&self) -> Result<Duration, ConfigError> {
        const RANGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
        duration("commit_interval", &self.commit_interval, RANGE)
    }

    /// How far a reading's event time may be ahead of the clocks, in microseconds; none: as far as it is.
    pub fn max_ahead(&self) -> Result<Option<i64>, ConfigError> {
        match &*self.limits.max_ahead {
            "off" => Ok(None),
            text => {
                let span = duration("limits.max_ahead", text, Duration::ZERO..=LONGEST_SPAN)?;
                Ok(Some(span.as_micros() as i64))
            }
        }
    }

    /// What bounds an epoch.
    pub fn epoch_limits(&self) -> Result<Limits, ConfigError> {
        Ok(Limits {
            interval: self.interval()?,
            epoch_records: self.limits.epoch_records,
            epoch_bytes: self.limits.epoch_bytes,
            epochs_in_flight: self.limits.epochs_in_flight,
            bytes_in_flight: self.limits.bytes_in_flight,
        })
    }

    /// The views' thresholds and factors.
    pub fn view_settings(&self) -> Result<Settings, ConfigError> {
        let parse = |key, value: &toml::Value| {
            let text = match value {
                toml::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            text.parse::<Factor>().map_err(|_| ConfigError::Value {
                key,
                value: text,
                reason: "give a decimal with at most 9 places, such as 80 or 1.2".into(),
            })
        };
        let threshold = parse("settings.above_speed", &self.settings.above_speed)?;
        let above_speed = threshold.times(NANO).ok_or_else(|| ConfigError::Value {
            key: "settings.above_speed",
            value: threshold.to_string(),
            reason: "give a number below 9.2e9".into(),
        })?;
        let settings = &self.settings;
        let span = |key, text: &str, least| {
            let span = duration(key, text, least..=LONGEST_SPAN)?;
            // At most ten years: far within 64 bits of microseconds.
            Ok::<_, ConfigError>(span.as_micros() as i64)
        };
        let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
        if !(1..=MOST_JOINED).contains(&settings.join_limit) {
            return Err(ConfigError::Value {
                key: "settings.join_limit",
                value: settings.join_limit.to_string(),
                reason: format!("give 1 to {MOST_JOINED} readings"),
            });
        }
        Ok(Settings {
            mode: self.mode,
            one_after_another: self.input.is_some(),
            fields: defined::fields(&self.record)?,
            above_speed,
            speed_factor: parse("settings.speed_factor", &settings.speed_factor)?,
            correlation_tables: settings.correlation_tables,
            window: span("settings.window", &settings.window, second)?,
            window_idle: span("settings.window_idle", &settings.window_idle, zero)?,
            window_retention: span("settings.window_retention", &settings.window_retention, zero)?,
            join_retention: span("settings.join_retention", &settings.join_retention, zero)?,
            join_limit: settings.join_limit,
        })
    }

    /// The database's URL.
    pub fn database_url(&self) -> Result<DatabaseUrl, ConfigError> {
        let Some(url) = &self.database else {
            return Ok(DatabaseUrl::of_file(&self.out.join("truckflow.db")));
        };
        let Some(path) = &self.database_password_file else { return Ok(url.clone()) };
        with_password(url, "database_password_file", path)
    }

    /// What whoever asks at `listen` has to send, if anything.
    pub fn listen_token(&self) -> Result<Option<SecretString>, ConfigError> {
        self.listen_token_file.as_deref().map(|path| read_secret("listen_token_file", path)).transpose()
    }

    /// Whether the job reads from Kafka or writes to it, be it the embedded broker.
    pub fn reaches_kafka(&self) -> Result<bool, ConfigError> {
        let reads = self.reads()?;
        let reads_trucks = reads.trucks && (self.input.is_none() || self.embedded);
        Ok(reads_trucks || reads.phone_topic.is_some() || self.dead_letters.topic.is_some())
    }

    /// The Kafka properties as librdkafka takes them, with those that are in files.
    pub fn kafka_properties(&self) -> Result<Properties, ConfigError> {
        // The broker inside the process asks nobody who he is, and knows no TLS.
        let is_used = |name: &str| {
            let of_security = ["security.", "sasl.", "ssl.", "enable.sasl.", "enable.ssl."];
            !self.embedded || !of_security.iter().any(|prefix| name.starts_with(prefix))
        };
        let mut properties = self.kafka.properties.clone();
        properties.retain(is_used);
        for (name, path) in self.kafka.files().into_iter().filter(|(name, _)| is_used(name)) {
            let value = read_secret("kafka.property_files", Path::new(&path))?;
            properties.insert_secret(name, value);
        }
        Ok(properties)
    }

    /// The configuration as TOML, with the secrets that are in it.
    pub(crate) fn exposed(&self) -> Result<SecretString, toml::ser::Error> {
        let mut table = toml::Table::try_from(self)?;
        if let Some(url) = &self.database {
            table.insert("database".into(), url.expose_secret().into());
        }
        if let Some(toml::Value::Table(kafka)) = table.get_mut("kafka") {
            kafka.insert("properties".into(), toml::Value::try_from(self.kafka.properties.exposed())?);
        }
        toml::to_string(&table).map(SecretString::from)
    }
}

/// A database's URL with the password that the file at `path` holds, which `key` names.
pub fn with_password(url: &DatabaseUrl, key: &'static str, path: &Path) -> Result<DatabaseUrl, ConfigError> {
    let password = read_secret(key, path)?;
    let wrong = || ConfigError::Value {
        key: "database",
        value: "(not shown)".into(),
        reason: "a password file is for a URL such as mysql://user@host:port/database".into(),
    };
    let mut parsed = url::Url::parse(url.expose_secret()).map_err(|_| wrong())?;
    // By itself a URL leaves a `%` as it is.
    let password = utf8_percent_encode(password.expose_secret(), NON_ALPHANUMERIC).to_string();
    parsed.set_password(Some(&password)).map_err(|()| wrong())?;
    Ok(String::from(parsed).into())
}

/// What the file at `path`, which `key` names, holds.
pub(crate) fn read_secret(key: &'static str, path: &Path) -> Result<SecretString, ConfigError> {
    secret::read(path).map_err(|source| ConfigError::Value {
        key,
        value: path.display().to_string(),
        reason: format!("cannot read it: {source}; give a file that holds the secret"),
    })
}

/// The most processes of a cluster.
const MOST_PROCESSES: usize = 64;

/// The longest span of event time: ten years.
const LONGEST_SPAN: Duration = Duration::from_secs(10 * 366 * 24 * 3600);
/// The most readings of a truck that a join may put together: the product of two such groups is what
/// an epoch may have to hold.
const MOST_JOINED: usize = 1_000_000;

/// A time such as `250ms`, `5m` or `24h`, in whole microseconds.
fn duration(key: &'static str, text: &str, range: RangeInclusive<Duration>) -> Result<Duration, ConfigError> {
    let parsed = humantime::parse_duration(text.trim()).ok();
    parsed.filter(|time| range.contains(time) && time.subsec_nanos() % 1000 == 0).ok_or_else(|| {
        let (least, most) = (range.start(), range.end());
        ConfigError::Value {
            key,
            value: text.to_owned(),
            reason: format!(
                "give a time from {} to {}, such as `250ms`, `90s`, `5m` or `24h`",
                humantime::format_duration(*least),
                humantime::format_duration(*most)
            ),
        }
    })
}

/// A variable's text as the value that it most likely is.
fn parse_value(text: &str) -> toml::Value {
    let parsed = format!("v = {text}").parse::<toml::Table>().ok();
    parsed.and_then(|mut table| table.remove("v")).unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// A variable's or flag's text as the value of `key`. A property of librdkafka's is what is written: a
/// password of digits is no number.
pub fn value_of(key: &str, text: &str) -> toml::Value {
    match parse_value(text) {
        toml::Value::String(text) => toml::Value::String(text),
        _ if key.starts_with("kafka.propert") => toml::Value::String(text.to_owned()),
        value => value,
    }
}

/// Sets a dotted key.
fn set(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<(), String> {
    // What follows these is one key of librdkafka's, dots and all.
    let property = ["kafka.properties.", "kafka.property_files."].into_iter().find_map(|table| {
        let name = key.strip_prefix(table)?;
        Some((table.split_terminator('.').collect(), name))
    });
    let (path, last): (Vec<&str>, &str) = match property {
        Some(property) => property,
        None => {
            let mut path: Vec<&str> = key.split('.').collect();
            let last = path.pop().unwrap_or_default();
            (path, last)
        }
    };
    let mut at = table;
    for step in path {
        at = at
            .entry(step)
            .or_insert_with(|| toml::Value::Table(toml::Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("`{step}` is not a table"))?;
    }
    at.insert(last.to_owned(), value);
    Ok(())
}

fn check(table: &toml::Table) -> Result<(), String> {
    table.clone().try_into::<Config>().map(drop).map_err(|error| one_line(error.message()))
}

/// What the parser says, in one line and without the text that it found, which may be a secret: who says
/// where it is says enough.
fn one_line(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    const FOUND: &str = "string \"";
    if let Some(at) = text.find(FOUND)
        && let Some(length) = text[at + FOUND.len()..].rfind('"')
    {
        text.replace_range(at..at + FOUND.len() + length + 1, "a text");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn load(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let flags = flags.iter().map(|(k, v)| ((*k).to_owned(), value_of(k, v))).collect();
        Config::load(Some(file.path()), variables, flags)
    }

    #[test]
    fn flags_go_over_variables_and_these_over_the_file() {
        let text =
            "workers = 2\njob = \"a\"\n[kafka]\nbrokers = \"x:1\"\n[kafka.properties]\nfetch.min.bytes = 5";
        let config = load(
            text,
            &[
                ("TRUCKFLOW_JOB", "b"),
                ("TRUCKFLOW_KAFKA__TOPIC", "T"),
                ("OTHER", "1"),
                ("TRUCKFLOW_CONFIG", "no key"),
                ("TRUCKFLOW_LOG", "info"),
                ("TRUCKFLOW_WORKERS", "3"),
            ],
            &[("workers", "4"), ("kafka.properties.security.protocol", "ssl")],
        )
        .unwrap();
        assert_eq!((config.workers, config.job.as_str(), config.kafka.brokers.as_str()), (4, "b", "x:1"));
        assert_eq!(config.kafka.topic, "T");
        // A flag's own variable goes over that of its key, whichever comes first.
        let mut both = [("TRUCKFLOW_BROKERS", "y:1"), ("TRUCKFLOW_KAFKA__BROKERS", "z:1")];
        for _ in 0..2 {
            assert_eq!(load(text, &both, &[]).unwrap().kafka.brokers, "y:1");
            both.reverse();
        }
        assert_eq!(load("", &[("TRUCKFLOW_TOPIC", "U")], &[]).unwrap().kafka.topic, "U");
        let properties = config.kafka_properties().unwrap();
        assert_eq!(properties.get("fetch.min.bytes"), Some("5"));
        assert_eq!(properties.get("security.protocol"), Some("ssl"));
    }

    #[test]
    fn secrets_come_from_files_or_variables() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("secret");
        std::fs::write(&file, "1/2?#@%41\n").unwrap();
        let path = file.display();
        let text = format!(
            "database = \"mysql://u@h/d\"\ndatabase_password_file = \"{path}\"\n[kafka.property_files]\nsasl.password = \"{path}\""
        );
        let config = load(&text, &[], &[]).unwrap();
        let url = config.database_url().unwrap();
        assert_eq!(url.expose_secret(), "mysql://u:1%2F2%3F%23%40%2541@h/d");
        assert_eq!(config.kafka_properties().unwrap().exposed()["sasl.password"], "1/2?#@%41");
        assert!(!format!("{config:?}").contains("1/2?") && config.kafka.properties.names().next().is_none());

        let flags = [("embedded", "true"), ("input", "a"), ("kafka.properties.security.protocol", "ssl")];
        let embedded =
            load(&text, &[], &[&flags[..], &[("kafka.properties.client.id", "b")]].concat()).unwrap();
        assert_eq!(embedded.kafka_properties().unwrap().names().collect::<Vec<_>>(), ["client.id"]);

        let variable = "TRUCKFLOW_KAFKA__PROPERTIES__SASL__PASSWORD";
        let config = load("", &[(variable, "1e5")], &[]).unwrap();
        assert_eq!(config.kafka_properties().unwrap().exposed()["sasl.password"], "1e5");
        let error = load(&text, &[(variable, "x")], &[]).unwrap_err().to_string();
        assert!(error.contains("sasl.password") && error.contains("give it once"), "{error}");
        std::fs::remove_file(&file).unwrap();
        let config = load(&text, &[], &[]).unwrap();
        for error in [config.kafka_properties().unwrap_err(), config.database_url().unwrap_err()] {
            let error = error.to_string();
            assert!(error.contains("cannot read it") && error.contains("give a file"), "{error}");
        }
    }

    #[test]
    fn no_secret_of_a_configuration_can_be_printed_or_serialized() {
        let text = "database = \"mysql://u:s3cret@h/d?password=s3cret\"\n[kafka.properties]\nsasl.password = \"s3cret\"\n\
                    ssl.key.pem = \"s3cret\"\nsasl.username = \"me\"";
        let config = load(text, &[("TRUCKFLOW_KAFKA__PROPERTIES__SSL__KEYSTORE__PASSWORD", "s3cret")], &[]);
        let config = config.unwrap();
        let json = serde_json::to_string(&config).unwrap();
        for shown in [format!("{config:?}"), format!("{config:#?}"), json, toml::to_string(&config).unwrap()]
        {
            assert!(
                !shown.contains("s3cret") && shown.contains("***") && shown.contains("\"me\""),
                "{shown}"
            );
        }
        let kafka = config.kafka_properties().unwrap();
        assert!(!format!("{kafka:?}{:?}", config.database_url().unwrap()).contains("s3cret"));
        // What a process of its own is given has them.
        let told: Config = toml::from_str(config.exposed().unwrap().expose_secret()).unwrap();
        assert_eq!(told.kafka.properties.exposed(), config.kafka.properties.exposed());
        let url = |config: &Config| config.database.as_ref().unwrap().expose_secret().to_owned();
        assert_eq!(url(&told), url(&config));
    }

    #[test]
    fn what_is_in_the_wrong_place_is_not_shown() {
        for text in [
            "[kafka]\nproperties = \"s3\\\"cret\"",
            "workers = \"s3cret\"",
            "[kafka.properties]\nsasl.password = s3cret",
            "database = s3cret",
            "database = [\"mysql://u:s3cret@h/d\"]",
        ] {
            let error = load(text, &[], &[]).unwrap_err().to_string();
            assert!(error.contains("line ") && !error.contains("cret"), "{error}");
        }
        let error = load("", &[("TRUCKFLOW_KAFKA__PROPERTIES", "s3cret")], &[]).unwrap_err().to_string();
        assert!(error.contains("TRUCKFLOW_KAFKA__PROPERTIES") && !error.contains("s3cret"), "{error}");
    }

    #[test]
    fn only_variables_that_set_keys_have_to_be_utf_8() {
        use std::os::unix::ffi::OsStringExt;
        let bytes = |text: &[u8]| OsString::from_vec(text.to_vec());
        let read = |name: &[u8], value: &[u8]| keys_among([(bytes(name), bytes(value))].into_iter());
        for harmless in [&b"LS_COLORS"[..], b"\xff", b"TRUCKFLOW_LOG", b"TRUCKFLOW"] {
            assert_eq!(read(harmless, b"\xff").unwrap(), []);
        }
        assert_eq!(read(b"TRUCKFLOW_JOB", b"a").unwrap(), [("TRUCKFLOW_JOB".into(), "a".into())]);
        let error = read(b"TRUCKFLOW_JOB", b"a\xff").unwrap_err().to_string();
        assert!(error.contains("TRUCKFLOW_JOB: its value is not valid UTF-8"), "{error}");
        // It is a key that nobody knows.
        let unknown = read(b"TRUCKFLOW_\xff", b"1").unwrap().remove(0);
        let error = Config::read("", "", [unknown].into_iter(), Vec::new()).unwrap_err().to_string();
        assert!(error.contains("unknown field"), "{error}");
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line_or_variable() {
        let error = load("workers = 1\nwokers = 2", &[], &[]).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("wokers"), "{error}");
        let error = load("", &[("TRUCKFLOW_WOKERS", "2")], &[]).unwrap_err().to_string();
        assert!(error.contains("TRUCKFLOW_WOKERS"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_refused() {
        for (key, value) in [
            ("workers", "0"),
            ("job", "\"\""),
            ("commit_interval", "\"soon\""),
            ("views", "[\"nope\"]"),
            ("csv.views", "[\"nope\"]"),
            ("csv.max_records", "0"),
            ("csv.max_records", "-1"),
            ("settings.speed_factor", "\"x\""),
            ("settings.window", "\"0s\""),
            ("settings.window_idle", "\"5 parsecs\""),
            ("settings.window_retention", "\"11y\""),
            ("settings.join_retention", "\"3ns\""),
            ("settings.join_limit", "0"),
            ("settings.correlation_tables", "\"all\""),
            ("mode", "\"Append\""),
            ("key_separator", "\"\""),
            ("views", "5"),
            ("limits.epochs_in_flight", "1"),
            ("embedded", "true"),
        ] {
            let error = load("", &[], &[(key, value)]).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn keys_do_not_go_through_the_embedded_broker() {
        for (key, value) in [("mode", "\"upsert\""), ("key_separator", "\"\t\"")] {
            let flags = [("embedded", "true"), ("input", "\"readings.tsv\""), (key, value)];
            let error = load("", &[], &flags).unwrap_err().to_string();
            assert!(error.contains("without keys"), "{error}");
            load("", &[], &flags[1..]).unwrap();
        }
    }

    #[test]
    fn the_password_comes_from_a_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"p@ss/word\n").unwrap();
        let path = format!("{:?}", file.path());
        let url = "\"mysql://u@h:3306/d\"";
        let config = load("", &[], &[("database", url), ("database_password_file", &path)]).unwrap();
        assert_eq!(config.database_url().unwrap().expose_secret(), "mysql://u:p%40ss%2Fword@h:3306/d");
    }

    #[test]
    fn a_job_reads_what_its_views_need() {
        let both: [(&str, &str); 2] =
            [("orientation.topic", "\"Mobile-Device-Data\""), ("orientation.input", "\"Orientation.csv\"")];
        let reads = |views: &str, flags: &[(&str, &str)]| {
            let config = load(&format!("views = [{views}]"), &[], flags).unwrap();
            let reads = config.reads().unwrap();
            (reads.trucks, reads.phone_topic.is_some(), reads.phone_file.is_some())
        };
        assert_eq!(reads("", &[]), (true, false, false));
        assert_eq!(reads("", &both), (true, true, true));
        assert_eq!(reads("\"orientation\"", &both), (false, true, true));
        assert_eq!(reads("\"orientation\", \"dead_letters\"", &both[1..]), (false, false, true));
        assert_eq!(reads("\"above_speed\", \"orientation\"", &both[..1]), (true, true, false));
        assert_eq!(reads("\"parameter_map\"", &both), (true, false, false));
        assert_eq!(reads("\"dead_letters\"", &both), (true, false, false));
        let has_view = |flags: &[(&str, &str)]| {
            let views = load("", &[], flags).unwrap().active_views().unwrap();
            views.iter().any(|view| view.name == views::ORIENTATION)
        };
        assert!(has_view(&both) && !has_view(&[]));
    }

    #[test]
    fn inputs_that_cannot_be_read_beside_each_other_are_refused() {
        let refused = |text: &str, word: &str| {
            let error = load(text, &[], &[]).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains('\n'), "{error}");
        };
        refused("views = [\"orientation\"]", "nothing feeds it");
        refused("[orientation]\ntopic = \"Truck-Data\"", "another topic");
        refused("input = \"-\"\n[orientation]\ninput = \"-\"", "another file");
        refused("input = \"./x\"\nembedded = true\n[orientation]\ntopic = \"x\"", "orientation.input");
        // What is not read is in nobody's way.
        load("views = [\"orientation\"]\n[orientation]\ntopic = \"Truck-Data\"", &[], &[]).unwrap();
        load("input = \"x\"\n[orientation]\ntopic = \"Truck-Data\"", &[], &[]).unwrap();
    }

    #[test]
    fn dead_letters_are_kept_whatever_views_are_chosen() {
        let config = load("views = [\"parameter_map\"]", &[], &[]).unwrap();
        let names: Vec<_> = config.active_views().unwrap().into_iter().map(|view| view.name).collect();
        assert_eq!(names, ["parameter_map", "dead_letters"]);
    }

    const DEFINED: &str = r#"
        views = ["above_speed", { name = "hot", columns = ["truck_id"] }]
        [record]
        oil = "number"
        driver = "text"
        [[correlations]]
        name = "fuel_speed"
        x = "timestamp"
        y = "engine_speed"
    "#;

    fn names(config: &Config) -> Vec<String> {
        config.active_views().unwrap().into_iter().map(|view| view.name.into_owned()).collect()
    }

    #[test]
    fn names_of_a_file_select_among_the_built_in_views_and_those_of_a_flag_among_all() {
        let config = load(DEFINED, &[], &[]).unwrap();
        assert_eq!(names(&config), ["above_speed", "fuel_speed", "hot", "dead_letters"]);
        let config =
            load(DEFINED, &[("TRUCKFLOW_VIEWS", "transformed")], &[("views", "[\"fuel_speed\"]")]).unwrap();
        assert_eq!(names(&config), ["fuel_speed", "dead_letters"]);
        assert_eq!(config.own_views().count(), 1);
        let config = load(DEFINED, &[("TRUCKFLOW_VIEWS", "transformed, fuel_speed")], &[]).unwrap();
        assert_eq!(names(&config), ["transformed", "fuel_speed", "dead_letters"]);
        assert!(load(DEFINED, &[("TRUCKFLOW_VIEWS", "nope")], &[]).unwrap_err().to_string().contains("hot"));
        let added = [("views", "[{ name = \"cold\", columns = [\"truck_id\"], backfill = true }]")];
        let config = load(DEFINED, &[], &added).unwrap();
        assert_eq!(
            config.own_views().map(|own| own.table()).collect::<Vec<_>>(),
            ["TRUCK_HOT", "TRUCK_COLD"]
        );
        assert!(config.is_backfilled("cold") && !config.is_backfilled("hot"));
        assert_eq!(names(&config), ["above_speed", "fuel_speed", "hot", "cold", "dead_letters"]);
        // Without names in the file all built-in views are on.
        let text = "[[views]]\nname = \"hot\"\ncolumns = [\"truck_id\"]\n[csv]\nviews = [\"hot\"]";
        // But the phone's, which nothing feeds.
        assert_eq!(names(&load(text, &[], &[]).unwrap()).len(), views::NAMES.len());
    }

    #[test]
    fn what_a_job_defines_reaches_the_views() {
        let settings = load(DEFINED, &[], &[("settings.window", "1m"), ("mode", "upsert")]).unwrap();
        let settings = settings.view_settings().unwrap();
        assert_eq!((settings.window, settings.window_retention), (60_000_000, 86_400_000_000));
        assert!(settings.upserts());
        let fields: Vec<_> = settings.fields.iter().map(|field| (&*field.name, field.field_type)).collect();
        assert_eq!(fields, [("driver", FieldType::Text), ("oil", FieldType::Number)]);
    }

    #[test]
    fn a_definition_that_cannot_be_is_refused_with_its_name() {
        let correlation =
            |x: &str, y: &str| format!("correlations = [{{name = \"c\", x = {x:?}, y = {y:?}}}]");
        let named = |name: &str, table: &str| {
            format!("views = [{{name = {name:?}, columns = [\"truck_id\"], table = {table:?}}}]")
        };
        for (text, said) in [
            (correlation("engine_speed", "timestamp"), "swap them: x = \"timestamp\", y = \"engine_speed\""),
            (correlation("engine_speed", "engine_speed"), "give two fields"),
            (
                correlation("timestamp", "oil"),
                "correlations.c y: `oil` is no field; there are timestamp, distance_covered",
            ),
            (correlation("timestamp", "driver") + "\n[record]\ndriver = \"text\"", "`driver` is no number"),
            (
                correlation("timestamp", "samples") + "\n[record]\nsamples = \"number\"",
                "another column of its table",
            ),
            (named("Hot", "T"), "views.Hot: give a name of small letters"),
            (named("orientation", "T"), "views.orientation: another view has this name"),
            (named("readings", "T"), "views.readings: another view has this name"),
            (named("hot", "ingested_table_1"), "views.hot table: another view has the table"),
            (named("above_speed", "T"), "views.above_speed: another view has this name"),
            (named("hot", "truck_ABOVE_speed"), "views.hot table: another view has the table"),
            (named("hot", "truckflow_state"), "views.hot table: `truckflow_state` is no name for it"),
            (named("hot", "a b"), "views.hot table: `a b` is no name for it"),
            ("[record]\ntruck_id = \"text\"".into(), "record.truck_id: every reading has this field"),
            ("[record]\noil = \"text\"\nOil = \"text\"".into(), "record.oil: another field differs only"),
            ("[record]\n\"1\" = \"text\"".into(), "record.1: give a name"),
            ("[record]\noil = \"bytes\"".into(), "line 2"),
            ("[[views]]\nname = \"hot\"\ncolumn = []".into(), "unknown field `column`"),
            ("[[views]]\nname = \"hot\"".into(), "missing field `columns`"),
            ("views = [5]".into(), "the name of a view, or a table that defines one"),
        ] {
            let error = load(&text, &[], &[]).unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains('\n'), "{text}\n{error}");
        }
    }
}
