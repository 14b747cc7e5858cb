//! Files that were renamed, rotated or rewritten while no job ran.

use std::fs::{self, File};
use std::time::{Duration, SystemTime};

use dataflows::item::NextOffset;

use super::{EARLIEST, FOLLOWED, Folder, Job, line, lines, read_lines};
use crate::source::file::compression::tests::{gzip, zstd};
use crate::source::file::{Lines, Options, lock};

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
