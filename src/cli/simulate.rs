//! Flags of `simulate`.

use std::path::PathBuf;
use std::str::FromStr;

use super::properties::PropertyArgs;
use crate::config::{BROKERS, TOPIC, variable_of};
use crate::runtime::pace::Rate;
use crate::runtime::secret::DatabaseUrl;
use crate::text::time;

/// Simulate trucks that drive at about 80 km/h and send a reading every 0.36 s of event time on average.
#[derive(Clone, clap::Args)]
pub struct SimulateArgs {
    /// Number of trucks that drive at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub trucks: u32,

    /// Prefix of the truck names, followed by a number [default: truck-; a single truck has no name]
    #[arg(long, value_name = "TEXT", value_parser = parse_truck_prefix)]
    pub truck_prefix: Option<String>,

    /// Total number of readings; a truck also stops when its 600 l tank is empty
    #[arg(long, value_name = "N", default_value_t = 2_400_000)]
    pub records: u64,

    /// Readings per second, or `max`
    #[arg(long, value_name = "RATE", default_value = "max")]
    pub rate: Rate,

    /// Random seed; the same seed produces byte-identical readings
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// Destination: `topic` (Kafka), a file, which is overwritten, or `-` for standard output
    #[arg(long, value_name = "topic|FILE|-", default_value = "-")]
    pub to: Destination,

    /// Kafka brokers
    #[arg(long, value_name = "HOST:PORT,…", env = "TRUCKFLOW_BROKERS", default_value_t = variable_of("kafka.brokers", BROKERS))]
    pub brokers: String,

    /// Kafka topic
    #[arg(long, value_name = "TOPIC", env = "TRUCKFLOW_TOPIC", default_value_t = variable_of("kafka.topic", TOPIC))]
    pub topic: String,

    /// Reading format: JSON, or a Python dict as printed without or with numpy 2
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,

    /// Event time of each truck's first reading
    #[arg(long, value_name = "TIME", default_value = "2023-04-10 01:02:27", value_parser = parse_event_time)]
    pub start: i64,

    /// Continue from each truck's last row in this database
    #[arg(long, value_name = "URL")]
    pub resume_from: Option<DatabaseUrl>,

    /// File with the password of that database, instead of in the URL
    #[arg(long, value_name = "FILE", requires = "resume_from")]
    pub resume_password_file: Option<PathBuf>,

    /// Properties of the producer.
    #[command(flatten)]
    pub properties: PropertyArgs,

    /// Print a summary as one JSON object on standard output at the end
    #[arg(long)]
    pub json: bool,
}

/// The format of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// `{"distance_covered": 0.01, …}`
    Json,
    /// `{'distance_covered': 0.01, …}`: `str` of a dict
    Python,
    /// `{'distance_covered': np.float64(0.01), …}`: the same with numpy 2
    Numpy,
}

/// Where the readings go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// The Kafka topic of `--topic`.
    Topic,
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl FromStr for Destination {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Destination, Self::Err> {
        Ok(match text {
            "topic" => Destination::Topic,
            "-" => Destination::Stdout,
            path => Destination::File(path.into()),
        })
    }
}

/// A prefix that truck names cannot have.
#[derive(Debug, thiserror::Error)]
#[error("quotes, backslashes and control characters are not allowed")]
pub struct NotATruckPrefix;

fn parse_event_time(text: &str) -> Result<i64, &'static str> {
    time::parse(text).ok_or("expected YYYY-MM-DD HH:MM:SS, optionally with a fraction")
}

/// Names are written without escapes between single or double quotes, and are used as Kafka keys.
fn parse_truck_prefix(text: &str) -> Result<String, NotATruckPrefix> {
    match text.chars().any(|c| c.is_control() || matches!(c, '"' | '\'' | '\\')) {
        true => Err(NotATruckPrefix),
        false => Ok(text.to_owned()),
    }
}
