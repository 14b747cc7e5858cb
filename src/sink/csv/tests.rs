//! Files that are written, cut back and continued.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::num::NonZeroU64;
use std::path::Path;

use super::location::Location;
use super::measure::length;
use super::*;
use dataflows::rows::ColumnSpec;
use dataflows::rows::{Type, column};
use proptest::prelude::*;

const COLUMNS: &[ColumnSpec] = &[column("a", Type::Integer)];
const OTHERS: &[ColumnSpec] = &[column("a", Type::Integer), column("b,c", Type::Text)];

/// The committed numbers, as in the store.
type Numbers = BTreeMap<String, u64>;

fn single(length: u64) -> Numbers {
    Numbers::from([("v".to_owned(), length)])
}

fn rotated(file: u64, length: u64, records: u64) -> Numbers {
    [("v/file", file), ("v/length", length), ("v/records", records)]
        .map(|(name, number)| (name.to_owned(), number))
        .into()
}

fn open(out: &Path, committed: &Numbers, max_records: u64) -> Result<CsvFiles, CsvError> {
    let views = [("v", Some(COLUMNS)), ("off", None)];
    CsvFiles::open(out, "job", &views, committed, NonZeroU64::new(max_records))
}

fn commit(files: &mut CsvFiles, committed: &mut Numbers) {
    committed.extend(files.sync().unwrap());
}

