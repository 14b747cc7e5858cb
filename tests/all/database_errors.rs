//! What a server says of a row, of a table and of itself: a row that it refuses becomes a dead letter, a table
//! that changed ends the job in a sentence that names it, and a full disk is waited for. On MariaDB, and where
//! the server matters on MySQL too.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dataflows::rows::{Column, ColumnSpec, Rows, Type, column};
use truckflow::store::{self, Commit, Refused, Store, StoreError, Table};

use crate::seen::get;
use crate::support::job::Job;
use crate::support::mariadb::{Database, Mariadb, databases, mariadb};
use crate::support::output::csv_rows;
use crate::support::process::free_port;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A table `t (n, x)`: an integer, and a text.
fn numbers() -> Table {
    let columns = vec![column("n", Type::Integer), column("x", Type::Text)];
    Table { view: "v".into(), name: "t".into(), columns, keyed: false, in_order: false, index: Vec::new() }
}

fn rows(numbers: &[i64]) -> Rows {
    let texts = numbers.iter().map(|number| Some(number.to_string().into())).collect();
    vec![Column::Integer(Arc::new(numbers.to_vec())), Column::Text(Arc::new(texts))].into()
}

fn claimed(database: &Database) -> Box<dyn Store> {
    let mut store = store::open(&database.url.clone().into()).unwrap();
    store.claim("job", "topic t").unwrap();
    store
}

fn prepared(database: &Database) -> Box<dyn Store> {
    let mut store = claimed(database);
    store.prepare(&[numbers()]).unwrap_or_else(|error| panic!("{error}"));
    store
}

fn insert(store: &mut dyn Store, numbers: &[i64]) -> Result<Vec<Refused>, StoreError> {
    let chunks: Vec<_> = store.form().chunks(0, rows(numbers)).into_iter().map(Arc::new).collect();
    store.begin()?;
    let refused = store.insert(&chunks)?;
    store.commit(&Commit { epoch: 1, ..Commit::default() })?;
    Ok(refused)
}

fn is_mariadb(database: &Database) -> bool {
    database.query("SELECT VERSION()")[0][0].as_deref().unwrap().contains("MariaDB")
}

/// What refuses the number 12, or its text, and no other one that is written here.
fn refusing(is_mariadb: bool) -> Vec<(&'static str, &'static str)> {
    let mut all = vec![
        ("1526", "CREATE TABLE t (n INT, x TEXT) PARTITION BY LIST (n) (PARTITION p VALUES IN (1, 2, 3))"),
        // Numbers that mean something else when the server itself says them.
        (
            "1205",
            "CREATE TABLE t (n INT, x TEXT); CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW \
                  IF NEW.n = 12 THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1205; END IF",
        ),
        (
            "2013",
            "CREATE TABLE t (n INT, x TEXT); CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW \
                  IF NEW.n = 12 THEN SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 2013; END IF",
        ),
        (
            "30001",
            "CREATE TABLE t (n INT, x TEXT); CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW \
                   IF NEW.n = 12 THEN SIGNAL SQLSTATE '99T01' SET MYSQL_ERRNO = 30001; END IF",
        ),
        (
            "1644",
            "CREATE TABLE t (n INT, x TEXT); CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW \
                  IF NEW.n = 12 THEN SIGNAL SQLSTATE '45000'; END IF",
        ),
        (
            "1339",
            "CREATE TABLE t (n INT, x TEXT); CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW \
                  CASE NEW.n WHEN 1 THEN BEGIN END; WHEN 2 THEN BEGIN END; WHEN 3 THEN BEGIN END; END CASE",
        ),
        (
            "1242",
            "CREATE TABLE t (n INT, x TEXT); CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW \
                  SET NEW.x = (SELECT 1 UNION SELECT IF(NEW.n = 12, 2, 1))",
        ),
        ("1264", "CREATE TABLE t (n TINYINT UNSIGNED, x TEXT, g TINYINT AS (n * 11) STORED)"),
        ("1406", "CREATE TABLE t (n INT, x VARCHAR(1))"),
        (
            "1452",
            "CREATE TABLE parent (n INT PRIMARY KEY); INSERT INTO parent VALUES (1), (2), (3); \
                  CREATE TABLE t (n INT, x TEXT, FOREIGN KEY (n) REFERENCES parent (n))",
        ),
        ("1062", "CREATE TABLE t (n INT UNIQUE, x TEXT); INSERT INTO t VALUES (12, 'another program''s')"),
    ];
    let check = "CREATE TABLE t (n INT, x TEXT, CHECK (n < 9))";
    all.push((if is_mariadb { "4025" } else { "3819" }, check));
    let json = "CREATE TABLE t (n INT, x TEXT, j JSON AS (IF(n = 12, '{', '{}')) STORED)";
    all.push(if is_mariadb { ("4025", json) } else { ("3140", json) });
    all
}

