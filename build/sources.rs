//! A number of the sources that a binary is built from: two processes of a cluster are of one build if it is the
//! same. It needs no repository, and tells changes apart that were never committed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// All that decides which bytes processes send each other. A package of the crate has no `codec` and no `dataflows`,
/// but its lock file names their versions.
const SOURCES: [&str; 7] = [
    "src",
    "codec/src",
    "codec/Cargo.toml",
    "dataflows/src",
    "dataflows/Cargo.toml",
    "Cargo.toml",
    "Cargo.lock",
];

/// The paths below `root` that [`digest`] depends on.
pub fn paths(root: &Path) -> Vec<PathBuf> {
    SOURCES.iter().map(|source| root.join(source)).filter(|path| path.exists()).collect()
}

/// FNV-1a over names and contents of all files, in the order of their names.
pub fn digest(root: &Path) -> io::Result<u64> {
    let mut files = Vec::new();
    for path in paths(root) {
        find_files(path, &mut files)?;
    }
    files.sort();
    let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
    for file in files {
        let name = file.strip_prefix(root).unwrap_or(&file);
        hash.add(name.to_string_lossy().as_bytes());
        hash.add(&fs::read(&file)?);
    }
    Ok(hash.0)
}

fn find_files(path: PathBuf, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        files.push(path);
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        // What an editor keeps there while it has a file open.
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            find_files(entry.path(), files)?;
        }
    }
    Ok(())
}

struct Fnv(u64);

impl Fnv {
    /// Adds bytes, with their number before them.
    fn add(&mut self, bytes: &[u8]) {
        for &byte in (bytes.len() as u64).to_le_bytes().iter().chain(bytes) {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