fn put(out: &Path, name: &str, text: &str) {
    let path = out.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The numbered files, as text.
fn texts(out: &Path) -> Vec<String> {
    let files = files_of(out, "v", true).unwrap();
    files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[test]
fn a_start_truncates_uncommitted_lines() {
    let out = tempfile::tempdir().unwrap();
    let mut files = open(out.path(), &Numbers::new(), 0).unwrap();
    files.write(0, b"1\n", 1).unwrap();
    files.write(1, b"9\n", 1).unwrap();
    assert_eq!(files.sync().unwrap(), [("v".to_owned(), 4)]);
    assert_eq!(files.sync().unwrap(), []);
    files.write(0, b"2\n", 1).unwrap();
    drop(files);
    let mut files = open(out.path(), &single(4), 0).unwrap();
    files.write(0, b"3\n", 1).unwrap();
    assert_eq!(std::fs::read(out.path().join("v.csv")).unwrap(), b"a\n1\n3\n");
    assert!(!out.path().join("off.csv").exists());
}

#[test]
fn lines_of_a_failed_attempt_are_removed_and_written_again() {
    for max_records in [0, 2] {
        let out = tempfile::tempdir().unwrap();
        let mut committed = Numbers::new();
        let mut files = open(out.path(), &committed, max_records).unwrap();
        files.write(0, b"1\n", 1).unwrap();
        commit(&mut files, &mut committed);
        let end = files.end(0).unwrap();
        // Longer than its replacement, and across several files.
        files.write(0, b"2\n3\n4\n5\n6\n", 5).unwrap();
        files.sync().unwrap();
        files.cut_back(0, end).unwrap();
        files.write(0, b"7\n", 1).unwrap();
        commit(&mut files, &mut committed);
        // Again, without a replacement.
        let end = files.end(0).unwrap();
        files.write(0, b"8\n9\n", 2).unwrap();
        files.cut_back(0, end).unwrap();
        commit(&mut files, &mut committed);
        drop(files);
        let files = files_of(out.path(), "v", max_records > 0).unwrap();
        let texts: Vec<String> = files.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
        assert_eq!(texts, ["a\n1\n7\n"]);
        open(out.path(), &committed, max_records).unwrap();
    }
}

#[test]
fn a_file_left_by_a_kill_before_the_first_commit_is_reused() {
    for left in ["", "a", "a\n"] {
        for (name, max_records) in [("v.csv", 0), ("v/000001.csv", 5)] {
            let out = tempfile::tempdir().unwrap();
            put(out.path(), name, left);
            open(out.path(), &Numbers::new(), max_records).unwrap();
            assert_eq!(std::fs::read(out.path().join(name)).unwrap(), b"a\n");
        }
    }
}

#[test]
fn rows_of_another_job_with_the_same_header_are_not_truncated() {
    for (name, max_records) in [("v.csv", 0), ("v/000001.csv", 5), ("v/000007.csv", 5)] {
        let out = tempfile::tempdir().unwrap();
        put(out.path(), name, "a\n1\n");
        let refused = open(out.path(), &Numbers::new(), max_records);
        assert!(matches!(refused, Err(CsvError::Foreign { .. })), "{name}: {refused:?}");
        assert_eq!(std::fs::read(out.path().join(name)).unwrap(), b"a\n1\n");
    }
}

#[test]
fn the_file_of_another_job_is_refused() {
    let out = tempfile::tempdir().unwrap();
    put(out.path(), "v.csv", "x,y\n1,2\n");
    put(out.path(), "v/000002.csv", "x,y\n1,2\n");
    for committed in [Numbers::new(), single(100), single(5)] {
        assert!(matches!(open(out.path(), &committed, 0), Err(CsvError::Foreign { .. })));
    }
    for committed in [Numbers::new(), rotated(2, 100, 9), rotated(2, 5, 1), rotated(1, 4, 1)] {
        assert!(matches!(open(out.path(), &committed, 5), Err(CsvError::Foreign { .. })));
    }
    assert_eq!(std::fs::read(out.path().join("v.csv")).unwrap(), b"x,y\n1,2\n");
    assert_eq!(texts(out.path()), ["x,y\n1,2\n"]);
}

#[test]
fn a_file_whose_view_has_changed_columns_is_refused() {
    let out = tempfile::tempdir().unwrap();
    put(out.path(), "v.csv", "a,\"b,c\"\n1,2\n");
    put(out.path(), "v/000002.csv", "a,\"b,c\"\n1,2\nnot committed");
    put(out.path(), "v/000003.csv", "a");
    for (committed, max_records, name) in [(single(12), 0, "v.csv"), (rotated(2, 12, 1), 5, "000002.csv")] {
        let error = open(out.path(), &committed, max_records).unwrap_err();
        assert!(matches!(error, CsvError::Columns { .. }), "{error}");
        let said = error.to_string();
        assert!(said.contains(name) && said.contains("a,\"b,c\"") && !said.contains('\n'), "{said}");
    }
    assert_eq!(texts(out.path()), ["a,\"b,c\"\n1,2\nnot committed", "a"]);
    // And the reverse, where the new header starts with the old one.
    put(out.path(), "w.csv", "a\n1\n");
    let committed = Numbers::from([("w".to_owned(), 4)]);
    let refused = CsvFiles::open(out.path(), "job", &[("w", Some(OTHERS))], &committed, None);
    assert!(matches!(refused, Err(CsvError::Columns { .. })));
}

#[test]
fn a_file_is_full_at_max_records() {
    let out = tempfile::tempdir().unwrap();
    let mut committed = Numbers::new();
    let mut files = open(out.path(), &committed, 2).unwrap();
    // Line feeds and quotes inside quotes, across the end of a file and at it.
    files.write(0, b"1\n\"\n\"\"\n\"\n3\n", 3).unwrap();
    files.write(0, b"\"4\n\"\n", 1).unwrap();
    assert_eq!(texts(out.path()), ["a\n1\n\"\n\"\"\n\"\n", "a\n3\n\"4\n\"\n"]);
    commit(&mut files, &mut committed);
    assert_eq!(committed, rotated(2, 9, 2));
    drop(files);
    // After a full file, the next one is created only with its first row.
    let mut files = open(out.path(), &committed, 2).unwrap();
    assert_eq!(texts(out.path()).len(), 2);
    files.write(0, b"5\n6\n7\n8\n9\n", 5).unwrap();
    assert_eq!(texts(out.path())[2..], ["a\n5\n6\n", "a\n7\n8\n", "a\n9\n"]);
    commit(&mut files, &mut committed);
    assert_eq!(committed, rotated(5, 4, 1));
}

#[test]
fn a_new_max_records_applies_from_the_last_file_on() {
    let out = tempfile::tempdir().unwrap();
    let mut committed = Numbers::new();
    for (max_records, lines, records) in [(3, "1\n2\n", 2), (4, "3\n4\n5\n6\n7\n", 5), (1, "8\n9\n", 2)] {
        let mut files = open(out.path(), &committed, max_records).unwrap();
        files.write(0, lines.as_bytes(), records).unwrap();
        commit(&mut files, &mut committed);
    }
    assert_eq!(texts(out.path()), ["a\n1\n2\n3\n4\n", "a\n5\n6\n7\n", "a\n8\n", "a\n9\n"]);
}

#[test]
fn a_switch_between_file_and_folder_continues_in_the_other_location() {
    let out = tempfile::tempdir().unwrap();
    let mut committed = Numbers::new();
    for (max_records, row) in [(0, "1\n"), (1, "2\n"), (1, "3\n"), (0, "4\n"), (1, "5\n")] {
        let mut files = open(out.path(), &committed, max_records).unwrap();
        files.write(0, row.as_bytes(), 1).unwrap();
        commit(&mut files, &mut committed);
        // Killed in the next epoch, whose row is written again in the other location.
        files.write(0, b"x\n", 1).unwrap();
    }
    open(out.path(), &committed, 0).unwrap();
    assert_eq!(std::fs::read(out.path().join("v.csv")).unwrap(), b"a\n1\n4\n");
    assert_eq!(texts(out.path()), ["a\n2\n", "a\n3\n", "a\n5\n"]);
}

#[test]
fn other_files_in_the_folder_are_left_alone() {
    let out = tempfile::tempdir().unwrap();
    let others = ["v/notes.csv", "v/0000002.csv", "v/000000.csv", "v/12.csv", "v/000003.csv.gz"];
    for name in others {
        put(out.path(), name, "other");
    }
    let mut files = open(out.path(), &Numbers::new(), 1).unwrap();
    files.write(0, b"1\n2\n", 2).unwrap();
    drop(files);
    open(out.path(), &rotated(1, 4, 1), 1).unwrap();
    assert_eq!(texts(out.path()), ["a\n1\n"]);
    for name in others {
        assert_eq!(std::fs::read(out.path().join(name)).unwrap(), b"other", "{name}");
    }
}

#[test]
fn files_past_the_millionth_are_in_order() {
    let out = tempfile::tempdir().unwrap();
    put(out.path(), "v/999999.csv", "a\n1\n");
    let mut files = open(out.path(), &rotated(999_999, 4, 1), 1).unwrap();
    files.write(0, b"2\n3\n", 2).unwrap();
    assert_eq!(texts(out.path()), ["a\n1\n", "a\n2\n", "a\n3\n"]);
    assert!(out.path().join("v/1000001.csv").exists());
}

/// How much of the uncommitted writes survives a kill or a power failure.
#[derive(Clone, Debug)]
enum Left {
    /// Everything.
    All,
    /// Everything, and the bytes of one more write.
    More(String),
    /// Everything, and the next files with this content.
    Next(Vec<String>),
    /// A part of the uncommitted bytes of the last file.
    Part(prop::sample::Index),
    /// Only the committed files.
    NoNew,
}

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<String>),
    Commit,
    Kill { left: Left, max_records: u64, commits_after: bool },
}

