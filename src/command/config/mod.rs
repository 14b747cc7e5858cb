//! `truckflow config`: writes a configuration file, all keys or what is proposed from messages, and shows the effective
//! settings.

pub mod error;
mod init;
pub mod propose;
mod schemas;

use std::fs::OpenOptions;
use std::io::{self, Write};

use self::error::InitError;
use crate::cli::{CheckArgs, ConfigCommand, InitArgs};
use crate::command::error::Error;
use crate::config::reference;
use crate::config::sql::builtin;
use crate::runtime::failure::Bug;
use crate::runtime::print;
use crate::text::printable::printable;

/// Runs a subcommand of `config`.
pub fn run(command: &ConfigCommand) -> Result<(), Error> {
    match command {
        ConfigCommand::Init(args) => init(args),
        ConfigCommand::Show(args) => show(args),
    }
}

fn show(args: &CheckArgs) -> Result<(), Error> {
    let rows = args.job.origins()?;
    let text = if args.json {
        serde_json::to_string_pretty(&rows).map_err(|_| Bug("the configuration as JSON"))? + "\n"
    } else {
        let cells: Vec<[String; 3]> = rows
            .into_iter()
            .map(|row| {
                [row.key, if row.value.is_null() { "-".into() } else { row.value.to_string() }, row.from]
            })
            .map(|row| row.map(|cell| printable(&cell).into_owned()))
            .collect();
        let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let (keys, values) = (width(0), width(1));
        cells.iter().map(|[key, value, from]| format!("{key:keys$}  {value:values$}  {from}\n")).collect()
    };
    Ok(print::out(text)?)
}

fn init(args: &InitArgs) -> Result<(), Error> {
    let text = match init::proposal(args)? {
        Some(text) => text,
        None if args.views => builtin::TEXT.to_owned(),
        None => reference::file(),
    };
    let Some(path) = &args.file else {
        return Ok(print::out(text)?);
    };
    let mut options = OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => InitError::Exists(path.clone()).into(),
        _ => InitError::Write { path: path.clone(), source }.into(),
    })
}
