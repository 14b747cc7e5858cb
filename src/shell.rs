//! What makes the command at home on a system: completions for shells, and manual pages.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::cli::{Cli, CompletionsArgs, ManArgs};
use crate::error::Error;

/// Prints the script that lets a shell complete commands and flags.
pub fn completions(args: &CompletionsArgs) -> Result<(), Error> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "truckflow", &mut script);
    io::stdout().write_all(&script).map_err(|source| Error::System { verb: "print the completions", source })
}

/// Writes `truckflow.1`, and a page for each command, into a folder.
pub fn man(args: &ManArgs) -> Result<(), Error> {
    let system = |source| Error::System { verb: "write the manual pages", source };
    std::fs::create_dir_all(&args.to).map_err(system)?;
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, &args.to).map_err(system)
}
