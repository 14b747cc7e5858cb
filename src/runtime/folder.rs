//! The lock on an output folder: only one instance may write there.
//!
//! The kernel holds the lock for as long as the process lives, even while it is stopped by `SIGSTOP` and could
//! continue to write later. The folder itself is locked, as it is rarely removed by mistake, and so is a file in
//! it, for file systems that cannot lock folders. The file contains the process id of the holder.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use thiserror::Error;

use crate::runtime::failure::SystemError;

/// The name of the lock file.
const NAME: &str = ".truckflow.lock";

/// A folder that cannot be locked.
#[derive(Debug, Error)]
pub enum FolderError {
    /// Another instance holds the lock.
    #[error("another instance{holder} writes to {out}; stop it, or choose another --out")]
    Taken {
        /// The folder.
        out: String,
        /// ` (process N)`, if known.
        holder: String,
    },
    /// The operating system refused the lock.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// Holds the lock until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _folder: Option<File>,
    _file: File,
}

impl FolderLock {
    /// Locks an existing folder; fails if another instance holds the lock.
    pub fn take(out: &Path) -> Result<Self, FolderError> {
        let system = |source| SystemError { verb: "lock the output folder", source };
        let path = out.join(NAME);
        let mut file =
            File::options().create(true).truncate(false).read(true).write(true).open(path).map_err(system)?;
        let folder = File::open(out).map_err(system)?;
        let is_ours = lock(&file).map_err(system)?;
        // Where folders cannot be locked, the file is enough.
        let folder = match lock(&folder) {
            Ok(true) => Some(folder),
            Ok(false) => return Err(taken(out, &mut file)),
            Err(_) => None,
        };
        if !is_ours {
            return Err(taken(out, &mut file));
        }
        let process = std::process::id();
        file.set_len(0).and_then(|()| writeln!(file, "{process}")).map_err(system)?;
        Ok(Self { _folder: folder, _file: file })
    }

    /// Whether an instance holds the lock now. Creates no file.
    pub fn is_held(out: &Path) -> bool {
        // The shared lock is released as soon as the file is closed.
        let is_held = |file: File| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock));
        [out, &out.join(NAME)].into_iter().any(|path| File::open(path).is_ok_and(is_held))
    }
}

fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn taken(out: &Path, file: &mut File) -> FolderError {
    let mut process = String::new();
    let holder = match file.read_to_string(&mut process) {
        Ok(_) if process.trim().parse::<u32>().is_ok() => format!(" (process {})", process.trim()),
        _ => String::new(),
    };
    FolderError::Taken { out: out.display().to_string(), holder }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_survives_the_removal_of_its_file() {
        let out = tempfile::tempdir().unwrap();
        assert!(!FolderLock::is_held(out.path()));
        let lock = FolderLock::take(out.path()).unwrap();
        assert!(FolderLock::is_held(out.path()));
        let said = FolderLock::take(out.path()).unwrap_err().to_string();
        assert!(said.contains(&format!("process {}", std::process::id())), "{said}");
        std::fs::remove_file(out.path().join(NAME)).unwrap();
        assert!(FolderLock::is_held(out.path()));
        let said = FolderLock::take(out.path()).unwrap_err().to_string();
        assert!(said.contains("another instance writes to"), "{said}");
        drop(lock);
        assert!(!FolderLock::is_held(out.path()));
        FolderLock::take(out.path()).unwrap();
    }
}
