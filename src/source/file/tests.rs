//! Tests of inputs as a worker reads them: lines, records, restarts, replaced files.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use dataflows::item::{Item, NextOffset};

use super::compression::tests::{gzip, zstd};
use super::*;
use crate::decode::{Decode, Message};
use crate::runtime::clock::{Clock, Limits};
use crate::source::kafka::OnDataLoss;
use crate::source::{Polled, Reader, SourceError};

const TIMEOUT: Duration = Duration::from_secs(60);
const FOLLOWED: fn() -> Options<'static> = || Options { follow: true, ..Options::default() };
const EARLIEST: fn() -> Options<'static> =
    || Options { on_data_loss: OnDataLoss::Earliest, ..Options::default() };

/// A folder with an input.
struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn input(&self) -> String {
        self.path("in").to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn append(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let file = OpenOptions::new().create(true).append(true).open(self.path(name));
        file.unwrap().write_all(bytes.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    /// Empties the input without replacing it, as `copytruncate` does.
    fn truncate(&self) {
        OpenOptions::new().write(true).truncate(true).open(self.path("in")).unwrap();
    }

    fn open(&self, offsets: &[NextOffset], options: Options<'_>) -> Result<Job, SourceError> {
        Lines::open(&self.input(), offsets, options).map(Job::new)
    }

    /// The messages from `offsets` to the end.
    #[track_caller]
    fn rest(&self, offsets: &[NextOffset], options: Options<'_>) -> Vec<(i32, i64, String)> {
        let mut job = self.open(offsets, options).unwrap();
        job.read_to_the_end().unwrap();
        job.kept.kept
    }
}

#[derive(Default)]
struct Kept {
    header: Vec<u8>,
    kept: Vec<(i32, i64, String)>,
}

impl Decode for Kept {
    fn header(&mut self, header: &[u8]) -> Result<(), &'static str> {
        self.header = header.to_vec();
        Ok(())
    }

    fn set_wall_clock(&mut self, _wall: i64) {}

    fn decode(&mut self, message: &Message<'_>) {
        let text = String::from_utf8(message.payload.unwrap().to_vec()).unwrap();
        self.kept.push((message.partition, message.offset, text));
    }

    fn take(&mut self, _items: &mut Vec<Item>) {}

    fn take_rounded(&mut self, _count: &mut dyn FnMut(&str, u64)) {}
}

/// A worker that reads an input, and its committed offsets.
struct Job {
    lines: Arc<Mutex<Lines>>,
    reader: LineReader,
    clock: Clock,
    kept: Kept,
    offsets: Vec<NextOffset>,
}

impl Job {
    fn new(lines: Arc<Mutex<Lines>>) -> Self {
        let limits = Limits {
            interval: Duration::from_secs(1),
            epoch_records: u64::MAX,
            epoch_bytes: u64::MAX,
            epochs_in_flight: 2,
            bytes_in_flight: u64::MAX,
        };
        let reader = LineReader::new(lines.clone());
        Self { lines, reader, clock: Clock::new(limits, 0), kept: Kept::default(), offsets: Vec::new() }
    }

    fn poll(&mut self) -> Result<Polled, SourceError> {
        let polled = self.reader.poll(&self.clock, &mut self.kept)?;
        if matches!(polled, Polled::Read(_)) {
            let mut new = Vec::new();
            self.reader.positions(&mut new, &mut Vec::new());
            self.offsets.retain(|at| new.iter().all(|new| new.partition != at.partition));
            self.offsets.append(&mut new);
        }
        Ok(polled)
    }

    fn read_to_the_end(&mut self) -> Result<(), SourceError> {
        while self.poll()? != Polled::End {
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Reads everything that is available.
    #[track_caller]
    fn all_now(&mut self) -> Vec<(i32, i64, String)> {
        while self.poll().unwrap() != Polled::Idle {}
        std::mem::take(&mut self.kept.kept)
    }

    /// Reads until there are `count` messages.
    #[track_caller]
    fn read(&mut self, count: usize) -> Vec<(i32, i64, String)> {
        let due = Instant::now() + TIMEOUT;
        while self.kept.kept.len() < count {
            assert!(Instant::now() < due, "{:?}", self.kept.kept);
            self.poll().unwrap();
            std::thread::yield_now();
        }
        std::mem::take(&mut self.kept.kept)
    }

    /// Reads until an error.
    #[track_caller]
    fn failure(&mut self) -> SourceError {
        let due = Instant::now() + TIMEOUT;
        loop {
            assert!(Instant::now() < due, "{:?}", self.kept.kept);
            if let Err(error) = self.poll() {
                return error;
            }
        }
    }
}

/// Messages of one partition, from `first` on.
fn messages(partition: i32, first: i64, texts: &[&str]) -> Vec<(i32, i64, String)> {
    (first..).zip(texts).map(|(offset, text)| (partition, offset, (*text).to_owned())).collect()
}

fn line(n: usize) -> String {
    format!("{{\"n\": {n}, \"x\": \"{}\"}}", "x".repeat(n * 37 % 101))
}

fn lines(range: std::ops::Range<usize>) -> String {
    range.map(|n| line(n) + "\n").collect()
}

fn read_lines(partition: i32, range: std::ops::Range<usize>, first: i64) -> Vec<(i32, i64, String)> {
    (first..).zip(range).map(|(offset, n)| (partition, offset, line(n))).collect()
}

#[test]
fn a_restart_at_any_line_reads_the_same_lines_with_the_same_offsets() {
    for cut in [0, 1, 7, 4_000, 9_999, 20_000] {
        let folder = Folder::new();
        folder.write("in", lines(0..cut));
        let mut job = folder.open(&[], Options::default()).unwrap();
        job.read_to_the_end().unwrap();
        assert!(job.kept.kept == read_lines(0, 0..cut, 0), "up to line {cut}");
        folder.append("in", lines(cut..20_000));
        let rest = folder.rest(&job.offsets, Options::default());
        assert!(rest == read_lines(0, cut..20_000, cut as i64), "from line {cut}");
    }
}

#[test]
fn blank_lines_are_counted_but_are_not_messages() {
    let folder = Folder::new();
    folder.write("in", "\na\r\n\r\n \t\nb\n\n");
    let expected = [messages(0, 1, &["a"]), messages(0, 4, &["b"])].concat();
    assert_eq!(folder.rest(&[], Options::default()), expected);
    // A blank line is not a message if lines have keys, either.
    let keyed = Options { separator: Some("b"), ..Options::default() };
    folder.write("in", "\nab{}\n");
    assert_eq!(folder.rest(&[], keyed), messages(0, 1, &["{}"]));
}

#[test]
fn a_line_of_a_followed_file_is_read_when_its_end_is_written() {
    let folder = Folder::new();
    folder.write("in", "a\nb");
    let mut job = folder.open(&[], FOLLOWED()).unwrap();
    assert_eq!(job.all_now(), messages(0, 0, &["a"]));
    folder.append("in", "c\n");
    assert_eq!(job.all_now(), messages(0, 1, &["bc"]));
}

#[test]
fn a_complete_object_is_read_without_a_line_end_and_a_later_line_end_is_skipped() {
    for options in [FOLLOWED(), Options::default()] {
        let folder = Folder::new();
        folder.write("in", "{\"a\": 1}\n{'b': {'c': 2}");
        let mut job = folder.open(&[], options).unwrap();
        let mut read = move |folder: &Folder, expected: &[(i32, i64, String)]| {
            match options.follow {
                true => assert_eq!(job.all_now(), expected),
                false => {
                    // A restart.
                    let mut next = folder.open(&job.offsets, options).unwrap();
                    next.read_to_the_end().unwrap();
                    assert_eq!(next.kept.kept, expected);
                    next.offsets
                        .append(&mut job.offsets.split_off(next.offsets.len().min(job.offsets.len())));
                    job = next;
                }
            }
        };
        read(&folder, &messages(0, 0, &["{\"a\": 1}"]));
        folder.append("in", "}");
        read(&folder, &messages(0, 1, &["{'b': {'c': 2}}"]));
        folder.append("in", " ");
        read(&folder, &[]);
        folder.append("in", "\r\n{\"d\": 3}\n\n{\"e\": 4}\n");
        let expected = [messages(0, 2, &["{\"d\": 3}"]), messages(0, 4, &["{\"e\": 4}"])].concat();
        read(&folder, &expected);
    }
}

#[test]
fn an_incomplete_last_line_is_reported_and_read_when_it_is_complete() {
    let folder = Folder::new();
    folder.write("in", "{\"a\": 1}\n{\"b\": 2.9");
    let mut job = folder.open(&[], Options::default()).unwrap();
    job.read_to_the_end().unwrap();
    assert_eq!(job.kept.kept, messages(0, 0, &["{\"a\": 1}"]));
    let unfinished = Unfinished { path: folder.input(), line: 2, bytes: 9 };
    assert_eq!(lock(&job.lines).unfinished(), Some(unfinished));
    folder.append("in", "77706}\n");
    assert_eq!(folder.rest(&job.offsets, Options::default()), messages(0, 1, &["{\"b\": 2.977706}"]));

    // In a CSV file, even if it looks complete.
    let any = Options { framing: None, ..Options::default() };
    folder.write("in", "a,b\n1,2\n3,-2.9");
    let mut job = folder.open(&[], any).unwrap();
    job.read_to_the_end().unwrap();
    assert_eq!(job.kept.kept, messages(0, 1, &["1,2"]));
    assert_eq!(lock(&job.lines).unfinished().map(|left| (left.line, left.bytes)), Some((3, 6)));
    folder.append("in", "77706\n");
    assert_eq!(folder.rest(&job.offsets, any), messages(0, 2, &["3,-2.977706"]));

    // A compressed file is complete.
    folder.write("in", gzip(b"a,b\n1,2\n3,-2.9"));
    assert_eq!(folder.rest(&[], any), messages(0, 1, &["1,2", "3,-2.9"]));
    folder.write("in", zstd(b"{\"a\": 1}\n{\"b\": 2.9"));
    assert_eq!(folder.rest(&[], Options::default()), messages(0, 0, &["{\"a\": 1}", "{\"b\": 2.9"]));
}

#[test]
fn a_byte_order_mark_is_skipped_and_utf_16_is_refused() {
    let folder = Folder::new();
    for (text, expected) in [
        (&b"\xef\xbb\xbf{\"a\": 1}\r\n{\"b\": 2}\r\n"[..], messages(0, 0, &["{\"a\": 1}", "{\"b\": 2}"])),
        (b"\xef\xbb\xbf", vec![]),
        (b"", vec![]),
    ] {
        folder.write("in", text);
        assert_eq!(folder.rest(&[], Options::default()), expected);
        folder.write("in", gzip(text));
        assert_eq!(folder.rest(&[], Options::default()), expected);
    }
    let utf_16: Vec<u8> = "\u{feff}{}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for bytes in [utf_16.clone(), zstd(&utf_16)] {
        folder.write("in", bytes);
        let error = folder.open(&[], Options::default()).err().unwrap().to_string();
        assert!(error.contains("is UTF-16 text") && error.contains("iconv -f UTF-16"), "{error}");
    }
}

#[test]
fn a_compressed_file_is_decompressed_and_a_truncated_one_is_an_error() {
    let text = lines(0..30_000);
    for (name, compress) in [("in.gz", gzip as fn(&[u8]) -> Vec<u8>), ("in.zst", zstd)] {
        let folder = Folder::new();
        let (first, second) = text.as_bytes().split_at(text.len() / 3);
        let bytes = [compress(first), compress(second)].concat();
        folder.write(name, &bytes);
        let path = folder.path(name).to_str().unwrap().to_owned();
        // It is not followed.
        for options in [FOLLOWED(), Options::default()] {
            let mut job = Job::new(Lines::open(&path, &[], options).unwrap());
            while job.offsets.is_empty() {
                job.poll().unwrap();
            }
            let (offsets, mut read) = (job.offsets.clone(), std::mem::take(&mut job.kept.kept));
            drop(job);
            let mut job = Job::new(Lines::open(&path, &offsets, options).unwrap());
            job.read_to_the_end().unwrap();
            assert_eq!(read.len() as i64, offsets[0].offset);
            read.append(&mut job.kept.kept);
            assert!(read == read_lines(0, 0..30_000, 0));
        }
        fs::write(&path, &bytes[..bytes.len() - 10]).unwrap();
        let error = Job::new(Lines::open(&path, &[], Options::default()).unwrap()).failure().to_string();
        let format = if name == "in.gz" { "gzip" } else { "zstd" };
        assert!(error.contains(&format!("its {format} data ends too early")), "{error}");
        fs::write(&path, "{\"a\": 1}\n").unwrap();
        let error = Lines::open(&path, &[], Options::default()).unwrap_err().to_string();
        assert!(error.contains(&format!("is not {format} data")), "{error}");
    }
}

#[test]
fn a_restart_at_any_record_of_a_csv_file_reads_the_same_records_and_the_header() {
    let record = |record: usize| match record % 1000 {
        1 => "\"two\nlines\",\"a \"\"word\"\"\"".to_owned(),
        2 => String::new(),
        3 => "5\" pipe,1".to_owned(),
        _ => format!("{record},{}", "x".repeat(record * 37 % 101)),
    };
    let text = |range: std::ops::Range<usize>| -> String {
        range.map(|n| record(n) + ["\r\n", "\n"][n % 2]).collect()
    };
    let expected = |range: std::ops::Range<usize>| -> Vec<(i32, i64, String)> {
        range.map(|n| (0, n as i64, record(n))).filter(|(.., text)| !text.is_empty()).collect()
    };
    let any = Options { framing: None, ..Options::default() };
    for cut in [1, 2, 3, 4_001, 9_999, 20_000] {
        let folder = Folder::new();
        folder.write("in", format!("\u{feff}a,b\r\n{}", text(1..cut)));
        let mut job = folder.open(&[], any).unwrap();
        job.read_to_the_end().unwrap();
        assert!(job.kept.kept == expected(1..cut), "up to record {cut}");
        folder.append("in", text(cut..20_000));
        let mut job = folder.open(&job.offsets, any).unwrap();
        job.read_to_the_end().unwrap();
        assert!(job.kept.kept == expected(cut..20_000), "from record {cut}");
        assert!(job.kept.kept.is_empty() || job.kept.header == b"a,b\r\n");
    }
}

#[test]
fn the_first_character_decides_the_framing() {
    let any = Options { framing: None, ..Options::default() };
    for (text, framing) in [
        (&b"\xef\xbb\xbf {\"a\": 1}\n"[..], Some(Framing::Lines)),
        (b"{'a': 1}", Some(Framing::Lines)),
        (b"\xef\xbb\xbftime,qz\n", Some(Framing::Records)),
        (b"time,qz", Some(Framing::Records)),
        (b"", None),
    ] {
        let folder = Folder::new();
        folder.write("in", text);
        let job = folder.open(&[], any).unwrap();
        assert_eq!(lock(&job.lines).framing(), framing, "{}", text.escape_ascii());
    }
    // A followed file may be empty at first.
    let folder = Folder::new();
    folder.write("in", "");
    let mut job = folder.open(&[], Options { follow: true, ..any }).unwrap();
    assert_eq!(job.all_now(), []);
    folder.append("in", "a,b\n1,");
    assert_eq!(job.all_now(), []);
    folder.append("in", "2\n");
    assert_eq!(job.all_now(), messages(0, 1, &["1,2"]));
    assert_eq!(job.kept.header, b"a,b\n");
}

/// A job that has read the first 100 lines.
fn stopped(folder: &Folder) -> Vec<NextOffset> {
    folder.write("in", lines(0..100));
    let mut job = folder.open(&[], Options::default()).unwrap();
    job.read_to_the_end().unwrap();
    assert_eq!(job.offsets[0].offset, 100);
    job.offsets
}

#[test]
fn a_replaced_file_is_finished_and_the_new_one_is_read_from_its_first_line() {
    for archive in ["in.1", "in.1.gz", "of another name.zst"] {
        let folder = Folder::new();
        let offsets = stopped(&folder);
        folder.append("in", lines(100..103));
        folder.append("in", line(103)); // never gets a line end
        let whole = fs::read(folder.path("in")).unwrap();
        fs::remove_file(folder.path("in")).unwrap();
        // Similar files do not match. They are older: a newer one would be taken for a later rotation.
        folder.write("in.2", lines(0..99));
        folder.write("in.3", lines(1..300));
        match archive {
            "in.1" => folder.write(archive, &whole),
            "in.1.gz" => folder.write(archive, gzip(&whole)),
            _ => folder.write(archive, zstd(&whole)),
        }
        folder.write("in", lines(1000..1200));
        let expected = [read_lines(0, 100..104, 100), read_lines(1, 1000..1200, 0)].concat();
        let mut job = folder.open(&offsets, Options::default()).unwrap();
        job.read_to_the_end().unwrap();
        assert_eq!(job.kept.kept, expected, "{archive}");
        // The same in a job that follows.
        let mut followed = folder.open(&offsets, FOLLOWED()).unwrap();
        assert_eq!(followed.read(expected.len()), expected, "{archive}");
        // It follows the new file from then on.
        let mut offsets = job.offsets;
        offsets.sort_by_key(|at| at.partition);
        folder.append("in", lines(1200..1201));
        assert_eq!(folder.rest(&offsets, Options::default()), read_lines(1, 1200..1201, 200));
        // Everything can be read again, wherever the files are now.
        folder.rename("in", "elsewhere");
        folder.write("in", "");
        let again = Lines::again(&folder.input(), &[], &offsets, Options::default()).unwrap();
        let mut again = Job::new(again);
        again.read_to_the_end().unwrap();
        let all = [read_lines(0, 0..104, 0), read_lines(1, 1000..1200, 0)].concat();
        assert_eq!(again.kept.kept, all);
        let names: Vec<_> =
            lock(&again.lines).files().iter().map(|file| file.file_name().unwrap().to_owned()).collect();
        assert_eq!(names, [archive, "elsewhere"]);
        // Also from an offset in between.
        let from = stopped(&Folder::new());
        let from = [NextOffset { topic: offsets[0].topic.clone(), ..from[0].clone() }];
        let again = Lines::again(&folder.input(), &from, &offsets, Options::default()).unwrap();
        let mut again = Job::new(again);
        again.read_to_the_end().unwrap();
        assert_eq!(again.kept.kept, expected);
        fs::remove_file(folder.path("elsewhere")).unwrap();
        let mut again = Job::new(Lines::again(&folder.input(), &[], &offsets, Options::default()).unwrap());
        let error = again.failure().to_string();
        assert!(error.contains("no file in ") && error.contains(" bytes that were read from "), "{error}");
    }
}

#[test]
fn files_that_had_the_name_in_between_are_read_in_order() {
    let folder = Folder::new();
    folder.write("in", lines(600..610));
    let mut older = folder.open(&[], Options::default()).unwrap();
    older.read_to_the_end().unwrap();
    let mut offsets = stopped(&folder);
    offsets[0].partition = 1;
    offsets.extend(older.offsets);
    let expected = [
        read_lines(1, 100..103, 100),
        read_lines(2, 200..300, 0),
        read_lines(3, 300..301, 0),
        read_lines(4, 400..450, 0),
    ]
    .concat();
    folder.append("in", lines(100..103));
    folder.rename("in", "in.3");
    // Modification times must differ.
    let at = |name: &str, seconds: u64| {
        let file = File::options().append(true).open(folder.path(name)).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000 + seconds)).unwrap();
    };
    folder.write("in.4", lines(900..910));
    folder.write("in.2", lines(200..300));
    folder.write("in.2.gz", gzip(lines(200..300).as_bytes()));
    folder.write("in.1.gz", gzip(lines(300..301).as_bytes()));
    folder.write("in.bak", lines(910..920));
    folder.write("other.1", lines(920..930));
    // A copy of an older file, compressed just now.
    folder.write("in.5.gz", gzip(lines(600..610).as_bytes()));
    folder.write("in", lines(400..450));
    // A copy of the current file, which was not truncated yet.
    folder.write("in.0", lines(400..440));
    for (name, seconds) in
        [("in.4", 1), ("in.3", 2), ("in.2", 3), ("in.2.gz", 3), ("in.1.gz", 4), ("in.0", 5), ("other.1", 6)]
    {
        at(name, seconds);
    }
    assert_eq!(folder.rest(&offsets, Options::default()), expected);
    let mut job = folder.open(&offsets, FOLLOWED()).unwrap();
    assert_eq!(job.read(expected.len()), expected);
}

