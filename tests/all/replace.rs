//! Views whose definitions change: the new rows take the place of the old ones, and a reader always finds one of the two
//! whole, whatever kills the job.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ValueEnum;
use truckflow::runtime::fault::Moment;

use crate::support::job::Job;
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, databases, mariadb};
use crate::support::output::{csv_of, csv_rows, lines};
use crate::support::process::new_folder;
use crate::support::sqlite;
use crate::support::wait::eventually;

const TIMEOUT: Duration = Duration::from_secs(120);
/// The limits of `fast` and of the others, before and after.
const BEFORE: (u32, u32) = (80, 79);
const AFTER: (u32, u32) = (81, 80);

/// A view of single readings, and two that read a step: with the word, all are rebuilt.
fn sql(word: &str, (fast, step): (u32, u32)) -> String {
    let fuel = if fast == BEFORE.0 { "" } else { ", fuel_consumed" };
    format!(
        "CREATE {word} MATERIALIZED VIEW fast WITH (index = 'truck_id') AS
         SELECT truck_id, engine_speed{fuel} FROM readings WHERE engine_speed > {fast};
         CREATE {word} VIEW step AS SELECT * FROM readings WHERE engine_speed > {step};
         CREATE MATERIALIZED VIEW per_truck AS
         SELECT truck_id, COUNT(*) AS n, AVG(engine_speed) AS speed FROM step GROUP BY truck_id;
         CREATE MATERIALIZED VIEW spans WITH (grace = '2m') AS
         SELECT truck_id, window_start, COUNT(*) AS n FROM TUMBLE(step, timestamp, INTERVAL '1 minute')
         GROUP BY truck_id, window_start;"
    )
}

/// A job in a folder of its own.
struct Changed {
    folder: PathBuf,
    args: Vec<String>,
    database: Option<Database>,
}

impl Changed {
    fn new(name: &str, source: &[&str], database: Option<Database>) -> Self {
        let folder = new_folder(name);
        let mut args: Vec<String> = source.iter().map(|arg| (*arg).to_owned()).collect();
        if let Some(database) = &database {
            database.allow_replacing();
            args.extend(["--database".into(), database.url.clone()]);
        }
        Self { folder, args, database }
    }

    fn out(&self) -> PathBuf {
        self.folder.join("out")
    }

    fn write(&self, sql: &str) {
        std::fs::write(self.folder.join("views.sql"), sql).unwrap();
    }

    fn command(&self, command: &str, more: &[&str]) -> Job {
        let mut args =
            vec![command.to_owned(), "--sql".into(), self.folder.join("views.sql").display().to_string()];
        args.extend(["--out".into(), self.out().display().to_string()]);
        args.extend(self.args.iter().cloned());
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        Job::start(args)
    }

    fn start(&self, more: &[&str]) -> Job {
        // Small epochs, so that there are many commits to die at.
        let run = ["--until-end", "--listen", "off", "--set", "limits.epoch_records=1000"];
        self.command("run", &[&run[..], more].concat())
    }

    fn run(&self, more: &[&str]) -> String {
        let (status, said) = self.start(more).wait(TIMEOUT);
        assert!(status.success(), "{said}");
        said
    }

    /// The message of a start that is refused.
    fn refused(&self, more: &[&str]) -> String {
        let (status, said) = self.start(more).wait(TIMEOUT);
        assert!(!status.success(), "{said}");
        said.lines().last().unwrap_or_default().to_owned()
    }

    fn verify(&self, more: &[&str]) {
        let mut verify = self.command("verify", more);
        let (status, said) = verify.wait(TIMEOUT);
        assert!(status.success(), "{said}{}", verify.stdout());
    }

    fn query(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        match &self.database {
            Some(database) => database.query(sql),
            None => sqlite::query(&self.out().join("truckflow.db"), sql),
        }
    }

    fn number(&self, sql: &str) -> usize {
        self.query(sql)[0][0].clone().map_or(0, |number| number.parse().unwrap())
    }

    /// How many readings each table has.
    fn found(&self) -> [usize; 3] {
        ["COUNT(*) FROM FAST", "SUM(n) FROM PER_TRUCK", "SUM(n) FROM SPANS"]
            .map(|of| self.number(&format!("SELECT {of}")))
    }

