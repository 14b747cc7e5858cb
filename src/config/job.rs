//! A job: a validated configuration and everything derived from it. It is built once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::{Deref, RangeInclusive};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataflows::relation::{PlannedView, Relation};
use dataflows::schema::Schema;
use dataflows::views::{self, Settings, View};

use super::builtin_views::BuiltinViews;
use super::error::ConfigError;
use super::known::{Names, names};
use super::load;
use super::message::{self, Preset};
use super::place::Places;
use super::raw::Config;
use super::span::{duration, span};
use super::sql::builtin::{self, Builtin, Missing};
use super::sql::script::Script;
use super::sql::{self, Reads};
use super::start::start;
use crate::decode::Mapping;
use crate::runtime::clock::Limits;
use crate::runtime::growth::{self, Ceiling};
use crate::source::file::is_separator;
use crate::source::kafka::Start;
use crate::store::memory::Memory;

/// A job. It derefs to its configuration, whose values have been validated.
#[derive(Clone)]
pub struct Job {
    config: Config,
    /// The views in SQL: built-in ones, then the job's own.
    pub planned: Vec<PlannedView>,
    /// All views: those in SQL, readings, dead letters.
    pub active_views: Vec<View>,
    /// The names of the relations that a view reads, also through others.
    pub reads: BTreeMap<String, Reads>,
    /// The names of those that are rebuilt if their definitions have changed: `CREATE OR REPLACE`, `replace`, and those
    /// that read such a view.
    pub replaced: BTreeSet<String>,
    /// What all views have in common.
    pub view_settings: Settings,
    /// The limits of an epoch.
    pub epoch_limits: Limits,
    /// How many connections to a server commit.
    pub connections: usize,
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
        let parameters = &config.parameters;
        let script = config.views.as_deref().map(|path| Script::read(path, parameters)).transpose()?;
        config.sql = script.map(Arc::new);
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
        let built_in = builtin::script(&config.parameters)?;
        validate(&config, &built_in)?;
        let max_ahead = max_ahead(&config)?;
        let mapping = Arc::new(message::mapping(&config)?);
        let view_settings = view_settings(&config, &mapping.schema)?;
        let mut builtin = Builtin::compile(&built_in, &view_settings)?;
        builtin.retain(|view| config.has_builtin(view));
        let missing = missing(&config, &builtin);
        let own = config.sql.as_deref().map(|script| sql::compile(script, &builtin)).transpose()?;
        let own = own.unwrap_or_default();
        let reads = all_reads(builtin.reads.iter().chain(&own.reads));
        let replaced = replaced(&config, &reads);
        let mut planned: Vec<PlannedView> = builtin.views.into_iter().chain(own.views).collect();
        planned.iter_mut().for_each(|view| define_fields(view, &config, &mapping.schema));
        let active_views = active_views(&planned, &view_settings);
        let epoch_limits = epoch_limits(&config, may_grow(&planned, &view_settings))?;
        let connections = connections(&config);
        let start = start(&config.kafka.start)?;
        validate_topics(&config, start)?;
        Ok(Self {
            config,
            planned,
            active_views,
            reads,
            replaced,
            view_settings,
            epoch_limits,
            connections,
            max_ahead,
            mapping,
            missing,
            start,
            memory: None,
        })
    }
}

/// Refuses values that no job can have.
fn validate(config: &Config, built_in: &Script) -> Result<(), ConfigError> {
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
        ("limits.bytes_in_flight", Some(limits.bytes_in_flight)),
        ("limits.message_bytes", Some(limits.message_bytes as u64)),
    ];
    if let Some((key, _)) = at_least_one.into_iter().find(|(_, limit)| *limit == Some(0)) {
        return wrong(key, &0, "give at least 1");
    }
    if limits.epochs_in_flight < 2 {
        return wrong(
            "limits.epochs_in_flight",
            &limits.epochs_in_flight,
            "give at least 2: one open and one being committed",
        );
    }
    if let Some(connections) = config.tables.connections {
        if !(1..=MAX_CONNECTIONS).contains(&connections) {
            return wrong("tables.connections", &connections, "give 1 to 8");
        }
        if connections >= limits.epochs_in_flight {
            return wrong(
                "tables.connections",
                &connections,
                "each connection has an epoch of its own, and one more is open: raise limits.epochs_in_flight",
            );
        }
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
    let names = names(config, built_in)?;
    if let Some(BuiltinViews::Names(asked)) = &config.builtin_views {
        Names::built_in(built_in).check_known("builtin_views", asked.iter().map(String::as_str))?;
    }
    names.check_known("replace", config.replace.iter().map(String::as_str))?;
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
fn missing(config: &Config, builtin: &Builtin) -> Vec<Missing> {
    let are_named = matches!(config.builtin_views, Some(BuiltinViews::Names(_)));
    // Without names, those of another record are not expected.
    let is_expected = |missing: &&Missing| {
        are_named || missing.view != builtin::ORIENTATION && config.message.preset != Preset::Orientation
    };
    let missing = builtin.missing.iter();
    missing.filter(|missing| config.has_builtin(&missing.view)).filter(is_expected).cloned().collect()
}

/// What each view reads, also through others; `reads` names what it reads itself, in an order in which a view comes
/// behind those.
fn all_reads<'a>(reads: impl Iterator<Item = &'a (String, Reads)>) -> BTreeMap<String, Reads> {
    let mut all: BTreeMap<String, Reads> = BTreeMap::new();
    for (view, reads) in reads {
        let through = reads.iter().filter_map(|read| all.get(read)).flatten();
        let reads = reads.iter().chain(through).cloned().collect();
        all.insert(view.clone(), reads);
    }
    all
}

