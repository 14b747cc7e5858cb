//! Tests of the store on files.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataflows::Epoch;
use dataflows::item::Mark;
use dataflows::item::{NextOffset, TopicId};
use dataflows::rows::{Column, NULL, Rows, Type, column};
use rusqlite::Connection;
use rusqlite::types::Value;
use tempfile::TempDir;

use super::insert::double;
use super::tables::Affinity;
use super::*;
use crate::state::offset::{Role, ViewOffset};
use crate::store::{Chunk, Commit, Form, LastCommit, LastReading, StateChange, Store, StoreError, Table};

struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> String {
        self.0.path().join("job.db").to_str().unwrap().to_owned()
    }

    /// A connection of another program.
    fn raw(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    fn last_readings(&self) -> Result<Vec<LastReading>, StoreError> {
        crate::store::last_readings(&format!("sqlite:{}", self.path()).into())
    }

    fn claimed(&self) -> (SqliteStore, LastCommit) {
        let mut store = SqliteStore::open(&self.path()).unwrap();
        store.lock_timeout = Duration::ZERO;
        let last = store.claim("job", "topic t").unwrap();
        (store, last)
    }

    fn prepared(&self, table: Table) -> SqliteStore {
        let (mut store, _) = self.claimed();
        store.prepare(&[table]).unwrap();
        store
    }

    fn numbers(&self) -> Vec<i64> {
        let raw = self.raw();
        let mut statement = raw.prepare("SELECT n FROM numbers ORDER BY id").unwrap();
        statement.query_map([], |row| row.get(0)).unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }
}

fn numbers_table() -> Table {
    Table {
        view: "numbers".into(),
        name: "numbers".into(),
        columns: vec![column("n", Type::Integer)],
        keyed: false,
        in_order: false,
        index: Vec::new(),
    }
}

fn numbers(values: impl IntoIterator<Item = i64>) -> [Arc<Chunk>; 1] {
    let column = Column::Integer(Arc::new(values.into_iter().collect()));
    chunk(vec![column].into())
}

/// Rows to append.
fn chunk(rows: Rows) -> [Arc<Chunk>; 1] {
    [Arc::new(Form { job: "job".into(), text: None, lines: [].into() }.chunks(0, rows).remove(0))]
}

fn commit(epoch: Epoch) -> Commit<'static> {
    Commit { epoch, ..Commit::default() }
}

/// The parts of the state of view `v`.
fn parts(store: &mut SqliteStore) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    store.state("v", &mut |part| parts.push(part)).unwrap();
    parts
}

fn change(parts: &[&[u8]], replaces: bool) -> StateChange {
    StateChange { view: "v".into(), parts: parts.iter().map(|part| part.to_vec().into()).collect(), replaces }
}

