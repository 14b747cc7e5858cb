//! The identity of a file: the bytes that were read from it, not its name or inode.
//!
//! A commit has a [`Mark`]: the number of bytes that were read, and their hash. A [`Trace`] creates marks while a text is
//! read. They are used to [compare](Trace::compare) another text, and to [find](find) the file in its folder after it
//! was renamed, copied or compressed.
//!
//! The hash is XXH3 with 128 bits: it is many times as fast as the decoder, and need not resist forgery.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dataflows::item::Mark;
use xxhash_rust::xxh3::Xxh3;

use super::compression::{self, Format};
use super::fill::fill;
use super::path::folder;

/// Bytes at the beginning of which a copy is kept.
const HEAD: usize = 64 << 10;
/// Maximum bytes between two marks.
const STEP: usize = 32 << 10;
/// Maximum number of marks. When it is reached, every second of the older ones is dropped.
const MARKS: usize = 2048;
/// Number of latest marks that are all kept.
const LATEST: usize = 512;

/// What was read from a text since its beginning.
#[derive(Clone)]
pub(super) struct Trace {
    hasher: Xxh3,
    bytes: u64,
    last: Option<u8>,
    head: Vec<u8>,
    marks: Vec<Mark>,
}

/// How a text compares with that of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It begins with all bytes of the trace.
    Whole,
    /// It is shorter: this many bytes, which equal those of the trace as far as its marks show.
    Part(u64),
    /// It differs.
    None,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Trace {
    /// An empty trace.
    pub(super) fn new() -> Self {
        Self { hasher: Xxh3::new(), bytes: 0, last: None, head: Vec::new(), marks: Vec::new() }
    }

    /// Reads `bytes` bytes of a text, or all if there are fewer.
    pub(super) fn read(input: &mut dyn Read, bytes: u64) -> io::Result<Self> {
        let mut trace = Self::new();
        let mut block = vec![0; STEP];
        while trace.bytes < bytes {
            let want = (bytes - trace.bytes).min(STEP as u64) as usize;
            let read = fill(&mut block[..want], |rest, _| input.read(rest))?;
            trace.add(&block[..read]);
            if read < want {
                break;
            }
        }
        Ok(trace)
    }

    /// Adds the next bytes.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(STEP) {
            let more = piece.len().min(HEAD - self.head.len());
            self.head.extend_from_slice(&piece[..more]);
            self.hasher.update(piece);
            self.bytes += piece.len() as u64;
            self.last = piece.last().copied();
            self.marks.push(self.mark());
            if self.marks.len() == MARKS {
                let mut place = 0;
                self.marks.retain(|_| {
                    place += 1;
                    place % 2 == 0 || place > MARKS - LATEST
                });
            }
        }
    }

    /// The mark of all bytes that were read.
    pub(super) fn mark(&self) -> Mark {
        Mark { bytes: self.bytes, hash: self.hasher.digest128() }
    }

    /// The number of bytes that were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first bytes that were read.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Whether the last byte is not a line end.
    pub(super) fn is_within_a_line(&self) -> bool {
        self.last.is_some_and(|last| last != b'\n')
    }

    /// Compares a text with the one that was read.
    pub(super) fn compare(&self, input: &mut dyn Read) -> io::Result<Likeness> {
        let mut hasher = Xxh3::new();
        let (mut bytes, mut block) = (0, vec![0; STEP]);
        for mark in &self.marks {
            while bytes < mark.bytes {
                let want = (mark.bytes - bytes).min(STEP as u64) as usize;
                let read = fill(&mut block[..want], |rest, _| input.read(rest))?;
                let known = self.head.get(bytes as usize..).unwrap_or_default();
                let both = known.len().min(read);
                if known[..both] != block[..both] {
                    return Ok(Likeness::None);
                }
                bytes += read as u64;
                if read < want {
                    return Ok(Likeness::Part(bytes));
                }
                hasher.update(&block[..read]);
            }
            if hasher.digest128() != mark.hash {
                return Ok(Likeness::None);
            }
        }
        Ok(Likeness::Whole)
    }

    /// Whether a text of this many bytes, which equal those of the trace, may be a copy that was made shortly before
    /// the end of the trace.
    fn is_recent(&self, bytes: u64) -> bool {
        let oldest = self.marks.len().saturating_sub(LATEST);
        bytes > 0 && self.marks.get(oldest).is_some_and(|mark| mark.bytes <= bytes || oldest == 0)
    }
}

/// A file that was found by its bytes.
#[derive(Debug)]
pub(super) struct Found {
    /// Its path.
    pub path: PathBuf,
    /// The trace of what was read from it.
    pub trace: Trace,
    /// Its compression, if any.
    pub format: Option<Format>,
    /// Whether it has all bytes of the trace.
    pub is_whole: bool,
}

/// The file at `path`, if it begins with the bytes of `mark`.
pub(super) fn match_file(path: &Path, mark: Mark) -> Option<Found> {
    match_file_with_length(path, mark).map(|(_, found)| found)
}

