//! The secrets that a configuration refers to. They are read again on SIGHUP.

use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::error::ConfigError;
use super::raw::Config;
use crate::kafka::properties::Properties;
use crate::runtime::secret::{self, DatabaseUrl, ExposeSecret, SecretString};

impl Config {
    /// The database URL, with the password from its file.
    pub fn database_url(&self) -> Result<DatabaseUrl, ConfigError> {
        let Some(url) = &self.database else {
            return Ok(DatabaseUrl::of_file(&self.out.join("truckflow.db")));
        };
        let Some(path) = &self.database_password_file else { return Ok(url.clone()) };
        with_password(url, "database_password_file", path)
    }

    /// The token that clients of `listen` must send, if any.
    pub fn listen_token(&self) -> Result<Option<SecretString>, ConfigError> {
        self.listen_token_file.as_deref().map(|path| read_secret("listen_token_file", path)).transpose()
    }

    /// The librdkafka properties, including those read from files.
    pub fn kafka_properties(&self) -> Result<Properties, ConfigError> {
        // The embedded broker supports neither authentication nor TLS.
        let is_used = |name: &str| {
            let security_prefixes = ["security.", "sasl.", "ssl.", "enable.sasl.", "enable.ssl."];
            !self.embedded || !security_prefixes.iter().any(|prefix| name.starts_with(prefix))
        };
        let mut properties = self.kafka.properties.clone();
        properties.retain(is_used);
        for (name, path) in self.kafka.files().into_iter().filter(|(name, _)| is_used(name)) {
            let value = read_secret("kafka.property_files", Path::new(&path))?;
            properties.insert_secret(name, value);
        }
        Ok(properties)
    }

    /// The configuration as TOML, including its secrets.
    pub(crate) fn exposed(&self) -> Result<SecretString, toml::ser::Error> {
        let mut table = toml::Table::try_from(self)?;
        if let Some(url) = &self.database {
            table.insert("database".into(), url.expose_secret().into());
        }
        if let Some(toml::Value::Table(kafka)) = table.get_mut("kafka") {
            kafka.insert("properties".into(), toml::Value::try_from(self.kafka.properties.exposed())?);
        }
        toml::to_string(&table).map(SecretString::from)
    }
}

/// A database URL with the password in the file at `path`, the value of `key`.
pub fn with_password(url: &DatabaseUrl, key: &'static str, path: &Path) -> Result<DatabaseUrl, ConfigError> {
    let password = read_secret(key, path)?;
    let wrong = || ConfigError::Value {
        key: "database",
        value: "(not shown)".into(),
        reason: "a password file needs a URL such as mysql://user@host:port/database".into(),
    };
    let mut parsed = url::Url::parse(url.expose_secret()).map_err(|_| wrong())?;
    // `set_password` does not escape `%`.
    let password = utf8_percent_encode(password.expose_secret(), NON_ALPHANUMERIC).to_string();
    parsed.set_password(Some(&password)).map_err(|()| wrong())?;
    Ok(String::from(parsed).into())
}

/// The secret in the file at `path`, the value of `key`.
pub(crate) fn read_secret(key: &'static str, path: &Path) -> Result<SecretString, ConfigError> {
    secret::read(path).map_err(|source| ConfigError::Value {
        key,
        value: path.display().to_string(),
        reason: format!("cannot read it: {source}; give a file that contains the secret"),
    })
}
