//! Tables that were there before: the seed's narrow ones, ones that cannot be used, rows that do not
//! fit; and the simulator, which goes on from what they hold. On MariaDB, and where the server matters
//! on MySQL too.

use std::sync::Arc;
use std::time::Duration;

use dataflows::rows::{Change, Changes, Column, ColumnSpec, Rows, Type, column};
use dataflows::views::{self, Settings};
use truckflow::store::{self, Commit, Refused, Store, Table};

use crate::keyed::of_table;
use crate::support::job::Job;
use crate::support::mariadb::{Database, TextRow, databases, mariadb};
use crate::support::output::csv_rows;
use crate::support::process::repository;

const TIMEOUT: Duration = Duration::from_secs(30);

pub const SEED: &str = "
    CREATE TABLE INGESTED_TABLE_1 (time FLOAT, seconds_elapsed FLOAT, qz FLOAT, qy FLOAT, qx FLOAT, qw FLOAT,
        roll FLOAT, pitch FLOAT, yaw FLOAT);
    INSERT INTO INGESTED_TABLE_1 VALUES (1681088547000000000, 0.5, 0.1, 0.2, 0.3, 0.9, -1.5, 0, 3.14);
    CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, timestamp DATETIME, distance_covered FLOAT,
        engine_speed FLOAT, fuel_consumed FLOAT);
    INSERT INTO TRUCK_PARAMETER_MAP VALUES (1922346, '2023-04-10 01:02:27', 0, 80.22, 0),
        (1922347, '2023-04-10 01:02:28', 0.01, 79.2, 0);
    CREATE TABLE TRUCK_DISTANCE_CORRELATION (id INT AUTO_INCREMENT PRIMARY KEY, distance_covered DOUBLE,
        time_elapsed DOUBLE, correlation DOUBLE);
    INSERT INTO TRUCK_DISTANCE_CORRELATION VALUES (17, 0.01, 1, 0.25), (18, 0.02, 2, NULL);
    CREATE TABLE TRUCK_ENGINE_SPEED_CORRELATION (id INT AUTO_INCREMENT PRIMARY KEY, engine_speed DOUBLE,
        time_elapsed DOUBLE, correlation DOUBLE);
    INSERT INTO TRUCK_ENGINE_SPEED_CORRELATION VALUES (3, 80.22, 1, -1);
    CREATE TABLE SPARK_TABLE_TRANSFORMED (timestamp DATETIME, distance_covered FLOAT, engine_speed FLOAT,
        fuel_consumed FLOAT);
    INSERT INTO SPARK_TABLE_TRANSFORMED VALUES ('2023-04-10 01:02:27', 0, 80.22, 0);";

/// The seed's tables, the columns that they have there, and what their rows of old are told by.
const NARROW: [(&str, &str, &str); 5] = [
    ("INGESTED_TABLE_1", "time, seconds_elapsed, qz, qy, qx, qw, roll, pitch, yaw", "seconds_elapsed = 0.5"),
    ("TRUCK_PARAMETER_MAP", "id, timestamp, distance_covered, engine_speed, fuel_consumed", "id <= 1922347"),
    ("TRUCK_DISTANCE_CORRELATION", "id, distance_covered, time_elapsed, correlation", "id <= 18"),
    ("TRUCK_ENGINE_SPEED_CORRELATION", "id, engine_speed, time_elapsed, correlation", "id <= 3"),
    (
        "SPARK_TABLE_TRANSFORMED",
        "timestamp, distance_covered, engine_speed, fuel_consumed",
        "truck_id IS NULL",
    ),
];

/// The rows that were there before; what was not there before is NULL in them.
fn old_rows(database: &Database, is_extended: bool) -> Vec<Vec<TextRow>> {
    let rows = |(table, columns, of_old): &(&str, &str, &str)| {
        let of_old = if is_extended { *of_old } else { "TRUE" };
        database.query(&format!("SELECT {columns} FROM {table} WHERE {of_old} ORDER BY 1"))
    };
    NARROW.iter().map(rows).collect()
}

