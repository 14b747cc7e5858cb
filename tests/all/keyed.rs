//! Tables whose rows change and end, through the store alone: on SQLite, on MariaDB, and on MySQL if
//! `TRUCKFLOW_TEST_MYSQL` names a server. And what else a store keeps: state of any size, and views.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::item::NextOffset;
use dataflows::item::TopicId;
use dataflows::rows::{Change, Changes, Column, NULL, Rows, Type, column};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rusqlite::types::Value;
use tempfile::TempDir;
use truckflow::state::{Phase, StoredView};
use truckflow::store::{self, Commit, Finding, Operation, Refused, StateChange, Store, StoreError, Table};

use crate::support::mariadb::{Database, Mariadb, TextRow, databases, mariadb};

/// A database of any kind.
enum Place {
    Sqlite(TempDir),
    Server(Database),
}

impl Place {
    fn all() -> Vec<Self> {
        let file = Self::Sqlite(tempfile::tempdir().unwrap());
        [file].into_iter().chain(databases().into_iter().map(Self::Server)).collect()
    }

    fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite:{}", folder.path().join("job.db").display()),
            Self::Server(database) => database.url.clone(),
        }
    }

    /// The job's store, with its tables prepared.
    fn store(&self, tables: &[Table]) -> Box<dyn Store> {
        let mut store = store::open(&self.url().into()).unwrap();
        store.claim("job", "topic t").unwrap();
        store.prepare(tables).unwrap_or_else(|error| panic!("{}: {error}", self.url()));
        store
    }

    /// The rows of a query, as another program sees them.
    fn query(&self, sql: &str) -> Vec<TextRow> {
        let folder = match self {
            Self::Server(database) => return database.query(sql),
            Self::Sqlite(folder) => folder,
        };
        let raw = rusqlite::Connection::open(folder.path().join("job.db")).unwrap();
        let mut statement = raw.prepare(sql).unwrap();
        let width = statement.column_count();
        let text = |value| match value {
            Value::Null => None,
            Value::Integer(value) => Some(value.to_string()),
            Value::Real(value) => Some(value.to_string()),
            Value::Text(value) => Some(value),
            Value::Blob(value) => Some(format!("{value:?}")),
        };
        let rows = statement.query_map([], |row| (0..width).map(|at| row.get(at).map(text)).collect());
        rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
    }

    fn numbers(&self, sql: &str) -> Vec<Vec<f64>> {
        let number = |value: &Option<String>| value.as_deref().unwrap_or("NaN").parse().unwrap();
        self.query(sql).iter().map(|row| row.iter().map(number).collect()).collect()
    }
}

fn changes(kinds: &[Change], keys: &[i64]) -> Option<Changes> {
    let keys = keys.iter().map(|key| Arc::from(key.to_be_bytes())).collect();
    Some(Changes { kinds: Arc::new(kinds.to_vec()), keys: Arc::new(keys) })
}

/// What a check of one table found.
pub fn of_table(findings: Vec<Finding>) -> Result<String, String> {
    findings.into_iter().find(|finding| finding.what.starts_with("table ")).expect("the table").result
}

/// Commits rows as one epoch.
fn commit(store: &mut dyn Store, epoch: u64, rows: Vec<Rows>) -> Vec<Refused> {
    let form = store.form();
    store.begin().unwrap();
    let chunks: Vec<_> = rows.into_iter().flat_map(|rows| form.chunks(0, rows)).map(Arc::new).collect();
    let refused = store.insert(&chunks).unwrap();
    store.commit(&Commit { epoch, ..Commit::default() }).unwrap();
    refused
}

/// A row of every type; `None` is NULL.
#[derive(Clone, Debug, PartialEq)]
struct Values {
    time: Option<i64>,
    decimal: Option<i64>,
    real: Option<f64>,
    integer: Option<i64>,
    text: Option<String>,
    bytes: Option<Vec<u8>>,
}

fn table(name: &str) -> Table {
    let columns = vec![
        column("place", Type::Integer),
        column("at", Type::Timestamp),
        column("exact", Type::Decimal),
        column("nearly", Type::Real),
        column("count", Type::Integer),
        column("name", Type::Text),
        column("payload", Type::Bytes),
    ];
    Table { view: "v".into(), name: name.into(), columns, keyed: true, in_order: false, index: Vec::new() }
}

