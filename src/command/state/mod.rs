//! `truckflow state`: exports, imports or resets a job's committed state, without its rows.
//!
//! ```text
//! export   store: epoch, offsets, file lengths, views, state -> checked, folded -> FILE
//! import   FILE -> checked against configuration, folder and tables -> a store without the job
//! reset    store: all of that is deleted
//! ```
//!
//! Table rows and CSV files are not part of FILE, and are not touched: use the tools for databases and files to move
//! them. An import compares them with the sizes in FILE, so that no row is lost or duplicated unnoticed.

pub mod error;

use std::fmt::Write as _;

use dataflows::views::View;
use serde_json::{Value, json};

use self::error::TransferError;
use crate::cli::{ExportArgs, ImportArgs, ResetArgs, StateCommand};
use crate::command::error::Error;
use crate::command::stopped::committed;
use crate::config::Job;
use crate::job::filling::replaced_view;
use crate::job::routes::{check_source, routes};
use crate::runtime::folder::FolderLock;
use crate::runtime::print;
use crate::sink::csv;
use crate::state::export::{Export, ExportError, TableSize};
use crate::state::{Owner, Phase, SealedFold, StoredView, seal, validate_entries};
use crate::store::{self, Adopted, Commit, LastCommit, StateChange, StoreError, StoreReader};
use crate::text::printable::quantity;

/// Added to the generation at an import. It must exceed the number of starts since the export, so that an older
/// instance cannot commit to the imported job.
const GENERATIONS: u64 = 1000;

/// Runs a subcommand of `state`.
pub fn run(command: &StateCommand) -> Result<(), Error> {
    match command {
        StateCommand::Export(args) => export(args),
        StateCommand::Import(args) => import(args),
        StateCommand::Reset(args) => reset(args),
    }
}

fn export(args: &ExportArgs) -> Result<(), Error> {
    let config = args.job.load()?;
    let url = config.database_url()?;
    let last = committed(&config, &url)?;
    let mut reader = store::open_reader(&url)?;
    let views = reader.views(&config.job)?;
    let unfinished = |view: &StoredView| match view.phase {
        Phase::Renaming => Some(view.name.clone()),
        _ => replaced_view(&view.name).map(str::to_owned),
    };
    if let Some(view) = views.iter().find_map(unfinished) {
        return Err(TransferError::Replacing(view).into());
    }
    let export = gather(&config, reader.as_mut(), last.clone())?;
    // If the job has committed in the meantime, the export is inconsistent.
    let now = committed(&config, &url)?;
    if (now.epoch, now.generation) != (last.epoch, last.generation) {
        return Err(Error::Running(config.job.clone()));
    }
    export.write(&args.file).map_err(TransferError::from)?;
    if args.json {
        let mut said = export_json(&export);
        said["file"] = args.file.display().to_string().into();
        print::line(said)?;
        return Ok(());
    }
    Ok(print::out(format_args!(
        "exported job `{}` at epoch {} to {}\n{}\
         rows and CSV files are not included; to restore this state later, also keep the files in {} and a dump of the tables\n",
        export.job,
        export.epoch,
        args.file.display(),
        describe(&export),
        config.out.display()
    ))?)
}

/// Reads, checks and folds the state of a job.
fn gather(config: &Job, reader: &mut dyn StoreReader, last: LastCommit) -> Result<Export, Error> {
    let job = &config.job;
    let with_state = reader.with_state(job)?;
    let mut state = Vec::with_capacity(with_state.len());
    for name in &with_state {
        let owner = Owner { job, view: name };
        let mut fold = SealedFold::new(owner);
        reader.state(job, name, &mut |part| fold.older(&part))?;
        let folded = fold.finish()?;
        state.push(folded.iter().map(|part| seal(owner, part)).collect());
        check_state(&config.active_views, name, &folded)?;
    }
    let tables = tables(config).iter().map(|table| reader.size(table)).collect::<Result<_, _>>()?;
    let LastCommit { generation, epoch, source, offsets, view_offsets, topics, begun, files } = last;
    let in_the_future = reader.in_the_future(job)?;
    let (job, views) = (job.clone(), reader.views(job)?);
    Ok(Export {
        job,
        source,
        generation,
        epoch,
        offsets,
        view_offsets,
        topics,
        begun,
        in_the_future,
        files,
        views,
        tables,
        with_state,
        state,
    })
}

