//! The path of an input.

use std::path::Path;

use super::Folder;
use crate::source::file::full_path;

#[test]
fn a_path_is_made_absolute_however_it_is_given() {
    let folder = Folder::new();
    folder.write("in", "");
    let roundabout = folder.0.path().join(".").join("in");
    assert_eq!(full_path(roundabout.to_str().unwrap()), full_path(&folder.input()));
    assert_eq!(full_path("-"), "-");
    assert_eq!(Path::new(&full_path("in")), std::env::current_dir().unwrap().join("in"));
    std::os::unix::fs::symlink("in", folder.path("link")).unwrap();
    let link = folder.path("link").to_str().unwrap().to_owned();
    assert_ne!(full_path(&link), full_path(&folder.input()));
}
