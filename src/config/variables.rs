//! Environment variables that set keys.

use std::ffi::OsString;

use super::error::ConfigError;

/// The prefix of variables that set keys.
const PREFIX: &str = "TRUCKFLOW_";
/// Variables with the prefix that are not keys: flags of the command itself, and its log filter.
const NOT_KEYS: [&str; 3] = ["CONFIG", "LOG", "LOG_FORMAT"];

/// Short variables, named like the flags of their keys. They work for every command and override the variable
/// that has the full name of the key.
const FLAGS: [(&str, &str); 2] = [("BROKERS", "kafka.brokers"), ("TOPIC", "kafka.topic")];

/// The key that a variable sets, if any.
fn key_of(variable: &str) -> Option<String> {
    let is_key = |key: &&str| !key.starts_with("TEST_") && !NOT_KEYS.contains(key);
    let name = variable.strip_prefix(PREFIX).filter(is_key)?;
    let of_flag = FLAGS.iter().find(|(flag, _)| *flag == name);
    Some(of_flag.map_or_else(|| name.to_lowercase().replace("__", "."), |(_, key)| (*key).to_owned()))
}

/// The variables that set keys, as (key, variable, value). The last entry for a key wins.
pub(super) fn keys_of(variables: impl Iterator<Item = (String, String)>) -> Vec<(String, String, String)> {
    let is_flag = |name: &str| FLAGS.iter().any(|(flag, _)| name.strip_prefix(PREFIX) == Some(flag));
    let keyed = |(name, value): (String, String)| Some((key_of(&name)?, name, value));
    let mut keys: Vec<_> = variables.filter_map(keyed).collect();
    keys.sort_by_key(|(_, name, _)| is_flag(name));
    keys
}

/// The value of a key's variable, for commands that have no configuration.
pub(crate) fn variable_of(key: &str, default: &str) -> String {
    let name = format!("{PREFIX}{}", key.replace('.', "__").to_uppercase());
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// The environment variables that set keys. Other variables may have any value, even bytes that are not UTF-8.
pub fn variables() -> Result<Vec<(String, String)>, ConfigError> {
    keys_among(std::env::vars_os())
}

pub(super) fn keys_among(
    all: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Vec<(String, String)>, ConfigError> {
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
