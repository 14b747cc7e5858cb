//! Encodings, compression, and CSV files.

use std::fs;

use super::{CSV, FOLLOWED, Folder, Job, lines, messages, read_lines};
use crate::source::file::compression::tests::{gzip, zstd};
use crate::source::file::{Framing, Lines, Options};

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
    for cut in [1, 2, 3, 4_001, 9_999, 20_000] {
        let folder = Folder::new();
        folder.write("in", format!("\u{feff}a,b\r\n{}", text(1..cut)));
        let mut job = folder.open(&[], CSV).unwrap();
        job.read_to_the_end().unwrap();
        assert!(job.kept.kept == expected(1..cut), "up to record {cut}");
        folder.append("in", text(cut..20_000));
        let mut job = folder.open(&job.offsets, CSV).unwrap();
        job.read_to_the_end().unwrap();
        assert!(job.kept.kept == expected(cut..20_000), "from record {cut}");
        assert!(job.kept.kept.is_empty() || job.kept.header == b"a,b\r\n");
    }
}

#[test]
fn a_followed_csv_file_may_be_empty_at_first() {
    let folder = Folder::new();
    folder.write("in", "");
    let mut job = folder.open(&[], Options { follow: true, ..CSV }).unwrap();
    assert_eq!(job.all_now(), []);
    folder.append("in", "a,b\n1,");
    assert_eq!(job.all_now(), []);
    folder.append("in", "2\n");
    assert_eq!(job.all_now(), messages(0, 1, &["1,2"]));
    assert_eq!(job.kept.header, b"a,b\n");
}

#[test]
fn a_csv_file_may_have_no_header_and_another_separator() {
    let framing = Framing::Records { separator: b';', has_header: false };
    let options = Options { framing, ..Options::default() };
    let folder = Folder::new();
    folder.write("in", "1;\"two\nlines\"\n3,\"4;5\n");
    let mut job = folder.open(&[], options).unwrap();
    job.read_to_the_end().unwrap();
    assert_eq!(job.kept.kept, messages(0, 0, &["1;\"two\nlines\"", "3,\"4;5"]));
    assert!(job.kept.header.is_empty());
}
