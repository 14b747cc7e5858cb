//! The lock on an output folder: one instance writes there.
//!
//! The kernel has it, for as long as the process lives: also one that is stopped (`SIGSTOP`) and would
//! write on when it is continued. It is on the folder itself, which nobody removes by mistake, and on a file
//! in it for file systems that lock no folders; the file says whose the lock is.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::Path;

use thiserror::Error;

use crate::runtime::failure::SystemError;

/// The file that is locked, in the folder.
const NAME: &str = ".truckflow.lock";

/// Why a folder is not locked.
#[derive(Debug, Error)]
pub enum FolderError {
    /// Another instance writes to it.
    #[error("another instance{holder} writes to {out}; stop it, or choose another --out")]
    Taken {
        /// The folder.
        out: String,
        /// ` (process N)`, if that is known.
        holder: String,
    },
    /// It cannot be locked.
    #[error(transparent)]
    System(#[from] SystemError),
}

/// Keeps other instances out of a folder, until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _folder: Option<File>,
    _file: File,
}

impl FolderLock {
    /// Locks a folder that is there; refused if another instance has it.
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

    /// Whether an instance has the lock now. Nothing is made.
    pub fn is_held(out: &Path) -> bool {
        // Given back at once.
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
    fn one_has_a_folder_also_when_its_file_is_removed() {
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