fn rows_of(changed: &[(Change, i64, Values)]) -> Rows {
    let kinds: Vec<Change> = changed.iter().map(|(kind, ..)| *kind).collect();
    let keys: Vec<i64> = changed.iter().map(|(_, key, _)| *key).collect();
    let numbers = |of: &dyn Fn(&Values) -> Option<i64>| {
        Arc::new(changed.iter().map(|(.., values)| of(values).unwrap_or(NULL)).collect::<Vec<_>>())
    };
    let columns = vec![
        Column::Integer(Arc::new(keys.clone())),
        Column::Timestamp(numbers(&|values| values.time)),
        Column::Decimal { scale: 9, values: numbers(&|values| values.decimal) },
        Column::Real(Arc::new(changed.iter().map(|(.., values)| values.real.unwrap_or(f64::NAN)).collect())),
        Column::Integer(numbers(&|values| values.integer)),
        Column::Text(Arc::new(changed.iter().map(|(.., v)| v.text.as_deref().map(Arc::from)).collect())),
        Column::Bytes(Arc::new(changed.iter().map(|(.., values)| values.bytes.clone()).collect())),
    ];
    Rows { columns, changes: changes(&kinds, &keys) }
}

fn values() -> impl Strategy<Value = Values> {
    use prop::option::of;
    let time =
        prop_oneof![Just(0), Just(1_681_088_547_000_020), -1_000_000_000_000i64..2_000_000_000_000_000];
    let decimal = prop_oneof![Just(0), Just(1), Just(-1), Just(80_000_000_000), (NULL + 1)..=i64::MAX];
    let real = prop_oneof![
        Just(0.1),
        Just(1e300),
        Just(-5e-300),
        Just(1.0),
        any::<f64>().prop_filter("a number", |value| value.is_normal())
    ];
    let integer = prop_oneof![Just(0), Just(NULL + 1), Just(i64::MAX), any::<i16>().prop_map(i64::from)];
    let text = "[a-z'\\\\\"\u{e9}\u{1f69a}\n%]{0,9}";
    (of(time), of(decimal), of(real), of(integer), of(text), of(vec(any::<u8>(), 0..9))).prop_map(
        |(time, decimal, real, integer, text, bytes)| Values { time, decimal, real, integer, text, bytes },
    )
}

/// What the table holds, by key; the ids by key, too.
fn held(place: &Place, table: &str) -> (BTreeMap<i64, Values>, BTreeMap<i64, i64>) {
    let sql = format!(
        "SELECT place, at, exact, nearly, count, name, HEX(payload), payload IS NULL, id FROM {table}"
    );
    let (mut rows, mut ids) = (BTreeMap::new(), BTreeMap::new());
    for row in place.query(&sql) {
        let text = |at: usize| row[at].as_deref();
        let number = |at| text(at).map(|text| text.parse::<i64>().unwrap());
        let hex = |digits: &str| {
            let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
            digits.as_bytes().chunks(2).map(byte).collect::<Vec<u8>>()
        };
        let key = number(0).unwrap();
        let exact = text(2).map(|text| text.parse::<f64>().unwrap());
        let values = Values {
            time: text(1).map(|text| truckflow::text::time::parse(text).unwrap()),
            // The table has doubles: the decimal is told by the double nearest to it.
            decimal: exact.map(|exact| exact.to_bits() as i64),
            real: text(3).map(|text| text.parse().unwrap()),
            integer: number(4),
            text: text(5).map(str::to_owned),
            bytes: (text(7) == Some("0")).then(|| hex(text(6).unwrap_or_default())),
        };
        assert_eq!(rows.insert(key, values), None, "two rows of key {key}");
        ids.insert(key, number(8).unwrap());
    }
    (rows, ids)
}

/// As [`held`] tells it.
fn told(values: &Values) -> Values {
    let double = |value: i64| format!("{value}e-9").parse::<f64>().unwrap().to_bits() as i64;
    Values { decimal: values.decimal.map(double), ..values.clone() }
}

