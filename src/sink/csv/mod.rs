//! CSV files: appended to, and truncated to the last commit at a start.
//!
//! ```text
//! csv.max_records absent   <out>/<view>.csv           committed: <view> = bytes
//! csv.max_records = N      <out>/<view>/000001.csv    committed: <view>/file = number of the last file,
//!                          <out>/<view>/000002.csv               <view>/length = its bytes,
//!                          ...                                   <view>/records = its records
//! ```
//!
//! The committed numbers are stored in the transaction that commits the epoch. The order is: write, sync the
//! files, sync their folders, commit. So bytes after the committed length, and files after the committed one,
//! belong to an epoch that never committed.
//!
//! A file is full at N records; the next one is created with the next record, so no file is empty. When N changes,
//! the last file is continued up to the new N. When a job switches between one file and a folder, the committed
//! data stays in the old location and new data goes to the new one; after switching back, it continues at the end
//! of the old location.

mod ends;
mod error;
mod file;
mod files;
mod folder;
mod location;
mod measure;
mod replace;
#[cfg(test)]
mod tests;

pub use ends::{committed_ends, files_of};
pub use error::CsvError;
pub use files::CsvFiles;
pub use folder::{numbered, prepare_folder};
pub use location::End;
pub use replace::{remove_files, replace_files};
