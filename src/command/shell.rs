//! Shell completions and manual pages.

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::command::error::Error;
use crate::runtime::print;

/// Prints the completion script of a shell.
pub fn completions(args: &CompletionsArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "truckflow", &mut script);
    Ok(print::out(String::from_utf8_lossy(&script))?)
}

/// Writes `truckflow.1` and a page for each subcommand to a folder.
pub fn man(args: &ManArgs) -> Result<(), Error> {
    let command = Cli::command().disable_help_subcommand(true);
    std::fs::create_dir_all(&args.to)
        .and_then(|()| clap_mangen::generate_to(command, &args.to))
        .map_err(|source| Error::Man { path: args.to.clone(), source })
}