#[test]
fn each_error_that_concerns_a_row_refuses_that_row_alone() {
    for database in databases() {
        for (number, definition) in refusing(is_mariadb(&database)) {
            database.query("DROP TABLE IF EXISTS t, parent");
            // A statement that contains others stands alone.
            let (tables, trigger) = definition.split_once("; CREATE TRIGGER").unwrap_or((definition, ""));
            database.query(tables);
            if !trigger.is_empty() {
                database.query(&format!("CREATE TRIGGER{trigger}"));
            }
            let before: usize = count(&database, "t");
            let mut store = prepared(&database);
            let refused =
                insert(store.as_mut(), &[1, 12, 3]).unwrap_or_else(|error| panic!("{number}: {error}"));
            assert_eq!(refused.len(), 1, "{number}: {refused:?}");
            let refused = &refused[0];
            assert_eq!((refused.row, &*refused.table), (1, "t"), "{number}: {refused:?}");
            assert!(refused.reason.starts_with(&format!("{number}: ")), "{number}: {refused:?}");
            assert_eq!(count(&database, "t"), before + 2, "{number}");
            assert_eq!(insert(store.as_mut(), &[2]).unwrap(), [], "{number}");
        }
    }
}

#[test]
fn refused_rows_of_a_load_are_found_by_inserting_them() {
    for database in databases() {
        database.query(
            "CREATE TABLE t (n INT, x TEXT) PARTITION BY RANGE (n) (PARTITION p VALUES LESS THAN (5000))",
        );
        let mut store = prepared(&database);
        assert_eq!(store.form().lines[..], [true], "the server has local_infile=0");
        let numbers: Vec<i64> = (0..5000).map(|n| if n == 77 { 5000 } else { n }).collect();
        let refused = insert(store.as_mut(), &numbers).unwrap();
        assert_eq!(refused.iter().map(|refused| refused.row).collect::<Vec<_>>(), [77], "{refused:?}");
        assert_eq!(count(&database, "t"), 4999);
    }
}

#[test]
fn an_error_that_concerns_a_table_names_it_and_the_next_step() {
    for database in databases() {
        let generated = if is_mariadb(&database) { "1906" } else { "3105" };
        for (number, change, advice) in [
            ("1054", "ALTER TABLE t DROP COLUMN x", "start the job again to add the missing columns"),
            ("1146", "DROP TABLE t", "start the job again to create the table"),
            ("1364", "ALTER TABLE t ADD COLUMN note INT NOT NULL", "give that column a default"),
            (
                generated,
                "ALTER TABLE t DROP COLUMN x, ADD COLUMN x TEXT AS (n + 1) STORED",
                "generated column",
            ),
            (
                "1146",
                "CREATE TRIGGER s BEFORE INSERT ON t FOR EACH ROW INSERT INTO audit VALUES (1)",
                "its triggers",
            ),
        ] {
            database.query("DROP TABLE IF EXISTS t");
            let mut store = prepared(&database);
            assert_eq!(insert(store.as_mut(), &[1]).unwrap(), []);
            database.query(change);
            let error = insert(store.as_mut(), &[2]).unwrap_err();
            let said = error.to_string();
            assert!(!error.is_retryable(), "{said}");
            assert!(said.starts_with(&format!("table t: {number}: ")) && said.contains(advice), "{said}");
        }
    }
}

#[test]
fn a_definition_that_the_server_refuses_names_the_table() {
    let database = mariadb().create_database();
    let mut store = claimed(&database);
    let spec = |n: u32| ColumnSpec { name: format!("c{n}").into(), column_type: Type::Integer };
    let columns = (0..1100).map(spec).collect();
    let error = store
        .prepare(&[Table {
            view: "v".into(),
            name: "wide".into(),
            columns,
            keyed: false,
            in_order: false,
            index: Vec::new(),
        }])
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("table wide: 1005: ") && error.contains("Too many columns"), "{error}");
    assert!(error.ends_with("exclude its view with tables.views"), "{error}");
}

#[test]
fn a_server_that_no_longer_takes_loads_takes_inserts() {
    let server = Mariadb::start();
    let database = server.create_database();
    let mut store = prepared(&database);
    let form = store.form();
    assert_eq!(form.lines[..], [true]);
    // While the job is connected, and knows of nothing.
    database.query("SET GLOBAL local_infile = 0");
    let numbers: Vec<i64> = (0..3000).collect();
    assert_eq!(insert(store.as_mut(), &numbers).unwrap(), []);
    assert_eq!(count(&database, "t"), 3000);
}

fn count(database: &Database, table: &str) -> usize {
    database.query(&format!("SELECT COUNT(*) FROM {table}"))[0][0].as_deref().unwrap().parse().unwrap()
}

fn reading(distance: u32) -> String {
    format!(
        "{{\"timestamp\": \"2023-04-10 01:02:{distance:02}\", \"distance_covered\": {distance}, \
         \"engine_speed\": 80, \"fuel_consumed\": 0, \"truck_id\": \"a\"}}\n"
    )
}

