//! Tests of the bookkeeping tables on SQLite; tests/all has those on MariaDB and MySQL.

use rusqlite::Connection;

use super::migrate::{STEPS, Schema, Step, VERSION, is_readable, migrate, schema};
use super::session::{Dialect, Session};
use super::sql::{Existing, create, insert};
use super::statement::{Statement, Value, topic_key};
use super::tables::{FILES, OFFSETS, TOPICS, all};
use crate::store::error::StoreError;
use crate::store::sqlite::books::Books;

fn books() -> Books<Connection> {
    Books { connection: Some(Connection::open_in_memory().unwrap()), path: "job.db".into() }
}

fn alone<S>(_: &mut S, _: &str) -> Result<bool, StoreError> {
    Ok(false)
}

fn run(books: &mut Books<Connection>, sql: &str) {
    books.execute(&Statement::new(sql, [])).unwrap();
}

fn columns(books: &mut Books<Connection>, table: &str) -> Vec<String> {
    let sql = format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid");
    books.fetch(&Statement::new(sql, [])).unwrap().iter().map(|row| row.text(0)).collect()
}

/// A later version, which adds a column unless it is there.
fn add_column(session: &mut dyn Session) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM pragma_table_info('truckflow_files') WHERE name = 'checksum'";
    if session.fetch(&Statement::new(sql, []))?.is_empty() {
        session.execute(&Statement::new("ALTER TABLE truckflow_files ADD COLUMN checksum TEXT NULL", []))?;
    }
    Ok(())
}

fn fail(session: &mut dyn Session) -> Result<(), StoreError> {
    add_column(session)?;
    Err(StoreError::Away { place: session.place().to_owned(), reason: "the disk is full".into() })
}

#[test]
fn a_new_database_gets_all_tables_and_their_version() {
    let mut books = books();
    assert_eq!(schema(&mut books).unwrap(), Schema::None);
    assert!(!is_readable(&mut books).unwrap());
    for _ in 0..2 {
        migrate(&mut books, STEPS, "job", alone).unwrap();
        assert_eq!(schema(&mut books).unwrap(), Schema::Version(VERSION));
        assert!(is_readable(&mut books).unwrap());
    }
    for table in all() {
        assert_eq!(columns(&mut books, table.name), table.names());
    }
}

#[test]
fn a_table_that_is_missing_is_created_again() {
    let mut books = books();
    migrate(&mut books, STEPS, "job", alone).unwrap();
    run(&mut books, "DROP TABLE truckflow_topics");
    assert_eq!(schema(&mut books).unwrap(), Schema::Version(0));
    migrate(&mut books, STEPS, "job", alone).unwrap();
    assert_eq!(columns(&mut books, "truckflow_topics"), TOPICS.names());
}

#[test]
fn a_step_that_failed_is_repeated_and_those_before_it_are_not() {
    let mut books = books();
    migrate(&mut books, STEPS, "job", alone).unwrap();
    let version = |books: &mut Books<Connection>| {
        books.fetch(&Statement::new("SELECT version FROM truckflow_schema", [])).unwrap()[0].number(0)
    };
    let failing: Vec<Step> = STEPS.iter().copied().chain([fail as Step]).collect();
    assert!(matches!(migrate(&mut books, &failing, "job", alone), Err(StoreError::Away { .. })));
    assert_eq!(version(&mut books), Some(VERSION as i64));
    let steps: Vec<Step> = STEPS.iter().copied().chain([add_column as Step]).collect();
    migrate(&mut books, &steps, "job", alone).unwrap();
    assert_eq!(version(&mut books), Some(VERSION as i64 + 1));
    assert_eq!(columns(&mut books, "truckflow_files").last().unwrap(), "checksum");
}

#[test]
fn tables_of_a_newer_program_are_refused() {
    let mut books = books();
    migrate(&mut books, STEPS, "job", alone).unwrap();
    run(&mut books, "UPDATE truckflow_schema SET version = 1000");
    for refused in [migrate(&mut books, STEPS, "job", alone), is_readable(&mut books).map(drop)] {
        assert!(
            matches!(refused, Err(StoreError::NewerSchema { version: 1000, known: VERSION, .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn tables_of_an_older_program_are_migrated_before_they_are_read() {
    let mut books = books();
    migrate(&mut books, STEPS, "job", alone).unwrap();
    run(&mut books, "UPDATE truckflow_schema SET version = 0");
    assert!(matches!(is_readable(&mut books), Err(StoreError::OlderSchema { version: 0, .. })));
    migrate(&mut books, STEPS, "job", alone).unwrap();
    assert!(is_readable(&mut books).unwrap());
}

#[test]
fn nothing_is_migrated_while_another_job_runs() {
    let mut books = books();
    migrate(&mut books, STEPS, "job", alone).unwrap();
    run(&mut books, "INSERT INTO truckflow_jobs VALUES ('job', 't', 1, 1), ('other', 't', 1, 1)");
    let steps: Vec<Step> = STEPS.iter().copied().chain([add_column as Step]).collect();
    let refused = migrate(&mut books, &steps, "job", |_, job| Ok(job == "other"));
    assert!(matches!(&refused, Err(StoreError::Migrating { job, .. }) if job == "other"), "{refused:?}");
    assert_eq!(columns(&mut books, "truckflow_files"), FILES.names());
    // The job that starts holds its own lock.
    migrate(&mut books, &steps, "job", |_, job| Ok(job == "job")).unwrap();
}

#[test]
fn rows_are_inserted_in_statements_of_limited_size() {
    let rows = (0..1100).map(|row: i32| vec!["j".into(), "t".into(), row.into()]);
    let statements = insert(&books(), &TOPICS, Existing::Update, rows);
    let counts: Vec<usize> = statements.iter().map(|statement| statement.values.len() / 3).collect();
    assert_eq!(counts, [500, 500, 100]);
    let one = insert(&books(), &TOPICS, Existing::Update, [vec!["j".into(), "t".into(), "i".into()]]);
    assert_eq!(
        one[0].sql,
        "INSERT INTO truckflow_topics (job,topic,topic_id) VALUES (?,?,?) \
         ON CONFLICT (job, topic) DO UPDATE SET topic_id = excluded.topic_id"
    );
    assert_eq!(insert(&books(), &TOPICS, Existing::Keep, Vec::<Vec<Value<'_>>>::new()), []);
}

#[test]
fn the_key_of_a_table_is_its_first_columns() {
    let sql = create(&books(), &OFFSETS);
    assert!(sql.starts_with("CREATE TABLE IF NOT EXISTS truckflow_offsets (job TEXT NOT NULL, "), "{sql}");
    assert!(sql.ends_with("long_topic TEXT NULL, PRIMARY KEY (job, topic, part, view_name, role))"), "{sql}");
    assert_eq!(books().quoted("a\"b"), "\"a\"\"b\"");
}

#[test]
fn a_long_path_has_a_key_of_its_own() {
    assert_eq!(topic_key("Truck-Data"), ("Truck-Data".into(), None));
    let (path, other) = ("/dir".repeat(100), format!("{}x", "/dir".repeat(100)));
    let (key, whole) = topic_key(&path);
    assert_eq!(whole, Some(&*path));
    assert!(key.starts_with("/dir") && key.len() == 255, "{key}");
    assert_ne!(key, topic_key(&other).0);
}
