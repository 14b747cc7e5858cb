//! The committed state of a job, without its rows, as one file: written by `truckflow state export` and read by
//! `truckflow state import`.
//!
//! ```text
//! truckflow state export 1\n
//! a JSON object: job, source, epoch, offsets, files, views, tables\n
//! parts of state, each: index of its view in `with_state` u32 | length u64 | bytes
//! u32::MAX | SHA-256 of everything before
//! ```
//!
//! Numbers are little-endian. The parts are folded, and sealed as in a store.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use dataflows::Epoch;
use dataflows::item::{NextOffset, ReadingId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::state::StoredView;
use crate::state::offset::{FirstOffset, ViewOffset};
use dataflows::item::TopicId;

/// The start of every export, followed by the number of its format.
const MAGIC: &str = "truckflow state export ";
/// The format of this version.
const VERSION: u32 = 1;
/// The index that marks the end of the parts.
const END: u32 = u32::MAX;
const HASH_BYTES: usize = 32;

/// An export that cannot be used.
#[derive(Debug, Error)]
pub enum ExportError {
    /// An I/O operation failed.
    #[error("cannot {verb} {path}: {source}; fix that or name another FILE")]
    Io {
        /// The operation.
        verb: &'static str,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// Not an export.
    #[error("{0} is not an export of a job's state; name a FILE that `truckflow state export` wrote")]
    Other(PathBuf),
    /// Written by another version.
    #[error(
        "{path} has format {found}, but this version reads {VERSION}; import it with the version that wrote it"
    )]
    Version {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u32,
    },
    /// The checksum does not match, or the content does not parse.
    #[error("{0} is damaged or incomplete; use another copy or another export")]
    Damaged(PathBuf),
    /// The export of another job.
    #[error(
        "{path} is an export of job `{found}`, not of job `{job}`; use --job {found} or that job's configuration"
    )]
    OtherJob {
        /// The file.
        path: PathBuf,
        /// The job of the export.
        found: String,
        /// The job.
        job: String,
    },
}

/// The committed state of a job, without its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    /// The job.
    pub job: String,
    /// The source of its offsets.
    pub source: String,
    /// The number of starts.
    pub generation: u64,
    /// The last committed epoch.
    pub epoch: Epoch,
    /// Next offsets.
    pub offsets: Vec<NextOffset>,
    /// Offsets of views.
    pub view_offsets: Vec<ViewOffset>,
    /// The ids of the topics of these offsets.
    pub topics: Vec<TopicId>,
    /// Where the job began to read the partitions of its topics.
    pub begun: Vec<FirstOffset>,
    /// Messages whose event time is too far in the future.
    pub in_the_future: Vec<ReadingId>,
    /// Committed numbers of the CSV files by name: see [`crate::sink::csv`].
    pub files: Vec<(String, u64)>,
    /// The views of the job, past ones included.
    pub views: Vec<StoredView>,
    /// The sizes of the job's tables.
    pub tables: Vec<TableSize>,
    /// The views that have state.
    pub with_state: Vec<String>,
    /// The sealed parts of each view in `with_state`.
    #[serde(skip)]
    pub state: Vec<Vec<Vec<u8>>>,
}

/// The size of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSize {
    /// The table.
    pub table: String,
    /// Its rows; 0 if the table did not exist.
    pub rows: u64,
    /// The highest value of the AUTO_INCREMENT column, if there are rows.
    pub last_id: Option<i64>,
}

impl Export {
    /// The size of the state in bytes.
    pub fn state_bytes(&self) -> usize {
        self.state.iter().flatten().map(Vec::len).sum()
    }

    /// Writes the export atomically: to another name, synced, and then renamed to `path`.
    pub fn write(&self, path: &Path) -> Result<(), ExportError> {
        let failed = |verb, path: &Path| {
            let path = path.to_owned();
            move |source| ExportError::Io { verb, path, source }
        };
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".part");
        let part = path.with_file_name(name);
        let written = File::create(&part).and_then(|file| {
            let mut out = BufWriter::new(file);
            self.write_to(&mut out)?;
            out.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()
        });
        if let Err(source) = written {
            // A partial export is useless.
            let _ = fs::remove_file(&part);
            return Err(failed("write", &part)(source));
        }
        fs::rename(&part, path).map_err(failed("write", path))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        // Some file systems cannot sync a folder; the file itself is durable.
        let _ = File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all());
        Ok(())
    }

    fn write_to(&self, out: &mut impl Write) -> io::Result<()> {
        let mut hash = Sha256::new();
        let mut put = |bytes: &[u8]| {
            hash.update(bytes);
            out.write_all(bytes)
        };
        put(format!("{MAGIC}{VERSION}\n").as_bytes())?;
        put(&serde_json::to_vec(self)?)?;
        put(b"\n")?;
        for (view, parts) in (0u32..).zip(&self.state) {
            for part in parts {
                put(&view.to_le_bytes())?;
                put(&(part.len() as u64).to_le_bytes())?;
                put(part)?;
            }
        }
        put(&END.to_le_bytes())?;
        out.write_all(&hash.finalize())
    }

    /// Reads the file at `path` and verifies its checksum.
    pub fn read(path: &Path) -> Result<Self, ExportError> {
        let bytes = fs::read(path).map_err(|source| ExportError::Io {
            verb: "read",
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &bytes)
    }

    /// Parses the bytes of an export; errors name `path`.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, ExportError> {
        let other = || ExportError::Other(path.to_owned());
        let damaged = || ExportError::Damaged(path.to_owned());
        let rest = bytes.strip_prefix(MAGIC.as_bytes()).ok_or_else(other)?;
        let (number, _) = split_line(rest).ok_or_else(damaged)?;
        let found =
            std::str::from_utf8(number).ok().and_then(|number| number.parse().ok()).ok_or_else(damaged)?;
        if found != VERSION {
            return Err(ExportError::Version { path: path.to_owned(), found });
        }
        let (body, hash) = bytes.split_last_chunk::<HASH_BYTES>().ok_or_else(damaged)?;
        if Sha256::digest(body)[..] != *hash {
            return Err(damaged());
        }
        Self::parse_body(body).ok_or_else(damaged)
    }

    /// Appends the checksum to any body, for fuzzing.
    #[doc(hidden)]
    pub fn sealed(body: &[u8]) -> Vec<u8> {
        [body, &Sha256::digest(body)].concat()
    }

    /// Parses everything before the checksum.
    fn parse_body(body: &[u8]) -> Option<Self> {
        let (_, rest) = split_line(body)?;
        let (header, mut rest) = split_line(rest)?;
        let mut export: Self = serde_json::from_slice(header).ok()?;
        export.state = vec![Vec::new(); export.with_state.len()];
        loop {
            let (view, behind) = rest.split_first_chunk::<4>()?;
            let view = u32::from_le_bytes(*view);
            if view == END {
                return behind.is_empty().then_some(export);
            }
            let (length, behind) = behind.split_first_chunk::<8>()?;
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let (part, behind) = behind.split_at_checked(length)?;
            export.state.get_mut(view as usize)?.push(part.to_vec());
            rest = behind;
        }
    }
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

