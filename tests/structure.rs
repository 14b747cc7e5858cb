//! Imports go one way: down the lists of folders below, and never in a circle.
//!
//! The paths are read out of the sources: those of `use`, those that begin with `crate`, `super` or `self` elsewhere,
//! and those that begin with a module that the file declares. Unit tests may import what they like.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The crates, and their folders from the top to the bottom. A file imports from its own folder and from those below it.
const CRATES: [(&str, &[&str]); 3] = [
    (
        "src",
        &[
            "command", "cli", "job", "config", "observe", "source", "sink", "store", "state", "registry",
            "kafka", "runtime",
        ],
    ),
    ("codec/src", &["decode", "render", "text"]),
    ("dataflows/src", &[]),
];

/// A module: its path from the crate's root.
type Module = Vec<String>;

/// Which modules a crate has, and which of them each imports.
struct Crate {
    imports: BTreeMap<Module, BTreeSet<Module>>,
}

impl Crate {
    fn read(root: &Path) -> Self {
        let mut files = BTreeMap::new();
        find(root, &mut Vec::new(), &mut files);
        let modules: BTreeSet<Module> = files.keys().cloned().collect();
        let imports = files.iter().map(|(module, text)| (module.clone(), imports(module, text, &modules)));
        Self { imports: imports.collect() }
    }

    /// A circle of modules, if there is one.
    fn circle(&self) -> Option<Vec<Module>> {
        // What is left when modules without an import are taken away again and again is a circle, or above one.
        let mut left = self.imports.clone();
        loop {
            let done: Vec<Module> =
                left.iter().filter(|(_, of)| of.is_empty()).map(|(module, _)| module.clone()).collect();
            if done.is_empty() {
                break;
            }
            for module in done {
                left.remove(&module);
                left.values_mut().for_each(|of| _ = of.remove(&module));
            }
        }
        let mut at = left.keys().next()?;
        let mut way: Vec<&Module> = Vec::new();
        while !way.contains(&at) {
            way.push(at);
            at = left[at].first()?;
        }
        let first = way.iter().position(|module| *module == at)?;
        Some(way[first..].iter().map(|module| (*module).clone()).collect())
    }
}

/// Reads all modules of a folder; files and folders of tests are left out.
fn find(folder: &Path, of: &mut Module, files: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if ["main", "tests"].contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            of.push(name);
            find(&path, of, files);
            of.pop();
        } else if path.extension().is_some_and(|end| end == "rs") {
            let own = (!["lib", "mod"].contains(&&*name)).then_some(name);
            files.insert(of.iter().cloned().chain(own).collect(), code(&fs::read_to_string(path).unwrap()));
        }
    }
}

/// The text without comments and without the module of tests at its end. A declaration, `mod tests;`, ends nothing.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    // A visibility, `pub(in crate::store)`, imports nothing.
    let mut parts = text.split("pub(in ");
    let first = parts.next().unwrap_or_default();
    let text: String =
        [first].into_iter().chain(parts.filter_map(|part| Some(part.split_once(')')?.1))).collect();
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn imports(module: &Module, text: &str, modules: &BTreeSet<Module>) -> BTreeSet<Module> {
    let is_child = |name: &str| modules.contains(&[&module[..], &[name.to_owned()]].concat());
    let mut found = BTreeSet::new();
    for path in paths(text) {
        let mut names = path.iter().map(String::as_str).peekable();
        let mut full: Module = match names.peek() {
            Some(&"crate") => Vec::new(),
            Some(&("self" | "super")) => module.clone(),
            Some(name) if is_child(name) => module.clone(),
            _ => continue,
        };
        for name in names {
            match name {
                "crate" | "self" => {}
                "super" => _ = full.pop(),
                name => full.push(name.to_owned()),
            }
        }
        while !modules.contains(&full) && full.pop().is_some() {}
        if full != *module {
            found.insert(full);
        }
    }
    found
}

/// The paths in a text, those of a group one by one.
fn paths(text: &str) -> Vec<Vec<String>> {
    let mut paths = Vec::new();
    // What stands before each open group, and the path that is being read.
    let (mut groups, mut path): (Vec<Vec<String>>, Vec<String>) = (Vec::new(), Vec::new());
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        let length = rest.find(|char: char| !char.is_alphanumeric() && char != '_').unwrap_or(rest.len());
        if length > 0 {
            path.push(rest[..length].to_owned());
            rest = &rest[length..];
        } else if let Some(behind) = rest.strip_prefix("::") {
            rest = behind;
            if let Some(inside) = rest.strip_prefix('{') {
                let outer = groups.last().cloned().unwrap_or_default();
                groups.push([outer, std::mem::take(&mut path)].concat());
                rest = inside;
            }
            continue;
        } else {
            rest = &rest[char.len_utf8()..];
            if char == '}' && !groups.is_empty() {
                groups.pop();
                path.clear();
                continue;
            }
        }
        // A path ends where no `::` follows.
        if !rest.starts_with("::") {
            if path.len() > 1 || (!path.is_empty() && !groups.is_empty()) {
                paths.push([groups.last().cloned().unwrap_or_default(), path.clone()].concat());
            }
            path.clear();
        }
    }
    paths
}

fn shown(module: &Module) -> String {
    module.join("::")
}

#[test]
fn paths_are_read_one_by_one() {
    let text = "use crate::a::{self, b::{C, d}, E};\nfn f() { super::g::h(); i.j(); }";
    let read: Vec<String> = paths(text).iter().map(shown).collect();
    assert_eq!(read, ["crate::a::self", "crate::a::b::C", "crate::a::b::d", "crate::a::E", "super::g::h"]);
}

#[test]
fn no_file_imports_from_a_folder_above_its_own() {
    for (root, folders) in CRATES.into_iter().filter(|(_, folders)| !folders.is_empty()) {
        let place = |module: &Module| {
            let folder = module.first()?;
            let place = folders.iter().position(|known| known == folder);
            // What a crate's root takes from another crate is of no folder.
            place.or_else(|| panic!("{root}/{folder} is not among the folders of tests/structure.rs"))
        };
        let source = Crate::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(root));
        let upward: Vec<String> = source
            .imports
            .iter()
            .flat_map(|(module, of)| of.iter().map(move |other| (module, other)))
            .filter(|(module, other)| !module.is_empty() && !other.is_empty() && place(other) < place(module))
            .map(|(module, other)| format!("{} imports {}", shown(module), shown(other)))
            .collect();
        assert!(
            upward.is_empty(),
            "{root}: move what they share into the lower folder:\n{}",
            upward.join("\n")
        );
    }
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    for (root, _) in CRATES {
        let circle = Crate::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join(root)).circle();
        let names = circle.map(|circle| circle.iter().map(shown).collect::<Vec<_>>().join(" -> "));
        assert_eq!(names, None, "{root}: move what they share into a file of its own");
    }
}