#[test]
fn the_same_bytes_are_the_same_file_whatever_its_inode() {
    let folder = Folder::new();
    let offsets = stopped(&folder);
    folder.write("new", lines(0..150));
    folder.rename("new", "in");
    assert_eq!(folder.rest(&offsets, Options::default()), read_lines(0, 100..150, 100));
    folder.write("in", gzip(lines(0..150).as_bytes()));
    assert_eq!(folder.rest(&offsets, FOLLOWED()), read_lines(0, 100..150, 100));
}

#[test]
fn on_data_loss_decides_if_the_file_that_was_read_is_gone() {
    for new in [lines(1000..1200), lines(0..99), lines(0..50) + &lines(49..300), String::new()] {
        let folder = Folder::new();
        let offsets = stopped(&folder);
        folder.write("in", &new);
        let error = folder.open(&offsets, Options::default()).err().unwrap().to_string();
        let bytes = lines(0..100).len();
        for words in
            ["in is not the file that was read", "(100 lines)", &format!("{bytes} bytes"), "on_data_loss"]
        {
            assert!(error.contains(words), "{error}");
        }
        let read = folder.rest(&offsets, EARLIEST());
        assert_eq!(read.len(), new.lines().count());
        assert!(read.iter().all(|(partition, ..)| *partition == 1), "{read:?}");
    }
}

