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

/// Whether two paths refer to the same file.
pub(crate) fn is_same(one: &str, other: &str) -> bool {
    let file = |path: &str| match path {
        "-" => path.into(),
        _ => std::fs::canonicalize(path).unwrap_or_else(|_| path.into()),
    };
    file(one) == file(other)
}

/// The folder of a path.
pub(super) fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