#[test]
fn every_type_is_stored_unchanged() {
    let place = Place::new();
    let columns = vec![
        column("timestamp", Type::Timestamp),
        column("decimal", Type::Decimal),
        column("real", Type::Real),
        column("integer", Type::Integer),
        column("truck", Type::Text),
        column("text", Type::Text),
        column("bytes", Type::Bytes),
    ];
    let mut store = place.prepared(Table {
        view: "v".into(),
        name: "all".into(),
        columns,
        keyed: false,
        in_order: false,
        index: Vec::new(),
    });
    let rows: Rows = vec![
        Column::Timestamp(Arc::new(vec![1_681_088_547_000_020, NULL, -1])),
        Column::Decimal { scale: 9, values: Arc::new(vec![100_000_000, -1, i64::MAX]) },
        Column::Real(Arc::new(vec![0.1, f64::NAN, -2e300])),
        Column::Integer(Arc::new(vec![i64::MIN + 1, 0, i64::MAX])),
        Column::Name { names: Arc::new(vec!["a'b".into(), "".into()]), index: Arc::new(vec![0, 1, 0]) },
        Column::Text(Arc::new(["1", "", "\u{e9}"].map(|text| Some(text.into())).to_vec())),
        Column::Bytes(Arc::new(vec![Some(vec![0, 255]), None, Some(vec![])])),
    ]
    .into();
    store.begin().unwrap();
    assert_eq!(store.insert(&chunk(rows)).unwrap(), []);
    store.commit(&commit(1)).unwrap();

    let raw = place.raw();
    let mut statement = raw.prepare(r#"SELECT * FROM "all" ORDER BY id"#).unwrap();
    let rows: Vec<Vec<Value>> = statement
        .query_map([], |row| (0..8).map(|at| row.get(at)).collect())
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    let text = |text: &str| Value::Text(text.into());
    let expected = vec![
        vec![
            Value::Integer(1),
            text("2023-04-10 01:02:27.000020"),
            Value::Real(0.1),
            Value::Real(0.1),
            Value::Integer(i64::MIN + 1),
            text("a'b"),
            text("1"),
            Value::Blob(vec![0, 255]),
        ],
        vec![
            Value::Integer(2),
            Value::Null,
            Value::Real(-1e-9),
            Value::Null,
            Value::Integer(0),
            text(""),
            text(""),
            Value::Null,
        ],
        vec![
            Value::Integer(3),
            text("1969-12-31 23:59:59.999999"),
            Value::Real(9_223_372_036.854_776),
            Value::Real(-2e300),
            Value::Integer(i64::MAX),
            text("a'b"),
            text("\u{e9}"),
            Value::Blob(vec![]),
        ],
    ];
    assert_eq!(rows, expected);
}

#[test]
fn a_decimal_is_the_nearest_double() {
    for value in [0, 1, -7, 123_456_789, (1 << 53) - 1, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN] {
        for scale in [0, 1, 9, 17, 18, 19, 40] {
            let expected: f64 = format!("{value}e-{scale}").parse().unwrap();
            assert_eq!(double(value, scale), expected, "{value} / 10^{scale}");
        }
    }
}

#[test]
fn the_last_commit_survives_a_kill() {
    let place = Place::new();
    let at = |offset| {
        let mark = Some(Mark { bytes: offset as u64, hash: u128::MAX - offset as u128 });
        NextOffset { topic: "t".into(), partition: 3, offset, mark }
    };
    let of_view = |offset| ViewOffset { view: "v".into(), role: Role::Filled, at: at(offset) };
    let mut store = place.prepared(numbers_table());
    for (epoch, length) in [(1, 10), (2, 20)] {
        store.begin().unwrap();
        store.insert(&numbers([epoch])).unwrap();
        let files = [("a.csv".to_owned(), length)];
        let state = [change(&[&[epoch as u8]], false)];
        let topics = [TopicId { topic: "t".into(), id: epoch.to_string() }];
        let commit = Commit {
            epoch: epoch as u64,
            offsets: &[at(epoch * 100)],
            view_offsets: &[of_view(epoch)],
            topics: &topics,
            files: &files,
            state: &state,
            ..Commit::default()
        };
        store.commit(&commit).unwrap();
    }
    store.begin().unwrap();
    store.insert(&numbers(3..1000)).unwrap();
    drop(store);

    assert_eq!(place.numbers(), [1, 2]);
    let mut store = SqliteStore::open(&place.path()).unwrap();
    let last = store.claim("job", "another topic").unwrap();
    assert_eq!((last.generation, last.epoch, &*last.source), (2, 2, "topic t"));
    assert_eq!((last.offsets, last.view_offsets), (vec![at(200)], vec![of_view(2)]));
    assert_eq!(last.topics, [TopicId { topic: "t".into(), id: "2".into() }]);
    assert_eq!(last.files, [("a.csv".to_owned(), 20)]);
    assert_eq!(parts(&mut store), [[2], [1]]);
    assert_eq!(store.committed_epoch().unwrap(), 2);
}

#[test]
fn an_abandoned_transaction_can_be_repeated() {
    let place = Place::new();
    let mut store = place.prepared(numbers_table());
    store.begin().unwrap();
    store.insert(&numbers([1])).unwrap();
    store.abandon();
    store.begin().unwrap();
    store.insert(&numbers(10..60)).unwrap();
    store.commit(&commit(1)).unwrap();
    assert_eq!(place.numbers(), (10..60).collect::<Vec<_>>());
}

#[test]
fn an_older_generation_is_fenced() {
    let place = Place::new();
    let mut store = place.prepared(numbers_table());
    store.begin().unwrap();
    store.insert(&numbers([1])).unwrap();
    store.commit(&commit(1)).unwrap();
    place.raw().execute("UPDATE truckflow_jobs SET generation = generation + 1", []).unwrap();
    assert!(matches!(store.begin(), Err(StoreError::Fenced { .. })));
    assert!(matches!(store.begin(), Err(StoreError::Fenced { .. })));
    assert_eq!(store.committed_epoch().unwrap(), 1);
}

#[test]
fn the_generation_is_checked_in_the_commit() {
    let place = Place::new();
    let mut store = place.prepared(numbers_table());
    store.begin().unwrap();
    store.insert(&numbers([1])).unwrap();
    store.claim.as_mut().unwrap().generation -= 1;
    assert!(matches!(store.commit(&commit(1)), Err(StoreError::Fenced { .. })));
    assert!(place.numbers().is_empty());
}

#[test]
fn a_second_instance_is_refused_until_the_first_ends() {
    let place = Place::new();
    let (first, _) = place.claimed();
    let mut second = SqliteStore::open(&place.path()).unwrap();
    second.lock_timeout = Duration::ZERO;
    let error = second.claim("job", "topic t").unwrap_err();
    assert!(matches!(&error, StoreError::Taken { job, .. } if job == "job"), "{error}");
    drop(first);
    assert_eq!(second.claim("job", "topic t").unwrap().generation, 2);
}

#[test]
fn the_source_is_that_of_the_first_commit() {
    let place = Place::new();
    let claim = |source: &str| {
        let mut store = SqliteStore::open(&place.path()).unwrap();
        let last = store.claim("job", source).unwrap();
        (store, last.source)
    };
    assert_eq!(claim("file /typo").1, "file /typo");
    let (mut store, source) = claim("file /input");
    assert_eq!(source, "file /input");
    store.begin().unwrap();
    store.commit(&commit(1)).unwrap();
    drop(store);
    assert_eq!(claim("file /other").1, "file /input");
}

#[test]
fn a_job_of_a_missing_file_is_not_forgotten_by_creating_it() {
    let place = Place::new();
    assert!(SqliteStore::open(&place.path()).unwrap().forget("job").is_err());
    assert!(!Path::new(&place.path()).exists());
}

#[test]
fn a_claim_without_the_lock_changes_nothing() {
    let place = Place::new();
    let mut store = place.prepared(numbers_table());
    let raw = place.raw();
    raw.execute_batch("BEGIN IMMEDIATE").unwrap();
    store.connect(false).unwrap().busy_timeout(Duration::ZERO).unwrap();
    let error = store.begin().unwrap_err();
    assert!(error.is_retryable(), "{error}");
    raw.execute_batch("ROLLBACK").unwrap();
    store.begin().unwrap();
}

#[test]
fn missing_columns_are_added_and_existing_rows_stay() {
    let place = Place::new();
    place
        .raw()
        .execute_batch(
            "CREATE TABLE TRUCK_PARAMETER_MAP (ID INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
                 Timestamp DATETIME, distance_covered FLOAT, note VARCHAR(9) NOT NULL DEFAULT 'x');
             INSERT INTO TRUCK_PARAMETER_MAP VALUES (7, '2023-04-10 01:02:27', 1.5, 'old');",
        )
        .unwrap();
    let columns = vec![
        column("timestamp", Type::Timestamp),
        column("distance_covered", Type::Decimal),
        column("truck_id", Type::Text),
    ];
    let table = Table {
        view: "v".into(),
        name: "TRUCK_PARAMETER_MAP".into(),
        columns,
        keyed: false,
        in_order: false,
        index: Vec::new(),
    };
    let mut store = place.prepared(table.clone());
    let row: Rows = vec![
        Column::Timestamp(Arc::new(vec![0])),
        Column::Decimal { scale: 1, values: Arc::new(vec![25]) },
        Column::Text(Arc::new(vec![Some("t1".into())])),
    ]
    .into();
    store.begin().unwrap();
    assert_eq!(store.insert(&chunk(row)).unwrap(), []);
    store.commit(&commit(1)).unwrap();
    // A second call has nothing to do.
    store.prepare(&[table]).unwrap();

    let rows: Vec<String> = place
        .raw()
        .prepare(
            "SELECT concat_ws('|', id, timestamp, distance_covered, note, truck_id) FROM TRUCK_PARAMETER_MAP",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<rusqlite::Result<_>>()
        .unwrap();
    assert_eq!(rows, ["7|2023-04-10 01:02:27|1.5|old", "8|1970-01-01 00:00:00.000000|2.5|x|t1"]);
}

#[test]
fn unusable_tables_are_refused() {
    for (sql, reason, advice) in [
        ("CREATE VIEW numbers AS SELECT 1 AS n", "view", "DROP VIEW \"numbers\""),
        ("CREATE TABLE numbers (n INT, own TEXT NOT NULL)", "own is NOT NULL", "ALTER TABLE"),
        ("CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INT) WITHOUT ROWID", "id is NOT NULL", "RENAME"),
        ("CREATE TABLE numbers (n VARCHAR(20))", "n is VARCHAR(20)", "RENAME"),
        ("CREATE TABLE numbers (a INT, n INT AS (a + 1))", "generated", "RENAME"),
    ] {
        let place = Place::new();
        place.raw().execute_batch(sql).unwrap();
        let (mut store, _) = place.claimed();
        let error = store.prepare(&[numbers_table()]).unwrap_err();
        let StoreError::Table { table, reason: said, advice: advised } = error else {
            panic!("{sql}: {error}")
        };
        assert_eq!(table, "numbers");
        assert!(said.contains(reason) && advised.contains(advice), "{sql}: {said}; {advised}");
    }
}

#[test]
fn a_column_stores_values_according_to_its_affinity() {
    let keeps = |declared, value, strict| Affinity::of(declared, strict).keeps(value, strict);
    for (declared, value) in [
        ("DATETIME", Type::Timestamp),
        ("VARCHAR(32)", Type::Timestamp),
        ("FLOAT", Type::Decimal),
        ("DOUBLE PRECISION", Type::Real),
        ("DECIMAL(10,2)", Type::Decimal),
        ("INT", Type::Decimal),
        ("BIGINT", Type::Integer),
        ("", Type::Integer),
        ("TEXT", Type::Bytes),
    ] {
        assert!(keeps(declared, value, false), "{declared} {value:?}");
    }
    for (declared, value) in [
        ("TEXT", Type::Decimal),
        ("CHAR(3)", Type::Integer),
        ("INTEGER", Type::Timestamp),
        ("DATETIME", Type::Text),
        ("FLOAT", Type::Text),
    ] {
        assert!(!keeps(declared, value, false), "{declared} {value:?}");
    }
    assert!(keeps("ANY", Type::Text, true) && !keeps("INT", Type::Real, true));
}

#[test]
fn only_the_refused_rows_are_missing() {
    let place = Place::new();
    place
        .raw()
        .execute_batch(
            "CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INT UNIQUE ON CONFLICT ROLLBACK CHECK (n < 90))",
        )
        .unwrap();
    let mut store = place.prepared(numbers_table());
    store.begin().unwrap();
    let refused = store.insert(&numbers((0..100).map(|n| if n == 20 { 5 } else { n }))).unwrap();
    store.commit(&commit(1)).unwrap();
    let rows: Vec<_> = refused.iter().map(|refused| refused.row).collect();
    assert_eq!(rows, [20].into_iter().chain(90..100).collect::<Vec<_>>());
    assert!(refused[0].reason.contains("UNIQUE") && refused[1].reason.contains("CHECK"), "{refused:?}");
    assert_eq!(place.numbers(), (0..90).filter(|&n| n != 20).collect::<Vec<_>>());
}

#[test]
fn a_value_that_an_expression_of_the_table_rejects_is_refused_with_its_row() {
    let place = Place::new();
    place
        .raw()
        .execute_batch(
            "CREATE TABLE numbers (id INTEGER PRIMARY KEY, n INT,
                 j TEXT AS (json_extract(iif(n = 50, '{', '{}'), '$.a')) STORED)",
        )
        .unwrap();
    let mut store = place.prepared(numbers_table());
    store.begin().unwrap();
    let refused = store.insert(&numbers(0..100)).unwrap();
    store.commit(&commit(1)).unwrap();
    let [refused] = refused.as_slice() else { panic!("{refused:?}") };
    assert_eq!((refused.row, &*refused.table), (50, "numbers"));
    assert!(refused.reason.contains("JSON"), "{refused:?}");
    assert_eq!(place.numbers().len(), 99);
}

