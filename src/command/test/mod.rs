//! `truckflow test`: runs cases, each a folder with an input, views and the expected contents of their tables.
//!
//! ```text
//! case/input.jsonl, views.sql, job.toml ---> a job, tables in memory ---> differences to case/expected/TABLE.csv
//! ```

mod compare;
pub mod error;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Value;

use self::compare::{Expected, differences};
use self::error::CaseError;
use super::trial::{self, Shown};
use crate::cli::TestArgs;
use crate::command::error::Error;
use crate::runtime::print;
use crate::runtime::stop::{Hangup, Stop};
use crate::text::printable::quantity;

/// The file of a case's views.
const VIEWS: &str = "views.sql";

/// Runs the cases in the folders, and reports each; fails if any differs.
pub fn run(args: &TestArgs) -> Result<(), Error> {
    let stop = Arc::new(Stop::on_signals(Hangup::Reloads)?);
    let mut cases = Vec::new();
    for folder in &args.folders {
        cases.extend(found(folder)?);
    }
    let mut failed = 0;
    for case in &cases {
        let (rows, different) = tried(case, args, &stop)?;
        let name = case.display();
        if stop.requested() {
            break;
        }
        match different.is_empty() {
            true if args.update => print::line(format!("written {name}: {}", quantity(rows, "row")))?,
            true => print::line(format!("ok      {name}: {}", quantity(rows, "row")))?,
            false => {
                failed += 1;
                print::line(format!("FAILED  {name}\n{}", different.join("\n")))?;
            }
        }
    }
    if failed > 0 { Err(CaseError::Different(failed).into()) } else { Ok(()) }
}

/// The cases in a folder: itself, or the folders in it.
fn found(folder: &Path) -> Result<Vec<PathBuf>, CaseError> {
    if folder.join(VIEWS).is_file() {
        return Ok(vec![folder.to_owned()]);
    }
    let read = |source| CaseError::Read { path: folder.to_owned(), source };
    let entries = fs::read_dir(folder).map_err(read)?;
    let mut cases: Vec<PathBuf> = Vec::new();
    for entry in entries {
        let path = entry.map_err(read)?.path();
        if path.join(VIEWS).is_file() {
            cases.push(path);
        }
    }
    cases.sort();
    match cases.is_empty() {
        true => Err(CaseError::None { path: folder.to_owned() }),
        false => Ok(cases),
    }
}

/// The input of a case: the one file with a name that begins with `input`.
fn input(case: &Path) -> Result<PathBuf, CaseError> {
    let read = |source| CaseError::Read { path: case.to_owned(), source };
    let mut inputs: Vec<PathBuf> = Vec::new();
    for entry in fs::read_dir(case).map_err(read)? {
        let entry = entry.map_err(read)?;
        if entry.file_name().to_string_lossy().starts_with("input") {
            inputs.push(entry.path());
        }
    }
    match &inputs[..] {
        [one] => Ok(one.clone()),
        _ => Err(CaseError::Input { path: case.to_owned(), found: inputs.len() }),
    }
}

/// Runs a case. Returns the number of rows that were compared or written, and the lines that say what differs.
fn tried(case: &Path, args: &TestArgs, stop: &Arc<Stop>) -> Result<(usize, Vec<String>), Error> {
    let mut keys = trial::keys();
    let text = |path: &Path| Value::String(path.display().to_string());
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    keys.push(("views".into(), text(&absolute(&case.join(VIEWS)))));
    keys.push(("input".into(), text(&absolute(&input(case)?))));
    keys.extend(args.workers.map(|workers| ("workers".to_owned(), Value::Integer(workers.into()))));
    let config = case.join("job.toml");
    let config = config.is_file().then_some(config);
    let (_, shown) = trial::run(config.as_deref(), std::iter::empty(), keys, stop)?;
    let folder = case.join("expected");
    if args.update {
        return Ok((written(&folder, &shown)?, Vec::new()));
    }
    let (mut rows, mut different) = (0, Vec::new());
    let expected = Expected::all(&folder)?;
    for expected in &expected {
        match shown.iter().find(|shown| shown.table.eq_ignore_ascii_case(&expected.table)) {
            Some(shown) => {
                rows += expected.rows.len();
                different.extend(differences(expected, shown));
            }
            None => different.push(format!("  the job has no table {}", expected.table)),
        }
    }
    Ok((rows, different))
}

/// Writes the contents of all tables of the job's own views.
fn written(folder: &Path, shown: &[Shown]) -> Result<usize, CaseError> {
    let write = |path: PathBuf, source| CaseError::Write { path, source };
    fs::create_dir_all(folder).map_err(|source| write(folder.to_owned(), source))?;
    let mut rows = 0;
    for shown in
        shown.iter().filter(|shown| shown.view != dataflows::views::DEAD_LETTERS || !shown.rows.is_empty())
    {
        let path = folder.join(format!("{}.csv", shown.table));
        rows += shown.rows.len();
        fs::write(&path, compare::text(shown)).map_err(|source| write(path, source))?;
    }
    Ok(rows)
}