    fn tables(&self) -> Vec<String> {
        let sql = match &self.database {
            Some(_) => {
                "SELECT LOWER(table_name) FROM information_schema.tables WHERE table_schema = DATABASE()"
            }
            None => "SELECT LOWER(name) FROM sqlite_master WHERE type = 'table'",
        };
        self.query(sql).into_iter().flatten().flatten().collect()
    }

    /// Nothing of a replacement is left.
    fn assert_clean(&self) {
        let left: Vec<_> = self.tables().into_iter().filter(|table| table.contains("__")).collect();
        assert_eq!(left, [""; 0]);
        let files = std::fs::read_dir(self.out()).unwrap().map(|entry| entry.unwrap().file_name());
        let left: Vec<_> = files.filter(|name| name.to_string_lossy().contains(".new")).collect();
        assert!(left.is_empty(), "{left:?}");
        for table in ["truckflow_views", "truckflow_state", "truckflow_offsets", "truckflow_tables"] {
            // With a slash, the state by which repetitions are dropped meanwhile.
            let left =
                format!("SELECT COUNT(*) FROM {table} WHERE view_name LIKE '%.new' OR view_name LIKE '%/%'");
            assert_eq!(self.number(&left), 0);
        }
        assert_eq!(self.number("SELECT COUNT(*) FROM truckflow_files WHERE name LIKE '%.new%'"), 0);
        assert_eq!(self.number("SELECT COUNT(*) FROM truckflow_views WHERE state <> 'complete'"), 0);
    }
}

/// A file of simulated readings, as JSON.
fn readings(folder: &Path, records: usize) -> String {
    let path = folder.join("readings.jsonl").display().to_string();
    let records = records.to_string();
    let args = ["simulate", "--trucks", "5", "--records", &records, "--seed", "3", "--to", &path];
    assert!(Job::start(args).wait(TIMEOUT).0.success());
    path
}

/// How many readings are faster.
fn faster(path: &str, than: u32) -> usize {
    let text = std::fs::read_to_string(path).unwrap();
    let is_faster = |line: &&str| {
        let reading: serde_json::Value = serde_json::from_str(line).unwrap();
        reading["engine_speed"].as_f64().unwrap() > f64::from(than)
    };
    text.lines().filter(is_faster).count()
}

fn expected(path: &str, (fast, step): (u32, u32)) -> [usize; 3] {
    [faster(path, fast), faster(path, step), faster(path, step)]
}

#[test]
fn a_view_is_replaced_whatever_kills_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = readings(folder.path(), 12_000);
    let (before, after) = (expected(&path, BEFORE), expected(&path, AFTER));
    assert!(before.iter().zip(after).all(|(before, after)| *before > after && after > 0));
    for database in [None].into_iter().chain(databases().into_iter().map(Some)) {
        let job = Changed::new("replaced", &["--input", &path], database);
        job.write(&sql("", BEFORE));
        job.run(&[]);
        assert_eq!(job.found(), before);
        let mut definitions = [(AFTER, after), (BEFORE, before)].into_iter().cycle();
        let (mut deaths, mut was) = (0, before);
        for moment in Moment::value_variants() {
            let (limits, will_be) = definitions.next().unwrap();
            job.write(&sql("OR REPLACE", limits));
            for count in [1, 3] {
                let at = format!("{}#{count}", moment.name());
                let (status, said) = job.start(&["--workers", "2", "--die-at", &at]).wait(TIMEOUT);
                deaths += usize::from(!status.success());
                for (place, found) in job.found().into_iter().enumerate() {
                    assert!(
                        [was[place], will_be[place]].contains(&found),
                        "{place}: {found} after {at}: {said}"
                    );
                }
                let lines = csv_rows(&csv_of(&job.out(), "fast")).len();
                assert!([was[0], will_be[0]].contains(&lines), "{lines} lines after {at}: {said}");
            }
            job.run(&["--workers", "2"]);
            assert_eq!(job.found(), will_be, "after {moment:?}");
            job.assert_clean();
            was = will_be;
        }
        assert!(deaths > 20, "{deaths}");
        job.write(&sql("OR REPLACE", AFTER));
        job.run(&[]);
        assert_eq!(job.found(), after);
        assert_eq!(job.number("SELECT COUNT(fuel_consumed) FROM FAST"), after[0]);
        job.verify(&[]);
        // The same definition is not rebuilt, and one more replacement works.
        assert!(!job.run(&[]).contains("rebuilding"));
        job.write(&sql("OR REPLACE", BEFORE));
        assert_eq!(job.run(&[]).matches("is replaced").count(), 3);
        assert_eq!(job.found(), before);
        job.assert_clean();
        job.verify(&[]);
    }
}

