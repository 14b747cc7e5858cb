//! A job: a validated configuration and everything derived from it. It is built once.

use std::fmt;
use std::ops::{Deref, RangeInclusive};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataflows::batch::NANO;
use dataflows::real::Factor;
use dataflows::schema::Schema;
use dataflows::views::{self, Missing, Settings, View};

use super::defined::BuiltinViews;
use super::error::ConfigError;
use super::known::{Names, names};
use super::load;
use super::message::{self, Preset};
use super::place::Places;
use super::raw::Config;
use super::span::{duration, span};
use super::sql;
use super::sql::script::Script;
use super::start::start;
use crate::decode::Mapping;
use crate::runtime::clock::Limits;
use crate::source::file::is_separator;
use crate::source::kafka::Start;
use crate::store::memory::Memory;

/// A job. It derefs to its configuration, whose values have been validated.
#[derive(Clone)]
pub struct Job {
    config: Config,
    /// The views: built-in ones in the order of their list, user-defined ones, dead letters.
    pub active_views: Vec<View>,
    /// The views' thresholds and factors.
    pub view_settings: Settings,
    /// The limits of an epoch.
    pub epoch_limits: Limits,
    /// How far a reading's event time may be ahead of the clocks, in microseconds; `None` if unlimited.
    pub max_ahead: Option<i64>,
    /// How messages are read.
    pub mapping: Arc<Mapping>,
    /// The built-in views that are not built, because the record lacks fields.
    pub missing: Vec<Missing>,
    /// Where the job begins to read its topics if it has not committed yet.
    pub start: Start,
    /// Where its tables are, if not in a database: it is run once, and keeps nothing.
    pub memory: Option<Memory>,
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl Deref for Job {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl Job {
    /// Reads the file, then the variables, then `flags` (`key = value` with dotted keys).
    pub fn load(
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: Vec<(String, toml::Value)>,
    ) -> Result<Self, ConfigError> {
        Self::located(load::load(file, variables, flags)?)
    }

    /// Like [`load`](Self::load), with the text of the file; `name` is used in errors.
    pub fn read(
        text: &str,
        name: &str,
        variables: impl Iterator<Item = (String, String)>,
        flags: Vec<(String, toml::Value)>,
    ) -> Result<Self, ConfigError> {
        Self::located(load::read(text, name, variables, flags)?)
    }

    /// The job of a configuration. An error in the mapping of messages says where it was written.
    fn located((mut config, places): (Config, Places)) -> Result<Self, ConfigError> {
        config.sql = config.views.as_deref().map(Script::read).transpose()?.map(Arc::new);
        let known: Vec<String> = config.record.keys().cloned().collect();
        Self::try_from(config).map_err(|error| error.located(&places, &known))
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The built-in views that are not built, each with the fields that the record lacks; none if all are.
    pub fn missing_views(&self) -> Option<String> {
        let view = |missing: &Missing| format!("{} ({})", missing.view, missing.fields.join(", "));
        let views: Vec<String> = self.missing.iter().map(view).collect();
        (!views.is_empty()).then(|| views.join(", "))
    }

    /// Whether the job reads a topic of this name.
    pub fn reads_topic(&self, topic: &str) -> bool {
        self.kafka.topic.selects(topic, self.dead_letters.topic.as_deref())
    }

    /// Whether the job reads from or writes to Kafka, including the embedded broker.
    pub fn reaches_kafka(&self) -> bool {
        self.input.is_none() || self.embedded || self.dead_letters.topic.is_some()
    }
}

impl TryFrom<Config> for Job {
    type Error = ConfigError;

    fn try_from(config: Config) -> Result<Self, ConfigError> {
        validate(&config)?;
        let (epoch_limits, max_ahead) = (epoch_limits(&config)?, max_ahead(&config)?);
        let mapping = Arc::new(message::mapping(&config)?);
        let view_settings = view_settings(&config, &mapping.schema)?;
        let active_views = active_views(&config, &view_settings)?;
        let missing = missing(&config, &view_settings);
        let start = start(&config.kafka.start)?;
        validate_topics(&config, start)?;
        Ok(Self {
            config,
            active_views,
            view_settings,
            epoch_limits,
            max_ahead,
            mapping,
            missing,
            start,
            memory: None,
        })
    }
}

/// Refuses values that no job can have.
fn validate(config: &Config) -> Result<(), ConfigError> {
    let wrong = |key, value: &dyn ToString, reason: &str| {
        Err(ConfigError::Value { key, value: value.to_string(), reason: reason.into() })
    };
    if config.workers == 0 || config.workers > 256 {
        return wrong("workers", &config.workers, "give 1 to 256, at most one per core");
    }
    validate_processes(config)?;
    let name_fits = (1..=64).contains(&config.job.len())
        && config.job.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !name_fits {
        return wrong("job", &format!("{:?}", config.job), "give 1 to 64 letters, digits, `-`, `_` or `.`");
    }
    if config.embedded && (config.key_separator.is_some() || config.mode == views::Mode::Upsert) {
        return wrong(
            "embedded",
            &true,
            "the embedded broker takes messages without keys only; leave out --embedded to read the file directly",
        );
    }
    if config.embedded && config.input.is_none() {
        return wrong("embedded", &true, "the embedded broker is fed from a file; give --input FILE");
    }
    let limits = &config.limits;
    let at_least_one = [
        ("limits.epoch_records", limits.epoch_records),
        ("limits.epoch_bytes", limits.epoch_bytes),
        ("limits.bytes_in_flight", limits.bytes_in_flight),
        ("limits.message_bytes", limits.message_bytes as u64),
    ];
    if let Some((key, _)) = at_least_one.into_iter().find(|(_, limit)| *limit == 0) {
        return wrong(key, &0, "give at least 1");
    }
    if limits.epochs_in_flight < 2 {
        return wrong(
            "limits.epochs_in_flight",
            &limits.epochs_in_flight,
            "give at least 2: one open and one being committed",
        );
    }
    if config.csv.max_records == Some(0) {
        return wrong("csv.max_records", &0, "give at least 1, or leave it out for one file per view");
    }
    if let Some(separator) = &config.key_separator
        && !is_separator(separator)
    {
        return wrong(
            "key_separator",
            &format!("{separator:?}"),
            "give a string without line breaks, such as \"\\t\", or leave it out if lines have no key",
        );
    }
    let given = &config.kafka.properties;
    if let Some(name) = config.kafka.files().into_keys().find(|name| given.contains(name)) {
        return wrong(
            "kafka.property_files",
            &name,
            "it is also set in [kafka.properties]; set it in one place",
        );
    }
    let names = names(config)?;
    if let Some(BuiltinViews::Names(asked)) = &config.builtin_views {
        Names::built_in().check_known("builtin_views", asked.iter().map(String::as_str))?;
    }
    for (key, sink) in [("csv.views", &config.csv.views), ("tables.views", &config.tables.views)] {
        names.check_known(key, sink.iter().flatten().map(String::as_str))?;
    }
    Ok(())
}

fn validate_processes(config: &Config) -> Result<(), ConfigError> {
    let wrong =
        |key, value: usize, reason: String| Err(ConfigError::Value { key, value: value.to_string(), reason });
    let processes = config.processes;
    if !(1..=MAX_PROCESSES).contains(&processes) {
        return wrong("processes", processes, format!("give 1 to {MAX_PROCESSES}"));
    }
    if config.process >= processes {
        let reason = match processes {
            1 => "there is only one process, number 0; give --processes N as well".into(),
            _ => format!("give 0 to {}, as there are {processes} processes", processes - 1),
        };
        return wrong("process", config.process, reason);
    }
    if processes > 1 && config.hosts.is_none() {
        let reason = "give --hosts FILE, with a line `host:port` for each process";
        return wrong("processes", processes, reason.into());
    }
    if processes > 1 && config.embedded {
        let reason = "the embedded broker works with one process only; leave out --embedded or --processes";
        return wrong("processes", processes, reason.into());
    }
    Ok(())
}

/// Refuses topics that cannot be read as configured.
fn validate_topics(config: &Config, start: Start) -> Result<(), ConfigError> {
    let topics = &config.kafka.topic;
    let wrong =
        |key, value: String, reason: &str| Err(ConfigError::Value { key, value, reason: reason.into() });
    if config.input.is_some() && start != Start::default() {
        let reason = "a file is read from its first line; leave out kafka.start";
        return wrong("kafka.start", start.to_string(), reason);
    }
    if config.embedded && topics.single().is_none() {
        let reason = "the embedded broker has one topic; give its name, or leave out --embedded";
        return wrong("kafka.topic", topics.to_string(), reason);
    }
    if config.input.is_some() {
        return Ok(());
    }
    if config.mode == views::Mode::Upsert && topics.single().is_none() {
        let reason = "in upsert mode all messages of a key must have an order; give the name of one topic";
        return wrong("kafka.topic", topics.to_string(), reason);
    }
    if let Some(letters) = &config.dead_letters.topic
        && topics.names().any(|name| name == letters)
    {
        let reason = "the job would read its own dead letters; give another topic";
        return wrong("dead_letters.topic", letters.clone(), reason);
    }
    Ok(())
}

/// The built-in views that the job would have if the record had their fields.
fn missing(config: &Config, settings: &Settings) -> Vec<Missing> {
    let are_named = matches!(config.builtin_views, Some(BuiltinViews::Names(_)));
    // Without names, those of another record are not expected.
    let is_expected = |missing: &Missing| {
        are_named || missing.view != views::ORIENTATION && config.message.preset != Preset::Orientation
    };
    let missing = views::missing(settings).into_iter();
    missing.filter(|missing| config.has_builtin(missing.view) && is_expected(missing)).collect()
}

/// The views of the job: built-in ones in the order of their list, user-defined ones, dead letters.
fn active_views(config: &Config, settings: &Settings) -> Result<Vec<View>, ConfigError> {
    let (dead_letters, mut active): (Vec<_>, Vec<_>) =
        views::all(settings).into_iter().partition(|view| view.name == views::DEAD_LETTERS);
    active.retain(|view| config.has_builtin(&view.name));
    for definition in &config.correlations {
        active.push(definition.view(settings)?);
    }
    if let Some(script) = &config.sql {
        active.extend(sql::compile(script, settings)?.into_iter().map(|view| view.view(settings)));
    }
    if settings.upserts() {
        active.push(views::readings_view(settings));
    }
    active.extend(settings.dedupe.as_ref().map(views::dedupe_view));
    // No record is dropped silently: dead letters are always kept.
    active.extend(dead_letters);
    Ok(active)
}

fn interval(config: &Config) -> Result<Duration, ConfigError> {
    const RANGE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(3600);
    duration("commit_interval", &config.commit_interval, RANGE)
}

/// How far a reading's event time may be ahead of the clocks, in microseconds; `None` if unlimited.
fn max_ahead(config: &Config) -> Result<Option<i64>, ConfigError> {
    match &*config.limits.max_ahead {
        "off" => Ok(None),
        text => Ok(Some(span("limits.max_ahead", text, Duration::ZERO)?)),
    }
}

/// The limits of an epoch.
fn epoch_limits(config: &Config) -> Result<Limits, ConfigError> {
    Ok(Limits {
        interval: interval(config)?,
        epoch_records: config.limits.epoch_records,
        epoch_bytes: config.limits.epoch_bytes,
        epochs_in_flight: config.limits.epochs_in_flight,
        bytes_in_flight: config.limits.bytes_in_flight,
    })
}

/// The views' thresholds and factors.
fn view_settings(config: &Config, schema: &Schema) -> Result<Settings, ConfigError> {
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
    let threshold = parse("settings.above_speed", &config.settings.above_speed)?;
    let above_speed = threshold.times(NANO).ok_or_else(|| ConfigError::Value {
        key: "settings.above_speed",
        value: threshold.to_string(),
        reason: "give a number below 9.2e9".into(),
    })?;
    let settings = &config.settings;
    let (zero, second) = (Duration::ZERO, Duration::from_secs(1));
    if !(1..=MAX_JOINED).contains(&settings.join_limit) {
        return Err(ConfigError::Value {
            key: "settings.join_limit",
            value: settings.join_limit.to_string(),
            reason: format!("give 1 to {MAX_JOINED} readings"),
        });
    }
    Ok(Settings {
        mode: config.mode,
        one_after_another: config.input.is_some() && !config.embedded,
        schema: schema.clone(),
        dedupe: message::dedupe(config, schema)?,
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

/// The most processes of a cluster.
const MAX_PROCESSES: usize = 64;

/// The most readings of a truck that may share a timestamp in a join. An epoch may have to hold the product of
/// two such groups.
const MAX_JOINED: usize = 1_000_000;
