//! Files as they come: replaced, unfinished, with byte order marks, compressed, with long lines.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::support::job::{Job, readings};
use crate::support::kafka::{kafka, unique_topic};
use crate::support::mariadb::{Database, mariadb};
use crate::support::output::{csv_rows, lines as lines_of};
use crate::support::wait::comes_true;

const TIMEOUT: Duration = Duration::from_secs(60);

/// A job on the file `in.jsonl` of a folder of its own.
struct Place {
    folder: tempfile::TempDir,
    /// None: SQLite, in the output folder.
    database: Option<Database>,
}

impl Place {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), database: None }
    }

    /// One on SQLite, one on MariaDB.
    fn both() -> [Self; 2] {
        [Self::new(), Self { database: Some(mariadb().create_database()), ..Self::new() }]
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let file = OpenOptions::new().append(true).open(self.path(name));
        file.unwrap().write_all(bytes.as_ref()).unwrap();
    }

    fn args(&self, command: &str, more: &[&str]) -> Vec<String> {
        let mut args = vec![command.to_owned(), "--listen".into(), "off".into()];
        for (flag, path) in [("--input", "in.jsonl"), ("--out", "out")] {
            if !more.contains(&flag) {
                args.extend([flag.into(), self.path(path).display().to_string()]);
            }
        }
        args.extend(self.database.iter().flat_map(|database| ["--database".into(), database.url.clone()]));
        args.extend(more.iter().map(|arg| (*arg).to_owned()));
        args
    }

    /// Runs a command to its end; gives its status, and what it said and wrote.
    fn call(&self, command: &str, more: &[&str]) -> (i32, String, String) {
        let mut job = Job::start(self.args(command, more));
        let (status, said) = job.wait(TIMEOUT);
        (status.code().unwrap_or(-1), said, job.stdout())
    }

    #[track_caller]
    fn run(&self, more: &[&str]) -> (String, String) {
        let (status, said, shown) = self.call("run", &[&["--until-end"], more].concat());
        assert_eq!(status, 0, "{said}");
        (said, shown)
    }

    /// Expects that a run is refused with one sentence that has all these words.
    #[track_caller]
    fn refused(&self, more: &[&str], words: &[&str]) {
        let (status, said, _) = self.call("run", &[&["--until-end"], more].concat());
        assert_eq!(status, 1, "{said}");
        let sentences: Vec<&str> = said.lines().filter(|line| line.starts_with("truckflow: ")).collect();
        let [sentence] = sentences.as_slice() else { panic!("one sentence is said, not:\n{said}") };
        for word in words {
            assert!(sentence.contains(word), "`{word}` is not in: {sentence}");
        }
        assert!(!said.contains("panicked"), "{said}");
    }

    #[track_caller]
    fn verified(&self, more: &[&str]) -> String {
        let (status, said, shown) = self.call("verify", more);
        assert_eq!(status, 0, "{said}{shown}");
        shown
    }

    fn csv(&self, view: &str) -> Vec<Vec<String>> {
        csv_rows(&self.path("out").join(format!("{view}.csv")))
    }

    /// The readings that the job has, in any order, by their distance.
    #[track_caller]
    fn assert_read(&self, lines: &[String]) {
        let mut read: Vec<String> = self.csv("parameter_map").into_iter().map(|row| row[1].clone()).collect();
        let mut expected: Vec<String> = lines.iter().map(|line| distance(line)).collect();
        read.sort();
        expected.sort();
        assert!(read == expected, "{} readings instead of {}", read.len(), expected.len());
        assert_eq!(self.csv("dead_letters"), Vec::<Vec<String>>::new());
    }
}

/// Readings, as lines without their ends.
fn simulated(records: usize) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(readings(folder.path(), records)).unwrap();
    text.lines().map(str::to_owned).collect()
}

/// A reading, found again by its distance.
fn reading(n: usize) -> String {
    format!(
        "{{\"timestamp\": \"2023-04-10 {:02}:{:02}:{:02}\", \"distance_covered\": {n}.5, \"engine_speed\": 80, \
         \"fuel_consumed\": 1, \"truck_id\": \"t\"}}",
        n / 3600 % 24,
        n / 60 % 60,
        n % 60
    )
}

fn distance(line: &str) -> String {
    let behind = line.split("\"distance_covered\": ").nth(1).unwrap();
    behind.split(',').next().unwrap().to_owned()
}