#[test]
fn the_old_definition_discards_what_was_filled() {
    let folder = tempfile::tempdir().unwrap();
    let path = readings(folder.path(), 12_000);
    for database in [None, Some(mariadb().create_database())] {
        let job = Changed::new("restored", &["--input", &path], database);
        job.write(&sql("", BEFORE));
        job.run(&[]);
        job.write(&sql("OR REPLACE", AFTER));
        assert!(!job.start(&["--die-at", "commit#5"]).wait(TIMEOUT).0.success());
        assert!(job.tables().contains(&"fast__new".to_owned()));
        // A third definition begins again.
        job.write(&sql("OR REPLACE", (82, 78)));
        assert!(!job.start(&["--die-at", "commit#3"]).wait(TIMEOUT).0.success());
        job.write(&sql("", BEFORE));
        let said = job.run(&[]);
        assert!(said.contains("the replacement of the view is discarded"), "{said}");
        assert_eq!(job.found(), expected(&path, BEFORE));
        job.assert_clean();
        job.verify(&[]);
        // An export in the middle would lack the table that is filled.
        job.write(&sql("OR REPLACE", AFTER));
        assert!(!job.start(&["--die-at", "commit#5"]).wait(TIMEOUT).0.success());
        let file = job.folder.join("state").display().to_string();
        let (status, said) = job.command("state", &[]).wait(TIMEOUT);
        assert!(!status.success(), "{said}");
        let mut args =
            vec!["state".to_owned(), "export".into(), file, "--out".into(), job.out().display().to_string()];
        args.extend(job.args.iter().cloned());
        let (status, said) = Job::start(args).wait(TIMEOUT);
        assert!(!status.success() && said.contains("view `fast` is being replaced"), "{said}");
        job.run(&[]);
        assert_eq!(job.found(), expected(&path, AFTER));
    }
}

#[test]
fn what_was_read_for_a_discarded_definition_is_not_repeated() {
    let folder = tempfile::tempdir().unwrap();
    let path = readings(folder.path(), 12_000);
    let dedupe = "message.dedupe={ fields = [\"truck_id\", \"timestamp\"], within = \"10m\" }";
    for database in [None, Some(mariadb().create_database())] {
        let job = Changed::new("repeated", &["--input", &path, "--set", dedupe], database);
        job.write(&sql("", BEFORE));
        job.run(&[]);
        let before = job.found();
        job.write(&sql("OR REPLACE", AFTER));
        assert!(!job.start(&["--die-at", "replaced#1"]).wait(TIMEOUT).0.success());
        assert!(!job.start(&["--die-at", "commit#5"]).wait(TIMEOUT).0.success());
        let read = "SELECT COUNT(*) FROM truckflow_state WHERE view_name LIKE 'dedupe/%'";
        assert!(job.number(read) > 0);
        job.write(&sql("OR REPLACE", (82, 78)));
        job.run(&[]);
        job.verify(&[]);
        job.assert_clean();
        job.write(&sql("OR REPLACE", BEFORE));
        job.run(&[]);
        assert_eq!(job.found(), before);
        job.assert_clean();
    }
}

