//! A temporary MySQL or MariaDB database.

use super::server::{Catalog, STATEMENT_LIMIT};
use crate::runtime::secret::{DatabaseUrl, ExposeSecret};
use crate::store::error::StoreError;
use crate::store::login::{Login, Place};
use crate::store::schema::quoted;

/// A temporary database on the server of a URL.
pub struct Scratch {
    server: Catalog,
    name: String,
    url: DatabaseUrl,
}

impl Scratch {
    /// Creates it.
    pub(crate) fn create(url: &DatabaseUrl, name: &str) -> Result<Self, StoreError> {
        let Place::Mysql(address) = Login::read(url)?.0 else {
            return Err(StoreError::Url("this database is a file".into()));
        };
        let mut server = Catalog::new(*address)?;
        server.connect()?;
        server.try_run(&format!("CREATE DATABASE {}", quoted(name)), STATEMENT_LIMIT).map_err(|fault| {
            let (account, prefix) = (server.account().to_owned(), like(name));
            match server.explain(fault) {
                StoreError::Denied { place, reason, .. } => StoreError::Denied {
                    place,
                    reason,
                    advice: format!("run GRANT ALL PRIVILEGES ON {}.* TO {account}", quoted(&prefix)),
                },
                other => other,
            }
        })?;
        let wrong = |_| StoreError::Url("the database URL is wrong".into());
        let mut parsed = url::Url::parse(url.expose_secret()).map_err(wrong)?;
        parsed.set_path(name);
        Ok(Self { server, name: name.to_owned(), url: String::from(parsed).into() })
    }

    /// The URL with which a job commits there.
    pub fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// The version of the server.
    pub fn version(&self) -> &str {
        self.server.version()
    }

    /// Drops it.
    pub fn drop(mut self) -> Result<(), StoreError> {
        self.server.connect()?;
        self.server.run(&format!("DROP DATABASE IF EXISTS {}", quoted(&self.name)))
    }
}

/// A pattern for grants that matches all names that differ from `name` only in their last part.
fn like(name: &str) -> String {
    let beginning = name.rsplit_once('_').map_or(name, |(beginning, _)| beginning);
    format!("{beginning}_%").replace('_', r"\_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_names_all_scratch_databases() {
        assert_eq!(like("truckflow_bench_1f2e"), r"truckflow\_bench\_%");
    }
}
