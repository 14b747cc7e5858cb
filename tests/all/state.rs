//! State that cannot be used, state of an older version, and the way back: `state export`, `import`, `reset`.
//! On SQLite and MariaDB.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rusqlite::Connection;

use crate::support::job::{Job, readings};
use crate::support::mariadb::{Database, TextRow, mariadb};
use crate::support::sqlite;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A job on a file, in a folder of its own.
struct Place {
    folder: tempfile::TempDir,
    /// None: SQLite, in the output folder.
    database: Option<Database>,
    flags: Vec<String>,
}

impl Place {
    fn new(database: Option<Database>, flags: &[&str]) -> Self {
        let flags = flags.iter().map(|&flag| flag.to_owned()).collect();
        Self { folder: tempfile::tempdir().unwrap(), database, flags }
    }

    /// One on SQLite, one on MariaDB.
    fn both(flags: &[&str]) -> [Self; 2] {
        [Self::new(None, flags), Self::new(Some(mariadb().create_database()), flags)]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn input(&self) -> PathBuf {
        self.path("input.jsonl")
    }

    fn out(&self) -> PathBuf {
        self.path("out")
    }

    /// Puts these lines behind those that the input has.
    fn feed(&self, lines: &[&str]) {
        let mut text = fs::read_to_string(self.input()).unwrap_or_default();
        lines.iter().for_each(|line| text += &format!("{line}\n"));
        fs::write(self.input(), text).unwrap();
    }

    /// Runs a command with the flags of the job, and more; gives its status and what it said.
    fn call(&self, command: &[&str], more: &[&str]) -> (i32, String, String) {
        let (input, out) = (self.input(), self.out());
        let job = ["--input", input.to_str().unwrap(), "--listen", "off"];
        let out = (!more.contains(&"--out")).then(|| ["--out", out.to_str().unwrap()]);
        let database = self.database.iter().flat_map(|database| ["--database", &database.url]);
        let flags = self.flags.iter().map(String::as_str);
        let all =
            command.iter().copied().chain(job).chain(out.into_iter().flatten()).chain(database).chain(flags);
        let mut job = Job::start(all.chain(more.iter().copied()));
        let (status, said) = job.wait(TIMEOUT);
        (status.code().unwrap_or(-1), said, job.stdout())
    }

    fn run(&self) {
        let (status, said, _) = self.call(&["run", "--until-end"], &[]);
        assert_eq!(status, 0, "{said}");
    }

    /// Expects that a command is refused with one sentence that has all these words.
    #[track_caller]
    fn refused(&self, command: &[&str], more: &[&str], status: i32, words: &[&str]) {
        let (ended, said, _) = self.call(command, more);
        assert_eq!(ended, status, "{said}");
        let sentences: Vec<&str> = said.lines().filter(|line| line.starts_with("truckflow: ")).collect();
        let [sentence] = sentences.as_slice() else { panic!("one sentence is said, not:\n{said}") };
        for word in words {
            assert!(sentence.contains(word), "`{word}` is not in: {sentence}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }

    fn query(&self, sql: &str) -> Vec<TextRow> {
        match &self.database {
            Some(database) => database.query(sql),
            None => sqlite::query(&self.out().join("truckflow.db"), sql),
        }
    }

    fn execute(&self, sql: &str) {
        match &self.database {
            Some(database) => drop(database.query(sql)),
            None => {
                Connection::open(self.out().join("truckflow.db")).unwrap().execute_batch(sql).unwrap();
            }
        }
    }

    /// Changes the bytes of the first part of a view's state.
    fn change_state(&self, view: &str, change: impl Fn(&mut Vec<u8>)) {
        let of_first = format!("view_name = '{view}' AND part = 0 AND epoch = 2");
        let rows = self.query(&format!("SELECT HEX(bytes) FROM truckflow_state WHERE {of_first}"));
        let hex = rows[0][0].clone().unwrap();
        let mut bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        change(&mut bytes);
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        self.execute(&format!("UPDATE truckflow_state SET bytes = X'{hex}' WHERE {of_first}"));
    }

    /// All that the job has made: its files, and the rows of its tables as text.
    fn made(&self) -> (BTreeMap<String, Vec<u8>>, Vec<Vec<TextRow>>) {
        let files = fs::read_dir(self.out()).unwrap().map(|entry| entry.unwrap().path());
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "csv"));
        let files = files
            .map(|path| (path.file_name().unwrap().to_str().unwrap().to_owned(), fs::read(&path).unwrap()));
        (files.collect(), TABLES.map(|table| self.rows_of(table)).to_vec())
    }

    fn rows_of(&self, table: &str) -> Vec<TextRow> {
        let columns = match table {
            "TRUCK_PARAMETER_MAP" => "id, timestamp, distance_covered, engine_speed, fuel_consumed, truck_id",
            "TRUCK_FILTERED_JOIN" => "id, timestamp, distance_covered, engine_speed, truck_id",
            "TRUCK_WINDOW_AVERAGES" => {
                "id, truck_id, window_start, samples, average_engine_speed, distance_correlation"
            }
            _ => "id, truck_id, samples, correlation, timestamp",
        };
        self.query(&format!("SELECT {columns} FROM {table} ORDER BY id"))
    }
}

const TABLES: [&str; 5] = [
    "TRUCK_PARAMETER_MAP",
    "TRUCK_DISTANCE_CORRELATION",
    "TRUCK_ENGINE_SPEED_CORRELATION",
    "TRUCK_FILTERED_JOIN",
    "TRUCK_WINDOW_AVERAGES",
];

/// One epoch a run, whatever the machine's speed: then all files are the same to the byte.
const ONE_EPOCH: [&str; 2] = ["--commit-interval", "1h"];

/// Readings, in two halves.
fn halves() -> [Vec<String>; 2] {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(readings(folder.path(), 3000)).unwrap();
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let (first, second) = lines.split_at(lines.len() / 2);
    [first.to_vec(), second.to_vec()]
}

fn texts(lines: &[String]) -> Vec<&str> {
    lines.iter().map(String::as_str).collect()
}

#[test]
fn state_that_cannot_be_used_is_refused_with_a_way_to_go_on() {
    const WAY: [&str; 2] = ["truckflow state reset", "truckflow state import FILE"];
    let [first, _] = halves();
    for place in Place::both(&ONE_EPOCH) {
        place.feed(&texts(&first));
        place.run();
        let view = "distance_correlation";
        let of_view = "the state of view `distance_correlation`";
        let run = ["run", "--until-end"];
        let said = |words: &[&'static str]| [&[of_view][..], words, &WAY].concat();
        let bits: [fn(&mut Vec<u8>); 3] = [|b| b[2] ^= 1, |b| b[7] ^= 0x80, |b| *b.last_mut().unwrap() ^= 4];
        for flip in bits {
            place.change_state(view, flip);
            place.refused(&run, &[], 1, &said(&["is damaged"]));
            place.change_state(view, flip);
        }
        let kept =
            place.query("SELECT HEX(bytes) FROM truckflow_state WHERE view_name = 'distance_correlation'");
        let restore = || {
            let hex = kept[0][0].as_deref().unwrap();
            place.execute(&format!(
                "UPDATE truckflow_state SET bytes = X'{hex}' WHERE view_name = 'distance_correlation'"
            ));
        };
        for length in [0, 1, 5, 9, 40] {
            place.change_state(view, |bytes| bytes.truncate(length));
            place.refused(&run, &[], 1, &said(&["is damaged"]));
            restore();
        }
        place.change_state(view, |bytes| bytes[0] = 9);
        place.refused(&run, &[], 1, &said(&["has format 9", "run the version that wrote it"]));
        restore();

        // Another job's, and another view's, under this one's name.
        let swap = |from: &str| {
            format!(
                "DELETE FROM truckflow_state WHERE view_name = 'distance_correlation' AND job = 'truckflow'; \
                 UPDATE truckflow_state SET view_name = 'distance_correlation', job = 'truckflow' WHERE {from}"
            )
        };
        let rows = "SELECT job, view_name, epoch, part, HEX(bytes) FROM truckflow_state";
        let before = place.query(rows);
        let put_back = || {
            let values = before.iter().map(|row| {
                let text = |at: usize| row[at].clone().unwrap();
                format!("('{}', '{}', {}, {}, X'{}')", text(0), text(1), text(2), text(3), text(4))
            });
            let values: Vec<String> = values.collect();
            place.execute(&format!(
                "DELETE FROM truckflow_state; \
                 INSERT INTO truckflow_state (job, view_name, epoch, part, bytes) VALUES {}",
                values.join(",")
            ));
        };
        place.execute(&swap("view_name = 'engine_speed_correlation'"));
        place.refused(&run, &[], 1, &said(&["does not belong to this view of job"]));
        put_back();
        let other = place.path("other");
        let other = ["--job", "other", "--out", other.to_str().unwrap()];
        let beside: &[&str] = &["--set", "tables.views=[]"];
        let database = format!("sqlite:{}", place.out().join("truckflow.db").display());
        let database: &[&str] = if place.database.is_none() { &["--database", &database] } else { &[] };
        let (status, said_of, _) = place.call(&run, &[&other[..], beside, database].concat());
        assert_eq!(status, 0, "{said_of}");
        place.execute(&swap("job = 'other' AND view_name = 'distance_correlation'"));
        place.refused(&run, &[], 1, &said(&["does not belong to this view of job"]));
        put_back();

        // Another configuration of the view.
        let words = ["view `window_averages`", "was created as", "INTERVAL '5m'", "restore its definition"];
        place.refused(&run, &["--set", "parameters.window=10m"], 2, &words);
        place.run();
    }
}

#[test]
fn a_job_goes_back_to_its_export_and_on_bit_for_bit() {
    let [first, second] = halves();
    for (undisturbed, place) in Place::both(&ONE_EPOCH).into_iter().zip(Place::both(&ONE_EPOCH)) {
        for lines in [&first, &second] {
            undisturbed.feed(&texts(lines));
            undisturbed.run();
        }
        place.feed(&texts(&first));
        place.run();
        let file = place.path("job.state");
        let file = file.to_str().unwrap();
        let export = ["state", "export", file];
        let import = ["state", "import", file];
        let (status, said, shown) = place.call(&export, &["--json"]);
        assert_eq!(status, 0, "{said}");
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!((shown["epoch"].as_u64(), shown["job"].as_str()), (Some(2), Some("truckflow")));
        assert_eq!(shown["offsets"][0]["offset"].as_u64(), Some(first.len() as u64));
        place.refused(&import, &[], 1, &["job `truckflow` already exists in", "truckflow state reset"]);

        place.change_state("window_averages", |bytes| bytes[20] ^= 1);
        place.refused(&["run", "--until-end"], &[], 1, &["is damaged", "truckflow state import FILE"]);
        place.refused(&export, &[], 1, &["is damaged"]);

        let books = ["jobs", "offsets", "files", "state", "views"];
        let rows = || books.map(|book| place.query(&format!("SELECT * FROM truckflow_{book}")).len());
        let before = rows();
        place.refused(&["state", "reset"], &[], 2, &["this deletes job `truckflow`", "epoch 2", "--yes"]);
        assert_eq!(rows(), before);
        let (status, said, shown) = place.call(&["state", "reset", "--yes"], &[]);
        assert_eq!(status, 0, "{said}");
        assert!(shown.contains("deleted job `truckflow`") && shown.contains("are kept"), "{shown}");
        assert_eq!(rows(), [0; 5]);
        place.refused(&["state", "reset", "--yes"], &[], 1, &["has no commit in this database"]);
        // Rows are there that an empty job would write again.
        place.refused(&["run", "--until-end"], &[], 1, &["parameter_map.csv", "another job"]);
        assert_eq!(place.call(&["state", "reset", "--yes"], &[]).0, 0);

        let (status, said, shown) = place.call(&import, &[]);
        assert_eq!(status, 0, "{said}");
        assert!(shown.contains("imported job `truckflow` at epoch 2"), "{shown}");
        place.feed(&texts(&second));
        place.run();
        let (made, expected) = (place.made(), undisturbed.made());
        assert_eq!(made.0.keys().collect::<Vec<_>>(), expected.0.keys().collect::<Vec<_>>());
        for (name, bytes) in &made.0 {
            assert!(*bytes == expected.0[name], "{name} differs");
        }
        assert_eq!(made.1, expected.1);
        let (status, said, shown) = place.call(&["verify"], &[]);
        assert_eq!(status, 0, "{said}{shown}");
    }
}

#[test]
fn a_job_moves_from_sqlite_to_mariadb() {
    let [first, second] = halves();
    let mut place = Place::new(None, &ONE_EPOCH);
    let undisturbed = Place::new(Some(mariadb().create_database()), &ONE_EPOCH);
    for lines in [&first, &second] {
        undisturbed.feed(&texts(lines));
        undisturbed.run();
    }
    place.feed(&texts(&first));
    place.run();
    let file = place.path("job.state");
    let file = file.to_str().unwrap();
    assert_eq!(place.call(&["state", "export", file], &[]).0, 0);
    let rows = place.rows_of("TRUCK_PARAMETER_MAP").len();
    place.database = Some(mariadb().create_database());
    let import = ["state", "import", file];
    // The rows are not moved: said, and only left so by a flag.
    let words = ["table TRUCK_PARAMETER_MAP has 0 rows", &format!("{rows} rows up to id {rows}")];
    place.refused(&import, &[], 1, &[words[0], words[1], "--tables-as-they-are"]);
    let (status, said, shown) = place.call(&import, &["--tables-as-they-are"]);
    assert_eq!(status, 0, "{said}");
    assert!(shown.contains("the next run continues from there"), "{shown}");
    place.feed(&texts(&second));
    place.run();
    assert_eq!(place.made().0, undisturbed.made().0);
    let of_both = undisturbed.rows_of("TRUCK_PARAMETER_MAP");
    assert_eq!(place.rows_of("TRUCK_PARAMETER_MAP").len(), of_both.len() - rows);
    let last = |place: &Place| {
        place.query(
            "SELECT truck_id, samples, correlation FROM TRUCK_DISTANCE_CORRELATION ORDER BY id DESC LIMIT 5",
        )
    };
    assert_eq!(last(&place), last(&undisturbed));
}

#[test]
fn an_import_that_would_lose_or_double_rows_is_refused() {
    let [first, second] = halves();
    for place in Place::both(&ONE_EPOCH) {
        place.feed(&texts(&first));
        place.run();
        let file = place.path("job.state");
        let file = file.to_str().unwrap();
        let import = ["state", "import", file];
        assert_eq!(place.call(&["state", "export", file], &[]).0, 0);
        let csv = place.out().join("parameter_map.csv");
        let whole = fs::read(&csv).unwrap();

        // It has gone on: what came after the export would come twice.
        place.feed(&texts(&second));
        place.run();
        assert_eq!(place.call(&["state", "reset", "--yes"], &[]).0, 0);
        place.refused(
            &import,
            &[],
            1,
            &["TRUCK_PARAMETER_MAP has 3000 rows", "1500 rows", "delete the rows"],
        );
        place.execute("DELETE FROM TRUCK_PARAMETER_MAP WHERE id > 1500");
        place.refused(&import, &[], 1, &["SPARK_TABLE_TRANSFORMED has 3000 rows"]);

        // Files that are too short, and none.
        fs::write(&csv, &whole[..whole.len() - 1]).unwrap();
        place.refused(&import, &[], 1, &["parameter_map.csv has", "the export expects", "copy the files"]);
        fs::remove_file(&csv).unwrap();
        place.refused(&import, &[], 1, &["parameter_map.csv has 0 bytes"]);
        let more = [&whole[..], b"more\n"].concat();
        fs::write(&csv, more).unwrap();

        // Other jobs, other sources, other files.
        place.refused(
            &import,
            &["--job", "other"],
            2,
            &["is an export of job `truckflow`", "--job truckflow"],
        );
        place.refused(&import, &["--embedded"], 2, &["job `truckflow` reads", "embedded"]);
        let bytes = fs::read(file).unwrap();
        for (changed, words) in [
            (bytes[..bytes.len() - 1].to_vec(), "is damaged or incomplete"),
            ([&bytes[..100], &[bytes[100] ^ 1], &bytes[101..]].concat(), "is damaged or incomplete"),
            (whole.clone(), "is not an export"),
        ] {
            fs::write(file, changed).unwrap();
            place.refused(&import, &[], 1, &[file, words]);
        }
        fs::write(file, &bytes).unwrap();

        let (status, said, shown) = place.call(&import, &["--tables-as-they-are"]);
        assert_eq!(status, 0, "{said}");
        assert!(shown.contains("bytes from after the export; the next run truncates them"), "{shown}");
        place.run();
        let (status, said, _) = place.call(&["state", "export", "/no/such/folder/x"], &[]);
        assert_eq!(status, 1);
        assert!(said.contains("cannot write /no/such/folder/x"), "{said}");
    }
}

#[test]
fn the_state_of_a_running_job_is_left_alone() {
    for place in Place::both(&[]) {
        place.feed(&texts(&halves()[0]));
        place.run();
        let file = place.path("job.state");
        let file = file.to_str().unwrap();
        assert_eq!(place.call(&["state", "export", file], &[]).0, 0);
        let (input, out) = (place.input(), place.out());
        let job = ["--input", input.to_str().unwrap(), "--out", out.to_str().unwrap(), "--listen", "off"];
        let database = place.database.iter().flat_map(|database| ["--database", &database.url]);
        let mut running = Job::start(["run"].into_iter().chain(job).chain(database));
        running.wait_for_line("reading", TIMEOUT);
        place.refused(&["state", "export", file], &[], 1, &["job `truckflow` is running; stop it first"]);
        place.refused(&["state", "reset", "--yes"], &[], 1, &["job `truckflow` is running; stop it first"]);
        let (status, said, _) = place.call(&["state", "import", file], &[]);
        assert_eq!(status, 1, "{said}");
        running.terminate();
        let (status, said) = running.wait(TIMEOUT);
        assert!(status.success(), "{said}");
        place.run();
    }
}