#[test]
fn a_table_with_something_of_others_is_not_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let path = readings(folder.path(), 500);
    for database in [None].into_iter().chain(databases().into_iter().map(Some)) {
        let is_sqlite = database.is_none();
        let job = Changed::new("refused", &["--input", &path], database);
        let change = |sql: &str| match &job.database {
            Some(database) => drop(database.query(sql)),
            None => sqlite::execute(&job.out().join("truckflow.db"), sql),
        };
        job.write(&sql("", BEFORE));
        job.run(&[]);
        job.write(&sql("OR REPLACE", AFTER));
        let trigger = match is_sqlite {
            true => "CREATE TRIGGER t AFTER INSERT ON FAST BEGIN SELECT 1; END",
            false => "CREATE TRIGGER t AFTER INSERT ON FAST FOR EACH ROW SET @a = 1",
        };
        let unique = if is_sqlite { "INTEGER" } else { "BIGINT" };
        let reference =
            format!("CREATE TABLE other (fast {unique}, FOREIGN KEY (fast) REFERENCES FAST (id))");
        for (made, undone, said) in [
            (trigger, "DROP TRIGGER t", "it has a trigger `t`"),
            (&*reference, "DROP TABLE other", "it has a foreign key with `other`"),
            ("CREATE TABLE FAST__new (a INT)", "DROP TABLE FAST__new", "a table FAST__new is created"),
            ("CREATE TABLE FAST__old (a INT)", "DROP TABLE FAST__old", "a table FAST__old is created"),
            (
                "UPDATE truckflow_tables SET origin = 'found' WHERE name = 'FAST'",
                "UPDATE truckflow_tables SET origin = 'created' WHERE name = 'FAST'",
                "rows of others",
            ),
            (
                "INSERT INTO truckflow_tables VALUES ('another', 'FAST', 'fast', 'found', 'truck_id')",
                "DELETE FROM truckflow_tables WHERE job = 'another'",
                "job `another` writes to it, too",
            ),
            (
                "ALTER TABLE FAST ADD COLUMN note INT",
                "ALTER TABLE FAST DROP COLUMN note",
                "its column `note` is not the job's",
            ),
        ] {
            change(made);
            let refused = job.refused(&[]);
            assert!(refused.contains("table FAST: ") && refused.contains(said), "{refused}");
            let mut check = job.command("check", &[]);
            let (status, _) = check.wait(TIMEOUT);
            assert!(!status.success() && check.stdout().contains(said), "{}", check.stdout());
            change(undone);
        }
        assert_eq!(job.found(), expected(&path, BEFORE));
        // A reader's view of the table stays.
        change("CREATE VIEW of_fast AS SELECT COUNT(*) AS n FROM FAST");
        job.run(&[]);
        assert_eq!(job.found(), expected(&path, AFTER));
        assert_eq!(job.number("SELECT n FROM of_fast"), expected(&path, AFTER)[0]);
        job.assert_clean();
    }
}

#[test]
fn a_replaced_table_waits_for_its_readers() {
    let folder = tempfile::tempdir().unwrap();
    let path = readings(folder.path(), 500);
    let job = Changed::new("waits", &["--input", &path], Some(mariadb().create_database()));
    job.write(&sql("", BEFORE));
    job.run(&[]);
    job.write(&sql("OR REPLACE", AFTER));
    let database = job.database.as_ref().unwrap();
    let mut reader = database.session();
    reader.query("START TRANSACTION");
    reader.query("SELECT COUNT(*) FROM FAST");
    for _ in 0..2 {
        let mut started = job.start(&[]);
        started.wait_for_line("trying again", TIMEOUT);
        started.kill9();
        assert_eq!(
            job.found(),
            [expected(&path, BEFORE)[0], expected(&path, BEFORE)[1], expected(&path, BEFORE)[2]]
        );
    }
    let mut verify = job.command("verify", &[]);
    assert!(!verify.wait(TIMEOUT).0.success());
    assert!(verify.stdout().contains("fast: its table and file are not renamed yet"), "{}", verify.stdout());
    let mut started = job.start(&[]);
    started.wait_for_line("trying again", TIMEOUT);
    reader.query("COMMIT");
    let (status, said) = started.wait(TIMEOUT);
    assert!(status.success(), "{said}");
    assert_eq!(job.found(), expected(&path, AFTER));
    job.assert_clean();
    job.verify(&[]);
}

#[test]
fn the_privileges_to_replace_are_named_before_anything_is_filled() {
    let folder = tempfile::tempdir().unwrap();
    let path = readings(folder.path(), 500);
    for database in databases() {
        // It has all privileges that the documentation names for a job.
        let url = database.account("replacer", "pw", "NONE");
        let job = Changed::new("privileges", &["--input", &path, "--database", &url], None);
        job.write(&sql("", BEFORE));
        job.run(&[]);
        job.write(&sql("OR REPLACE", AFTER));
        let is_mysql = !database.query("SELECT VERSION()")[0][0].as_deref().unwrap().contains("MariaDB");
        // MySQL shows triggers only to accounts that may create them.
        for privilege in is_mysql.then_some("TRIGGER").into_iter().chain(["DROP"]) {
            let (refused, advice) = (job.refused(&[]), format!("run GRANT {privilege} ON"));
            assert!(refused.contains(&advice), "{refused}");
            let mut check = job.command("check", &[]);
            assert!(!check.wait(TIMEOUT).0.success());
            assert!(check.stdout().contains(&advice), "{}", check.stdout());
            let grant = refused.split("run ").last().unwrap();
            database.query(grant.split("; ").next().unwrap());
        }
        let (status, _) = job.command("check", &[]).wait(TIMEOUT);
        assert!(status.success());
        job.run(&[]);
        job.verify(&[]);
    }
}

