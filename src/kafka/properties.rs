//! librdkafka properties, some of which are secrets.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::runtime::secret::{ExposeSecret, HIDDEN, SecretString, is_secret_key, url_without_secrets};

/// Properties by name. Values that come from a file, or whose names indicate a secret, are shown as `***`.
#[derive(Clone, Default)]
pub struct Properties(BTreeMap<String, Value>);

#[derive(Clone)]
enum Value {
    Plain(String),
    Secret(SecretString),
}

impl Value {
    fn exposed(&self) -> &str {
        match self {
            Self::Plain(value) => value,
            Self::Secret(value) => value.expose_secret(),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Plain(value) => url_without_secrets(value, HIDDEN),
            Self::Secret(_) => HIDDEN.to_owned(),
        }
    }
}

impl Properties {
    /// Whether there is a property with this name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value of a property, unless it is a secret.
    pub fn get(&self, name: &str) -> Option<&str> {
        match self.0.get(name) {
            Some(Value::Plain(value)) => Some(value),
            Some(Value::Secret(_)) | None => None,
        }
    }

    /// Sets a property. Its name decides whether it is a secret.
    pub fn insert(&mut self, name: String, value: String) {
        let value = if is_secret_key(&name) { Value::Secret(value.into()) } else { Value::Plain(value) };
        self.0.insert(name, value);
    }

    /// Sets a property that is a secret, whatever its name.
    pub fn insert_secret(&mut self, name: String, value: SecretString) {
        self.0.insert(name, Value::Secret(value));
    }

    /// Removes a property.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Keeps the properties whose names `is_kept` accepts.
    pub fn retain(&mut self, is_kept: impl Fn(&str) -> bool) {
        self.0.retain(|name, _| is_kept(name));
    }

    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Sets the properties on a client, overriding its settings.
    pub fn set_on(&self, client: &mut ClientConfig) {
        for (name, value) in &self.0 {
            client.set(name, value.exposed());
        }
    }

    /// All properties with their values, including secrets.
    pub fn exposed(&self) -> BTreeMap<&str, &str> {
        self.0.iter().map(|(name, value)| (&**name, value.exposed())).collect()
    }

    /// All properties with their values, secrets hidden.
    fn shown(&self) -> impl Iterator<Item = (&str, String)> {
        self.0.iter().map(|(name, value)| (&**name, value.shown()))
    }
}

impl FromIterator<(String, SecretString)> for Properties {
    fn from_iter<I: IntoIterator<Item = (String, SecretString)>>(properties: I) -> Self {
        Self(properties.into_iter().map(|(name, value)| (name, Value::Secret(value))).collect())
    }
}

impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.shown()).finish()
    }
}

impl Serialize for Properties {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.shown())
    }
}

impl<'de> Deserialize<'de> for Properties {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut properties = Self::default();
        for (name, value) in flat(&BTreeMap::deserialize(deserializer)?) {
            properties.insert(name, value);
        }
        Ok(properties)
    }
}

/// The values of a table by their dotted names: librdkafka's names contain dots, and TOML parses an unquoted
/// `a.b = 1` as a table `a`.
pub(crate) fn flat(table: &BTreeMap<String, toml::Value>) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    flatten("", table, &mut values);
    values
}

fn flatten<'a>(
    prefix: &str,
    table: impl IntoIterator<Item = (&'a String, &'a toml::Value)>,
    values: &mut BTreeMap<String, String>,
) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, values),
            toml::Value::String(text) => {
                values.insert(key, text.clone());
            }
            other => {
                values.insert(key, other.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_have_dots_and_secrets_are_hidden() {
        let text = "fetch.min.bytes = 5\nsasl.password = \"s3cret\"\n\"ssl.key.password\" = \"s3cret\"\nclient.id = \"a\"";
        let mut properties: Properties = toml::from_str(text).unwrap();
        let names = ["client.id", "fetch.min.bytes", "sasl.password", "ssl.key.password"];
        assert_eq!(properties.names().collect::<Vec<_>>(), names);
        assert_eq!((properties.get("fetch.min.bytes"), properties.get("sasl.password")), (Some("5"), None));
        assert_eq!(properties.exposed()["sasl.password"], "s3cret");
        properties.insert_secret("group.id".into(), "s3cret".into());
        for shown in [format!("{properties:?}"), serde_json::to_string(&properties).unwrap()] {
            assert!(
                !shown.contains("s3cret") && shown.contains("***") && shown.contains("client.id"),
                "{shown}"
            );
        }
        let mut client = ClientConfig::new();
        properties.set_on(&mut client);
        assert_eq!(client.get("sasl.password"), Some("s3cret"));
    }
}
