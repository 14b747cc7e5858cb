//! Reads the committed records of a view's CSV files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, Terminator};

use crate::store::reader::Line;

/// The files of a view, in order, each with its committed length; None for the whole file.
#[derive(Debug)]
pub struct Files {
    files: Vec<(PathBuf, Option<u64>)>,
    columns: Vec<String>,
    /// Whether the last field of a record is its change.
    change: bool,
}

impl Files {
    /// The files of `view`, given the `committed` file numbers and lengths. A job that was switched between one file
    /// and a folder has both; the one in use comes last.
    pub fn of(
        out: &Path,
        view: &str,
        committed: &BTreeMap<String, u64>,
        rotates: bool,
        columns: Vec<String>,
        change: bool,
    ) -> Self {
        let number = |name: &str| committed.get(&format!("{view}{name}")).copied();
        let single: Vec<_> =
            number("").map(|length| (out.join(format!("{view}.csv")), Some(length))).into_iter().collect();
        let last = number("/file").unwrap_or(0);
        let numbered: Vec<_> = (1..=last)
            .map(|n| (out.join(view).join(format!("{n:06}.csv")), number("/length").filter(|_| n == last)))
            .collect();
        let files = if rotates { [single, numbered].concat() } else { [numbered, single].concat() };
        Self { files, columns, change }
    }

    /// Passes every record to `each`, with its change: 1 inserts, -1 retracts. An error is one sentence.
    pub fn each(&self, each: &mut dyn FnMut(i64, &Line)) -> Result<(), String> {
        if self.files.is_empty() {
            return Err("no file of this view is committed".into());
        }
        let mut line = Line::default();
        for (path, length) in &self.files {
            self.each_of(path, *length, &mut line, each)
                .map_err(|error| format!("file {}: {error}", path.display()))?;
        }
        Ok(())
    }

    fn each_of(
        &self,
        path: &Path,
        length: Option<u64>,
        line: &mut Line,
        each: &mut dyn FnMut(i64, &Line),
    ) -> Result<(), String> {
        let file = File::open(path).map_err(|error| error.to_string())?;
        let found = file.metadata().map_err(|error| error.to_string())?.len();
        let length = length.unwrap_or(found);
        if found < length {
            return Err(format!("it has {found} bytes, but {length} were committed"));
        }
        let bytes = BufReader::with_capacity(1 << 18, file).take(length);
        // Exactly the format that a job writes: only a line feed ends a record.
        let mut reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(bytes);
        let change = self.change.then_some("change");
        let header: ByteRecord = self.columns.iter().map(String::as_str).chain(change).collect();
        let mut record = ByteRecord::new();
        let mut next =
            |record: &mut ByteRecord| reader.read_byte_record(record).map_err(|error| error.to_string());
        if !next(&mut record)? || record != header {
            return Err("its header does not match the view".into());
        }
        let mut number = 1u64;
        while next(&mut record)? {
            number += 1;
            if record.len() != header.len() {
                return Err(format!(
                    "record {number} has {} fields instead of {}",
                    record.len(),
                    header.len()
                ));
            }
            line.clear();
            record.iter().take(self.columns.len()).for_each(|field| line.push(Some(field)));
            let change = match record.get(self.columns.len()).filter(|_| self.change) {
                None | Some(b"1") => 1,
                Some(b"-1") => -1,
                Some(other) => {
                    let other = String::from_utf8_lossy(other);
                    return Err(format!("record {number} has the change {other}; expected 1 or -1"));
                }
            };
            each(change, line);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_up_to_the_committed_length() {
        let out = tempfile::tempdir().unwrap();
        std::fs::create_dir(out.path().join("v")).unwrap();
        for (name, text) in [
            ("v.csv", "a,change\n1,1\n9,9"),
            ("v/000001.csv", "a,change\n\"x\ny\",1\n"),
            ("v/000002.csv", "a,change\n1,-1\n"),
        ] {
            std::fs::write(out.path().join(name), text).unwrap();
        }
        let committed = [("v", 13), ("v/file", 2), ("v/length", 14), ("v/records", 1), ("w", 3)];
        let mut committed: BTreeMap<String, u64> =
            committed.into_iter().map(|(name, number)| (name.to_owned(), number)).collect();
        let read = |committed: &BTreeMap<String, u64>| {
            let mut found = Vec::new();
            let files = Files::of(out.path(), "v", committed, true, vec!["a".into()], true);
            files.each(&mut |change, line| found.push((change, line.to_string()))).map(|()| found)
        };
        let expected = [(1, "1"), (1, "x\\ny"), (-1, "1")].map(|(change, text)| (change, text.to_owned()));
        assert_eq!(read(&committed).unwrap(), expected);
        committed.insert("v/length".into(), 15);
        assert!(read(&committed).unwrap_err().contains("has 14 bytes, but 15 were committed"));
        committed.insert("v".into(), 12);
        let none = Files::of(out.path(), "u", &committed, false, vec![], false);
        assert!(none.each(&mut |_, _| {}).unwrap_err().contains("no file"));
    }
}