/// A job that follows, and has read the first 100 lines.
fn following(folder: &Folder) -> Job {
    folder.write("in", lines(0..100));
    let mut job = folder.open(&[], FOLLOWED()).unwrap();
    assert_eq!(job.all_now().len(), 100);
    job
}

#[test]
fn a_file_that_is_renamed_while_it_is_followed_is_finished_first() {
    let folder = Folder::new();
    let mut job = following(&folder);
    // The writer may still append to the renamed file for a while.
    folder.append("in", lines(100..105));
    folder.rename("in", "in.1");
    assert_eq!(job.read(5), read_lines(0, 100..105, 100));
    folder.append("in.1", lines(105..107));
    folder.write("in", "");
    assert_eq!(job.read(2), read_lines(0, 105..107, 105));
    folder.append("in.1", "{\"cut");
    // The new file may begin like the previous one.
    folder.append("in", lines(0..3));
    let expected = [messages(0, 107, &["{\"cut"]), read_lines(1, 0..3, 0)].concat();
    assert_eq!(job.read(4), expected);
    // Also if it is replaced at once and deleted.
    folder.append("in", lines(3..4));
    folder.write("new", lines(200..300));
    folder.rename("new", "in");
    let expected = [read_lines(1, 3..4, 3), read_lines(2, 200..300, 0)].concat();
    assert_eq!(job.read(101), expected);
    // The same bytes are the same file.
    folder.write("new", lines(200..302));
    folder.rename("new", "in");
    assert_eq!(job.read(2), read_lines(2, 300..302, 100));
}

