//! Runs a job once over a file, with its tables in memory and without files.

use std::path::Path;
use std::sync::Arc;

use csv::StringRecord;
use toml::Value;

use crate::config::Job;
use crate::job::error::JobError;
use crate::job::launch;
use crate::job::summary::Summary;
use crate::runtime::failure::SystemError;
use crate::runtime::stop::Stop;
use crate::store::memory::Memory;

/// The table of a view, after the last commit.
pub struct Shown {
    /// The view.
    pub view: String,
    /// Its table.
    pub table: String,
    /// The names of its columns.
    pub columns: Vec<String>,
    /// Its rows, sorted, with the fields of a CSV file.
    pub rows: Vec<StringRecord>,
}

/// Keys of a job that is run once: it ends with its input, and serves nothing.
pub fn keys() -> Vec<(String, Value)> {
    let keys = [
        ("until_end", Value::Boolean(true)),
        ("listen", Value::String("off".into())),
        // All in one epoch, so that a history has one row per group.
        ("commit_interval", Value::String("1h".into())),
        ("csv.views", Value::Array(Vec::new())),
    ];
    keys.map(|(key, value)| (key.to_owned(), value)).to_vec()
}

/// Loads and runs a job; returns its tables.
///
/// # Errors
/// It cannot be loaded, or fails.
pub fn run(
    file: Option<&Path>,
    variables: impl Iterator<Item = (String, String)>,
    mut keys: Vec<(String, Value)>,
    stop: &Arc<Stop>,
) -> Result<(Summary, Vec<Shown>), JobError> {
    let failed = |source| SystemError { verb: "create a temporary folder", source };
    let scratch = tempfile::Builder::new().prefix("truckflow-").tempdir().map_err(failed)?;
    keys.push(("out".into(), Value::String(scratch.path().display().to_string())));
    let mut job = Job::load(file, variables, keys)?;
    let memory = Memory::default();
    job.memory = Some(memory.clone());
    let job = Arc::new(job);
    let summary = launch::run(&job, stop, None)?;
    let with_table =
        job.active_views.iter().filter(|view| job.has_table(&view.name) && !view.columns.is_empty());
    let shown = with_table.zip(memory.tables()).map(|(view, table)| {
        let mut rows: Vec<StringRecord> = table.rows().cloned().collect();
        rows.sort_by(|a, b| a.iter().cmp(b.iter()));
        Shown {
            view: view.name.to_string(),
            table: view.table.to_string(),
            columns: view.columns.iter().map(|column| column.name.to_string()).collect(),
            rows,
        }
    });
    Ok((summary, shown.collect()))
}