#[test]
fn random_changes_leave_what_a_model_holds() {
    let step = (0i64..12, 0u8..10, values());
    let epochs = vec(vec(step, 1..14), 1..12);
    let config = Config { cases: 12, max_shrink_iters: 0, failure_persistence: None, ..Config::default() };
    for (place, number) in Place::all().iter().zip(0..) {
        let case = Cell::new(0);
        TestRunner::new(config.clone())
            .run(&epochs, |epochs| {
                case.set(case.get() + 1);
                let name = format!("changes_{number}_{}", case.get());
                let mut store = place.store(&[table(&name)]);
                let start = store.committed_epoch().unwrap();
                let (mut model, mut ids) = (BTreeMap::new(), BTreeMap::new());
                for (epoch, steps) in (start + 1..).zip(epochs) {
                    let mut changed = Vec::new();
                    // An epoch changes a key once.
                    let steps: BTreeMap<_, _> =
                        steps.into_iter().map(|(key, kind, values)| (key, (kind, values))).collect();
                    for (key, (kind, values)) in steps {
                        let change = match (kind, model.contains_key(&key)) {
                            // Now and then not what the table is: a row that is there is inserted,
                            // one that is not is updated or ends.
                            (0, _) | (2..=6, false) => Change::Insert,
                            (1, _) | (2..=6, true) => Change::Update,
                            _ => Change::Delete,
                        };
                        if let (Change::Update, Some(before)) = (change, model.get(&key)) {
                            changed.push((Change::Before, key, Values::clone(before)));
                        }
                        match change {
                            Change::Delete => model.remove(&key),
                            _ => model.insert(key, values.clone()),
                        };
                        changed.push((change, key, values));
                    }
                    let updated: Vec<i64> = changed
                        .iter()
                        .filter(|(change, ..)| *change == Change::Update)
                        .map(|(_, key, _)| *key)
                        .collect();
                    prop_assert_eq!(commit(store.as_mut(), epoch, vec![rows_of(&changed)]), []);
                    let (rows, new_ids) = held(place, &name);
                    let expected: BTreeMap<i64, Values> =
                        model.iter().map(|(key, values)| (*key, told(values))).collect();
                    prop_assert_eq!(rows, expected);
                    for key in updated.iter().filter(|&key| ids.contains_key(key)) {
                        prop_assert_eq!(ids[key], new_ids[key], "the id of key {}", key);
                    }
                    ids = new_ids;
                }
                Ok(())
            })
            .unwrap_or_else(|error| panic!("{}: {error}", place.url()));
    }
}

/// A row of a table `latest (truck, n)`.
fn latest(change: Change, rows: impl Iterator<Item = (i64, i64)>) -> Rows {
    let (keys, values): (Vec<i64>, Vec<i64>) = rows.unzip();
    let names = keys.iter().map(|key| Some(format!("truck-{key}").into())).collect();
    Rows {
        columns: vec![Column::Text(Arc::new(names)), Column::Integer(Arc::new(values))],
        changes: changes(&vec![change; keys.len()], &keys),
    }
}

fn latest_table() -> Table {
    let columns = vec![column("truck", Type::Text), column("n", Type::Integer)];
    Table {
        view: "v".into(),
        name: "latest".into(),
        columns,
        keyed: true,
        in_order: false,
        index: Vec::new(),
    }
}

#[test]
fn many_rows_are_updated_in_place() {
    const ROWS: i64 = 40_000;
    for place in Place::all() {
        let mut store = place.store(&[latest_table()]);
        let all = |add: i64| (0..ROWS).map(move |key| (key, key + add));
        assert_eq!(commit(store.as_mut(), 1, vec![latest(Change::Insert, all(0))]), []);
        for round in 1..4 {
            // Some take the value that they have.
            let round = round / 2;
            assert_eq!(commit(store.as_mut(), 2, vec![latest(Change::Update, all(round))]), []);
        }
        assert_eq!(commit(store.as_mut(), 3, vec![latest(Change::Delete, all(1).step_by(2))]), []);
        assert_eq!(commit(store.as_mut(), 4, vec![latest(Change::Insert, [(ROWS, 7)].into_iter())]), []);
        let sums = place.numbers("SELECT COUNT(*), SUM(n), SUM(id), MAX(id) FROM latest");
        let kept = (0..ROWS).filter(|key| key % 2 == 1);
        let sum: i64 = kept.clone().map(|key| key + 1).sum::<i64>() + 7;
        // The ids are those of the first insert, and the next one follows them.
        let ids: i64 = kept.map(|key| key + 1).sum::<i64>() + ROWS + 1;
        let expected = [ROWS / 2 + 1, sum, ids, ROWS + 1].map(|number| number as f64).to_vec();
        assert_eq!(sums, [expected], "{}", place.url());
    }
}