#[test]
fn the_error_of_an_altered_table_names_it() {
    let place = Place::new();
    let mut store = place.prepared(numbers_table());
    place.raw().execute_batch("ALTER TABLE numbers RENAME COLUMN n TO m").unwrap();
    store.begin().unwrap();
    let error = store.insert(&numbers([1])).unwrap_err();
    assert!(matches!(&error, StoreError::Table { table, .. } if table == "numbers"), "{error}");
    assert!(error.to_string().contains("start the job again"), "{error}");
}

#[test]
fn state_is_in_order_and_a_snapshot_replaces_it() {
    let place = Place::new();
    let (mut store, _) = place.claimed();
    let mut commit = |epoch, state: &[StateChange]| {
        store.begin().unwrap();
        store.commit(&Commit { epoch, state, ..Commit::default() }).unwrap();
        parts(&mut store).concat()
    };
    assert_eq!(commit(9, &[change(&[b"a", b"b"], false), change(&[b"c"], false)]), b"cba");
    assert_eq!(commit(10, &[change(&[b"d"], false)]), b"dcba");
    assert_eq!(commit(11, &[change(&[b"e", b"f"], true)]), b"fe");
    assert_eq!(commit(12, &[change(&[b"g"], false)]), b"gfe");
}

#[test]
fn a_check_changes_nothing() {
    let place = Place::new();
    let mut store = SqliteStore::open(&place.path()).unwrap();
    let said = |store: &mut SqliteStore| -> Vec<_> {
        let findings = store.check(&[numbers_table()]);
        findings.into_iter().map(|finding| finding.result.unwrap_or_else(|error| error)).collect()
    };
    assert_eq!(said(&mut store)[0], "will be created on the first run");
    assert_eq!(fs::read_dir(place.0.path()).unwrap().count(), 0);

    place.raw().execute_batch("PRAGMA journal_mode = WAL; CREATE TABLE numbers (x)").unwrap();
    let before = fs::read(place.path()).unwrap();
    let findings = said(&mut store);
    assert_eq!(
        findings,
        ["exists", "the missing ones will be created on the first run", "compatible; the next run adds n"]
    );
    assert_eq!(fs::read(place.path()).unwrap(), before);

    fs::write(place.path(), "this is no database, but a text of some length").unwrap();
    assert!(said(&mut store)[1].contains("not a database"));
}

