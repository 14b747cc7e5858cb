//! Flags of the commands that send messages: properties of librdkafka.

use std::path::Path;

use crate::kafka::properties::Properties;
use crate::runtime::secret::{self, SecretString};

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
        self.over(Properties::default())
    }

    /// Other properties, which these override.
    pub fn over(&self, mut properties: Properties) -> Properties {
        for (name, value) in self.properties.iter().chain(&self.property_files) {
            properties.insert_secret(name.clone(), value.clone());
        }
        properties
    }
}

/// Parses `NAME=VALUE`, the format of `--property`.
fn parse_property(text: &str) -> Result<(String, SecretString), NotAProperty> {
    let (name, value) = name_and_value(text)?;
    Ok((name.to_owned(), value.into()))
}

fn name_and_value(text: &str) -> Result<(&str, &str), NotAProperty> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim(), value)),
        _ => Err(NotAProperty),
    }
}

/// Parses `NAME=FILE`, the format of `--property-file`, and reads the secret from the file.
fn parse_property_file(text: &str) -> Result<(String, SecretString), NotAPropertyFile> {
    let (name, path) = name_and_value(text)?;
    let cannot = |source| NotAPropertyFile::Read { path: path.to_owned(), source };
    Ok((name.to_owned(), secret::read(Path::new(path)).map_err(cannot)?))
}

/// An invalid `--property-file`.
#[derive(Debug, thiserror::Error)]
pub enum NotAPropertyFile {
    /// The format is wrong.
    #[error("expected NAME=FILE, as in sasl.password=/run/secrets/kafka")]
    Form(#[from] NotAProperty),
    /// The file cannot be read.
    #[error("cannot read {path}: {source}; name a file that contains the secret")]
    Read {
        /// The file.
        path: String,
        /// The error of the operating system.
        source: std::io::Error,
    },
}

/// An invalid `--property`.
#[derive(Debug, thiserror::Error)]
#[error("expected NAME=VALUE, as in compression.type=zstd")]
pub struct NotAProperty;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_names_and_values() {
        assert_eq!(name_and_value("a.b=c=d").unwrap(), ("a.b", "c=d"));
        assert!(parse_property("a.b").is_err());
        assert!(parse_property("=c").is_err());
    }
}