#[test]
fn an_update_finds_its_rows_by_their_key() {
    let server = Mariadb::start();
    let place = Place::Server(server.create_database());
    let mut store = place.store(&[latest_table()]);
    let all = (0..20_000).map(|key| (key, 0));
    assert_eq!(commit(store.as_mut(), 1, vec![latest(Change::Insert, all)]), []);
    let status = "SELECT SUM(VARIABLE_VALUE) FROM information_schema.GLOBAL_STATUS \
                  WHERE VARIABLE_NAME IN ('Handler_read_next', 'Handler_read_rnd_next')";
    let read = || place.numbers(status)[0][0];
    let before = read();
    let some = || (0..2_000).map(|key| (key * 3, 1));
    assert_eq!(commit(store.as_mut(), 2, vec![latest(Change::Update, some())]), []);
    assert_eq!(commit(store.as_mut(), 3, vec![latest(Change::Delete, some())]), []);
    // A whole reading of the table would be 20,000 and more for each statement.
    assert!(read() - before < 20_000.0, "{} rows were read", read() - before);
}

#[test]
fn a_refused_update_ends_the_row_that_it_would_have_replaced() {
    for place in Place::all() {
        let limited = match place {
            Place::Sqlite(_) => "n INT CHECK (n < 2147483648)",
            Place::Server(_) => "n INT",
        };
        let create = format!(
            "CREATE TABLE latest (id INTEGER PRIMARY KEY AUTO_INCREMENT, truck VARCHAR(99), {limited})"
        );
        let create = if let Place::Sqlite(_) = place { create.replace("AUTO_INCREMENT", "") } else { create };
        // A claim makes the file.
        store::open(&place.url().into()).unwrap().claim("job", "topic t").unwrap();
        place.query(&create);
        let mut store = place.store(&[latest_table()]);
        let all = |n: i64| (0..100).map(move |key| (key, if key % 30 == 7 { n } else { key }));
        assert_eq!(commit(store.as_mut(), 1, vec![latest(Change::Insert, all(1))]), []);
        let update = latest(Change::Update, all(9_000_000_000));
        let refused = commit(store.as_mut(), 2, vec![update.clone()]);
        let rows: Vec<usize> = refused.iter().map(|refused| refused.row).collect();
        assert_eq!(rows, [7, 37, 67, 97], "{refused:?}");
        let chunks = store.form().chunks(0, update.clone());
        assert_eq!(chunks[0].rows.row(7).columns[1], Column::Integer(Arc::new(vec![9_000_000_000])));
        // Again and again, they take few ids: an INT has to last.
        for _ in 0..3 {
            let again: Vec<usize> =
                commit(store.as_mut(), 2, vec![update.clone()]).iter().map(|refused| refused.row).collect();
            assert_eq!(again, rows);
        }
        let count = place.numbers("SELECT COUNT(*), MAX(n), COUNT(row_key) FROM latest");
        assert_eq!(count, [[96.0, 99.0, 96.0]], "{}", place.url());
        // They come back with a value that fits, under their key.
        for _ in 0..2 {
            assert_eq!(commit(store.as_mut(), 3, vec![latest(Change::Update, all(5))]), []);
            assert_eq!(place.numbers("SELECT COUNT(*), SUM(n = 5) FROM latest"), [[100.0, 5.0]]);
        }
        assert!(place.numbers("SELECT MAX(id) FROM latest")[0][0] < 250.0);
        // A second start finds all as it wants it.
        let said = of_table(store.check(&[latest_table()])).unwrap();
        assert!(said == "compatible", "{said}");
        store.prepare(&[latest_table()]).unwrap();
    }
}

