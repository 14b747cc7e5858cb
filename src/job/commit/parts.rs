//! What commits are made of.

use crate::runtime::folder::FolderLock;
use crate::sink::csv::CsvFiles;
use crate::store::Store;

/// The parts of a job that commits are made of.
pub struct Parts {
    /// The database.
    pub store: Box<dyn Store>,
    /// The files.
    pub files: CsvFiles,
    /// Keeps other instances away from the files, as long as anyone may write to them.
    pub lock: FolderLock,
}
