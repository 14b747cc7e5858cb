//! Flags of the commands that send messages: properties of librdkafka.

use crate::kafka::producer::{parse_property, parse_property_file};
use crate::kafka::properties::Properties;
use crate::runtime::secret::SecretString;

/// Properties of the producer.
#[derive(Clone, Default, clap::Args)]
pub struct PropertyArgs {
    /// librdkafka property; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = parse_property)]
    pub properties: Vec<(String, SecretString)>,

    /// librdkafka property whose value is read from a file, such as sasl.password; may be repeated
    #[arg(long = "property-file", value_name = "NAME=FILE", value_parser = parse_property_file)]
    pub property_files: Vec<(String, SecretString)>,
}

impl PropertyArgs {
    /// All of them.
    pub fn all(&self) -> Properties {
        self.properties.iter().chain(&self.property_files).cloned().collect()
    }
}