/// The columns of the seed's tables, as the views have them.
fn seed_columns(name: &str) -> Vec<ColumnSpec> {
    if name == "INGESTED_TABLE_1" {
        let measures = ["seconds_elapsed", "qz", "qy", "qx", "qw", "roll", "pitch", "yaw"];
        let measures = measures.into_iter().map(|name| column(name, Type::Real));
        return [column("time", Type::Integer)].into_iter().chain(measures).collect();
    }
    let view = views::all(&Settings::default()).into_iter().find(|view| view.table == name);
    view.expect("a view of the table").columns.to_vec()
}

/// Runs a file into a database; gives the status and what was said.
fn run(input: &str, url: &str, out: &str) -> (Option<i32>, String) {
    let args = ["run", "--input", input, "--until-end", "--listen", "off", "--database", url, "--out", out];
    let (status, said) = Job::start(args).wait(TIMEOUT);
    (status.code(), said)
}

fn demo() -> String {
    repository().join("fixtures/demo/input.jsonl").to_str().unwrap().to_owned()
}

fn one(database: &Database, query: &str) -> String {
    database.query(query)[0][0].clone().unwrap_or_default()
}

#[test]
fn the_seed_tables_are_extended_and_their_rows_stay() {
    for database in databases() {
        let out = tempfile::tempdir().unwrap();
        database.query(SEED);
        let before = old_rows(&database, false);
        let (status, said) = run(&demo(), &database.url, out.path().to_str().unwrap());
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(old_rows(&database, true), before);
        assert_eq!(one(&database, "SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP"), "6002");
        assert_eq!(one(&database, "SELECT COUNT(*) FROM SPARK_TABLE_TRANSFORMED"), "6001");
        // A DATETIME keeps whole seconds: they are cut, as the seed's were.
        let at = one(&database, "SELECT MAX(timestamp) FROM TRUCK_PARAMETER_MAP");
        assert_eq!(at, "2023-04-10 01:14:22");
        let latest = csv_rows(&repository().join("fixtures/demo/expected/distance_correlation.csv"));
        for row in latest {
            let query = format!(
                "SELECT correlation FROM TRUCK_DISTANCE_CORRELATION WHERE truck_id = '{}' ORDER BY id DESC",
                row[3]
            );
            assert_eq!(one(&database, &query).parse::<f64>().unwrap(), row[2].parse::<f64>().unwrap());
        }
    }
}

/// Three rows of a table, named by their numbers, with `value` in every number.
fn three_rows(columns: &[ColumnSpec], change: Change, value: i64) -> Rows {
    let keys = (0u8..3).map(|key| Arc::from([key])).collect();
    let column = |column: &ColumnSpec| match column.column_type {
        Type::Timestamp => Column::Timestamp(Arc::new(vec![1_681_088_547_900_000; 3])),
        Type::Decimal => Column::Decimal { scale: 2, values: Arc::new(vec![value * 100 + 25; 3]) },
        Type::Real => Column::Real(Arc::new(vec![value as f64 + 0.25; 3])),
        Type::Integer => Column::Integer(Arc::new(vec![value; 3])),
        Type::Text => Column::Text(Arc::new(vec![Some("a truck".into()); 3])),
        Type::Bytes => Column::Bytes(Arc::new(vec![None; 3])),
    };
    Rows {
        columns: columns.iter().map(column).collect(),
        changes: Some(Changes { kinds: Arc::new(vec![change; 3]), keys: Arc::new(keys) }),
    }
}

fn commit(store: &mut dyn Store, table: usize, rows: Rows) -> Vec<Refused> {
    let chunks = store.form().chunks(table, rows);
    store.begin().unwrap();
    let refused = chunks.iter().flat_map(|chunk| store.insert(chunk).unwrap()).collect();
    store.commit(&Commit { epoch: 1, offsets: &[], files: &[], state: &[] }).unwrap();
    refused
}

