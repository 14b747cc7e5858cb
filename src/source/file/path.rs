//! The path of an input, which is its name in the store.

use std::path::Path;

/// The absolute path of a file, under which its offsets are stored. A symbolic link is not resolved, because it may
/// point to one file after another.
pub fn full_path(path: &str) -> String {
    let full = || {
        let path = Path::new(path);
        let folder = std::fs::canonicalize(folder(path)).ok()?;
        Some(folder.join(path.file_name()?).display().to_string())
    };
    match path {
        "-" => path.to_owned(),
        _ => full().unwrap_or_else(|| path.to_owned()),
    }
}

/// The folder of a path.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