#[test]
fn a_file_that_is_copied_and_truncated_while_it_is_followed_loses_no_line() {
    // The new content may be shorter than the old one, or already longer at the next read.
    for more in [1, 10, 99, 100, 300, 30_000] {
        let folder = Folder::new();
        let mut job = following(&folder);
        folder.append("in", lines(100..110));
        fs::copy(folder.path("in"), folder.path("in.1")).unwrap();
        folder.truncate();
        folder.append("in", lines(500..500 + more));
        let expected = [read_lines(0, 100..110, 100), read_lines(1, 500..500 + more, 0)].concat();
        assert!(job.read(10 + more) == expected, "{more} lines");
    }
}

#[test]
fn a_copy_made_before_the_last_lines_were_read_is_recognized() {
    let folder = Folder::new();
    let mut job = following(&folder);
    folder.append("in", lines(100..110));
    fs::copy(folder.path("in"), folder.path("in.1")).unwrap();
    folder.append("in", lines(110..112));
    assert_eq!(job.all_now(), read_lines(0, 100..112, 100));
    folder.truncate();
    folder.append("in", lines(0..1) + &lines(200..203));
    assert_eq!(job.read(4), [read_lines(1, 0..1, 0), read_lines(1, 200..203, 1)].concat());
}

#[test]
fn a_truncated_file_without_a_copy_ends_the_job_or_is_read_from_its_beginning() {
    for (shorter, options) in [(true, FOLLOWED()), (false, FOLLOWED())] {
        let folder = Folder::new();
        let mut job = following(&folder);
        folder.truncate();
        assert_eq!(job.all_now(), []);
        let new = if shorter { 500..510 } else { 500..900 };
        folder.append("in", lines(new.clone()));
        let error = job.failure();
        assert!(matches!(error, SourceError::Replaced { lines: 100, .. }), "{error}");

        let mut job = following(&folder);
        folder.truncate();
        folder.append("in", lines(new.clone()));
        let offsets = std::mem::take(&mut job.offsets);
        assert!(folder.open(&offsets, options).is_err());
        let mut job = folder.open(&[], Options { follow: true, ..EARLIEST() }).unwrap();
        job.all_now();
        folder.truncate();
        folder.append("in", lines(0..20));
        assert_eq!(job.read(20), read_lines(1, 0..20, 0));
    }
}

