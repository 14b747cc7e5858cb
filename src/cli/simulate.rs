//! Flags of `simulate`.

use std::path::PathBuf;
use std::str::FromStr;

use crate::config::{BROKERS, TOPIC, variable_of};
use crate::kafka::producer::{parse_property, parse_property_file};
use crate::runtime::pace::Rate;
use crate::runtime::secret::{DatabaseUrl, SecretString};
use crate::text::time;

/// Simulate trucks: readings with speed about 80 km/h, every 0.36 s of event time on average.
#[derive(Clone, clap::Args)]
pub struct SimulateArgs {
    /// How many trucks drive at the same time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub trucks: u32,

    /// How the trucks are named, with a number after it [default: truck-; a single truck has no name]
    #[arg(long, value_name = "TEXT", value_parser = parse_truck_prefix)]
    pub truck_prefix: Option<String>,

    /// How many readings, over all trucks; a truck also stops when its tank of 600 l is empty
    #[arg(long, value_name = "N", default_value_t = 2_400_000)]
    pub records: u64,

    /// Readings a second, or `max`
    #[arg(long, value_name = "RATE", default_value = "max")]
    pub rate: Rate,

    /// Another seed gives other readings; the same seed the same, to the byte
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,

    /// Where to: the word `topic` (Kafka), a file, which is written anew, or `-` for standard output
    #[arg(long, value_name = "topic|FILE|-", default_value = "-")]
    pub to: Destination,

    /// Kafka brokers
    #[arg(long, value_name = "HOST:PORT,…", env = "TRUCKFLOW_BROKERS", default_value_t = variable_of("kafka.brokers", BROKERS))]
    pub brokers: String,

    /// Kafka topic
    #[arg(long, value_name = "TOPIC", env = "TRUCKFLOW_TOPIC", default_value_t = variable_of("kafka.topic", TOPIC))]
    pub topic: String,

    /// How a reading is written: JSON, or as Python prints a dict, without or with numpy 2
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,

    /// Event time of each truck's first reading
    #[arg(long, value_name = "TIME", default_value = "2023-04-10 01:02:27", value_parser = parse_event_time)]
    pub start: i64,

    /// Go on from each truck's last row in this database
    #[arg(long, value_name = "URL")]
    pub resume_from: Option<DatabaseUrl>,

    /// A file that holds that database's password, instead of in the URL
    #[arg(long, value_name = "FILE", requires = "resume_from")]
    pub resume_password_file: Option<PathBuf>,

    /// A property of librdkafka; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property)]
    pub properties: Vec<(String, SecretString)>,

    /// A property whose value is in a file, such as sasl.password; may be repeated
    #[arg(long = "property-file", value_name = "NAME=FILE", value_parser = parse_property_file)]
    pub property_files: Vec<(String, SecretString)>,

    /// Say at the end how many they were as one JSON object, on standard output
    #[arg(long)]
    pub json: bool,
}

/// How a reading is written.
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

/// Why a text cannot begin the trucks' names.
#[derive(Debug, thiserror::Error)]
#[error("a name has no quotes, backslashes or control characters")]
pub struct NotATruckPrefix;

fn parse_event_time(text: &str) -> Result<i64, &'static str> {
    time::parse(text).ok_or("a time is YYYY-MM-DD HH:MM:SS, with a fraction if need be")
}

/// Names are written between quotes of either kind without escapes, and are Kafka keys.
fn parse_truck_prefix(text: &str) -> Result<String, NotATruckPrefix> {
    match text.chars().any(|c| c.is_control() || matches!(c, '"' | '\'' | '\\')) {
        true => Err(NotATruckPrefix),
        false => Ok(text.to_owned()),
    }
}
