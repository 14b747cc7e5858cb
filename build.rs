//! Tells the binary which commit it is made from, for `--version`, and which sources, for the processes of a cluster.

// Cargo reads what it prints.
#![allow(clippy::print_stdout)]

#[path = "build/sources.rs"]
mod sources;

use std::path::Path;
use std::process::Command;

fn main() {
    let git = |args: &[&str]| {
        let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
    };
    // Not of the prefix TRUCKFLOW_: cargo hands it on to what it runs, and there that is a key.
    // Not a repository: a package of the sources, which has its version alone.
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default();
    let version = env!("CARGO_PKG_VERSION");
    let long = if commit.is_empty() { version.to_owned() } else { format!("{version} ({commit})") };
    println!("cargo::rustc-env=VERSION_WITH_COMMIT={long}");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let digest = sources::digest(root).expect("the sources can be read");
    println!("cargo::rustc-env=DIGEST_OF_SOURCES={digest:016x}");
    for path in sources::paths(root) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    println!("cargo::rerun-if-changed=build");
    // What changes with each commit: the branch's log.
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"]);
    println!("cargo::rerun-if-changed=build.rs");
    if let Some(log) = log.filter(|log| Path::new(log).exists()) {
        println!("cargo::rerun-if-changed={log}");
    }
}