#[test]
fn a_row_of_another_is_never_overwritten() {
    for place in Place::all() {
        store::open(&place.url().into()).unwrap().claim("job", "topic t").unwrap();
        place.query("CREATE TABLE latest (truck VARCHAR(99) UNIQUE, n BIGINT)");
        place.query("INSERT INTO latest VALUES ('truck-3', -1)");
        let mut store = place.store(&[latest_table()]);
        let rows = |n| (0..6).map(move |key| (key, n));
        for (change, n) in [(Change::Insert, 1), (Change::Update, 2), (Change::Insert, 3)] {
            let refused = commit(store.as_mut(), n as u64, vec![latest(change, rows(n))]);
            assert_eq!(refused.len(), 1, "{refused:?}");
            assert!(
                refused[0].row == 3 && refused[0].reason.to_lowercase().contains("unique"),
                "{refused:?}"
            );
            let found = place.numbers("SELECT COUNT(*), MIN(n), SUM(n) FROM latest");
            assert_eq!(found, [[6.0, -1.0, (5 * n - 1) as f64]], "{}", place.url());
        }
        // Another job's rows of the same keys are others, too.
        drop(store);
        let mut other = store::open(&place.url().into()).unwrap();
        other.claim("other", "topic t").unwrap();
        other.prepare(&[latest_table()]).unwrap();
        assert_eq!(commit(other.as_mut(), 1, vec![latest(Change::Delete, rows(0))]), []);
        assert_eq!(place.numbers("SELECT COUNT(*) FROM latest"), [[6.0]]);
    }
}

#[test]
fn rows_are_put_in_after_those_that_end() {
    let place = &Place::all()[0];
    let store = place.store(&[latest_table()]);
    let mut rows = latest(Change::Insert, [(1, 10), (2, 20), (3, 30), (4, 40), (5, 50)].into_iter());
    let kinds = vec![Change::Insert, Change::Before, Change::Update, Change::Delete, Change::Insert];
    rows.changes.as_mut().unwrap().kinds = Arc::new(kinds);
    let chunks = store.form().chunks(0, rows);
    let parts: Vec<_> =
        chunks.iter().map(|chunk| (chunk.operation, chunk.rows.len(), chunk.keys.len())).collect();
    assert_eq!(parts, [(Operation::Delete, 1, 1), (Operation::Update, 1, 1), (Operation::Insert, 2, 2)]);
    assert_eq!(chunks[2].rows.columns[1], Column::Integer(Arc::new(vec![10, 50])));
    // SHA-256 of `job`, a zero byte, and the key.
    assert_eq!(chunks[0].keys[0][..4], [0xad, 0x4d, 0x54, 0xd0]);
}

#[test]
fn a_key_that_cannot_be_one_is_refused_with_the_statement_that_mends_it() {
    for database in databases() {
        for definition in ["row_key VARBINARY(20)", "row_key BINARY(16), KEY (row_key)"] {
            database.query("DROP TABLE IF EXISTS latest");
            database.query(&format!("CREATE TABLE latest (id INT AUTO_INCREMENT PRIMARY KEY, {definition})"));
            let mut store = store::open(&database.url.clone().into()).unwrap();
            store.claim("job", "topic t").unwrap();
            let said = of_table(store.check(&[latest_table()])).unwrap_err();
            let Err(StoreError::Table { advice, .. }) = store.prepare(&[latest_table()]) else {
                panic!("{said}")
            };
            assert!(said.contains(&advice), "{said}");
            database.query(advice.strip_prefix("run ").unwrap());
            store.prepare(&[latest_table()]).unwrap();
            assert_eq!(of_table(store.check(&[latest_table()])).unwrap(), "compatible");
        }
    }
}