fn check_state(views: &[View], name: &str, folded: &[Vec<u8>]) -> Result<(), Error> {
    if let Some(view) = views.iter().find(|view| view.name == name) {
        folded.iter().try_for_each(|part| validate_entries(view, part).map(drop))?;
    }
    Ok(())
}

/// The tables that a job writes to.
fn tables(config: &Job) -> Vec<String> {
    let routes = routes(config);
    let both = config.active_views.iter().zip(routes.iter());
    both.filter(|(_, route)| route.table.is_some()).map(|(view, _)| view.table.to_string()).collect()
}

fn import(args: &ImportArgs) -> Result<(), Error> {
    let config = args.job.load()?;
    let url = config.database_url()?;
    let export = Export::read(&args.file).map_err(TransferError::from)?;
    if export.job != config.job {
        let (path, found, job) = (args.file.clone(), export.job, config.job.clone());
        return Err(TransferError::from(ExportError::OtherJob { path, found, job }).into());
    }
    check_source(&config, &export.source, &export.offsets)?;
    for (name, parts) in export.with_state.iter().zip(&export.state) {
        let mut fold = SealedFold::new(Owner { job: &config.job, view: name });
        parts.iter().rev().for_each(|part| fold.older(part));
        check_state(&config.active_views, name, &fold.finish()?)?;
    }
    csv::prepare_folder(&config.out)?;
    let _lock = FolderLock::take(&config.out)?;
    let mut reader = store::open_reader(&url)?;
    if reader.last_commit(&config.job)?.is_some() {
        let place = reader.place();
        return Err(StoreError::JobExists { job: config.job.clone(), place }.into());
    }
    let notes = compare_files(&config, &export)?;
    let differing = differing_tables(reader.as_mut(), &export)?;
    if !differing.is_empty() && !args.tables_as_they_are {
        return Err(TransferError::Tables(differing).into());
    }
    let place = reader.place();
    drop(reader);
    let changes: Vec<StateChange> = export
        .with_state
        .iter()
        .zip(&export.state)
        .map(|(view, parts)| StateChange {
            view: view.clone(),
            parts: parts.iter().map(|part| part.clone().into()).collect(),
            replaces: false,
        })
        .collect();
    let commit = Commit {
        epoch: export.epoch,
        previous: None,
        offsets: &export.offsets,
        view_offsets: &export.view_offsets,
        topics: &export.topics,
        begun: &export.begun,
        in_the_future: &export.in_the_future,
        files: &export.files,
        state: &changes,
        replacement: None,
    };
    store::open(&url)?.adopt(&Adopted {
        job: &config.job,
        source: &export.source,
        generation: export.generation.saturating_add(GENERATIONS),
        views: &export.views,
        commit,
    })?;
    if args.json {
        let mut said = export_json(&export);
        said["database"] = place.into();
        said["notes"] = notes.into();
        print::line(said)?;
        return Ok(());
    }
    let notes: String = notes.iter().map(|note| format!("{note}\n")).collect();
    Ok(print::out(format_args!(
        "imported job `{}` at epoch {} into {place}\n{}{notes}the next run continues from there\n",
        export.job,
        export.epoch,
        describe(&export)
    ))?)
}

/// Fails if a file is shorter than its committed length. Returns a note for each longer file.
fn compare_files(config: &Job, export: &Export) -> Result<Vec<String>, Error> {
    let mut notes = Vec::new();
    for end in csv::committed_ends(&config.out, &export.files)? {
        if !end.is_there {
            let (path, found, committed) = (end.path, end.found, end.committed);
            return Err(TransferError::File { path, found, committed }.into());
        }
        let more = end.found - end.committed;
        if more > 0 {
            let path = end.path.display();
            notes.push(format!("{path} has {more} bytes from after the export; the next run truncates them"));
        }
    }
    Ok(notes)
}