fn record() -> impl Strategy<Value = String> {
    prop_oneof!["[0-9]{1,4}\n", "\"([a\n,]|\"\"){0,6}\"\n"]
}

fn left() -> impl Strategy<Value = Left> {
    let next = prop_oneof![Just(String::new()), Just("a".into()), Just("a\n".into()), "a\n(1\n){1,3}\"?"];
    prop_oneof![
        Just(Left::All),
        "[0-9\"\n]{1,9}".prop_map(Left::More),
        prop::collection::vec(next, 1..4).prop_map(Left::Next),
        any::<prop::sample::Index>().prop_map(Left::Part),
        Just(Left::NoNew),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => prop::collection::vec(record(), 0..9).prop_map(Step::Write),
        2 => Just(Step::Commit),
        // 0 means one file.
        2 => (left(), prop_oneof![3 => Just(3u64), 2 => 0u64..5], any::<bool>())
            .prop_map(|(left, max_records, commits_after)| Step::Kill { left, max_records, commits_after }),
    ]
}

fn damage(place: &Location, committed: &Numbers, left: &Left) {
    let Some(end) = place.committed(committed) else { return };
    let files = place.later(0).unwrap();
    let last = files.last().unwrap();
    let uncommitted = files.len() as u64 > end.number;
    match left {
        Left::All => {}
        Left::More(bytes) => {
            let mut file = OpenOptions::new().append(true).open(last).unwrap();
            file.write_all(bytes.as_bytes()).unwrap();
        }
        Left::Next(texts) if place.rotates => {
            for (text, number) in texts.iter().zip(files.len() as u64 + 1..) {
                std::fs::write(place.path(number), text).unwrap();
            }
        }
        Left::Part(part) => {
            let kept = if uncommitted { 0 } else { end.length };
            let written = length(last).unwrap() - kept;
            let file = OpenOptions::new().write(true).open(last).unwrap();
            file.set_len(kept + part.index(written as usize + 1) as u64).unwrap();
        }
        Left::NoNew => {
            place.remove_later(end).unwrap();
        }
        Left::Next(_) => {}
    }
}

