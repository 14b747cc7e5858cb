//! Secrets: read from files, proven by HMAC without being sent, compared in constant time. A [`SecretString`]
//! cannot be printed or serialized; it is exposed only where it is used.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
pub use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// The replacement for a secret in any output.
pub const HIDDEN: &str = "***";

/// Reads a secret: the content of a file without trailing line ends.
///
/// # Errors
/// The file cannot be read, or is empty.
pub fn read(path: &Path) -> io::Result<SecretString> {
    let text = std::fs::read_to_string(path)?;
    match text.trim_end_matches(['\n', '\r']) {
        "" => Err(io::Error::new(io::ErrorKind::InvalidData, "it is empty")),
        secret => Ok(secret.into()),
    }
}

/// HMAC-SHA-256 (RFC 2104) of `parts`, each preceded by its length, so that different lists of parts never have
/// the same bytes.
pub fn code(secret: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret) else {
        unreachable!("a key of any length fits")
    };
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// Whether two texts are equal. The time depends only on their lengths.
pub fn is_same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Whether the value of a configuration key, a librdkafka property or a URL parameter is a secret, by its name.
pub fn is_secret_key(name: &str) -> bool {
    const SECRET: [&str; 7] = ["password", "secret", "sasl", "token", "pem", "ssl.key", "credential"];
    const HARMLESS: [&str; 4] = ["sasl.mechanism", "sasl.mechanisms", "sasl.username", "ssl.key.location"];
    let name = name.to_lowercase();
    let property = name.strip_prefix("kafka.properties.").unwrap_or(&name);
    !HARMLESS.contains(&property) && SECRET.iter().any(|word| property.contains(word))
}

/// An argument or message without its secrets: URL passwords, and values of secret keys.
pub fn hidden(text: &str) -> String {
    if let Some((key, _)) = text.split_once('=')
        && !key.contains("://")
        && is_secret_key(key)
    {
        return format!("{key}=…");
    }
    url_without_secrets(text, "…")
}

/// A URL with its password and secret parameters replaced by `hidden`; any other text unchanged.
pub fn url_without_secrets(text: &str, hidden: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    // With an `@` in a parameter it is unclear which part is a secret.
    if rest.rsplit_once('@').is_some_and(|(login, _)| !login.contains(':') && login.contains(['?', '@', '/']))
    {
        return hidden.to_owned();
    }
    // A password that is not encoded may contain any character, including `@`, `/` and `?`.
    let (login, place) = rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
    let login = login.map(|login| match login.split_once(':') {
        Some((user, _)) => format!("{user}:{hidden}@"),
        None => format!("{login}@"),
    });
    let (place, query) = place.split_once('?').map_or((place, None), |(place, query)| (place, Some(query)));
    let query = query.map(|query| {
        let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
            Some((name, _)) if is_secret_key(name) => format!("{name}={hidden}"),
            _ => parameter.to_owned(),
        });
        format!("?{}", parameters.collect::<Vec<_>>().join("&"))
    });
    format!("{scheme}://{}{place}{}", login.unwrap_or_default(), query.unwrap_or_default())
}

/// A database URL, which may contain a password. It is displayed as by [`url_without_secrets`].
#[derive(Clone)]
pub struct DatabaseUrl(SecretString);

impl DatabaseUrl {
    /// The URL of the SQLite file at `path`.
    pub fn of_file(path: &Path) -> Self {
        Self(format!("{SQLITE}{}", path.display()).into())
    }

    /// The path, if this is the URL of an SQLite file. Such a URL contains no secret.
    pub fn file(&self) -> Option<&str> {
        let path = self.expose_secret().strip_prefix(SQLITE)?;
        Some(path.strip_prefix("//").unwrap_or(path))
    }
}

const SQLITE: &str = "sqlite:";

impl ExposeSecret<str> for DatabaseUrl {
    fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for DatabaseUrl {
    fn from(url: String) -> Self {
        Self(url.into())
    }
}

impl FromStr for DatabaseUrl {
    type Err = Infallible;

    fn from_str(url: &str) -> Result<Self, Infallible> {
        Ok(Self(url.into()))
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = self.expose_secret();
        match url.contains('@') && !url.contains("://") {
            true => f.write_str(HIDDEN),
            false => f.write_str(&url_without_secrets(url, HIDDEN)),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for DatabaseUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DatabaseUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_the_content_of_a_file_without_its_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for (text, secret) in [("sesame", "sesame"), ("sesame\n", "sesame"), (" se same \r\n", " se same ")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(read(&path).unwrap().expose_secret(), secret);
        }
        std::fs::write(&path, "\n").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("empty"));
        assert!(read(&folder.path().join("none")).is_err());
    }

    #[test]
    fn a_code_depends_on_the_secret_and_on_each_part() {
        let known = code(b"secret", &[b"ab", b"c"]);
        assert_eq!(known, code(b"secret", &[b"ab", b"c"]));
        for other in [
            code(b"other", &[b"ab", b"c"]),
            code(b"secret", &[b"a", b"bc"]),
            code(b"secret", &[b"abc"]),
            code(b"secret", &[b"c", b"ab"]),
        ] {
            assert_ne!(known, other);
        }
        assert!(is_same(&known, &known));
        assert!(!is_same(&known, &[0; 32]) && !is_same(b"a", b"ab") && !is_same(b"", b"a"));
    }

    #[test]
    fn a_url_hides_its_password_wherever_special_characters_are() {
        for (url, shown) in [
            ("mysql://u@h:1/d", "mysql://u@h:1/d"),
            ("mysql://u:s3cret@h/d", "mysql://u:***@h/d"),
            ("mysql://u@h/d?password=s3@cret", "***"),
            ("mysql://u@h:1/d?password=s3cret", "mysql://u@h:1/d?password=***"),
            ("sqlite:a.db", "sqlite:a.db"),
            ("u:s3cret@h", "***"),
        ] {
            let url: DatabaseUrl = url.parse().unwrap();
            assert_eq!((&*url.to_string(), format!("{url:?}")), (shown, format!("{shown:?}")));
            assert_eq!(serde_json::to_string(&url).unwrap(), format!("{shown:?}"));
        }
        let file = |url: &str| url.parse::<DatabaseUrl>().unwrap().file().map(str::to_owned);
        assert_eq!(file("sqlite:a/b"), Some("a/b".into()));
        assert_eq!(file("sqlite:///a/b"), Some("/a/b".into()));
        assert_eq!(file("mysql://h/d"), None);
    }

    #[test]
    fn no_secret_is_shown() {
        for (text, shown) in [
            ("mysql://u:p@ss@h:1/d", "mysql://u:…@h:1/d"),
            ("--database=mysql://u:p@h/d", "--database=mysql://u:…@h/d"),
            ("database=mysql://u:p@h/d?ssl-ca=/secret/ca", "database=mysql://u:…@h/d?ssl-ca=/secret/ca"),
            ("mysql://u@h/d", "mysql://u@h/d"),
            ("mysql://u@h/d?password=p", "mysql://u@h/d?password=…"),
            ("kafka.properties.sasl.password=x", "kafka.properties.sasl.password=…"),
            ("kafka.properties.ssl.key.location=/key", "kafka.properties.ssl.key.location=/key"),
            ("--topic", "--topic"),
        ] {
            assert_eq!(hidden(text), shown);
        }
    }
}
