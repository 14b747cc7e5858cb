//! `--help` of every command.

use clap::CommandFactory;
use truckflow::cli::Cli;

use crate::session::Session;

#[test]
fn every_command_has_help() {
    let mut help = Session::new();
    help.run("--help");
    let mut command = Cli::command();
    command.build();
    let mut paths = Vec::new();
    add_paths(&command, "", &mut paths);
    for path in paths {
        help.run(&format!("{path} --help"));
    }
    help.is_page("help");
}

/// Adds the names of all subcommands, those of `config` as `config init`.
fn add_paths(command: &clap::Command, before: &str, paths: &mut Vec<String>) {
    for subcommand in command.get_subcommands().filter(|subcommand| subcommand.get_name() != "help") {
        let path = format!("{before} {}", subcommand.get_name()).trim_start().to_owned();
        paths.push(path.clone());
        add_paths(subcommand, &path, paths);
    }
}
