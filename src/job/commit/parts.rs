//! The stores that a commit writes to.

use crate::runtime::folder::FolderLock;
use crate::sink::csv::CsvFiles;
use crate::store::Store;

/// The stores that a commit writes to.
pub struct Parts {
    /// The database.
    pub store: Box<dyn Store>,
    /// The files.
    pub files: CsvFiles,
    /// Locks the folder against other instances, as long as the files are open.
    pub lock: FolderLock,
}