#[test]
fn a_file_that_is_rewritten_with_the_same_bytes_is_the_same_file() {
    let folder = Folder::new();
    let mut job = following(&folder);
    folder.truncate();
    folder.append("in", lines(0..40));
    assert_eq!(job.all_now(), []);
    folder.append("in", lines(40..100));
    assert_eq!(job.all_now(), []);
    folder.append("in", lines(100..103));
    assert_eq!(job.read(3), read_lines(0, 100..103, 100));
}

#[test]
fn a_file_that_is_truncated_while_it_is_read_to_its_end_is_noticed() {
    let folder = Folder::new();
    folder.write("in", lines(0..30_000));
    let mut job = folder.open(&[], Options::default()).unwrap();
    assert!(matches!(job.poll(), Ok(Polled::Read(_))));
    folder.truncate();
    folder.append("in", lines(7..9));
    assert!(matches!(job.failure(), SourceError::Replaced { .. }));
}

#[test]
fn a_link_that_changes_its_target_is_another_file_of_the_same_name() {
    let folder = Folder::new();
    folder.write("day 1", lines(0..10));
    folder.write("day 2", lines(20..40));
    std::os::unix::fs::symlink("day 1", folder.path("in")).unwrap();
    let mut job = folder.open(&[], FOLLOWED()).unwrap();
    assert_eq!(job.all_now(), read_lines(0, 0..10, 0));
    let offsets = job.offsets.clone();
    folder.append("day 1", lines(10..11));
    fs::remove_file(folder.path("in")).unwrap();
    std::os::unix::fs::symlink("day 2", folder.path("in")).unwrap();
    let expected = [read_lines(0, 10..11, 10), read_lines(1, 20..40, 0)].concat();
    assert_eq!(job.read(21), expected);
    assert_eq!(folder.rest(&offsets, Options::default()), expected);
}

