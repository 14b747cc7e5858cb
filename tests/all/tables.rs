//! Tables that were there before: the seed's narrow ones, ones that cannot be used, rows that do not
//! fit; and the simulator, which goes on from what they hold. On MariaDB, and where the server matters
//! on MySQL too.

use std::sync::Arc;
use std::time::Duration;

use dataflows::rows::{Change, Changes, Column, ColumnSpec, Rows, Type, column};
use dataflows::wide::Wide;
use truckflow::store::{self, Commit, Form, Refused, Store, Table};

use crate::keyed::of_table;
use crate::support::job::Job;
use crate::support::mariadb::{Database, Mariadb, TextRow, databases, mariadb};
use crate::support::output::csv_rows;
use crate::support::process::{built_in, repository};

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
    let view = built_in().into_iter().find(|view| view.table == name);
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
        Type::Exact { .. } => {
            let units = Wide::from(i128::from(value) * 100 + 25);
            Column::Wide { scale: 2, values: Arc::new(vec![Some(units); 3]) }
        }
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
    let form = store.form();
    commit_as(store, &form, table, rows)
}

fn commit_as(store: &mut dyn Store, form: &Form, table: usize, rows: Rows) -> Vec<Refused> {
    let chunks: Vec<_> = form.chunks(table, rows).into_iter().map(Arc::new).collect();
    store.begin().unwrap();
    let refused = store.insert(&chunks).unwrap();
    store.commit(&Commit { epoch: 1, ..Commit::default() }).unwrap();
    refused
}