#[test]
fn what_a_keyed_table_needs_is_granted() {
    let database = mariadb().create_database();
    let (name, user) = (&database.name, format!("k_{}", database.name));
    let mut first = store::open(&database.url.clone().into()).unwrap();
    first.claim("first", "topic t").unwrap();
    first.prepare(&[latest_table()]).unwrap();
    database.query(&format!(
        "CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'pw'; \
         GRANT SELECT, INSERT ON {name}.latest TO '{user}'@'127.0.0.1'"
    ));
    for book in database.query("SHOW TABLES LIKE 'truckflow%'") {
        let book = book[0].as_deref().unwrap();
        database
            .query(&format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.{book} TO '{user}'@'127.0.0.1'"));
    }
    let mut store = store::open(&database.url_of(&user, "pw").into()).unwrap();
    store.claim("job", "topic t").unwrap();
    let error = store.prepare(&[latest_table()]).unwrap_err().to_string();
    let start = error.find("GRANT").unwrap();
    assert!(error[start..].starts_with("GRANT UPDATE, DELETE ON"), "{error}");
    database.query(&error[start..]);
    store.prepare(&[latest_table()]).unwrap();
}

#[test]
fn a_check_says_what_a_reset_lacks_and_the_reset_says_it_too() {
    let database = mariadb().create_database();
    let (name, user) = (&database.name, format!("r_{}", database.name));
    let mut first = store::open(&database.url.clone().into()).unwrap();
    first.claim("job", "topic t").unwrap();
    drop(first);
    database.query(&format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'pw'"));
    for book in database.query("SHOW TABLES LIKE 'truckflow%'") {
        let book = book[0].as_deref().unwrap();
        // Rows of these end while a job runs.
        let delete = match book {
            "truckflow_state" | "truckflow_in_the_future" => ", DELETE",
            _ => "",
        };
        database
            .query(&format!("GRANT SELECT, INSERT, UPDATE{delete} ON {name}.{book} TO '{user}'@'127.0.0.1'"));
    }
    // All that a job needs is there.
    let mut store = store::open(&database.url_of(&user, "pw").into()).unwrap();
    store.claim("job", "topic t").unwrap();
    let said = |store: &mut dyn Store| {
        let books = store.check(&[]).into_iter().find(|finding| finding.what == "tables truckflow_*");
        books.unwrap().result.unwrap()
    };
    let checked = said(store.as_mut());
    let start = checked.find("GRANT").unwrap_or_else(|| panic!("{checked}"));
    assert!(checked.starts_with("compatible; for `truckflow state reset`, run GRANT DELETE"), "{checked}");
    drop(store);
    let mut store = store::open(&database.url_of(&user, "pw").into()).unwrap();
    let refused = store.forget("job").unwrap_err().to_string();
    assert!(refused.ends_with(&checked[start..]), "{refused}");
    database.query(&checked[start..]);
    store.forget("job").unwrap();
    assert_eq!(said(store.as_mut()), "compatible");
}

#[test]
fn names_that_differ_in_trailing_spaces_have_bookkeeping_of_their_own() {
    let names = ["/data/in.jsonl", "/data/in.jsonl ", "/data/in.jsonl  "];
    for place in Place::all() {
        let mut store = place.store(&[]);
        let offsets: Vec<NextOffset> = (1..)
            .zip(names)
            .map(|(offset, name)| NextOffset { topic: name.into(), partition: 0, offset, mark: None })
            .collect();
        let topics = names.map(|name| TopicId { topic: name.into(), id: format!("of `{name}`") });
        let files: Vec<(String, u64)> =
            (1..).zip(names).map(|(length, name)| (name.to_owned(), length)).collect();
        let state = names.map(|name| StateChange {
            view: name.into(),
            parts: vec![name.as_bytes().to_vec().into()],
            replaces: false,
        });
        for epoch in 1..3 {
            store.begin().unwrap();
            let commit = Commit {
                epoch,
                offsets: &offsets,
                topics: &topics,
                files: &files,
                state: &state,
                ..Commit::default()
            };
            store.commit(&commit).unwrap_or_else(|error| panic!("{}: {error}", place.url()));
        }
        for name in names {
            store
                .put_view(&StoredView { name: name.into(), definition: name.into(), phase: Phase::Complete })
                .unwrap();
            let mut parts = Vec::new();
            store.state(name, &mut |part| parts.push(part)).unwrap();
            assert_eq!(parts, [name.as_bytes(), name.as_bytes()], "{}", place.url());
        }
        assert_eq!(store.views().unwrap().len(), 3, "{}", place.url());
        drop(store);
        let mut store = store::open(&place.url().into()).unwrap();
        let mut last = store.claim("job", "topic t").unwrap();
        last.offsets.sort_by_key(|at| at.offset);
        last.topics.sort_by_key(|topic| topic.topic.len());
        last.files.sort_by_key(|file| file.1);
        assert_eq!(
            (last.offsets, &last.topics[..], last.files),
            (offsets, &topics[..], files),
            "{}",
            place.url()
        );
        drop(store);
        // Jobs, too.
        let mut other = store::open(&place.url().into()).unwrap();
        assert_eq!(other.claim("job ", "topic t").unwrap().generation, 1, "{}", place.url());
    }
}

#[test]
fn state_is_read_whole_in_pages() {
    for place in Place::all() {
        let mut store = place.store(&[]);
        let part = |size: usize, byte: usize| vec![byte as u8; size];
        // Larger than a piece, many in one epoch, empty ones, and several epochs.
        let epochs: Vec<Vec<Vec<u8>>> = vec![
            (0..5).map(|n| part((5 << 20) + n, n)).collect(),
            (0..100).map(|n| part(1000 * n, n)).collect(),
            vec![part(0, 0), part(9 << 20, 1), part(1, 2)],
        ];
        for (epoch, parts) in (1..).zip(&epochs) {
            let of = |view: &str, parts: &[Vec<u8>]| StateChange {
                view: view.into(),
                parts: parts.iter().map(|part| part.clone().into()).collect(),
                replaces: false,
            };
            let (change, other) = (of("v", parts), of("w", &[part(3, 9)]));
            store.begin().unwrap();
            store.commit(&Commit { epoch, state: &[change, other], ..Commit::default() }).unwrap();
        }
        let mut expected = epochs.concat();
        expected.reverse();
        let mut state = |view: &str| {
            let mut parts = Vec::new();
            store.state(view, &mut |part| parts.push(part)).unwrap();
            parts
        };
        let found = state("v");
        assert!(found == expected, "{}: {} parts of {}", place.url(), found.len(), expected.len());
        assert_eq!(state("w"), vec![part(3, 9); 3]);
        assert!(state("none").is_empty());
    }
}

#[test]
fn the_ids_of_topics_are_kept_by_job() {
    let topics = |id: &str| [TopicId { topic: "a'topic".into(), id: id.into() }];
    for place in Place::all() {
        let mut store = place.store(&[]);
        for (epoch, id) in [(1, "one"), (2, "other")] {
            store.begin().unwrap();
            let topics = &topics(id);
            store.commit(&Commit { epoch, topics, ..Commit::default() }).unwrap();
        }
        drop(store);
        let mut store = store::open(&place.url().into()).unwrap();
        assert_eq!(store.claim("job", "topic t").unwrap().topics, topics("other"));
        let mut other = store::open(&place.url().into()).unwrap();
        drop(store);
        assert_eq!(other.claim("other", "topic t").unwrap().topics, []);
    }
}

#[test]
fn views_are_kept_by_job_and_only_by_who_has_it() {
    let view = |name: &str, definition: &str, phase| StoredView {
        name: name.into(),
        definition: definition.into(),
        phase,
    };
    for place in Place::all() {
        let mut store = place.store(&[]);
        assert_eq!(store.views().unwrap(), []);
        store.put_view(&view("hot", r"speed > 1 AND name = '\\it''s'", Phase::Backfilling)).unwrap();
        store.put_view(&view("cold", "", Phase::Complete)).unwrap();
        assert_eq!(
            store.views().unwrap(),
            [
                view("cold", "", Phase::Complete),
                view("hot", r"speed > 1 AND name = '\\it''s'", Phase::Backfilling)
            ]
        );
        store.put_view(&view("hot", "other", Phase::Complete)).unwrap();
        store.put_view(&view("hot", "other", Phase::Complete)).unwrap();
        assert_eq!(
            store.views().unwrap(),
            [view("cold", "", Phase::Complete), view("hot", "other", Phase::Complete)]
        );
        // As another instance does.
        place.query("UPDATE truckflow_jobs SET generation = generation + 1");
        assert!(matches!(
            store.put_view(&view("hot", "late", Phase::Complete)),
            Err(StoreError::Fenced { .. })
        ));
        drop(store);
        assert_eq!(place.store(&[]).views().unwrap()[1], view("hot", "other", Phase::Complete));
        let mut other = store::open(&place.url().into()).unwrap();
        other.claim("other", "topic t").unwrap();
        assert_eq!(other.views().unwrap(), []);
    }
}
