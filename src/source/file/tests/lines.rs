//! Lines and their numbers, in a file that grows and in a stream.

use std::fs;

use dataflows::item::NextOffset;

use super::{CSV, EARLIEST, FOLLOWED, Folder, lines, messages, read_lines};
use crate::source::SourceError;
use crate::source::file::compression::tests::{gzip, zstd};
use crate::source::file::{Options, Unfinished, lock};

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
    folder.write("in", "a,b\n1,2\n3,-2.9");
    let mut job = folder.open(&[], CSV).unwrap();
    job.read_to_the_end().unwrap();
    assert_eq!(job.kept.kept, messages(0, 1, &["1,2"]));
    assert_eq!(lock(&job.lines).unfinished().map(|left| (left.line, left.bytes)), Some((3, 6)));
    folder.append("in", "77706\n");
    assert_eq!(folder.rest(&job.offsets, CSV), messages(0, 2, &["3,-2.977706"]));

    // A compressed file is complete.
    folder.write("in", gzip(b"a,b\n1,2\n3,-2.9"));
    assert_eq!(folder.rest(&[], CSV), messages(0, 1, &["1,2", "3,-2.9"]));
    folder.write("in", zstd(b"{\"a\": 1}\n{\"b\": 2.9"));
    assert_eq!(folder.rest(&[], Options::default()), messages(0, 0, &["{\"a\": 1}", "{\"b\": 2.9"]));
}

#[test]
fn a_pipe_continues_only_after_what_was_read_from_it() {
    let folder = Folder::new();
    let path = folder.path("in");
    let pipe = |bytes: Vec<u8>| {
        let path = path.clone();
        // A reader that refuses the stream closes the pipe.
        std::thread::spawn(move || _ = fs::write(path, bytes))
    };
    let offsets = |bytes: Vec<u8>, offsets: &[NextOffset], options| {
        // The thread that reads a refused stream may still have it open, and would take what the next writer writes.
        _ = fs::remove_file(&path);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let writer = pipe(bytes);
        let read = folder.open(offsets, options).and_then(|mut job| job.read_to_the_end().map(|()| job));
        writer.join().unwrap();
        read.map(|job| (job.kept.kept, job.offsets))
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
