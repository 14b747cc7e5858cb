//! The address of a store and the credentials for it.

use super::error::StoreError;
use super::mysql::address::Address;
use crate::runtime::secret::{DatabaseUrl, ExposeSecret};

/// The contents of a database URL and of the certificate files that it names.
pub struct Login(pub(super) Place);

pub(super) enum Place {
    Sqlite(String),
    Mysql(Box<Address>),
}

impl Login {
    /// Reads a URL and the files of its certificates.
    pub fn read(url: &DatabaseUrl) -> Result<Self, StoreError> {
        let text = url.expose_secret();
        match url.file() {
            Some("") => Err(StoreError::Url("the SQLite path is empty".into())),
            Some(path) => Ok(Self(Place::Sqlite(path.to_owned()))),
            None if text.starts_with("mysql://") || text.starts_with("mariadb://") => {
                Ok(Self(Place::Mysql(Box::new(Address::read(text, |path| std::fs::read(path))?))))
            }
            None => Err(StoreError::Url("the database URL has an unknown scheme".into())),
        }
    }
}
