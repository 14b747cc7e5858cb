//! Effective settings and where they come from. Secrets are not shown: [`Config`] serializes them as `***`.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::error::ConfigError;
use super::job::Job;
use super::load::{read_file, value_of};
use super::raw::Config;
use super::variables::keys_of;

/// A flag: its key, its value, and its name on the command line.
pub type Flag = (String, toml::Value, String);

/// The effective value of a key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    /// The dotted key.
    pub key: String,
    /// The value; `***` for a secret, null if not set.
    pub value: Value,
    /// `default`, the file, the variable or the flag.
    pub from: String,
}

/// Reads file, variables and flags like a job, and lists every key.
pub fn shown(
    file: Option<&Path>,
    variables: &[(String, String)],
    flags: Vec<Flag>,
) -> Result<Vec<Shown>, ConfigError> {
    // Read once, because it may be a pipe.
    let text = file.map_or_else(|| Ok(String::new()), read_file)?;
    let name = file.map_or_else(String::new, |path| path.display().to_string());
    let pairs = flags.iter().map(|(key, value, _)| (key.clone(), value.clone())).collect();
    let config = Job::read(&text, &name, variables.iter().cloned(), pairs)?;

    let mut origins = Origins::default();
    // Valid TOML, because `Job::read` accepted it.
    origins.spread("", &toml::Value::Table(text.parse().unwrap_or_default()), &name);
    for (key, variable, value) in keys_of(variables.iter().cloned()) {
        origins.set(&key, &value_of(&key, &value), &variable);
    }
    for (key, value, flag) in &flags {
        origins.set(key, value, flag);
    }
    let mut rows = Vec::new();
    for (key, value) in values(&config) {
        let from = origins.0.get(&key).map_or("default", String::as_str).to_owned();
        rows.push(Shown { key, value, from });
    }
    Ok(rows)
}

/// For each key, the source that set it last.
#[derive(Default)]
struct Origins(BTreeMap<String, String>);

impl Origins {
    /// Setting a table discards the keys that were set in it.
    fn set(&mut self, key: &str, value: &toml::Value, from: &str) {
        let inside = format!("{key}.");
        // Names of librdkafka properties contain dots: a common prefix does not make a table.
        let is_property = key.starts_with("kafka.properties.") || key.starts_with("kafka.property_files.");
        self.0.retain(|name, _| is_property || !name.starts_with(&inside));
        self.spread(key, value, from);
    }

    fn spread(&mut self, key: &str, value: &toml::Value, from: &str) {
        match value {
            toml::Value::Table(table) => {
                for (name, value) in table {
                    let name = if key.is_empty() { name.clone() } else { format!("{key}.{name}") };
                    self.spread(&name, value, from);
                }
            }
            _ => {
                self.0.insert(key.to_owned(), from.to_owned());
            }
        }
    }
}

/// Every key with its value; librdkafka properties by their full names.
fn values(config: &Config) -> BTreeMap<String, Value> {
    let mut values = BTreeMap::new();
    let json = serde_json::to_value(config).expect("the keys of a configuration are strings");
    walk("", json, &mut values);
    values
}

fn walk(key: &str, value: Value, to: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(table) => {
            for (name, value) in table {
                let name = if key.is_empty() { name } else { format!("{key}.{name}") };
                walk(&name, value, to);
            }
        }
        value => {
            to.insert(key.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn each_value_has_the_origin_that_set_it_last_and_no_secret_is_shown() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let text = "job = \"a\"\nworkers = 2\n[parameters]\nwindow = \"1m\"\n[kafka.properties]\nsasl.password = \"s3cret\"\nsasl.username = \"me\"\nssl.key.password = \"s3cret\"\n[kafka.property_files]\nssl.key.pem = \"/no/such/file\"\n";
        file.write_all(text.as_bytes()).unwrap();
        let name = file.path().display().to_string();
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let variables = [
            pair("TRUCKFLOW_WORKERS", "3"),
            pair("TRUCKFLOW_JOB", "b"),
            pair("TRUCKFLOW_LOG", "info"),
            pair("TRUCKFLOW_BROKERS", "k:1"),
            pair("TRUCKFLOW_DATABASE", "mysql://u:s3cret@p/w?s3cret@h/d?password=s3cret&ssl-mode=disabled"),
            pair("TRUCKFLOW_KAFKA__PROPERTIES__SSL__KEYSTORE__PASSWORD", "s3cret"),
        ];
        let flag =
            |key: &str, value: &str, flag: &str| (key.to_owned(), value_of(key, value), flag.to_owned());
        let flags = vec![
            flag("kafka.topic", "T", "--set"),
            flag("kafka.properties.sasl.oauthbearer.config", "s3cret", "--set"),
            flag("workers", "4", "--workers"),
            flag("builtin_views", "[\"above_speed\"]", "--builtin-views"),
        ];
        let rows = shown(Some(file.path()), &variables, flags).unwrap();
        let row = |key: &str| {
            let row = rows.iter().find(|row| row.key == key).unwrap_or_else(|| panic!("{key} in {rows:?}"));
            (row.value.to_string(), row.from.clone())
        };
        for (key, value, from) in [
            ("workers", "4", "--workers"),
            ("job", "\"b\"", "TRUCKFLOW_JOB"),
            ("parameters.window", "\"1m\"", &name),
            ("parameters.window_idle", "\"5m\"", "default"),
            ("hosts", "null", "default"),
            ("kafka.topic", "\"T\"", "--set"),
            ("kafka.brokers", "\"k:1\"", "TRUCKFLOW_BROKERS"),
            ("builtin_views", "[\"above_speed\"]", "--builtin-views"),
            ("database", "\"mysql://u:***@h/d?password=***&ssl-mode=disabled\"", "TRUCKFLOW_DATABASE"),
            ("kafka.properties.sasl.password", "\"***\"", &name),
            ("kafka.properties.sasl.username", "\"me\"", &name),
            ("kafka.property_files.ssl.key.pem", "\"/no/such/file\"", &name),
        ] {
            assert_eq!(row(key), (value.to_owned(), from.to_owned()), "{key}");
        }
        assert!(!format!("{rows:?}").contains("s3"), "{rows:?}");
    }

    #[test]
    fn setting_a_table_discards_its_earlier_keys() {
        let variables = [("TRUCKFLOW_PARAMETERS__WINDOW".to_owned(), "1m".to_owned())];
        let flags =
            vec![("parameters".to_owned(), value_of("parameters", "{join_limit = 5}"), "--set".to_owned())];
        let rows = shown(None, &variables, flags).unwrap();
        let from = |key: &str| rows.iter().find(|row| row.key == key).map(|row| row.from.as_str());
        assert_eq!(from("parameters.window"), Some("default"));
        assert_eq!(from("parameters.join_limit"), Some("--set"));
    }
}