#[test]
fn rows_that_change_live_beside_those_that_were_in_the_seed_tables() {
    for database in databases() {
        database.query(SEED);
        let before = old_rows(&database, false);
        let tables: Vec<Table> = NARROW
            .iter()
            .map(|(name, ..)| Table {
                view: "v".into(),
                name: (*name).into(),
                columns: seed_columns(name),
                keyed: true,
                in_order: false,
                index: Vec::new(),
            })
            .collect();
        let mut store = store::open(&database.url.clone().into()).unwrap();
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
        let mut store = store::open(&database.url.clone().into()).unwrap();
        store.claim("job", "topic t").unwrap();
        let table = Table {
            view: "v".into(),
            name: "INGESTED_TABLE_1".into(),
            columns: columns.clone(),
            keyed: false,
            in_order: false,
            index: Vec::new(),
        };
        let said = of_table(store.check(std::slice::from_ref(&table))).unwrap();
        assert!(said.starts_with("compatible; values are rounded in time (float)"), "{said}");
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
fn a_column_of_another_type_is_refused_with_the_statement_that_fixes_it() {
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
fn a_table_that_keeps_its_history_is_used_like_any_other() {
    let database = mariadb().create_database();
    database.query(
        "CREATE TABLE appended (id BIGINT AUTO_INCREMENT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING; \
         INSERT INTO appended (n) VALUES (-1); UPDATE appended SET n = -2",
    );
    // With columns of its own for the time of a row.
    database.query(
        "CREATE TABLE changed (id BIGINT AUTO_INCREMENT PRIMARY KEY, n INT, \
         since TIMESTAMP(6) GENERATED ALWAYS AS ROW START, until TIMESTAMP(6) GENERATED ALWAYS AS ROW END, \
         PERIOD FOR SYSTEM_TIME (since, until)) WITH SYSTEM VERSIONING",
    );
    let columns = vec![column("n", Type::Integer), column("x", Type::Text)];
    let tables = [("appended", false), ("changed", true)];
    let tables = tables.map(|(name, keyed)| Table {
        view: "v".into(),
        name: name.into(),
        columns: columns.clone(),
        keyed,
        in_order: false,
        index: Vec::new(),
    });
    let mut store = store::open(&database.url.clone().into()).unwrap();
    store.claim("job", "topic t").unwrap();
    for table in &tables {
        let said = of_table(store.check(std::slice::from_ref(table))).unwrap();
        assert!(said.starts_with("compatible; the next run adds x"), "{said}");
    }
    // A second start finds them as the first has left them.
    for _ in 0..2 {
        store.prepare(&tables).unwrap_or_else(|error| panic!("{error}"));
    }
    for table in &tables {
        assert_eq!(of_table(store.check(std::slice::from_ref(table))).unwrap(), "compatible");
    }
    let many: Rows =
        vec![Column::Integer(Arc::new(vec![5; 3000])), Column::Text(Arc::new(vec![Some("a".into()); 3000]))]
            .into();
    assert_eq!(commit(store.as_mut(), 0, many), []);
    assert_eq!(one(&database, "SELECT COUNT(*) FROM appended WHERE n = 5 AND x = 'a'"), "3000");
    assert_eq!(one(&database, "SELECT n FROM appended WHERE x IS NULL"), "-2");
    assert_eq!(one(&database, "SELECT COUNT(*) FROM appended FOR SYSTEM_TIME ALL WHERE x IS NULL"), "2");
    for (change, value) in
        [(Change::Insert, 5), (Change::Update, 6), (Change::Insert, 7), (Change::Delete, 7)]
    {
        assert_eq!(commit(store.as_mut(), 1, three_rows(&columns, change, value)), []);
        let now = one(&database, "SELECT GROUP_CONCAT(DISTINCT n) FROM changed");
        assert_eq!(now, if change == Change::Delete { String::new() } else { value.to_string() });
    }
    let history = "SELECT GROUP_CONCAT(DISTINCT n ORDER BY n) FROM changed FOR SYSTEM_TIME ALL";
    assert_eq!(one(&database, history), "5,6,7");
}

#[test]
fn what_is_no_table_is_named_for_what_it_is() {
    let database = mariadb().create_database();
    database.query("CREATE SEQUENCE drawn; CREATE VIEW seen AS SELECT 1 AS n");
    for (name, is) in [("drawn", "it is a sequence"), ("seen", "it is a view")] {
        let table = Table {
            view: "v".into(),
            name: name.into(),
            columns: vec![column("n", Type::Integer)],
            keyed: false,
            in_order: false,
            index: Vec::new(),
        };
        let mut store = store::open(&database.url.clone().into()).unwrap();
        store.claim("job", "topic t").unwrap();
        let said = of_table(store.check(std::slice::from_ref(&table))).unwrap_err();
        assert!(said.contains(is) && said.contains(&format!("run RENAME TABLE `{name}` TO ")), "{said}");
        assert_eq!(store.prepare(&[table]).unwrap_err().to_string(), said);
    }
}

#[test]
fn texts_that_differ_in_trailing_spaces_are_not_the_same_in_tables_that_truckflow_makes() {
    for database in databases() {
        database.query(
            "CREATE TABLE found (id INT AUTO_INCREMENT PRIMARY KEY, truck VARCHAR(32), \
             UNIQUE KEY (truck, id)) CHARACTER SET latin1 COLLATE latin1_swedish_ci",
        );
        database.query("INSERT INTO found (truck) VALUES ('old')");
        // One that is made, one that gets the column, one that has it.
        database.query("CREATE TABLE extended (id INT AUTO_INCREMENT PRIMARY KEY) CHARACTER SET latin1");
        let columns = vec![column("truck", Type::Text)];
        let tables = ["made", "extended", "found"];
        let tables = tables.map(|name| Table {
            view: "v".into(),
            name: name.into(),
            columns: columns.clone(),
            keyed: false,
            in_order: false,
            index: Vec::new(),
        });
        let mut store = store::open(&database.url.clone().into()).unwrap();
        store.claim("job", "topic t").unwrap();
        store.prepare(&tables).unwrap();
        for (place, table) in tables.iter().enumerate() {
            let texts = ["a", "a ", "a  "].map(|text| Some(Arc::from(text))).to_vec();
            let rows: Rows = vec![Column::Text(Arc::new(texts))].into();
            assert_eq!(commit(store.as_mut(), place, rows), []);
            let groups = format!("SELECT COUNT(DISTINCT truck), SUM(truck = 'a') FROM {}", table.name);
            let found = database.query(&groups).concat().into_iter().flatten().collect::<Vec<_>>();
            let said = of_table(store.check(std::slice::from_ref(table))).unwrap();
            if table.name == "found" {
                // What an existing table makes of them is its owner's choice, and is said.
                assert_eq!(found, ["2", "3"]);
                assert_eq!(
                    said,
                    "compatible; keys that differ only in trailing spaces are equal in truck (latin1_swedish_ci)"
                );
            } else {
                assert_eq!(found, ["3", "1"], "{}", table.name);
                assert_eq!(said, "compatible", "{}", table.name);
            }
        }
    }
}

#[test]
fn a_missing_privilege_is_refused_with_the_grant() {
    let (database, out) = (mariadb().create_database(), tempfile::tempdir().unwrap());
    let (name, user) = (&database.name, format!("u_{}", database.name));
    database.query(&format!("CREATE USER '{user}'@'127.0.0.1' IDENTIFIED BY 'pw'; GRANT SELECT ON {name}.* TO '{user}'@'127.0.0.1'"));
    let url = database.url_of(&user, "pw");
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

/// Enough for a load: fewer are inserted.
const MANY: u64 = 5000;

/// Rows of every kind of value that `columns` can have.
fn varied_rows(columns: &[ColumnSpec]) -> Rows {
    // Numbers that look random, the same in each run: splitmix64.
    let mixed = |row: u64, place: u64| {
        let mut z = (row * 31 + place).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    const PIECES: [&str; 13] = ["", "a", "\t", "\n", "\r\n", "\\", "\\N", "\0", "'", "\"", "é", "😀", "NULL"];
    let text = |mix: u64| (0..6).map(|at| PIECES[(mix >> (8 * at)) as usize % 13]).collect::<String>();
    let column = |(place, column): (u64, &ColumnSpec)| {
        let mixes = (0..MANY).map(move |row| mixed(row, place));
        let integer = |mix: u64| if mix.is_multiple_of(50) { i64::MIN } else { (mix as i64) >> (mix % 60) };
        match column.column_type {
            Type::Timestamp => {
                let time = |mix| 1_681_088_547_000_000 + (mix % 100_000_000_000) as i64;
                Column::Timestamp(Arc::new(mixes.map(time).collect()))
            }
            Type::Decimal => Column::Decimal { scale: 9, values: Arc::new(mixes.map(integer).collect()) },
            Type::Exact { scale, .. } => {
                let wide = |mix: u64| Wide::from(i128::from(integer(mix)) * i128::from(mix));
                let wide = |mix: u64| (!mix.is_multiple_of(50)).then(|| wide(mix));
                Column::Wide { scale, values: Arc::new(mixes.map(wide).collect()) }
            }
            Type::Real => {
                let real = |mix: u64| match mix % 4 {
                    0 => f64::NAN,
                    1 => integer(mix) as f64 / 8.0,
                    2 => integer(mix) as f64 * 1e-12,
                    _ => integer(mix) as f64 / 3.0,
                };
                Column::Real(Arc::new(mixes.map(real).collect()))
            }
            Type::Integer => Column::Integer(Arc::new(mixes.map(integer).collect())),
            Type::Text => {
                let text = |mix: u64| (!mix.is_multiple_of(50)).then(|| text(mix).into());
                Column::Text(Arc::new(mixes.map(text).collect()))
            }
            Type::Bytes => {
                let bytes = |mix: u64| {
                    (!mix.is_multiple_of(50)).then(|| mix.to_le_bytes()[..(mix % 9) as usize].to_vec())
                };
                Column::Bytes(Arc::new(mixes.map(bytes).collect()))
            }
        }
    };
    (0..).zip(columns).map(column).collect::<Vec<_>>().into()
}

#[test]
fn loaded_rows_are_the_same_as_inserted_ones() {
    let exact = Type::Exact { digits: 65, scale: 9 };
    let kinds = [Type::Timestamp, Type::Decimal, exact, Type::Real, Type::Integer, Type::Text, Type::Bytes];
    let columns: Vec<ColumnSpec> = ["t", "d", "e", "r", "i", "x", "b"]
        .into_iter()
        .zip(kinds)
        .map(|(name, kind)| column(name, kind))
        .collect();
    for database in databases() {
        let tables = ["loaded", "inserted"];
        let tables = tables.map(|name| Table {
            view: "v".into(),
            name: name.into(),
            columns: columns.clone(),
            keyed: false,
            in_order: false,
            index: Vec::new(),
        });
        let mut store = store::open(&database.url.clone().into()).unwrap();
        store.claim("job", "topic t").unwrap();
        store.prepare(&tables).unwrap();
        let form = store.form();
        assert_eq!(form.lines[..], [true, true], "the server has local_infile=0");
        let rows = varied_rows(&columns);
        assert_eq!(commit(store.as_mut(), 0, rows.clone()), []);
        let inserts = Form { lines: [].into(), ..form };
        assert_eq!(commit_as(store.as_mut(), &inserts, 1, rows.clone()), []);
        let same = "SELECT COUNT(*) FROM loaded a JOIN inserted b USING (id) WHERE a.t <=> b.t AND a.d <=> b.d \
                    AND a.e <=> b.e AND a.r <=> b.r AND a.i <=> b.i AND a.x <=> b.x AND a.b <=> b.b";
        assert_eq!(one(&database, same), MANY.to_string());
        // No number is lost.
        assert_eq!(one(&database, "SELECT MAX(id) FROM loaded"), MANY.to_string());
        let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
        let read = database.query("SELECT HEX(x), HEX(b) FROM loaded ORDER BY id");
        let (Column::Text(texts), Column::Bytes(bytes)) = (&rows.columns[5], &rows.columns[6]) else {
            panic!("{:?}", rows.columns.len())
        };
        for (read, (text, bytes)) in read.iter().zip(texts.iter().zip(bytes.iter())) {
            let written =
                [text.as_deref().map(str::as_bytes), bytes.as_deref()].map(|of| of.map(hexadecimal));
            assert_eq!(read[..], written);
        }
    }
}

#[test]
fn the_seed_tables_keep_the_same_of_loaded_rows_as_of_inserted_ones() {
    for (loaded, inserted) in databases().into_iter().zip(databases()) {
        let tables: Vec<Table> = NARROW
            .iter()
            .map(|(name, ..)| Table {
                view: "v".into(),
                name: (*name).into(),
                columns: seed_columns(name),
                keyed: false,
                in_order: false,
                index: Vec::new(),
            })
            .collect();
        let read = [&loaded, &inserted].map(|database| {
            database.query(SEED);
            let mut store = store::open(&database.url.clone().into()).unwrap();
            store.claim("job", "topic t").unwrap();
            store.prepare(&tables).unwrap();
            let form = store.form();
            assert_eq!(form.lines[..], [true; 5], "the server has local_infile=0");
            let form = if database.name == loaded.name { form } else { Form { lines: [].into(), ..form } };
            let of_table = |(place, table): (usize, &Table)| {
                let rows = varied_rows(&table.columns);
                assert_eq!(commit_as(store.as_mut(), &form, place, rows), [], "{}", table.name);
                // A FLOAT is printed with six digits.
                let value = |column: &ColumnSpec| match column.column_type {
                    Type::Decimal | Type::Real | Type::Integer => format!("{} + 0e0", column.name),
                    _ => column.name.to_string(),
                };
                let values: Vec<String> = table.columns.iter().map(value).collect();
                let places: Vec<String> = (1..=values.len()).map(|place| place.to_string()).collect();
                let (values, order) = (values.join(", "), places.join(", "));
                database.query(&format!("SELECT {values} FROM {} ORDER BY {order}", table.name))
            };
            tables.iter().enumerate().map(of_table).collect::<Vec<_>>()
        });
        for (place, (name, ..)) in NARROW.iter().enumerate() {
            assert!(read[0][place].len() as u64 > MANY, "{name}");
            assert!(read[0][place] == read[1][place], "{name}");
        }
    }
}

#[test]
fn a_column_that_would_round_lines_otherwise_gets_inserts() {
    for database in databases() {
        database.query("CREATE TABLE whole (n INT)");
        let columns = vec![column("n", Type::Real)];
        let mut store = store::open(&database.url.clone().into()).unwrap();
        store.claim("job", "topic t").unwrap();
        store
            .prepare(&[Table {
                view: "v".into(),
                name: "whole".into(),
                columns,
                keyed: false,
                in_order: false,
                index: Vec::new(),
            }])
            .unwrap();
        assert_eq!(store.form().lines[..], [false]);
        assert_eq!(commit(store.as_mut(), 0, vec![Column::Real(Arc::new(vec![4.5; 5000]))].into()), []);
        assert_eq!(one(&database, "SELECT COUNT(*) FROM whole WHERE n = 4"), "5000");
    }
}

#[test]
fn refused_rows_of_a_load_are_given_back_and_the_others_stay() {
    for database in databases() {
        database.query(
            "CREATE TABLE narrow (id INT AUTO_INCREMENT PRIMARY KEY, n INT UNIQUE, x VARCHAR(3) NOT NULL)",
        );
        let columns = vec![column("n", Type::Decimal), column("x", Type::Text)];
        let mut store = store::open(&database.url.clone().into()).unwrap();
        store.claim("job", "topic t").unwrap();
        store
            .prepare(&[Table {
                view: "v".into(),
                name: "narrow".into(),
                columns,
                keyed: false,
                in_order: false,
                index: Vec::new(),
            }])
            .unwrap();
        assert_eq!(store.form().lines[..], [true], "the server has local_infile=0");
        let rows = |from: i64, wrong: bool| -> Rows {
            let mut numbers: Vec<i64> = (from..from + 5000).collect();
            let mut texts = vec![Some(Arc::from("abc")); 5000];
            if wrong {
                // Out of range, twice there, too long, NULL.
                (numbers[17], numbers[2500]) = (3_000_000_000, numbers[2499]);
                (texts[4000], texts[4999]) = (Some("abcd".into()), None);
            }
            let numbers = Column::Decimal { scale: 0, values: Arc::new(numbers) };
            vec![numbers, Column::Text(Arc::new(texts))].into()
        };
        let mut count = 0;
        // More often than a connection tries to load such a table.
        for round in 0..6i64 {
            let refused = commit(store.as_mut(), 0, rows(round * 10_000, true));
            let places: Vec<_> = refused.iter().map(|refused| (refused.chunk, refused.row)).collect();
            assert_eq!(places, [(0, 17), (0, 2500), (0, 4000), (0, 4999)], "{refused:?}");
            let numbers: Vec<_> = refused.iter().map(|refused| &refused.reason[..4]).collect();
            assert_eq!(numbers, ["1264", "1062", "1406", "1048"], "{refused:?}");
            assert_eq!(commit(store.as_mut(), 0, rows(round * 10_000 + 5000, false)), []);
            count += 9996;
            assert_eq!(one(&database, "SELECT COUNT(*) FROM narrow"), count.to_string());
        }
    }
}

#[test]
fn a_server_that_lets_nobody_load_takes_inserts() {
    let server = Mariadb::start();
    let database = server.create_database();
    let prepared = || {
        let columns = vec![column("x", Type::Text)];
        let mut store = store::open(&database.url.clone().into()).unwrap();
        store.claim("job", "topic t").unwrap();
        store
            .prepare(&[Table {
                view: "v".into(),
                name: "texts".into(),
                columns,
                keyed: false,
                in_order: false,
                index: Vec::new(),
            }])
            .unwrap();
        store
    };
    let rows = || Rows::from(vec![Column::Text(Arc::new(vec![Some(Arc::from("a\tb")); 5000]))]);
    let mut store = prepared();
    let form = store.form();
    assert_eq!(form.lines[..], [true]);
    drop(store);
    database.query("SET GLOBAL local_infile = 0");
    store = prepared();
    assert_eq!(store.form().lines[..], [false]);
    assert_eq!(commit(store.as_mut(), 0, rows()), []);
    // Also what was rendered for another server.
    assert_eq!(commit_as(store.as_mut(), &form, 0, rows()), []);
    assert_eq!(one(&database, "SELECT COUNT(*) FROM texts WHERE x = 'a\\tb'"), "10000");
}
