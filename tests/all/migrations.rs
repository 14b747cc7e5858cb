//! The version of the bookkeeping tables, and their migration, on each database.

use std::thread;

use truckflow::store::{self, Store, StoreError};

use crate::support::mariadb::{Database, databases};
use crate::support::sqlite;

fn claim(url: &str, job: &str) -> Result<Box<dyn Store>, StoreError> {
    let mut store = store::open(&url.to_owned().into())?;
    store.claim(job, "topic t").map(|_| store)
}

fn set_version(database: &Database, version: u32) {
    database.query(&format!("UPDATE truckflow_schema SET version = {version}"));
}

fn version(database: &Database) -> Option<String> {
    database.query("SELECT version FROM truckflow_schema")[0][0].clone()
}

/// What `check` says of the bookkeeping tables.
fn checked(url: &str) -> Result<String, String> {
    let findings = store::open(&url.to_owned().into()).unwrap().check(&[]);
    findings.into_iter().find(|finding| finding.what == "tables truckflow_*").expect("it is checked").result
}

#[test]
fn tables_of_a_newer_program_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("job.db");
    let databases = databases();
    let urls = databases.iter().map(|database| database.url.clone());
    for url in urls.chain([format!("sqlite:{}", file.display())]) {
        assert_eq!(checked(&url).unwrap(), "the missing ones will be created on the first run");
        drop(claim(&url, "job").unwrap());
        assert!(checked(&url).unwrap().starts_with("compatible"));
        let newer = "UPDATE truckflow_schema SET version = 1000";
        match databases.iter().find(|database| database.url == url) {
            Some(database) => _ = database.query(newer),
            None => sqlite::execute(&file, newer),
        }
        let mut reader = store::open_reader(&url.clone().into()).unwrap();
        let refused = [
            claim(&url, "job").map(drop).unwrap_err().to_string(),
            reader.last_commit("job").map(drop).unwrap_err().to_string(),
            checked(&url).unwrap_err(),
        ];
        for refused in refused {
            assert!(refused.contains("have version 1000, and this program knows version 1"), "{refused}");
        }
    }
}

#[test]
fn tables_are_not_migrated_while_another_job_uses_them() {
    for database in databases() {
        let first = claim(&database.url, "first").unwrap();
        set_version(&database, 0);
        let refused = claim(&database.url, "second").map(drop).unwrap_err();
        assert!(matches!(&refused, StoreError::Migrating { job, .. } if job == "first"), "{refused}");
        assert_eq!(version(&database).as_deref(), Some("0"));
        let mut reader = store::open_reader(&database.url.clone().into()).unwrap();
        let refused = reader.last_commit("first").unwrap_err();
        assert!(matches!(refused, StoreError::OlderSchema { version: 0, .. }), "{refused}");
        drop(first);
        let second = claim(&database.url, "second").unwrap();
        assert_eq!(version(&database).as_deref(), Some("1"));
        assert!(reader.last_commit("first").unwrap().is_some());
        drop(second);
    }
}

#[test]
fn jobs_that_start_together_create_the_tables_once() {
    for database in databases() {
        let claims: Vec<_> = (0..6)
            .map(|job| {
                let url = database.url.clone();
                thread::spawn(move || claim(&url, &format!("job {job}")).map(drop))
            })
            .collect();
        for claim in claims {
            claim.join().unwrap().unwrap_or_else(|error| panic!("{error}"));
        }
        assert_eq!(database.query("SELECT COUNT(*) FROM truckflow_jobs")[0][0].as_deref(), Some("6"));
        assert_eq!(version(&database).as_deref(), Some("1"));
    }
}
