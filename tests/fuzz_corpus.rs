//! Every file of the fuzzers' corpus, through the functions that are fuzzed.

// What tests print is read by who runs them.
#![allow(clippy::print_stdout)]

use std::fs;
use std::path::Path;

#[path = "../fuzz/src/lib.rs"]
mod targets;

#[test]
fn no_input_that_fuzzing_kept_is_a_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in targets::TARGETS {
        let folder = corpus.join(name);
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        assert!(!files.is_empty(), "{name} has a corpus");
        for path in files {
            // Shown if it fails.
            println!("{}", path.display());
            target(&fs::read(&path).unwrap());
        }
    }
}
