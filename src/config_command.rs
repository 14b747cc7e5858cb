//! `truckflow config`: writes a configuration file to begin with.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::PathBuf;

use thiserror::Error;

use crate::cli::{ConfigCommand, InitArgs};
use crate::config::reference;

/// Why no file is written.
#[derive(Debug, Error)]
pub enum InitError {
    /// It is there.
    #[error("{0} is there already; give another name, or --force to replace it")]
    Exists(PathBuf),
    /// The operating system refuses.
    #[error("cannot write {path}: {source}; give a file in a folder that is there and may be written")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// Does what `config` is asked for.
pub fn run(command: &ConfigCommand) -> Result<(), InitError> {
    match command {
        ConfigCommand::Init(args) => init(args),
    }
}

fn init(args: &InitArgs) -> Result<(), InitError> {
    let text = reference::file();
    let Some(path) = &args.file else {
        return io::stdout()
            .write_all(text.as_bytes())
            .map_err(|source| InitError::Write { path: "standard output".into(), source });
    };
    let mut options = OpenOptions::new();
    options.write(true);
    if args.force {
        options.create(true).truncate(true);
    } else {
        options.create_new(true);
    }
    options.open(path).and_then(|mut file| file.write_all(text.as_bytes())).map_err(|source| {
        match source.kind() {
            io::ErrorKind::AlreadyExists => InitError::Exists(path.clone()),
            _ => InitError::Write { path: path.clone(), source },
        }
    })
}