#[test]
fn rows_that_change_live_beside_those_that_were_in_the_seed_tables() {
    for database in databases() {
        database.query(SEED);
        let before = old_rows(&database, false);
        let tables: Vec<Table> = NARROW
            .iter()
            .map(|(name, ..)| Table { name: (*name).into(), columns: seed_columns(name), keyed: true })
            .collect();
        let mut store = store::open(&database.url).unwrap();
        store.claim("job", "topic t").unwrap();
        store.prepare(&tables).unwrap();
        for (place, (table, (name, _, of_old))) in tables.iter().zip(NARROW).enumerate() {
            for (change, value) in [(Change::Insert, 5), (Change::Update, 7)] {
                let rows = three_rows(&table.columns, change, value);
                assert_eq!(commit(store.as_mut(), place, rows), [], "{name}");
                let number = table.columns.iter().find(|column| column.column_type == Type::Decimal);
                let number = number.map_or("yaw", |column| &*column.name);
                let new = format!(
                    "SELECT COUNT(*), SUM({number} = {value}.25), COUNT(row_key) FROM {name} WHERE NOT ({of_old})"
                );
                let count = Some("3".to_owned());
                assert_eq!(database.query(&new), [vec![count.clone(), count.clone(), count]], "{name}");
            }
        }
        assert_eq!(old_rows(&database, true), before);
        for (place, table) in tables.iter().enumerate() {
            let rows = three_rows(&table.columns, Change::Delete, 7);
            assert_eq!(commit(store.as_mut(), place, rows), []);
        }
        assert_eq!(old_rows(&database, false), before);
    }
}

#[test]
fn a_float_takes_what_it_can_hold_and_what_it_cannot_is_given_back() {
    for database in databases() {
        database.query(SEED);
        let columns = seed_columns("INGESTED_TABLE_1");
        let mut store = store::open(&database.url).unwrap();
        store.claim("job", "topic t").unwrap();
        let table = Table { name: "INGESTED_TABLE_1".into(), columns: columns.clone(), keyed: false };
        let said = of_table(store.check(std::slice::from_ref(&table))).unwrap();
        assert!(said.starts_with("it fits; values are rounded in time (float)"), "{said}");
        store.prepare(&[table]).unwrap();
        let mut rows: Rows = three_rows(&columns, Change::Insert, 1_681_088_547_123_456_789).columns.into();
        rows.columns[8] = Column::Real(Arc::new(vec![1e38, -1e39, f64::NAN]));
        let refused = commit(store.as_mut(), 0, rows);
        assert_eq!(refused.len(), 1, "{refused:?}");
        assert!(refused[0].row == 1 && refused[0].reason.starts_with("1264"), "{refused:?}");
        let kept =
            "SELECT time + 0e0, yaw + 0e0 FROM INGESTED_TABLE_1 WHERE seconds_elapsed <> 0.5 ORDER BY yaw";
        let kept = database.query(kept);
        let number = |text: &Option<String>| text.as_deref().map(|text| text.parse::<f64>().unwrap());
        let kept: Vec<Vec<_>> = kept.iter().map(|row| row.iter().map(number).collect()).collect();
        // A FLOAT has 24 bits.
        let time = Some(f64::from(1_681_088_547_123_456_789i64 as f32));
        assert_eq!(kept, [[time, None], [time, Some(f64::from(1e38f32))]]);
    }
}

#[test]
fn a_column_of_another_type_is_refused_with_the_statement_that_mends_it() {
    let (database, out) = (mariadb().create_database(), tempfile::tempdir().unwrap());
    database.query("CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, timestamp INT)");
    let (status, said) = run(&demo(), &database.url, out.path().to_str().unwrap());
    assert_eq!(status, Some(1), "{said}");
    let start = said.find("ALTER TABLE").expect("a statement");
    let statement = said[start..].lines().next().unwrap();
    assert!(said.contains("TRUCK_PARAMETER_MAP") && statement.contains("DATETIME(6)"), "{said}");
    database.query(statement);
    let (status, said) = run(&demo(), &database.url, out.path().to_str().unwrap());
    assert_eq!(status, Some(0), "{said}");
}