fn match_file_with_length(path: &Path, mark: Mark) -> Option<(Option<u64>, Found)> {
    let (mut input, format, length) = open(path, mark.bytes)?;
    // A file that cannot be read, such as a corrupt compressed one, does not match.
    let trace = Trace::read(&mut *input, mark.bytes).ok()?;
    let found = Found { path: path.to_owned(), trace, format, is_whole: true };
    (mark.bytes == 0 || found.trace.mark() == mark).then_some((length, found))
}

/// Another file in the folder of `path` that begins with the bytes of `mark`.
pub(super) fn find(path: &Path, mark: Mark) -> io::Result<Option<Found>> {
    Ok(longest(neighbours(path)?.iter().filter_map(|path| match_file_with_length(path, mark)).collect()))
}

/// Another file in the folder of `path` that begins with all bytes of `trace`, or else a copy that was made shortly
/// before the last of them were written.
pub(super) fn find_copy(path: &Path, trace: &Trace) -> io::Result<Option<Found>> {
    let (mut whole, mut part) = (Vec::new(), Vec::new());
    for path in neighbours(path)? {
        let Some((mut input, format, length)) = open(&path, 0) else { continue };
        let found = |is_whole| Found { path: path.clone(), trace: trace.clone(), format, is_whole };
        match trace.compare(&mut *input) {
            Ok(Likeness::Whole) => whole.push((length, found(true))),
            Ok(Likeness::Part(bytes)) if trace.is_recent(bytes) => part.push((Some(bytes), found(false))),
            _ => {}
        }
    }
    Ok(longest(whole).or_else(|| longest(part)))
}

/// The longest of several matching files: the others are copies made while it grew. A compressed file counts as a copy.
fn longest(found: Vec<(Option<u64>, Found)>) -> Option<Found> {
    found.into_iter().rev().max_by_key(|(length, _)| *length).map(|(_, found)| found)
}

/// The text of a file, its compression, and its length if it is not compressed.
type Opened = (Box<dyn Read + Send>, Option<Format>, Option<u64>);

/// Opens a file that has at least `bytes` bytes.
fn open(path: &Path, bytes: u64) -> Option<Opened> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
    let (input, format) = compression::text(Box::new(file)).ok()?;
    let length = format.is_none().then_some(metadata.len());
    length.is_none_or(|length| length >= bytes).then_some((input, format, length))
}

/// The other files in the folder of `path`, first those whose names start with its name.
fn neighbours(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut others: Vec<PathBuf> = fs::read_dir(folder(path))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|other| other.file_name() != path.file_name() && other.is_file())
        .collect();
    others.sort_by_key(|other| (!is_of_the_name(path, other), other.clone()));
    Ok(others)
}

fn is_of_the_name(path: &Path, other: &Path) -> bool {
    let name = |path: &Path| path.file_name().unwrap_or_default().as_encoded_bytes().to_vec();
    name(other).starts_with(&name(path))
}

/// The files that had the name `path` after the one at `finished`, which has `trace`, and before the one that has it
/// now, in order. They are from the same rotation: their names differ only in digits or compression, and they were
/// modified later. Files that begin with one of the `known` marks were read before.
pub(super) fn after(path: &Path, finished: &Path, trace: &Trace, known: &[Mark]) -> Vec<PathBuf> {
    let written = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    let (Some(since), Some(rotation)) = (written(finished), rotation(path, finished)) else {
        return Vec::new();
    };
    let is_copy = |other: &Path| {
        let Some((mut input, ..)) = open(other, 0) else { return true };
        // A copy of the finished file, of an earlier one, or of the one that has the name now.
        if !matches!(trace.compare(&mut *input), Ok(Likeness::None))
            || known.iter().any(|mark| match_file(other, *mark).is_some())
        {
            return true;
        }
        let all = open(other, 0).and_then(|(mut input, ..)| Trace::read(&mut *input, u64::MAX).ok());
        let Some((all, (mut now, ..))) = all.zip(open(path, 0)) else { return true };
        all.bytes() == 0 || matches!(all.compare(&mut *now), Ok(Likeness::Whole))
    };
    let mut others: Vec<_> = neighbours(path)
        .unwrap_or_default()
        .into_iter()
        .filter(|other| other != finished && self::rotation(path, other).as_ref() == Some(&rotation))
        .filter_map(|other| Some((written(&other).filter(|at| *at > since)?, other)))
        .filter(|(_, other)| !is_copy(other))
        .collect();
    others.sort();
    others.into_iter().map(|(_, other)| other).collect()
}

/// The pattern by which a file that had the name `path` was renamed: the part after the name or before its extension,
/// with `#` for digits and without the extension of compressed files. `None` if there are no digits.
fn rotation(path: &Path, other: &Path) -> Option<(bool, String)> {
    let name = path.file_name()?.to_str()?;
    let other = match Format::of_name(other) {
        Some(_) => other.file_stem()?.to_str()?,
        None => other.file_name()?.to_str()?,
    };
    let within = || {
        let (stem, end) = name.rsplit_once('.')?;
        Some((false, other.strip_prefix(stem)?.strip_suffix(end)?))
    };
    let (is_after, more) = other.strip_prefix(name).map(|more| (true, more)).or_else(within)?;
    let mut pattern = String::new();
    for character in more.chars() {
        match character.is_ascii_digit() {
            true if pattern.ends_with('#') => {}
            true => pattern.push('#'),
            false => pattern.push(character),
        }
    }
    pattern.contains('#').then_some((is_after, pattern))
}