#[cfg(test)]
mod tests {
    use dataflows::item::Mark;

    use super::*;
    use crate::state::offset::Role;

    fn export() -> Export {
        let at = NextOffset {
            topic: "Truck-Data".into(),
            partition: 3,
            offset: i64::MAX,
            mark: Some(Mark { bytes: 1, hash: u128::MAX }),
        };
        Export {
            job: "job".into(),
            source: "topic Truck-Data".into(),
            generation: 3,
            epoch: 7,
            offsets: vec![at.clone()],
            view_offsets: vec![ViewOffset { view: "hot".into(), role: Role::Since, at }],
            topics: vec![TopicId { topic: "Truck-Data".into(), id: "x".into() }],
            begun: vec![FirstOffset {
                topic: "Truck-Data".into(),
                partition: 3,
                offset: 7,
                start: Some("-7d".into()),
            }],
            in_the_future: vec![ReadingId { topic: "Truck-Data".into(), partition: 3, offset: 7, place: 0 }],
            files: vec![("parameter_map".into(), 99)],
            views: vec![StoredView {
                name: "hot".into(),
                definition: "SELECT `a\n`".into(),
                phase: crate::state::Phase::Complete,
            }],
            tables: vec![TableSize { table: "T".into(), rows: 5, last_id: Some(9) }],
            with_state: vec!["distance_correlation".into(), "window_averages".into()],
            state: vec![vec![b"one".to_vec(), vec![]], vec![vec![b'\n'; 3]]],
        }
    }

    #[test]
    fn an_export_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("job.state");
        fs::write(&path, "an older one").unwrap();
        export().write(&path).unwrap();
        assert_eq!(Export::read(&path).unwrap(), export());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "the temporary name is gone");
        let nowhere = folder.path().join("none").join("x");
        assert!(matches!(export().write(&nowhere), Err(ExportError::Io { verb: "write", .. })));
    }

    #[test]
    fn flipped_bits_and_truncation_are_found() {
        let mut bytes = Vec::new();
        export().write_to(&mut bytes).unwrap();
        let parse = |bytes: &[u8]| Export::parse(Path::new("x"), bytes);
        assert_eq!(parse(&bytes).unwrap(), export());
        for length in 0..bytes.len() {
            assert!(parse(&bytes[..length]).is_err(), "{length} bytes");
        }
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(parse(&bytes).is_err(), "bit {bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn other_files_are_distinguished_from_newer_exports() {
        let parse = |bytes: &[u8]| Export::parse(Path::new("x"), bytes).unwrap_err();
        assert!(matches!(parse(b"PK\x03\x04"), ExportError::Other(_)));
        assert!(matches!(parse(b"truckflow state export 2\n{}"), ExportError::Version { found: 2, .. }));
    }

    #[test]
    fn wrong_lengths_and_indices_are_damage() {
        let with_parts = |parts: &[u8]| {
            let mut body = format!("{MAGIC}{VERSION}\n").into_bytes();
            body.extend(serde_json::to_vec(&export()).unwrap());
            body.push(b'\n');
            body.extend_from_slice(parts);
            let hash = Sha256::digest(&body);
            body.extend_from_slice(&hash);
            Export::parse(Path::new("x"), &body)
        };
        let part = |view: u32, length: u64| [&view.to_le_bytes()[..], &length.to_le_bytes()].concat();
        assert!(with_parts(&END.to_le_bytes()).is_ok());
        for parts in
            [part(0, u64::MAX), part(0, 1 << 40), part(2, 0), vec![], [&END.to_le_bytes()[..], b"x"].concat()]
        {
            assert!(matches!(with_parts(&parts), Err(ExportError::Damaged(_))), "{parts:?}");
        }
    }
}
