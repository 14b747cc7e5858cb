//! Which file it is: the bytes that were read of it tell, not its name and not its inode.
//!
//! A commit keeps a [`Mark`]: how many bytes were read, and their hash. A [`Trace`] makes marks while a text is
//! read. With them another text is [compared](Trace::compare), and the file is [found](find) in its folder
//! when it was renamed, copied or compressed.
//!
//! The hash is XXH3, of 128 bits: it is many times as fast as the decoder, and nobody forges a log.

use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dataflows::item::Mark;
use xxhash_rust::xxh3::Xxh3;

use super::compression::{self, Format};
use super::folder;

/// Bytes at the beginning that are kept as they are.
const HEAD: usize = 64 << 10;
/// Bytes from one mark to the next, where many are read at once.
const STEP: usize = 32 << 10;
/// Marks that are kept. When there are more, every second of the older ones goes.
const MARKS: usize = 2048;
/// The latest marks, which all stay.
const LATEST: usize = 512;

/// What was read of a text, from its beginning.
#[derive(Clone)]
pub(super) struct Trace {
    hasher: Xxh3,
    bytes: u64,
    last: Option<u8>,
    head: Vec<u8>,
    marks: Vec<Mark>,
}

/// How a text is like the one of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Likeness {
    /// It begins with all the bytes of the trace.
    Whole,
    /// It is shorter than that: so many bytes, which are those of the trace as far as its marks tell.
    Part(u64),
    /// It is another.
    None,
}