#[test]
fn a_pipe_continues_only_after_what_was_read_from_it() {
    let folder = Folder::new();
    let path = folder.path("in");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let pipe = |bytes: Vec<u8>| {
        let path = path.clone();
        std::thread::spawn(move || fs::write(path, bytes).unwrap())
    };
    let offsets = |bytes: Vec<u8>, offsets: &[NextOffset], options| {
        let writer = pipe(bytes);
        let mut job = folder.open(offsets, options)?;
        job.read_to_the_end()?;
        writer.join().unwrap();
        Ok::<_, SourceError>((job.kept.kept, job.offsets))
    };
    let (read, at) = offsets(lines(0..100).into_bytes(), &[], FOLLOWED()).unwrap();
    assert_eq!(read, read_lines(0, 0..100, 0));
    let more = (lines(0..150) + "{\"cut").into_bytes();
    let expected = [read_lines(0, 100..150, 100), messages(0, 150, &["{\"cut"])].concat();
    assert_eq!(offsets(more.clone(), &at, FOLLOWED()).unwrap().0, expected);
    assert_eq!(offsets(gzip(&more), &at, FOLLOWED()).unwrap().0, expected);
    // A different stream is not skipped.
    for (count, lines) in [(300, lines(7..307)), (5, lines(0..5))] {
        let error = offsets(lines.clone().into_bytes(), &at, FOLLOWED()).unwrap_err();
        assert!(matches!(error, SourceError::OtherStream { .. }), "{error}");
        let (read, _) = offsets(lines.into_bytes(), &at, EARLIEST()).unwrap();
        assert_eq!((read.len(), read[0].0, read[0].1), (count, 1, 0));
    }
}

#[test]
fn a_path_is_made_absolute_however_it_is_given() {
    let folder = Folder::new();
    folder.write("in", "");
    let roundabout = folder.0.path().join(".").join("in");
    assert_eq!(full_path(roundabout.to_str().unwrap()), full_path(&folder.input()));
    assert_eq!(full_path("-"), "-");
    assert_eq!(Path::new(&full_path("in")), std::env::current_dir().unwrap().join("in"));
    std::os::unix::fs::symlink("in", folder.path("link")).unwrap();
    let link = folder.path("link").to_str().unwrap().to_owned();
    assert!(is_same(&link, &folder.input()) && full_path(&link) != full_path(&folder.input()));
}
