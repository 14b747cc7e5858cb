//! The configuration before validation: every key and its default.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use dataflows::views::Mode;
use serde::{Deserialize, Serialize};

use super::builtin_views::BuiltinViews;
use super::message::written::{MessageSettings, RecordFields};
use super::sql::parameters::{self, Parameters, with_defaults};
use super::sql::script::{Script, ViewStatement};
use super::start::text_or_time;
use crate::kafka::properties::{Properties, flat};
use crate::kafka::topics::Topics;
use crate::runtime::secret::DatabaseUrl;
use crate::source::OnDataLoss;
use crate::source::kafka::Start;

/// Everything that can be configured.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The job's name, under which its state and offsets are stored.
    pub job: String,
    /// Worker threads per process.
    pub workers: usize,
    /// Number of processes that run the job together.
    pub processes: usize,
    /// Index of this process. Process 0 owns the sinks and commits.
    pub process: usize,
    /// A file with the addresses on which the processes listen for each other: see [`crate::job::cluster`].
    pub hosts: Option<PathBuf>,
    /// A file with the secret that every process of the cluster must know.
    pub cluster_secret_file: Option<PathBuf>,
    /// Runs with an in-process broker that is fed from `input`.
    pub embedded: bool,
    /// A file to read instead of Kafka, or `-` for standard input.
    pub input: Option<String>,
    /// Stops after the commit of everything that was there at the start.
    pub until_end: bool,
    /// Keeps trying at the start while the broker, topic or database is missing.
    pub wait: bool,
    /// The folder of the CSV files and `truckflow.db`.
    pub out: PathBuf,
    /// `mysql://user:password@host:port/database`, or `sqlite:PATH`; by default `<out>/truckflow.db`.
    pub database: Option<DatabaseUrl>,
    /// A file with the database password, which then is not in the URL.
    pub database_password_file: Option<PathBuf>,
    /// What a message does to earlier readings.
    pub mode: Mode,
    /// Separates key and value in a line of a file; absent: lines have no key.
    pub key_separator: Option<String>,
    /// A file with the job's own views, in SQL.
    pub views: Option<PathBuf>,
    /// Values that the views read as `$name`.
    #[serde(deserialize_with = "with_defaults")]
    pub parameters: Parameters,
    /// What is in that file.
    #[serde(skip)]
    pub sql: Option<Arc<Script>>,
    /// The built-in views to maintain; absent: all if the job has no views of its own, else none.
    pub builtin_views: Option<BuiltinViews>,
    /// Views that are rebuilt if their definitions have changed.
    pub replace: Vec<String>,
    /// How bytes become readings.
    pub message: MessageSettings,
    /// The fields of a reading beyond those of the preset, and where all of them are in messages.
    pub record: RecordFields,
    /// Address of the live page, `/metrics`, `/healthz` and `/readyz`, or `off`.
    pub listen: String,
    /// A file with the token that clients must send.
    pub listen_token_file: Option<PathBuf>,
    /// Length of an epoch, such as `1s` or `250ms`.
    pub commit_interval: String,
    /// What to do if unread offsets are no longer on the broker.
    pub on_data_loss: OnDataLoss,
    /// The Kafka input.
    pub kafka: Kafka,
    /// CSV files.
    pub csv: CsvSink,
    /// SQL tables.
    pub tables: TableSink,
    /// The topic that dead letters are sent to, if any.
    pub dead_letters: DeadLetters,
    /// Limits that bound memory.
    pub limits: LimitSettings,
}

/// `[kafka]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// Bootstrap servers.
    pub brokers: String,
    /// The topics.
    pub topic: Topics,
    /// Where a job that has not committed yet begins to read them.
    #[serde(deserialize_with = "text_or_time")]
    pub start: String,
    /// Any librdkafka property.
    pub properties: Properties,
    /// Properties whose values are read from files, such as secrets.
    pub property_files: BTreeMap<String, toml::Value>,
}

impl Kafka {
    /// The files of properties, by property name.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        flat(&self.property_files)
    }
}

/// `[csv]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CsvSink {
    /// The views written here; absent: all views of the job, `[]`: none.
    pub views: Option<Vec<String>>,
    /// Maximum number of records per file; absent: one file per view.
    pub max_records: Option<u64>,
}

impl CsvSink {
    /// Whether a view is written here.
    pub fn takes(&self, view: &str) -> bool {
        chosen(self.views.as_deref(), view)
    }
}

/// `[tables]`
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableSink {
    /// The views written here; absent: all views of the job, `[]`: none.
    pub views: Option<Vec<String>>,
    /// How many connections to a server commit.
    pub connections: Option<u64>,
}

impl TableSink {
    /// Whether a view is written here.
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

/// `[limits]`
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// An epoch ends after about this many records.
    pub epoch_records: Option<u64>,
    /// An epoch ends after about this many bytes of input.
    pub epoch_bytes: Option<u64>,
    /// Maximum number of epochs in flight.
    pub epochs_in_flight: u64,
    /// Maximum number of rendered bytes that wait for their commit.
    pub bytes_in_flight: u64,
    /// Maximum bytes of a message; larger ones become dead letters.
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
            views: None,
            parameters: parameters::defaults(),
            sql: None,
            builtin_views: None,
            replace: Vec::new(),
            message: MessageSettings::default(),
            record: RecordFields::new(),
            listen: "127.0.0.1:9600".into(),
            listen_token_file: None,
            commit_interval: "1s".into(),
            on_data_loss: OnDataLoss::Stop,
            kafka: Kafka::default(),
            csv: CsvSink::default(),
            tables: TableSink::default(),
            dead_letters: DeadLetters::default(),
            limits: LimitSettings::default(),
        }
    }
}

impl Default for Kafka {
    fn default() -> Self {
        Self {
            brokers: BROKERS.into(),
            topic: Topics::named(TOPIC),
            start: Start::default().to_string(),
            properties: Properties::default(),
            property_files: BTreeMap::new(),
        }
    }
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            epoch_records: None,
            epoch_bytes: None,
            epochs_in_flight: 3,
            bytes_in_flight: 64 << 20,
            message_bytes: 1 << 20,
            max_ahead: "1d".into(),
        }
    }
}

/// The default bootstrap server.
pub(crate) const BROKERS: &str = "127.0.0.1:9092";
/// The default topic.
pub(crate) const TOPIC: &str = "Truck-Data";

impl Config {
    /// The job's own view with this name.
    fn own_view(&self, name: &str) -> Option<&ViewStatement> {
        self.sql.as_ref()?.views().find(|view| view.name == name)
    }

    /// Whether a view is filled from the beginning of the topic when it is added to an existing job.
    pub fn is_backfilled(&self, view: &str) -> bool {
        self.own_view(view).is_some_and(|own| own.backfill)
    }

    /// Whether a view is written to files.
    pub fn has_file(&self, view: &str) -> bool {
        self.csv.takes(view) && self.own_view(view).is_none_or(|own| own.csv)
    }

    /// Whether a view is written to a table.
    pub fn has_table(&self, view: &str) -> bool {
        self.tables.takes(view) && self.own_view(view).is_none_or(|own| own.table.is_some())
    }

    /// Whether a built-in view is to be maintained.
    pub fn has_builtin(&self, view: &str) -> bool {
        match &self.builtin_views {
            None => self.views.is_none(),
            Some(BuiltinViews::All(all)) => *all,
            Some(BuiltinViews::Names(names)) => names.iter().any(|name| name == view),
        }
    }
}