fn numbered(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(reading).collect()
}

fn text(lines: &[String]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_replaced_file_is_finished_and_the_new_one_is_read_from_its_first_line() {
    let lines = numbered(0..700);
    for place in Place::both() {
        place.write("in.jsonl", text(&lines[..200]));
        place.run(&[]);
        place.append("in.jsonl", text(&lines[200..300]));
        fs::rename(place.path("in.jsonl"), place.path("in.jsonl.1")).unwrap();
        place.write("in.jsonl", text(&lines[300..700]));
        place.run(&["--workers", "2"]);
        place.assert_read(&lines);
        let shown = place.verified(&[]);
        assert!(shown.contains("in.jsonl.1, "), "{shown}");
        // It goes on behind it, and nothing is read twice.
        place.run(&[]);
        place.assert_read(&lines);
        // Without the file that was finished nobody can say what should be there.
        fs::remove_file(place.path("in.jsonl.1")).unwrap();
        let (status, said, _) = place.call("verify", &[]);
        assert_eq!(status, 1, "{said}");
        assert!(said.contains("no file in ") && said.contains("put that file back"), "{said}");
    }
}

#[test]
fn a_replaced_file_that_is_nowhere_ends_the_job_unless_its_loss_is_allowed() {
    let lines = numbered(0..500);
    for embedded in [false, true] {
        let place = Place::new();
        let flags: &[&str] = if embedded { &["--embedded"] } else { &[] };
        place.write("in.jsonl", text(&lines[..100]));
        place.run(flags);
        for new in [&lines[200..500], &lines[200..210], &[]] {
            place.write("in.jsonl", text(new));
            let words =
                if embedded { "does not begin with the lines" } else { "on_data_loss = \"earliest\"" };
            place.refused(flags, &["in.jsonl", words, "a new --job with a new --out"]);
        }
        place.write("in.jsonl", text(&lines[200..500]));
        if !embedded {
            let (said, _) = place.run(&["--set", "on_data_loss=earliest"]);
            assert!(said.contains("the file that was read is gone"), "{said}");
            place.assert_read(&[&lines[..100], &lines[200..500]].concat());
        }
    }
}

#[test]
fn a_file_that_is_copied_and_truncated_or_renamed_while_the_job_runs_loses_no_line() {
    let lines = simulated(3000);
    let place = Place::new();
    let records = || lines_of(&place.path("out/parameter_map.csv")).saturating_sub(1);
    place.write("in.jsonl", text(&lines[..500]));
    let start = || Job::start(place.args("run", &["--commit-interval", "50ms", "--workers", "2"]));
    let mut job = start();
    let mut next = 500;
    let wait = |job: &mut Job, count: usize| {
        let are_read = comes_true(TIMEOUT, || records() >= count);
        assert!(are_read, "{} of {count} lines are read: {}", records(), job.stderr());
    };
    wait(&mut job, next);
    for (turn, kill) in [false, true, false].into_iter().enumerate() {
        // As `logrotate` does with copytruncate: the new lines may be there before anybody looks.
        place.append("in.jsonl", text(&lines[next..next + 100]));
        fs::copy(place.path("in.jsonl"), place.path(&format!("in.jsonl.{}", 2 * turn))).unwrap();
        OpenOptions::new().write(true).truncate(true).open(place.path("in.jsonl")).unwrap();
        place.append("in.jsonl", text(&lines[next + 100..next + 200]));
        if kill {
            job.kill9();
            job = start();
        }
        next += 200;
        wait(&mut job, next);
        // And as it does without.
        let renamed = format!("in.jsonl.{}", 2 * turn + 1);
        fs::rename(place.path("in.jsonl"), place.path(&renamed)).unwrap();
        place.append(&renamed, text(&lines[next..next + 100]));
        place.write("in.jsonl", text(&lines[next + 100..next + 300]));
        if kill {
            job.kill9();
            job = start();
        }
        next += 300;
        wait(&mut job, next);
    }
    job.terminate();
    let (status, said) = job.wait(TIMEOUT);
    assert!(status.success(), "{said}");
    assert_eq!(records(), next);
    place.verified(&[]);
}

#[test]
fn an_unfinished_last_line_is_left_for_a_later_run_and_the_summary_says_so() {
    let lines = numbered(0..3);
    let (whole, cut) = lines[2].split_at(90);
    for flags in [&[][..], &["--embedded"]] {
        let place = Place::new();
        place.write("in.jsonl", text(&lines[..2]) + whole);
        let (said, shown) = place.run(&[flags, &["--summary"]].concat());
        place.assert_read(&lines[..2]);
        for said in [&said, &shown] {
            assert!(said.contains("line 3 of ") && said.contains("its 90 bytes were left"), "{said}");
        }
        let (_, shown) = place.run(&[flags, &["--json"]].concat());
        let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(shown["unfinished_lines"][0]["line"], 3);
        // It is complete without a line end, which may come later.
        place.append("in.jsonl", cut);
        let (_, shown) = place.run(&[flags, &["--json"]].concat());
        place.assert_read(&lines);
        assert!(shown.contains("\"unfinished_lines\":[]"), "{shown}");
        place.append("in.jsonl", format!("\n{}\n", reading(3)));
        place.run(flags);
        place.assert_read(&numbered(0..4));
        place.verified(flags);
    }
}

const HEADER: &str = "time,seconds_elapsed,qz,qy,qx,qw,roll,pitch,yaw";

#[test]
fn a_cut_number_at_the_end_of_a_csv_file_is_not_kept() {
    let record = |yaw: &str| format!("1681088547123456789,0.1,0.5,0.5,0.5,0.5,1,2,{yaw}");
    let place = Place::new();
    place
        .write("Orientation.csv", format!("\u{feff}{HEADER}\r\n{}\r\n\r\n{}", record("1.5"), record("-2.9")));
    let path = place.path("Orientation.csv").display().to_string();
    let phone = ["--set", "message.preset=orientation", "--set", "message.format=csv", "--input"];
    let flags = [&phone[..], &[&path, "--summary"]].concat();
    let yaws = || place.csv("orientation").into_iter().map(|row| row[8].clone()).collect::<Vec<_>>();
    let (_, shown) = place.run(&flags);
    assert_eq!(yaws(), ["1.5"]);
    assert!(shown.contains("line 4 of ") && shown.contains("Orientation.csv has no line end yet"), "{shown}");
    place.append("Orientation.csv", "77706\r\n");
    let (_, shown) = place.run(&flags);
    assert_eq!(yaws(), ["-2.977706", "1.5"]);
    assert!(!shown.contains("no line end"), "{shown}");
    place.verified(&flags[..6]);
    // Nothing can be added to a compressed one.
    let compressed = Place::new();
    compressed.write("phone.csv", format!("{HEADER}\n{}", record("-2.5")));
    let path = zip("gzip", &compressed.path("phone.csv"));
    compressed.run(&[&phone[..], &[path.to_str().unwrap()]].concat());
    assert_eq!(compressed.csv("orientation")[0][8], "-2.5");
}

/// Compresses a file; gives the new one's path.
fn zip(format: &str, path: &Path) -> PathBuf {
    let text = fs::read(path).unwrap();
    let (end, bytes) = match format {
        "gzip" => {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            encoder.write_all(&text).unwrap();
            ("gz", encoder.finish().unwrap())
        }
        _ => {
            let mut bytes = vec![0; zstd_safe::compress_bound(text.len())];
            let length = zstd_safe::compress(&mut bytes[..], &text, 3).unwrap();
            bytes.truncate(length);
            ("zst", bytes)
        }
    };
    let zipped = PathBuf::from(format!("{}.{end}", path.display()));
    fs::write(&zipped, bytes).unwrap();
    zipped
}

#[test]
fn byte_order_marks_line_ends_blank_lines_and_compression_are_read_as_people_expect() {
    let lines = numbered(0..300);
    let text: String = lines.iter().map(|line| format!("{line}\r\n\r\n")).collect();
    let text = format!("\u{feff}{text}");
    let source = Place::new();
    source.write("readings.jsonl", &text);
    let plain = source.path("readings.jsonl");
    // Several members, as of files that were compressed one by one.
    let gz = zip("gzip", &plain);
    let twice = source.path("twice");
    source.write("more.jsonl", text.trim_start_matches('\u{feff}'));
    let more = fs::read(zip("gzip", &source.path("more.jsonl"))).unwrap();
    fs::write(&twice, [fs::read(&gz).unwrap(), more].concat()).unwrap();
    let zst = zip("zstd", &plain);
    let topic = unique_topic();
    kafka().create_topic(&topic, 1);
    for (path, copies) in [(&plain, 1), (&gz, 1), (&zst, 1), (&twice, 2)] {
        let expected: Vec<String> = (0..copies).flat_map(|_| lines.clone()).collect();
        for flags in [&[][..], &["--embedded"]] {
            let place = Place::new();
            let flags = [flags, &["--input", path.to_str().unwrap()]].concat();
            place.run(&flags);
            place.assert_read(&expected);
            // Its offset counts lines of the text.
            place.run(&flags);
            place.assert_read(&expected);
            place.verified(&flags);
        }
        let piped = Place::new();
        let status = std::process::Command::new(env!("CARGO_BIN_EXE_truckflow"))
            .args(piped.args("run", &["--input", "-"]))
            .stdin(File::open(path).unwrap())
            .stderr(std::process::Stdio::null())
            .status();
        assert!(status.unwrap().success());
        piped.assert_read(&expected);
        let args = ["replay", path.to_str().unwrap(), "--brokers", kafka().brokers(), "--topic", &topic];
        let (status, said) = Job::start(args).wait(TIMEOUT);
        assert!(status.success() && said.contains(&format!("sent {} messages", expected.len())), "{said}");
    }
    let sent: Vec<_> = kafka().read(&topic).into_iter().filter_map(|message| message.payload).collect();
    assert_eq!(sent.len(), 5 * lines.len());
    assert!(sent[..300].iter().zip(&lines).all(|(sent, line)| sent == line.as_bytes()));

    // A compressed file is not followed: the job ends with it.
    let place = Place::new();
    let (status, said, _) = place.call("run", &["--input", gz.to_str().unwrap()]);
    assert_eq!(status, 0, "{said}");
    place.assert_read(&lines);
}

#[test]
fn utf_16_and_cut_compressed_files_are_refused_by_name() {
    let text = text(&numbered(0..2000));
    let utf_16: Vec<u8> = format!("\u{feff}{text}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    for flags in [&[][..], &["--embedded"]] {
        let place = Place::new();
        place.write("in.jsonl", &utf_16);
        place.refused(flags, &["in.jsonl is UTF-16 text", "iconv -f UTF-16 -t UTF-8"]);
        for format in ["gzip", "zstd"] {
            place.write("readings.jsonl", &text);
            let whole = fs::read(zip(format, &place.path("readings.jsonl"))).unwrap();
            place.write("in.jsonl", &whole[..whole.len() - 9]);
            place.refused(flags, &["in.jsonl", &format!("its {format} data ends too early")]);
        }
    }
    let place = Place::new();
    place.write("in.jsonl", &utf_16);
    let (_, _, shown) = place.call("check", &[]);
    assert!(shown.contains("FAILED  input: ") && shown.contains("UTF-16"), "{shown}");
    let (path, topic) = (place.path("in.jsonl").display().to_string(), unique_topic());
    kafka().create_topic(&topic, 1);
    let replay = ["replay", &path, "--topic", &topic, "--brokers", kafka().brokers()];
    let (status, said) = Job::start(replay).wait(TIMEOUT);
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("UTF-16"), "{said}");
}

