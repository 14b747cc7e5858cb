//! What a configuration says of a schema registry.

use std::path::PathBuf;

use codec::decode::SchemaFormat;

/// What a configuration says of a schema registry.
#[derive(Clone, Debug)]
pub struct RegistryOptions {
    /// Its URLs, separated by commas: each is tried in turn.
    pub urls: String,
    /// The format of its schemas that are used.
    pub format: SchemaFormat,
    /// The login, if it requires one.
    pub login: Option<Login>,
    /// A file with the certificates of the authorities that are trusted instead of the system's, in PEM.
    pub authority: Option<PathBuf>,
}

/// A user of a schema registry.
#[derive(Clone, Debug)]
pub struct Login {
    /// The name.
    pub user: String,
    /// The file that contains the password; without it the password is empty.
    pub password_file: Option<PathBuf>,
}
