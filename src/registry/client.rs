//! Requests to a registry: over HTTP or HTTPS, with a login, at one of several URLs.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::Agent;
use ureq::config::RedirectAuthHeaders;
use ureq::http::StatusCode;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use url::Url;

use super::error::RegistryError;
use super::options::{Login, RegistryOptions};
use crate::runtime::reload::{Reloaded, Reloads};
use crate::runtime::secret::{self, ExposeSecret, SecretString};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a request may take as a whole.
const REQUEST: Duration = Duration::from_secs(10);
/// The longest answer that is read.
const MAX_ANSWER: u64 = 8 << 20;
const ACCEPT: &str = "application/vnd.schemaregistry.v1+json, application/json";

/// What a registry answered.
pub(super) enum Answer {
    /// The content.
    Found(Vec<u8>),
    /// It does not know what was asked for.
    NotFound,
}

/// How requests are sent: read from files again when secrets are reloaded.
struct Access {
    agent: Agent,
    authorization: Option<SecretString>,
}

pub(super) struct Client {
    /// The URLs, without a slash at the end.
    bases: Vec<String>,
    /// The URL that answered last.
    first: usize,
    access: Arc<Reloaded<Access>>,
}

/// Without what it sends to log in.
impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("bases", &self.bases).finish_non_exhaustive()
    }
}

impl Client {
    pub fn new(options: &RegistryOptions, reloads: &Reloads) -> Result<Self, RegistryError> {
        let bases = options.urls.split(',').map(str::trim).filter(|url| !url.is_empty());
        let bases = bases.map(base).collect::<Result<Vec<_>, _>>()?;
        if bases.is_empty() {
            return Err(RegistryError::Url { url: String::new(), reason: "it is empty".into() });
        }
        let (login, authority) = (options.login.clone(), options.authority.clone());
        let access = reloads.watch("password and certificates of the schema registry", move || {
            Access::read(login.as_ref(), authority.as_deref())
        })?;
        Ok(Self { bases, first: 0, access })
    }

    /// The URLs, for messages.
    pub fn name(&self) -> String {
        self.bases.join(",")
    }

    /// The answer of the first URL that has one. One that does not know what is asked for may be behind another one.
    pub fn get(&mut self, path: &str) -> Result<Answer, RegistryError> {
        let access = self.access.get();
        let (mut failure, mut is_unknown) = (None, false);
        for place in 0..self.bases.len() {
            let place = (self.first + place) % self.bases.len();
            match access.get(&self.bases[place], path) {
                Ok(Answer::Found(content)) => {
                    self.first = place;
                    return Ok(Answer::Found(content));
                }
                Ok(Answer::NotFound) => is_unknown = true,
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        match failure {
            Some(error) if !is_unknown => Err(error),
            _ => Ok(Answer::NotFound),
        }
    }
}

/// A URL that paths can be appended to.
fn base(text: &str) -> Result<String, RegistryError> {
    let wrong = |reason: String| RegistryError::Url {
        url: secret::url_without_secrets(text, secret::HIDDEN),
        reason,
    };
    let url = Url::parse(text).map_err(|error| wrong(error.to_string()))?;
    if !["http", "https"].contains(&url.scheme()) || url.host().is_none() {
        return Err(wrong("it must begin with http:// or https://".into()));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("set message.registry_user and message.registry_password_file instead".into()));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must end with its path".into()));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

impl Access {
    fn read(login: Option<&Login>, authority: Option<&Path>) -> Result<Self, RegistryError> {
        let tls = TlsConfig::builder().root_certs(roots(authority)?).build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            // As all other connections of a job, which go to servers of the same network.
            .proxy(None)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_global(Some(REQUEST))
            .user_agent(concat!("truckflow/", env!("CARGO_PKG_VERSION")))
            .accept(ACCEPT)
            .build();
        Ok(Self { agent: config.new_agent(), authorization: login.map(authorization).transpose()? })
    }

    fn get(&self, base: &str, path: &str) -> Result<Answer, RegistryError> {
        let away = |reason: String| RegistryError::Away { url: base.to_owned(), reason };
        let mut request = self.agent.get(format!("{base}{path}"));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization.expose_secret());
        }
        let mut response = request.call().map_err(|error| of_request(base, &error))?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(Answer::NotFound),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                return Err(RegistryError::Denied { url: base.to_owned(), status: status.as_u16() });
            }
            status => return Err(away(format!("HTTP {status}"))),
        }
        let content = response.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        content.map(Answer::Found).map_err(|error| of_request(base, &error))
    }
}

/// The error of a request that has no answer.
fn of_request(base: &str, error: &ureq::Error) -> RegistryError {
    let (url, reason) = (base.to_owned(), error.to_string());
    // The connection's error is text only.
    match reason.split_once("invalid peer certificate: ") {
        Some((_, reason)) => RegistryError::Certificate { url, reason: reason.to_owned() },
        None => RegistryError::Away { url, reason },
    }
}

/// The header of a login (RFC 7617).
fn authorization(login: &Login) -> Result<SecretString, RegistryError> {
    let password = match &login.password_file {
        None => SecretString::default(),
        Some(path) => {
            secret::read(path).map_err(|source| RegistryError::Password { path: path.clone(), source })?
        }
    };
    let both = SecretString::from(format!("{}:{}", login.user, password.expose_secret()));
    Ok(format!("Basic {}", BASE64_STANDARD.encode(both.expose_secret())).into())
}

/// The authorities that are trusted: those of a file, or else the system's, or Mozilla's where the system has none.
fn roots(authority: Option<&Path>) -> Result<RootCerts, RegistryError> {
    let Some(path) = authority else {
        let system = rustls_native_certs::load_native_certs().certs;
        let system: Vec<_> =
            system.iter().map(|certificate| Certificate::from_der(certificate).to_owned()).collect();
        return Ok(if system.is_empty() { RootCerts::WebPki } else { system.into() });
    };
    let wrong = |reason: String| RegistryError::Authority { path: path.to_owned(), reason };
    let pem = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() { Err(wrong("it has no certificate".into())) } else { Ok(certificates.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_kept_without_its_last_slash() {
        assert_eq!(base("http://h:8081").unwrap(), "http://h:8081");
        assert_eq!(base("https://h/schemas/v1/").unwrap(), "https://h/schemas/v1");
    }

    #[test]
    fn a_url_that_cannot_be_used_is_refused_without_its_password() {
        for (url, says) in [
            (
                "h:8081",
                "`h:8081` is not the URL of a schema registry (it must begin with http:// or https://)",
            ),
            ("", "`` is not"),
            ("http://", "empty host"),
            ("ftp://h", "it must begin with"),
            (
                "http://u:s3cret@h",
                "`http://u:***@h` is not the URL of a schema registry (set message.registry_user",
            ),
            ("http://h?a=b", "it must end with its path"),
        ] {
            let error = base(url).unwrap_err().to_string();
            assert!(error.contains(says) && !error.contains("s3cret"), "{error}");
        }
    }
}
