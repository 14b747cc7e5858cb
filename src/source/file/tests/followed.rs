//! Files that are renamed, copied or truncated while a job reads them.

use std::fs;

use super::{EARLIEST, FOLLOWED, Folder, Job, lines, messages, read_lines};
use crate::source::file::Options;
use crate::source::{Polled, SourceError};

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
