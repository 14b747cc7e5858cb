//! What a job is told: a TOML file, `TRUCKFLOW_…` variables over it, flags over both.
//!
//! Every key is in [`Config`]; a key that is not is refused. `TRUCKFLOW_KAFKA__BROKERS` is the key
//! `kafka.brokers`, and `--set kafka.brokers=…` sets any key that has no flag of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dataflows::batch::NANO;
use dataflows::real::Factor;
use dataflows::views::{self, Settings, View};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::clock::Limits;
use crate::source::file::full_path;
use crate::source::kafka::OnDataLoss;

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
    #[error("configuration {place}: {reason}; see `truckflow run --help` for the keys")]
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
}

/// Everything that can be configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The job's name: what its state and offsets are kept under.
    pub job: String,
    /// Worker threads.
    pub workers: usize,
    /// Runs with an in-process broker that is fed from `input`.
    pub embedded: bool,
    /// A file to read instead of Kafka, or `-` for standard input.
    pub input: Option<String>,
    /// Stops, after the commit, at the end that was there at the start.
    pub until_end: bool,
    /// Keeps trying when the broker, the topic or the database is not there at the start.
    pub wait: bool,
    /// The folder of `<view>.csv` and `truckflow.db`.
    pub out: PathBuf,
    /// `mysql://user:password@host:port/database`, or `sqlite:PATH`; by default `<out>/truckflow.db`.
    pub database: Option<String>,
    /// A file that holds the database's password, instead of in the URL.
    pub database_password_file: Option<PathBuf>,
    /// The views to keep up to date; all when empty.
    pub views: Vec<String>,
    /// Where `/metrics`, `/healthz` and `/readyz` are, or `off`.
    pub listen: String,
    /// How long an epoch lasts, such as `1s` or `250ms`.
    pub commit_interval: String,
    /// What to do when unread offsets are gone from the broker.
    pub on_data_loss: OnDataLoss,
    /// The Kafka input.
    pub kafka: Kafka,
    /// The phone's orientation readings.
    pub orientation: Orientation,
    /// CSV files.
    pub csv: Sink,
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
    pub properties: BTreeMap<String, toml::Value>,
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

/// `[csv]` and `[tables]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sink {
    /// The views that go here; absent: every view of the job, `[]`: none.
    pub views: Option<Vec<String>>,
}

impl Sink {
    /// Whether a view goes here.
    pub fn takes(&self, view: &str) -> bool {
        self.views.as_ref().is_none_or(|views| views.iter().any(|name| name == view))
    }
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
}

/// `[limits]`
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
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
}

impl Default for Config {
    fn default() -> Self {
        Self {
            job: "truckflow".into(),
            workers: 1,
            embedded: false,
            input: None,
            until_end: false,
            wait: false,
            out: "out".into(),
            database: None,
            database_password_file: None,
            views: Vec::new(),
            listen: "127.0.0.1:9600".into(),
            commit_interval: "1s".into(),
            on_data_loss: OnDataLoss::Stop,
            kafka: Kafka::default(),
            orientation: Orientation::default(),
            csv: Sink::default(),
            tables: Sink::default(),
            dead_letters: DeadLetters::default(),
            settings: ViewSettings::default(),
            limits: LimitSettings::default(),
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self { brokers: "127.0.0.1:9092".into(), topic: "Truck-Data".into(), properties: BTreeMap::new() }
    }
}

impl Default for ViewSettings {
    fn default() -> Self {
        Self { above_speed: toml::Value::Integer(80), speed_factor: toml::Value::Float(1.2) }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            epoch_records: 200_000,
            epoch_bytes: 32 << 20,
            epochs_in_flight: 3,
            bytes_in_flight: 32 << 20,
            message_bytes: 1 << 20,
        }
    }
}

/// The beginning of the variables that set keys.
const PREFIX: &str = "TRUCKFLOW_";

