//! The output folder, and the files in it.

use super::error::{CsvError, failed};
use std::fs::File;
use std::io::{self};
use std::path::{Path, PathBuf};

/// Creates the output folder if it is missing, and checks that files can be created in it.
pub fn prepare_folder(out: &Path) -> Result<(), CsvError> {
    std::fs::create_dir_all(out).map_err(failed("create", out))?;
    let probe = out.join(".truckflow-probe");
    File::create(&probe).map_err(failed("write in", out))?;
    std::fs::remove_file(&probe).map_err(failed("write in", out))
}

/// The numbered files in a folder, in order; none if the folder does not exist.
pub fn numbered(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".csv")?.parse().ok());
        // A file with another spelling of the same number is not ours.
        if let Some(number) = number.filter(|&number| name == *file_name(number)) {
            files.push((number, entry.path()));
        }
    }
    files.sort();
    Ok(files)
}

pub(super) fn file_name(number: u64) -> String {
    format!("{number:06}.csv")
}

/// Makes the entries of a folder durable.
pub(super) fn sync_folder(folder: &Path) -> Result<(), CsvError> {
    match File::open(folder).and_then(|folder| folder.sync_all()) {
        // The file system cannot sync folders.
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok(())
        }
        synced => synced.map_err(failed("sync", folder)),
    }
}
