//! The binary and its packages: what is in them. `tools/try-package` installs Debian's where systemd runs.

use std::path::Path;
use std::process::Command;

use crate::support::process::repository;

/// What a command prints; it has to succeed.
#[track_caller]
fn printed(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_debian_package_has_what_a_service_needs() {
    let folder = tempfile::tempdir().unwrap();
    let tool = repository().join("tools/package-deb");
    let package = printed(Command::new(tool).arg(env!("CARGO_BIN_EXE_truckflow")).arg(folder.path()));
    let root = folder.path().join("root");
    printed(Command::new("dpkg-deb").args(["-x", package.trim()]).arg(&root));
    let version = printed(Command::new(root.join("usr/bin/truckflow")).arg("--version"));
    assert!(version.starts_with(concat!("truckflow ", env!("CARGO_PKG_VERSION"))), "{version}");
    for path in [
        "etc/truckflow/truckflow.toml",
        "usr/lib/systemd/system/truckflow.service",
        "usr/share/bash-completion/completions/truckflow",
        "usr/share/doc/truckflow/LICENSE-MIT",
        "usr/share/doc/truckflow/docs/start.md",
        "usr/share/man/man1/truckflow-run.1.gz",
    ] {
        assert!(root.join(path).is_file(), "{path} is missing");
    }
    let control = printed(Command::new("dpkg-deb").args(["-f", package.trim()]));
    assert!(control.contains("\nDepends: libc6"), "{control}");

    // The configuration that it brings is one.
    let unit = std::fs::read_to_string(root.join("usr/lib/systemd/system/truckflow.service")).unwrap();
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/truckflow run ")).unwrap();
    let config = root.join("etc/truckflow/truckflow.toml");
    let args = start.replace("/etc/truckflow/truckflow.toml", config.to_str().unwrap());
    let mut explain = Command::new(root.join("usr/bin/truckflow"));
    assert!(printed(explain.arg("explain").args(args.split(' '))).contains("Truck-Data"));
}

#[test]
fn the_binary_needs_no_library_but_those_of_its_build() {
    const ALWAYS: [&str; 7] =
        ["libc.so", "libm.so", "libgcc_s.so", "libpthread.so", "libdl.so", "librt.so", "linux-vdso.so"];
    // What the feature `vendored` links into the binary.
    let system: &[&str] =
        if cfg!(feature = "vendored") { &[] } else { &["libssl.so", "libcrypto.so", "libz.so"] };
    let libraries = printed(Command::new("ldd").arg(env!("CARGO_BIN_EXE_truckflow")));
    assert!(libraries.contains("libc.so"), "{libraries}");
    for library in libraries.lines().filter_map(|line| line.split_whitespace().next()) {
        let is_known = ALWAYS.iter().chain(system).any(|known| library.starts_with(known));
        assert!(
            is_known || library.contains("/ld-linux"),
            "{library} is not a library of this build:\n{libraries}"
        );
    }
}

#[test]
fn the_packages_of_the_crates_hold_what_builds_them_and_no_more() {
    let mut package = Command::new(env!("CARGO"));
    package.args(["package", "--locked", "--offline", "--workspace", "--list", "--allow-dirty"]);
    let output = package.current_dir(repository()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("warning"), "{said}");
    let files = String::from_utf8(output.stdout).unwrap();
    for (file, packages) in [("LICENSE-MIT", 3), ("LICENSE-APACHE", 3), ("README.md", 3), ("src/lib.rs", 3)] {
        assert_eq!(files.lines().filter(|line| *line == file).count(), packages, "{file}");
    }
    const PLACES: [&str; 16] = [
        ".cargo_vcs_info.json",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "Cargo.lock",
        "Cargo.toml",
        "Cargo.toml.orig",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "README.md",
        "THIRD-PARTY.txt",
        "benches/stages.rs",
        "benches/work/",
        "build.rs",
        "build/sources.rs",
        "src/",
        "tests/",
    ];
    for file in files.lines() {
        let fits = |place: &str| if place.ends_with('/') { file.starts_with(place) } else { file == place };
        assert!(PLACES.iter().any(|place| fits(place)), "{file} is published with a crate");
    }
}

#[test]
fn the_shell_scripts_are_ones() {
    for folder in ["tools", "benches/growth", "benches/peers", "benches/soak"] {
        for entry in std::fs::read_dir(repository().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if is_script(&path) {
                printed(Command::new("bash").arg("-n").arg(path));
            }
        }
    }
}

fn is_script(path: &Path) -> bool {
    path.is_file() && std::fs::read(path).is_ok_and(|text| text.starts_with(b"#!/usr/bin/env bash"))
}