impl Config {
    /// Reads the file, then the variables, then `flags` (`key = value` with dotted keys).
    pub fn load(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: Vec<(String, toml::Value)>,
    ) -> Result<Self, ConfigError> {
        let mut table = toml::Table::new();
        if let Some(path) = file {
            let text = std::fs::read_to_string(path)
                .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
            // Checked by itself first, so that what is wrong is told with its line.
            if let Err(error) = toml::from_str::<Self>(&text) {
                let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
                let place = format!("{} line {line}", path.display());
                return Err(ConfigError::Parse { place, reason: one_line(error.message()) });
            }
            table = text.parse().map_err(|error: toml::de::Error| ConfigError::Parse {
                place: path.display().to_string(),
                reason: one_line(error.message()),
            })?;
        }
        for (name, value) in variables {
            if let Some(key) = name.strip_prefix(PREFIX).filter(|key| !key.starts_with("TEST_")) {
                let key = key.to_lowercase().replace("__", ".");
                set(&mut table, &key, parse_value(&value))
                    .and_then(|()| check(&table))
                    .map_err(|reason| ConfigError::Parse { place: name, reason })?;
            }
        }
        for (key, value) in flags {
            set(&mut table, &key, value)
                .and_then(|()| check(&table))
                .map_err(|reason| ConfigError::Parse { place: format!("--set {key}"), reason })?;
        }
        let config: Self = table.try_into().map_err(|error: toml::de::Error| ConfigError::Parse {
            place: "flags".into(),
            reason: one_line(error.message()),
        })?;
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
        let name_fits = (1..=64).contains(&self.job.len())
            && self.job.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
        if !name_fits {
            return wrong("job", &self.job, "give 1 to 64 letters, digits, `-`, `_` or `.`");
        }
        if self.embedded && self.input.is_none() {
            return wrong("embedded", &true, "the embedded broker is fed from a file: give --input FILE");
        }
        let limits = self.limits;
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
        self.interval()?;
        self.view_settings()?;
        self.validate_reads()?;
        known("csv.views", self.csv.views.as_deref().unwrap_or_default())?;
        known("tables.views", self.tables.views.as_deref().unwrap_or_default())
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
            && full_path(path) == full_path(trucks)
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
        let other = |view: &View| view.name != views::ORIENTATION && view.name != views::DEAD_LETTERS;
        Ok(Reads {
            trucks: !phone || views.iter().any(other),
            phone_topic: self.orientation.topic.as_deref().filter(|_| phone),
            phone_file: self.orientation.input.as_deref().filter(|_| phone),
        })
    }

    /// The views of the job, in the list's order.
    pub fn active_views(&self) -> Result<Vec<View>, ConfigError> {
        known("views", &self.views)?;
        let asked = |name: &str| self.views.iter().any(|asked| asked == name);
        let has_phone = self.orientation.topic.is_some() || self.orientation.input.is_some();
        if asked(views::ORIENTATION) && !has_phone {
            return Err(ConfigError::Value {
                key: "views",
                value: views::ORIENTATION.into(),
                reason: "nothing feeds it: give orientation.topic or orientation.input".into(),
            });
        }
        let wanted = |view: &View| match self.views.is_empty() {
            true => view.name != views::ORIENTATION || has_phone,
            false => asked(&view.name),
        };
        // Nothing is dropped silently: dead letters are always kept.
        Ok(views::all(&self.view_settings()?)
            .into_iter()
            .filter(|view| wanted(view) || view.name == views::DEAD_LETTERS)
            .collect())
    }

    fn interval(&self) -> Result<Duration, ConfigError> {
        let text = self.commit_interval.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let interval = match (text[..digits].parse::<u64>(), &text[digits..]) {
            (Ok(n), "ms") => Some(Duration::from_millis(n)),
            (Ok(n), "s") => Some(Duration::from_secs(n)),
            (Ok(n), "m") => Some(Duration::from_secs(n.saturating_mul(60))),
            _ => None,
        };
        interval.filter(|at| (Duration::from_millis(1)..=Duration::from_secs(3600)).contains(at)).ok_or_else(
            || ConfigError::Value {
                key: "commit_interval",
                value: self.commit_interval.clone(),
                reason: "give a time from 1ms to 60m, such as `250ms` or `1s`".into(),
            },
        )
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
        Ok(Settings {
            above_speed,
            speed_factor: parse("settings.speed_factor", &self.settings.speed_factor)?,
            ..Settings::default()
        })
    }

