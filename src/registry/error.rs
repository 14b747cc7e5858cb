//! Why a schema registry cannot be used.

use std::io;
use std::path::PathBuf;

use crate::runtime::failure::SystemError;

/// A schema registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A URL of the configuration cannot be used.
    #[error("`{url}` is not the URL of a schema registry ({reason}); correct message.registry")]
    Url {
        /// The URL, without a password.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of the password cannot be read.
    #[error(
        "cannot read message.registry_password_file {path}: {source}; name a file that contains the password"
    )]
    Password {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// The file of the authority's certificates cannot be used.
    #[error("cannot use message.registry_ca {path}: {reason}; name a file of certificates in PEM")]
    Authority {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// It does not answer, or says that it cannot answer now.
    #[error("the schema registry {url} does not answer ({reason}); start it or correct message.registry")]
    Away {
        /// Its URL.
        url: String,
        /// How it failed.
        reason: String,
    },
    /// It does not accept the login.
    #[error(
        "the schema registry {url} denies access (HTTP {status}); correct message.registry_user and message.registry_password_file"
    )]
    Denied {
        /// Its URL.
        url: String,
        /// 401 or 403.
        status: u16,
    },
    /// Its certificate is not trusted.
    #[error(
        "the certificate of the schema registry {url} is not trusted ({reason}); correct message.registry_ca"
    )]
    Certificate {
        /// Its URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The operating system refuses a resource.
    #[error(transparent)]
    System(#[from] SystemError),
}

impl RegistryError {
    /// Whether a registry may be reached by trying again, without a change of the configuration.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away { .. })
    }

    /// The reason without the registry's name and the next step.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Away { reason, .. } => reason.clone(),
            Self::Denied { status, .. } => format!("it denies access (HTTP {status})"),
            Self::Certificate { reason, .. } => format!("its certificate is not trusted: {reason}"),
            other => other.to_string(),
        }
    }
}