/// The lines at a location without the header of each file.
fn lines_of(place: &Location, most: u64) -> String {
    let mut lines = String::new();
    for path in place.later(0).unwrap() {
        let text = std::fs::read_to_string(&path).unwrap();
        lines += text.strip_prefix("a\n").expect("a header");
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&text.as_bytes()[2..]);
        let records = reader.records().map(Result::unwrap).count();
        assert!(!place.rotates || records as u64 <= most, "{records} records in {path:?}");
    }
    lines
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn kills_preserve_the_committed_records_and_file_sizes(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        let out = tempfile::tempdir().unwrap();
        let places = [false, true].map(|rotates| Location::new(out.path(), "v", rotates));
        let mut committed = Numbers::new();
        let (mut kept, mut pending) = ([String::new(), String::new()], String::new());
        let (mut max_records, mut most) = (3, 3);
        let mut files = open(out.path(), &committed, max_records).unwrap();
        // Like the committer, before the first row.
        commit(&mut files, &mut committed);
        for step in steps.into_iter().chain([Step::Kill { left: Left::All, max_records: 3, commits_after: true }]) {
            match step {
                Step::Write(records) => {
                    files.write(0, records.concat().as_bytes(), records.len() as u64).unwrap();
                    pending += &records.concat();
                }
                Step::Commit => {
                    commit(&mut files, &mut committed);
                    kept[usize::from(max_records > 0)] += &std::mem::take(&mut pending);
                }
                Step::Kill { left, max_records: next, commits_after } => {
                    drop(files);
                    damage(&places[usize::from(max_records > 0)], &committed, &left);
                    pending.clear();
                    max_records = next;
                    most = most.max(next);
                    files = open(out.path(), &committed, max_records).unwrap();
                    if !commits_after {
                        // Killed again immediately, before the headers of new files are committed.
                        drop(files);
                        files = open(out.path(), &committed, max_records).unwrap();
                    }
                    commit(&mut files, &mut committed);
                    for (place, kept) in places.iter().zip(&kept) {
                        prop_assert_eq!(&lines_of(place, most), kept);
                    }
                    prop_assert!(committed.len() <= 4, "{:?}", committed);
                }
            }
        }
    }
}