/// Describes the tables that differ from the export; empty if none does.
fn differing_tables(reader: &mut dyn StoreReader, export: &Export) -> Result<String, Error> {
    let mut said = String::new();
    for then in &export.tables {
        let now = reader.size(&then.table)?;
        if (now.rows, now.last_id) != (then.rows, then.last_id) {
            let and = if said.is_empty() { "" } else { ", " };
            let table = &then.table;
            // Writing to a string cannot fail.
            let _ =
                write!(said, "{and}table {table} has {}, but had {} at the export", size(&now), size(then));
        }
    }
    Ok(said)
}

fn size(size: &TableSize) -> String {
    match size.last_id {
        Some(id) => format!("{} rows up to id {id}", size.rows),
        None => format!("{} rows", size.rows),
    }
}

fn reset(args: &ResetArgs) -> Result<(), Error> {
    let config = args.job.load()?;
    let url = config.database_url()?;
    let last = committed(&config, &url)?;
    let mut reader = store::open_reader(&url)?;
    let (views, with_state) = (reader.views(&config.job)?, reader.with_state(&config.job)?);
    let (job, place, out) = (&config.job, reader.place(), config.out.display());
    drop(reader);
    let what = format!(
        "epoch {}, {}, the state of {}, {} and {}",
        last.epoch,
        quantity(last.offsets.len(), "offset"),
        quantity(with_state.len(), "view"),
        quantity(views.len(), "view definition"),
        quantity(last.files.len(), "file length")
    );
    if !args.yes {
        let question = format!(
            "this deletes job `{job}` from {place}: {what}; table rows and the files in {out} are kept"
        );
        return Err(TransferError::Unconfirmed(question).into());
    }
    store::open(&url)?.forget(job)?;
    if args.json {
        let mut said = export_json(&Export {
            job: job.clone(),
            source: last.source,
            epoch: last.epoch,
            offsets: last.offsets,
            view_offsets: last.view_offsets,
            files: last.files,
            views,
            with_state,
            ..Export::default()
        });
        said["database"] = place.into();
        print::line(said)?;
        return Ok(());
    }
    Ok(print::out(format_args!(
        "deleted job `{job}` from {place}: {what}\n\
         table rows and the files in {out} are kept; import an export to continue, or remove them before the job starts over\n"
    ))?)
}

/// The content of an export as JSON.
fn export_json(export: &Export) -> Value {
    let state = export.with_state.iter().zip(&export.state);
    let bytes = |parts: &Vec<Vec<u8>>| parts.iter().map(Vec::len).sum::<usize>();
    let offset = |at: &dataflows::item::NextOffset| json!({ "topic": &*at.topic, "partition": at.partition, "offset": at.offset });
    json!({
        "job": export.job,
        "source": export.source,
        "epoch": export.epoch,
        "offsets": export.offsets.iter().map(offset).collect::<Vec<_>>(),
        "files": export.files.iter().map(|(name, number)| json!({ "name": name, "number": number })).collect::<Vec<_>>(),
        "views": export.views,
        "tables": export.tables,
        "state": state.map(|(view, parts)| json!({ "view": view, "bytes": bytes(parts) })).collect::<Vec<_>>(),
    })
}

/// The content of an export as text.
fn describe(export: &Export) -> String {
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let offsets = export.offsets.iter().map(|at| format!("{} {}:{}", at.topic, at.partition, at.offset));
    let state = export.with_state.iter().zip(&export.state);
    let state =
        state.map(|(view, parts)| format!("{view} ({} bytes)", parts.iter().map(Vec::len).sum::<usize>()));
    let files = export.files.iter().map(|(name, number)| format!("{name} {number}"));
    let tables = export.tables.iter().map(|table| format!("{} ({})", table.table, size(table)));
    format!(
        "  next offsets  {}\n  state         {}\n  files         {}\n  tables        {}\n",
        list(offsets.collect()),
        list(state.collect()),
        list(files.collect()),
        list(tables.collect())
    )
}