/// The current path of an open file in the folder of `path`.
pub(super) fn name_of(path: &Path, id: (u64, u64)) -> Option<PathBuf> {
    let is_it =
        |other: &PathBuf| fs::metadata(other).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == id);
    neighbours(path).ok()?.into_iter().find(is_it)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn trace(pieces: &[&[u8]]) -> Trace {
        let mut trace = Trace::new();
        pieces.iter().for_each(|piece| trace.add(piece));
        trace
    }

    fn text(bytes: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            b" \n{}abc0"[(state >> 60) as usize % 8]
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn a_mark_does_not_depend_on_the_pieces_in_which_a_text_is_read() {
        let bytes = text(300_000, 1);
        let whole = trace(&[&bytes]);
        let pieces: Vec<&[u8]> = bytes.chunks(977).collect();
        assert_eq!(trace(&pieces).mark(), whole.mark());
        assert_eq!(Trace::read(&mut &bytes[..], 300_000).unwrap().mark(), whole.mark());
        assert_eq!(Trace::read(&mut &bytes[..], 1000).unwrap().mark(), trace(&[&bytes[..1000]]).mark());
        assert_eq!(Trace::new().mark().bytes, 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn a_text_is_identified_by_all_of_its_bytes(
            length in 1..200_000usize,
            pieces in prop::collection::vec(1..50_000usize, 1..20),
            at in any::<prop::sample::Index>(),
            more in 0..100usize,
        ) {
            let bytes = text(length, 7);
            let mut known = Trace::new();
            let mut rest = &bytes[..];
            for piece in pieces.iter().cycle() {
                let (first, after) = rest.split_at((*piece).min(rest.len()));
                known.add(first);
                rest = after;
                if rest.is_empty() { break; }
            }
            let compare = |bytes: &[u8]| known.compare(&mut &bytes[..]).unwrap();
            prop_assert_eq!(compare(&[&bytes[..], &text(more, 2)[..]].concat()), Likeness::Whole);
            let at = at.index(length);
            prop_assert_eq!(compare(&bytes[..at]), Likeness::Part(at as u64));
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            prop_assert_eq!(compare(&changed), Likeness::None);
        }
    }

    #[test]
    fn marks_are_thinned_out_except_the_latest() {
        let bytes = text(40_000, 3);
        let pieces: Vec<&[u8]> = bytes.chunks(4).collect();
        let trace = trace(&pieces);
        assert!(trace.marks.len() < MARKS, "{}", trace.marks.len());
        assert!(trace.is_recent(40_000 - 4 * (LATEST as u64 - 1)));
        assert!(!trace.is_recent(20_000));
        assert_eq!(trace.compare(&mut &bytes[..]).unwrap(), Likeness::Whole);
    }

    #[test]
    fn the_files_of_a_rotation_are_recognized_by_their_names() {
        let rotation = |other: &str| rotation(Path::new("/x/in1.jsonl"), Path::new(other));
        let behind = |pattern: &str| Some((true, pattern.to_owned()));
        for name in ["in1.jsonl.1", "in1.jsonl.27", "in1.jsonl.2.gz", "in1.jsonl.3.zst"] {
            assert_eq!(rotation(name), behind(".#"));
        }
        assert_eq!(rotation("in1.jsonl-20250101"), behind("-#"));
        assert_eq!(rotation("in1-2025-01-01.jsonl"), Some((false, "-#-#-#.".to_owned())));
        for name in ["in1.jsonl.bak", "in2.jsonl.1", "in1.jsonl", "in1.jsonl.gz", "other"] {
            assert_eq!(rotation(name), None, "{name}");
        }
    }

    #[test]
    fn a_file_is_found_by_its_bytes_under_any_name_and_compressed() {
        use std::io::Write;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in.jsonl");
        let bytes = text(100_000, 5);
        let mark = trace(&[&bytes[..60_000]]).mark();
        let find = || match_file(&path, mark).or_else(|| find(&path, mark).unwrap());
        let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
        write("in.jsonl", &bytes[1..]);
        write("in.jsonl.2", &bytes[..59_999]);
        assert!(find().is_none());
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(&bytes).unwrap();
        write("archived.gz", &gzip.finish().unwrap());
        let found = find().unwrap();
        assert_eq!(
            (found.path.file_name().unwrap().to_str(), found.format),
            (Some("archived.gz"), Some(Format::Gzip))
        );
        assert_eq!(found.trace.mark(), mark);
        // An earlier copy is shorter.
        write("a copy", &bytes[..70_000]);
        write("in.jsonl.1", &bytes[..90_000]);
        assert_eq!(find().unwrap().path, folder.path().join("in.jsonl.1"));
        write("in.jsonl", &bytes);
        assert_eq!(find().unwrap().path, path);
    }
}