/// The names of the views that are rebuilt if their definitions have changed.
fn replaced(config: &Config, reads: &BTreeMap<String, Reads>) -> BTreeSet<String> {
    let own = config.sql.iter().flat_map(|script| script.replaced()).map(str::to_owned);
    let asked: BTreeSet<String> = own.chain(config.replace.iter().cloned()).collect();
    let readers = reads.iter().filter(|(_, reads)| !reads.is_disjoint(&asked)).map(|(view, _)| view.clone());
    readers.chain(asked.iter().cloned()).collect()
}

/// Adds to the definition of a view what the configuration says of the fields that it reads: with another path or unit
/// their values are others.
fn define_fields(view: &mut PlannedView, config: &Config, schema: &Schema) {
    let is_read = |name: &str| schema.field(name).is_some_and(|field| view.relation.uses(field.place));
    for (name, entry) in config.record.iter().filter(|(name, _)| is_read(name)) {
        view.definition.push_str(&format!("; {name}: {}", entry.meaning()));
    }
}

/// All views of the job.
fn active_views(planned: &[PlannedView], settings: &Settings) -> Vec<View> {
    let mut active: Vec<View> = planned.iter().map(|view| view.clone().view(settings)).collect();
    if settings.upserts() {
        active.push(views::readings_view(settings));
    }
    active.extend(settings.dedupe.as_ref().map(views::dedupe_view));
    // No record is dropped silently: dead letters are always kept.
    active.push(views::dead_letters_view());
    active
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

/// Whether larger epochs may be better: nothing keeps their readings until they end, and an aggregate may change few keys.
fn may_grow(planned: &[PlannedView], settings: &Settings) -> bool {
    let keeps_readings = |one: &Relation| match one {
        Relation::Join(_) => true,
        Relation::Aggregate(aggregate) => aggregate.window.is_some(),
        _ => false,
    };
    let has_groups = |view: &PlannedView| view.relation.any(&|one| matches!(one, Relation::Aggregate(_)));
    planned.iter().any(has_groups)
        && !planned.iter().any(|view| view.relation.any(&keeps_readings))
        && !settings.upserts()
        && settings.dedupe.is_none()
}

/// The limits of an epoch.
fn epoch_limits(config: &Config, may_grow: bool) -> Result<Limits, ConfigError> {
    let ceiling = |limit: Option<u64>, first: u64| match (limit, may_grow) {
        (Some(most), true) => Ceiling { first: first.min(most), most },
        (None, true) => Ceiling { first, most: first * growth::MOST },
        (limit, false) => Ceiling::fixed(limit.unwrap_or(first)),
    };
    Ok(Limits {
        interval: interval(config)?,
        epoch_records: ceiling(config.limits.epoch_records, FIRST_RECORDS),
        epoch_bytes: ceiling(config.limits.epoch_bytes, FIRST_BYTES),
        epochs_in_flight: config.limits.epochs_in_flight,
        bytes_in_flight: config.limits.bytes_in_flight,
    })
}

/// What all views have in common.
fn view_settings(config: &Config, schema: &Schema) -> Result<Settings, ConfigError> {
    Ok(Settings {
        mode: config.mode,
        one_after_another: config.input.is_some() && !config.embedded,
        schema: schema.clone(),
        dedupe: message::dedupe(config, schema)?,
    })
}

/// How many connections to a server commit.
fn connections(config: &Config) -> usize {
    let default = DEFAULT_CONNECTIONS.min(config.limits.epochs_in_flight - 1);
    config.tables.connections.unwrap_or(default) as usize
}

/// The connections of a job that commit, unless fewer epochs may be in flight.
const DEFAULT_CONNECTIONS: u64 = 2;
/// The most connections that commit.
const MAX_CONNECTIONS: u64 = 8;

/// Records of an epoch, unless it may grow or a limit is set.
const FIRST_RECORDS: u64 = 200_000;
/// The same of bytes.
const FIRST_BYTES: u64 = 32 << 20;

/// The most processes of a cluster.
const MAX_PROCESSES: usize = 64;