    /// The database's URL.
    pub fn database_url(&self) -> Result<String, ConfigError> {
        let Some(url) = &self.database else {
            return Ok(format!("sqlite:{}", self.out.join("truckflow.db").display()));
        };
        let Some(path) = &self.database_password_file else { return Ok(url.clone()) };
        let password = std::fs::read_to_string(path).map_err(|source| ConfigError::Value {
            key: "database_password_file",
            value: path.display().to_string(),
            reason: format!("cannot read it: {source}; give a file that holds the password"),
        })?;
        let wrong = || ConfigError::Value {
            key: "database",
            value: "(not shown)".into(),
            reason: "not a URL; give mysql://user@host:port/database".into(),
        };
        let mut parsed = url::Url::parse(url).map_err(|_| wrong())?;
        parsed.set_password(Some(password.trim_end_matches(['\n', '\r']))).map_err(|()| wrong())?;
        Ok(parsed.into())
    }

    /// The Kafka properties as librdkafka takes them.
    pub fn kafka_properties(&self) -> BTreeMap<String, String> {
        let mut properties = BTreeMap::new();
        flatten("", &self.kafka.properties, &mut properties);
        properties
    }
}

/// TOML reads an unquoted `a.b = 1` as a table `a`; librdkafka's names have dots.
fn flatten<'a>(
    prefix: &str,
    table: impl IntoIterator<Item = (&'a String, &'a toml::Value)>,
    out: &mut BTreeMap<String, String>,
) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, out),
            toml::Value::String(text) => {
                out.insert(key, text.clone());
            }
            other => {
                out.insert(key, other.to_string());
            }
        }
    }
}

fn known(key: &'static str, names: &[String]) -> Result<(), ConfigError> {
    match names.iter().find(|name| !views::NAMES.contains(&name.as_str())) {
        None => Ok(()),
        Some(name) => Err(ConfigError::Value {
            key,
            value: name.clone(),
            reason: format!("no such view; there are {}", views::NAMES.join(", ")),
        }),
    }
}

/// A variable's text as the value that it most likely is.
pub fn parse_value(text: &str) -> toml::Value {
    let parsed = format!("v = {text}").parse::<toml::Table>().ok();
    parsed.and_then(|mut table| table.remove("v")).unwrap_or_else(|| toml::Value::String(text.to_owned()))
}

/// Sets a dotted key.
fn set(table: &mut toml::Table, key: &str, value: toml::Value) -> Result<(), String> {
    // What follows `kafka.properties.` is one key of librdkafka's, dots and all.
    let (path, last) = match key.strip_prefix("kafka.properties.") {
        Some(property) => (vec!["kafka", "properties"], property),
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

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn load(text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let flags = flags.iter().map(|(k, v)| ((*k).to_owned(), parse_value(v))).collect();
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
                ("TRUCKFLOW_WORKERS", "3"),
            ],
            &[("workers", "4"), ("kafka.properties.security.protocol", "ssl")],
        )
        .unwrap();
        assert_eq!((config.workers, config.job.as_str(), config.kafka.brokers.as_str()), (4, "b", "x:1"));
        assert_eq!(config.kafka.topic, "T");
        let properties = config.kafka_properties();
        assert_eq!(properties["fetch.min.bytes"], "5");
        assert_eq!(properties["security.protocol"], "ssl");
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
            ("settings.speed_factor", "\"x\""),
            ("limits.epochs_in_flight", "1"),
            ("embedded", "true"),
        ] {
            let error = load("", &[], &[(key, value)]).unwrap_err().to_string();
            assert!(!error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_password_comes_from_a_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(b"p@ss/word\n").unwrap();
        let path = format!("{:?}", file.path());
        let url = "\"mysql://u@h:3306/d\"";
        let config = load("", &[], &[("database", url), ("database_password_file", &path)]).unwrap();
        assert_eq!(config.database_url().unwrap(), "mysql://u:p%40ss%2Fword@h:3306/d");
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
}