#[test]
fn last_readings_are_those_of_the_latest_time() {
    let place = Place::new();
    assert_eq!(place.last_readings().unwrap(), []);
    assert!(!Path::new(&place.path()).exists());
    let reading = |truck: &str, distance, micros| LastReading {
        truck: truck.into(),
        distance,
        fuel: 0.5,
        timestamp_micros: micros,
    };
    place
        .raw()
        .execute_batch(
            "CREATE TABLE TRUCK_PARAMETER_MAP
                 (id INTEGER PRIMARY KEY, timestamp TEXT, distance_covered REAL, fuel_consumed REAL);
             INSERT INTO TRUCK_PARAMETER_MAP VALUES
                 (2, '1970-01-01 00:00:09', 9, 0.5), (1, '1970-01-01 00:00:09', 1, 1),
                 (3, '1970-01-01 00:00:02', 3, 3);",
        )
        .unwrap();
    assert_eq!(place.last_readings().unwrap(), [reading("", 9.0, 9_000_000)]);
    place
        .raw()
        .execute_batch(
            "ALTER TABLE TRUCK_PARAMETER_MAP ADD COLUMN truck_id TEXT;
             INSERT INTO TRUCK_PARAMETER_MAP VALUES
                 (4, '1970-01-01 00:00:03.000001', 7, 0.5, 'b'), (5, '1970-01-01 00:00:04', 8, 0.5, 'a'),
                 (6, '1970-01-01 00:00:01', 6, 0.5, 'b'), (7, '1970-01-01 00:00:05', NULL, 0.5, 'b')",
        )
        .unwrap();
    let expected = [reading("", 9.0, 9_000_000), reading("a", 8.0, 4_000_000), reading("b", 7.0, 3_000_001)];
    assert_eq!(place.last_readings().unwrap(), expected);
}

#[test]
fn a_table_is_replaced_for_the_view_for_which_it_was_created() {
    let place = Place::new();
    let mut store = place.prepared(numbers_table());
    let [stored] = &store.tables().unwrap()[..] else { panic!("one table") };
    assert!(stored.is_created && stored.view == "numbers" && stored.columns == ["n"], "{stored:?}");
    assert!(store.check_replaceable("job", "numbers", "numbers").is_ok());
    // Another view writes on in it, and its rows are not those of that view alone.
    store.prepare(&[Table { view: "other".into(), ..numbers_table() }]).unwrap();
    assert!(!store.tables().unwrap()[0].is_created);
    for view in ["other", "numbers"] {
        let error = store.check_replaceable("job", view, "numbers").unwrap_err().to_string();
        assert!(error.contains("rows of others"), "{error}");
    }
}