#[test]
fn a_built_in_view_is_replaced_with_those_that_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = readings(folder.path(), 3000);
    let job =
        Changed::new("built-in", &["--input", &path, "--builtin-views", "above_speed,transformed"], None);
    job.write("CREATE MATERIALIZED VIEW counted AS SELECT truck_id, COUNT(*) AS n FROM above_speed GROUP BY truck_id;");
    let above = |speed: u32| ["--set".to_owned(), format!("parameters.above_speed={speed}")];
    let with = |speed: u32, more: &[&str]| -> Vec<String> {
        above(speed).into_iter().chain(more.iter().map(|more| (*more).to_owned())).collect()
    };
    fn args(args: &[String]) -> Vec<&str> {
        args.iter().map(String::as_str).collect()
    }
    // Small files, in folders.
    let files = ["--set", "csv.max_records=100"];
    job.run(&args(&with(80, &files)));
    let refused = job.refused(&args(&with(82, &files)));
    assert!(refused.contains("view `above_speed`") && refused.contains("--replace above_speed"), "{refused}");
    let said = job.run(&args(&with(82, &[&files[..], &["--replace", "above_speed"]].concat())));
    assert_eq!(said.matches("is replaced").count(), 2, "{said}");
    assert_eq!(job.number("SELECT COUNT(*) FROM TRUCK_ABOVE_SPEED"), faster(&path, 82));
    assert_eq!(job.number("SELECT SUM(n) FROM COUNTED"), faster(&path, 82));
    assert_eq!(csv_rows(&csv_of(&job.out(), "above_speed")).len(), faster(&path, 82));
    job.verify(&args(&with(82, &files)));
    // One file each: those in folders are gone.
    job.run(&args(&with(81, &["--replace", "above_speed"])));
    assert!(!job.out().join("above_speed").join("000001.csv").exists());
    assert_eq!(lines(&job.out().join("above_speed.csv")), faster(&path, 81) + 1);
    job.verify(&args(&with(81, &[])));
    job.assert_clean();
    let refused = job.refused(&["--replace", "nope"]);
    assert!(refused.contains("replace = nope: unknown view"), "{refused}");
}