fn run(input: &Path, out: &Path, database: &Database, more: &[&str]) -> Job {
    let (input, out) = (input.to_str().unwrap(), out.to_str().unwrap());
    let args = ["run", "--input", input, "--out", out, "--database", &database.url];
    Job::start(args.iter().chain(more).map(|arg| (*arg).to_owned()))
}

const ONCE: [&str; 3] = ["--until-end", "--listen", "off"];

#[test]
fn a_job_goes_on_when_no_partition_takes_a_row() {
    for database in databases() {
        let folder = tempfile::tempdir().unwrap();
        let (input, out) = (folder.path().join("input.jsonl"), folder.path().join("out"));
        std::fs::write(&input, (1..6).map(reading).collect::<String>()).unwrap();
        database.query(
            "CREATE TABLE TRUCK_PARAMETER_MAP (distance_covered INT) \
             PARTITION BY LIST (distance_covered) (PARTITION p VALUES IN (1, 2, 4, 5))",
        );
        for start in 0..2 {
            let (status, said) = run(&input, &out, &database, &ONCE).wait(TIMEOUT);
            assert!(status.success(), "{said}");
            assert_eq!(count(&database, "TRUCK_PARAMETER_MAP"), 4);
            // Table and row are in the log, in the letter's reason and in its bytes.
            let logged = said.lines().find(|line| line.contains("the database refused rows"));
            assert_eq!(logged.is_some(), start == 0, "{said}");
            for word in ["TRUCK_PARAMETER_MAP", "1526", "2023-04-10 01:02:03.000000,3,80,0,a"] {
                assert!(logged.is_none_or(|line| line.contains(word)), "{said}");
            }
            let letters = database.query("SELECT reason, field, payload FROM TRUCK_DEAD_LETTERS");
            assert_eq!(letters.len(), 1, "{letters:?}");
            let [reason, field, payload] = letters[0].as_slice() else { panic!("{letters:?}") };
            assert_eq!(reason.as_deref(), Some("refused_by_database"));
            assert!(field.as_deref().unwrap().starts_with("table TRUCK_PARAMETER_MAP: 1526: "), "{field:?}");
            assert_eq!(payload.as_deref(), Some("2023-04-10 01:02:03.000000,3,80,0,a"));
            assert_eq!(csv_rows(&out.join("dead_letters.csv")).len(), 1);
        }
    }
}

#[test]
fn a_column_that_is_dropped_from_a_running_job_is_named_and_comes_back_with_the_next_start() {
    let database = mariadb().create_database();
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("input.jsonl"), folder.path().join("out"));
    std::fs::write(&input, reading(1)).unwrap();
    let mut job = run(&input, &out, &database, &["--listen", "off"]);
    let rows = || match database.query("SHOW TABLES LIKE 'TRUCK_PARAMETER_MAP'").is_empty() {
        true => 0,
        false => count(&database, "TRUCK_PARAMETER_MAP"),
    };
    eventually(TIMEOUT, "it is committed", || rows() == 1);
    database.query("ALTER TABLE TRUCK_PARAMETER_MAP DROP COLUMN truck_id");
    std::fs::OpenOptions::new().append(true).open(&input).unwrap().write_all(reading(2).as_bytes()).unwrap();
    let (status, said) = job.wait(TIMEOUT);
    assert_eq!(status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    for word in ["table TRUCK_PARAMETER_MAP: 1054: ", "'truck_id'", "start the job again"] {
        assert!(last.contains(word), "{said}");
    }
    let (status, said) = run(&input, &out, &database, &ONCE).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    let trucks = database.query("SELECT truck_id FROM TRUCK_PARAMETER_MAP ORDER BY id");
    assert_eq!(trucks, [vec![None], vec![Some("a".to_owned())]]);
}

#[test]
fn a_server_whose_disk_is_full_is_waited_for() {
    let server = Mariadb::start_with_disk("40m");
    let database = server.create_database();
    database.query(&format!(
        "CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY) DATA DIRECTORY '{}'",
        server.disk().display()
    ));
    let filler = server.disk_from_outside().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[1; 4 << 10]).is_ok() {}
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("input.jsonl"), folder.path().join("out"));
    let rows = 2000;
    std::fs::write(&input, (0..rows).map(|n| reading(n % 60)).collect::<String>()).unwrap();
    let port = free_port();
    let listen = format!("127.0.0.1:{port}");
    let mut job = run(&input, &out, &database, &["--listen", &listen]);
    job.wait_for_line("table TRUCK_PARAMETER_MAP: 1114: ", TIMEOUT);
    assert!(get(port, "/readyz").contains("free space on its disk"), "{}", job.stderr());
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    eventually(TIMEOUT, "all is committed", || count(&database, "TRUCK_PARAMETER_MAP") == rows as usize);
    eventually(TIMEOUT, "it is ready", || get(port, "/readyz").contains("200 OK"));
    job.terminate();
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
}