impl std::fmt::Debug for Trace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Trace").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Trace {
    /// That of nothing.
    pub(super) fn new() -> Self {
        Self { hasher: Xxh3::new(), bytes: 0, last: None, head: Vec::new(), marks: Vec::new() }
    }

    /// Reads `bytes` bytes of a text, or all if it has fewer.
    pub(super) fn read(input: &mut dyn Read, bytes: u64) -> io::Result<Self> {
        let mut trace = Self::new();
        let mut block = vec![0; STEP];
        while trace.bytes < bytes {
            let want = (bytes - trace.bytes).min(STEP as u64) as usize;
            let read = read_full(input, &mut block[..want])?;
            trace.add(&block[..read]);
            if read < want {
                break;
            }
        }
        Ok(trace)
    }

    /// Adds what was read next.
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

    /// All that was read.
    pub(super) fn mark(&self) -> Mark {
        Mark { bytes: self.bytes, hash: self.hasher.digest128() }
    }

    /// How many bytes were read.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The first of them.
    pub(super) fn head(&self) -> &[u8] {
        &self.head
    }

    /// Whether the last of them is within a line.
    pub(super) fn is_within_a_line(&self) -> bool {
        self.last.is_some_and(|last| last != b'\n')
    }

    /// How a text is like the one that was read.
    pub(super) fn compare(&self, input: &mut dyn Read) -> io::Result<Likeness> {
        let mut hasher = Xxh3::new();
        let (mut bytes, mut block) = (0, vec![0; STEP]);
        for mark in &self.marks {
            while bytes < mark.bytes {
                let want = (mark.bytes - bytes).min(STEP as u64) as usize;
                let read = read_full(input, &mut block[..want])?;
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

    /// Whether a text of so many bytes, which are like those of the trace, is what there was shortly before
    /// its end: a copy that was made then.
    fn is_recent(&self, bytes: u64) -> bool {
        let oldest = self.marks.len().saturating_sub(LATEST);
        bytes > 0 && self.marks.get(oldest).is_some_and(|mark| mark.bytes <= bytes || oldest == 0)
    }
}

fn read_full(input: &mut dyn Read, bytes: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < bytes.len() {
        match input.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A file that was found by its bytes.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it is.
    pub path: PathBuf,
    /// What was read of it.
    pub trace: Trace,
    /// How it is compressed, if it is.
    pub format: Option<Format>,
    /// Whether it has all the bytes that were looked for.
    pub is_whole: bool,
}

/// The file at `path`, if it begins with the bytes of `mark`.
pub(super) fn look(path: &Path, mark: Mark) -> Option<Found> {
    look_with_length(path, mark).map(|(_, found)| found)
}

fn look_with_length(path: &Path, mark: Mark) -> Option<(Option<u64>, Found)> {
    let (mut input, format, length) = open(path, mark.bytes)?;
    // What cannot be read, as it is compressed and damaged, is not the file.
    let trace = Trace::read(&mut *input, mark.bytes).ok()?;
    let found = Found { path: path.to_owned(), trace, format, is_whole: true };
    (mark.bytes == 0 || found.trace.mark() == mark).then_some((length, found))
}

/// The file of the folder of `path`, but not the one there, that begins with the bytes of `mark`.
pub(super) fn find(path: &Path, mark: Mark) -> io::Result<Option<Found>> {
    Ok(longest(neighbours(path)?.iter().filter_map(|path| look_with_length(path, mark)).collect()))
}

/// The file of the folder of `path`, but not the one there, that begins with all bytes of `trace`; else a copy
/// that was made shortly before they had all been written.
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

/// Several may have the bytes, where one of them was copied while it grew. A compressed one is taken for a copy
/// of the others.
fn longest(found: Vec<(Option<u64>, Found)>) -> Option<Found> {
    found.into_iter().rev().max_by_key(|(length, _)| *length).map(|(_, found)| found)
}

/// The text of a file, how it is compressed, and the length of one that is not.
type Opened = (Box<dyn Read + Send>, Option<Format>, Option<u64>);

/// Opens a file that has at least `bytes` bytes.
fn open(path: &Path, bytes: u64) -> Option<Opened> {
    let file = File::open(path).ok()?;
    let metadata = file.metadata().ok().filter(fs::Metadata::is_file)?;
    let (input, format) = compression::text(Box::new(file)).ok()?;
    let length = format.is_none().then_some(metadata.len());
    length.is_none_or(|length| length >= bytes).then_some((input, format, length))
}

/// The other files of the folder of `path`: those first whose names begin as its name does.
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

/// The files that had the name `path` after the one at `finished`, which `trace` is of, and before the one that
/// has it now; in their order. These are of the same rotation: their names differ in digits only, or in being
/// compressed, and they were written to later. What begins with one of the `known` marks was read before.
pub(super) fn after(path: &Path, finished: &Path, trace: &Trace, known: &[Mark]) -> Vec<PathBuf> {
    let written = |path: &Path| -> Option<SystemTime> { fs::metadata(path).ok()?.modified().ok() };
    let (Some(since), Some(rotation)) = (written(finished), rotation(path, finished)) else {
        return Vec::new();
    };
    let is_copy = |other: &Path| {
        let Some((mut input, ..)) = open(other, 0) else { return true };
        // Of the finished file, of those before it, or of the one that has the name.
        if !matches!(trace.compare(&mut *input), Ok(Likeness::None))
            || known.iter().any(|mark| look(other, *mark).is_some())
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

/// How a file is named that had the name `path`: what stands behind that, or before its ending, with `#` for
/// digits and without the ending of a compressed file. None if there are no digits.
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
    let (is_behind, more) = other.strip_prefix(name).map(|more| (true, more)).or_else(within)?;
    let mut pattern = String::new();
    for character in more.chars() {
        match character.is_ascii_digit() {
            true if pattern.ends_with('#') => {}
            true => pattern.push('#'),
            false => pattern.push(character),
        }
    }
    pattern.contains('#').then_some((is_behind, pattern))
}

/// The name that an open file has in the folder of `path` now.
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
        fn a_text_that_was_read_is_known_by_all_of_its_bytes(
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
    fn marks_stay_few_and_the_latest_stay_all() {
        let bytes = text(40_000, 3);
        let pieces: Vec<&[u8]> = bytes.chunks(4).collect();
        let trace = trace(&pieces);
        assert!(trace.marks.len() < MARKS, "{}", trace.marks.len());
        assert!(trace.is_recent(40_000 - 4 * (LATEST as u64 - 1)));
        assert!(!trace.is_recent(20_000));
        assert_eq!(trace.compare(&mut &bytes[..]).unwrap(), Likeness::Whole);
    }

    #[test]
    fn the_files_of_a_rotation_are_told_by_their_names() {
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
        let find = || look(&path, mark).or_else(|| find(&path, mark).unwrap());
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
        // A copy that was made earlier has less.
        write("a copy", &bytes[..70_000]);
        write("in.jsonl.1", &bytes[..90_000]);
        assert_eq!(find().unwrap().path, folder.path().join("in.jsonl.1"));
        write("in.jsonl", &bytes);
        assert_eq!(find().unwrap().path, path);
    }
}