#[test]
fn a_view_of_an_upsert_job_is_rebuilt_from_the_readings_that_are_left() {
    let reading = |speed: u32| {
        format!(
            r#"{{"timestamp": "2023-04-10 01:00:00", "distance_covered": 1, "engine_speed": {speed}, "fuel_consumed": 1, "truck_id": "x"}}"#
        )
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.tsv");
    let text: String = (0..200).map(|n| format!("k{}\t{}\n", n % 20, reading(60 + n % 30))).collect();
    std::fs::write(&path, format!("{text}k7\t\n")).unwrap();
    let upsert = ["--set", "mode=upsert", "--set", "key_separator=\"\\t\""];
    let source = [&["--input", path.to_str().unwrap()], &upsert[..]].concat();
    let job = Changed::new("upsert", &source, None);
    job.write(&sql("", BEFORE));
    job.run(&[]);
    job.write(&sql("OR REPLACE", AFTER));
    for moment in ["commit#2", "replaced#1", "table-renamed#1"] {
        assert!(!job.start(&["--die-at", moment]).wait(TIMEOUT).0.success(), "{moment}");
    }
    job.run(&[]);
    job.assert_clean();
    job.verify(&[]);
    // Later messages change the rows of the new definition.
    std::fs::write(&path, format!("{text}k7\t\nk1\t{}\nk2\t{}\n", reading(99), reading(1))).unwrap();
    job.run(&[]);
    job.verify(&[]);
}

#[test]
fn letters_of_the_definition_before_do_not_count_for_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("readings.jsonl");
    // A reading a second, and each third one is ten minutes late.
    let line = |n: u32| {
        let second = if n % 3 == 2 { n } else { n + 600 };
        let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
        format!(
            r#"{{"timestamp": "2023-04-10 {hour:02}:{minute:02}:{second:02}", "distance_covered": 1, "engine_speed": {}, "fuel_consumed": 1, "truck_id": "x"}}"#,
            60 + n % 30
        )
    };
    let window = |word: &str, above: u32, grace: &str| {
        format!(
            "CREATE {word} MATERIALIZED VIEW spans WITH (grace = '{grace}') AS
             SELECT truck_id, window_start, window_end, COUNT(*) AS n
             FROM TUMBLE((SELECT * FROM readings WHERE engine_speed > {above}), timestamp, INTERVAL '1 minute')
             GROUP BY truck_id, window_start, window_end;"
        )
    };
    let write =
        |count: u32| std::fs::write(&path, (0..count).map(|n| line(n) + "\n").collect::<String>()).unwrap();
    for files in [true, false] {
        let job = Changed::new("letters", &["--input", path.to_str().unwrap()], None);
        let more: &[&str] = if files { &[] } else { &["--set", "csv.views=[]"] };
        job.write(&window("", 65, "1m"));
        write(20_000);
        job.run(more);
        job.verify(more);
        let late =
            |job: &Changed| job.number("SELECT COUNT(*) FROM TRUCK_DEAD_LETTERS WHERE reason = 'late'");
        let before = late(&job);
        assert!(before > 0);
        job.write(&window("OR REPLACE", 70, "1m"));
        write(40_000);
        job.run(more);
        assert!(late(&job) > before);
        job.verify(more);
        job.write(&window("OR REPLACE", 60, "1h"));
        let before = late(&job);
        job.run(more);
        assert_eq!(late(&job), before);
        job.verify(more);
        std::fs::remove_dir_all(job.out()).unwrap();
    }
}

#[test]
fn a_topic_that_lost_its_beginning_leaves_the_view_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = readings(folder.path(), 400);
    let topic = unique_topic();
    kafka().create_topic(&topic, 1);
    let text = std::fs::read_to_string(Path::new(&path)).unwrap();
    kafka().produce(&topic, text.lines().map(|line| (0, None, line)));
    let job = Changed::new("lost", &["--brokers", kafka().brokers(), "--topic", &topic], None);
    job.write(&sql("", BEFORE));
    job.run(&[]);
    kafka().delete_before(&topic, 0, 10);
    job.write(&sql("OR REPLACE", AFTER));
    eventually(TIMEOUT, "the records are deleted", || {
        let refused = job.refused(&[]);
        refused.contains("the view cannot be rebuilt")
    });
    assert_eq!(job.found(), expected(&path, BEFORE));
    job.write(&sql("", BEFORE));
    job.run(&[]);
    job.assert_clean();
}

#[test]
fn a_replaced_view_reads_on_from_kafka() {
    let folder = tempfile::tempdir().unwrap();
    let path = readings(folder.path(), 4000);
    let topic = unique_topic();
    kafka().create_topic(&topic, 2);
    let text = std::fs::read_to_string(Path::new(&path)).unwrap();
    let all: Vec<&str> = text.lines().collect();
    let produce =
        |lines: &[&str]| kafka().produce(&topic, (0..).zip(lines).map(|(n, line)| (n % 2, None, *line)));
    produce(&all[..2500]);
    let database = mariadb().create_database();
    let job = Changed::new("reads-on", &["--brokers", kafka().brokers(), "--topic", &topic], Some(database));
    job.write(&sql("", BEFORE));
    job.run(&[]);
    produce(&all[2500..]);
    job.write(&sql("OR REPLACE", AFTER));
    for moment in ["commit#3", "replaced#1", "table-renamed#2"] {
        assert!(!job.start(&["--die-at", moment]).wait(TIMEOUT).0.success(), "{moment}");
    }
    job.run(&["--workers", "2"]);
    let after = expected(&path, AFTER);
    assert_eq!(job.found()[..2], after[..2]);
    let late = job.number("SELECT COUNT(*) FROM TRUCK_DEAD_LETTERS WHERE reason = 'late'");
    let views: BTreeMap<_, _> = [("spans", job.found()[2])].into();
    assert!(views["spans"] + late >= after[2]);
    job.assert_clean();
    job.verify(&[]);
}