#[test]
fn a_missing_privilege_is_refused_with_the_grant() {
    let (database, out) = (mariadb().create_database(), tempfile::tempdir().unwrap());
    let (name, user) = (&database.name, format!("u_{}", database.name));
    database.query(&format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT ON {name}.* TO '{user}'@'127.0.0.1'"));
    let url = database.url.replace("root@", &format!("{user}:pw@"));
    let (status, said) = run(&demo(), &url, out.path().to_str().unwrap());
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains(&format!("GRANT CREATE ON `{name}`")), "{said}");
}

#[test]
fn a_row_that_a_column_cannot_hold_becomes_a_dead_letter_and_the_rest_commits() {
    for database in databases() {
        let out = tempfile::tempdir().unwrap();
        database.query(
            "CREATE TABLE TRUCK_PARAMETER_MAP (id INT AUTO_INCREMENT PRIMARY KEY, distance_covered INT, \
             engine_speed FLOAT(5,2))",
        );
        let reading = |distance: &str, speed: &str| {
            format!(
                r#"{{"timestamp": "2023-04-10 01:02:27", "distance_covered": {distance}, "engine_speed": {speed}, "fuel_consumed": 0}}"#
            )
        };
        let lines: Vec<String> = (0..500)
            .map(|n| reading(if n == 123 { "9000000000" } else { "5" }, if n == 321 { "1000" } else { "1" }))
            .collect();
        let input = out.path().join("input.jsonl");
        std::fs::write(&input, lines.join("\n")).unwrap();
        let (status, said) = run(input.to_str().unwrap(), &database.url, out.path().to_str().unwrap());
        assert_eq!(status, Some(0), "{said}");
        assert_eq!(one(&database, "SELECT COUNT(*) FROM TRUCK_PARAMETER_MAP"), "498");
        // Its other views took them.
        assert_eq!(one(&database, "SELECT COUNT(*) FROM SPARK_TABLE_TRANSFORMED"), "500");
        assert_eq!(one(&database, "SELECT samples FROM TRUCK_DISTANCE_CORRELATION"), "500");
        let letters = database.query("SELECT topic, reason, payload FROM TRUCK_DEAD_LETTERS ORDER BY id");
        let letters: Vec<Vec<_>> =
            letters.iter().map(|row| row.iter().flatten().map(String::as_str).collect()).collect();
        assert_eq!(
            letters,
            [
                ["parameter_map", "refused_by_database", "2023-04-10 01:02:27.000000,9000000000,1,0,"],
                ["parameter_map", "refused_by_database", "2023-04-10 01:02:27.000000,5,1000,0,"],
            ]
        );
        assert_eq!(csv_rows(&out.path().join("dead_letters.csv")).len(), 2);
    }
}

#[test]
fn the_simulator_goes_on_from_the_tables() {
    let (database, out) = (mariadb().create_database(), tempfile::tempdir().unwrap());
    let (status, said) = run(&demo(), &database.url, out.path().to_str().unwrap());
    assert_eq!(status, Some(0), "{said}");
    let more = out.path().join("more.jsonl").to_str().unwrap().to_owned();
    let args =
        ["simulate", "--trucks", "3", "--records", "300", "--to", &more, "--resume-from", &database.url];
    let (status, said) = Job::start(args).wait(TIMEOUT);
    assert!(status.success(), "{said}");
    for line in std::fs::read_to_string(&more).unwrap().lines() {
        let reading: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(reading["distance_covered"].as_f64().unwrap() >= 15.9, "{line}");
        assert!(reading["timestamp"].as_str().unwrap() > "2023-04-10 01:14:22", "{line}");
    }
}
