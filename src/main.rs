//! The binary: parses the command line, runs the command, and maps its error to one sentence and an exit status.

use std::process::ExitCode;

use clap::Parser;
use truckflow::cli::{Cli, LogFormat};
use truckflow::command;
use truckflow::runtime::{print, stop};
use truckflow::text::printable::{OneLine, printable};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log_format);
    stop::exit(match command::execute(&cli.command) {
        Ok(()) => 0,
        Err(error) => {
            match cli.log_format {
                LogFormat::Text => {
                    if let Some(excerpt) = error.excerpt().filter(|_| print::notes_are_on_terminal()) {
                        print::note(excerpt);
                    }
                    print::note(format_args!("truckflow: {}", printable(&error.to_string())));
                }
                LogFormat::Json => tracing::error!("{error}"),
            }
            error.exit_status()
        }
    })
}

fn log_to_stderr(format: LogFormat) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("TRUCKFLOW_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(print::notes_are_on_terminal())
        .with_writer(|| OneLine(print::Log));
    match format {
        LogFormat::Text => subscriber.with_target(false).init(),
        LogFormat::Json => subscriber.json().init(),
    }
}