#[test]
fn the_embedded_broker_takes_lines_of_more_than_a_million_bytes() {
    let long = |n: usize, bytes: usize| {
        let line = reading(n);
        let padding = " ".repeat(bytes - line.len());
        line.replace("\"truck_id\"", &format!("{padding}\"truck_id\""))
    };
    let place = Place::new();
    // The third one is larger than all that the broker keeps of a partition.
    let lines = [reading(0), long(1, 1_000_000), long(2, 1_500_000), long(3, 7_000_000), reading(4)];
    place.write("in.jsonl", text(&[&lines[..], &numbered(5..60)].concat()));
    let flags = ["--embedded", "--set", "limits.message_bytes=8000000"];
    place.run(&flags);
    place.assert_read(&numbered(0..60));
    place.verified(&flags);
    // What is longer than the limit is a dead letter, with all its bytes.
    let place = Place::new();
    place.write("in.jsonl", text(&lines));
    place.run(&["--embedded"]);
    let letters = place.csv("dead_letters");
    let lengths: Vec<usize> = letters.iter().map(|letter| letter[7].len()).collect();
    assert!(letters.iter().all(|letter| letter[5] == "too_large"));
    assert_eq!(lengths, [1_500_000, 7_000_000]);
    assert_eq!(place.csv("parameter_map").len(), 3);
    place.verified(&["--embedded"]);
}
