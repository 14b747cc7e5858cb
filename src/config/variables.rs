//! The variables of the environment that set keys.

use std::ffi::OsString;

use super::error::ConfigError;

/// The beginning of the variables that set keys.
const PREFIX: &str = "TRUCKFLOW_";
/// Variables of that beginning which are no keys: flags of the command itself, and its log's filter.
const NO_KEYS: [&str; 3] = ["CONFIG", "LOG", "LOG_FORMAT"];

/// Keys whose flags are named otherwise: the variables of these names set them as well, for every command, and
/// go over those that are named as the key.
const FLAGS: [(&str, &str); 2] = [("BROKERS", "kafka.brokers"), ("TOPIC", "kafka.topic")];

/// The key that a variable sets, if it sets one.
fn key_of(variable: &str) -> Option<String> {
    let is_key = |key: &&str| !key.starts_with("TEST_") && !NO_KEYS.contains(key);
    let name = variable.strip_prefix(PREFIX).filter(is_key)?;
    let of_flag = FLAGS.iter().find(|(flag, _)| *flag == name);
    Some(of_flag.map_or_else(|| name.to_lowercase().replace("__", "."), |(_, key)| (*key).to_owned()))
}

/// The variables that set keys, each with its key; the last one of a key wins.
pub(super) fn keys_of(variables: impl Iterator<Item = (String, String)>) -> Vec<(String, String, String)> {
    let is_flag = |name: &str| FLAGS.iter().any(|(flag, _)| name.strip_prefix(PREFIX) == Some(flag));
    let keyed = |(name, value): (String, String)| Some((key_of(&name)?, name, value));
    let mut keys: Vec<_> = variables.filter_map(keyed).collect();
    keys.sort_by_key(|(_, name, _)| is_flag(name));
    keys
}

/// What a variable that is named as a key says, for commands without a configuration.
pub(crate) fn variable_of(key: &str, default: &str) -> String {
    let name = format!("{PREFIX}{}", key.replace('.', "__").to_uppercase());
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

/// The variables of the environment that set keys. What others hold, such as bytes that are not UTF-8, does not
/// matter.
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
