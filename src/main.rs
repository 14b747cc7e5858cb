//! The command: parses, runs, and ends with one sentence and an exit status.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use truckflow::cli::{Cli, Command, LogFormat};
use truckflow::config::with_password;
use truckflow::error::Error;
use truckflow::runtime::counts::{Counts, nothing_accepted};
use truckflow::runtime::stop::{self, Hangup, Stop};
use truckflow::text::printable::{OneLine, printable};
use truckflow::{
    bench, check, config_command, explain, job::launch, replay, runtime::fault, runtime::print,
    runtime::process, shell, simulate, state_command, store, summary, top, verify,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    log_to_stderr(cli.log_format);
    stop::exit(match execute(&cli.command) {
        Ok(()) => 0,
        Err(error) => {
            match cli.log_format {
                LogFormat::Text => print::note(format_args!("truckflow: {}", printable(&error.to_string()))),
                LogFormat::Json => tracing::error!("{error}"),
            }
            error.exit_status()
        }
    })
}

fn execute(command: &Command) -> Result<(), Error> {
    match command {
        Command::Run(args) => {
            if args.die_with_parent {
                process::die_with_parent()?;
            }
            args.die_at.into_iter().for_each(fault::arm);
            let stop = Arc::new(Stop::on_signals(Hangup::Reloads)?);
            let config = Arc::new(args.job.load()?);
            let done = launch::run(&config, &stop)?;
            if args.summary {
                print::out(summary::describe(&config, &done))?;
            } else if args.json {
                print::line(done.to_json())?;
            } else {
                let Counts { intake, left_out, letters, .. } = &done.counts;
                tracing::info!(
                    records = intake.accepted,
                    rejected = intake.rejected.total(),
                    left_out = left_out.total(),
                    refused_rows = done.counts.all_rows().refused,
                    dead_letters = letters.total(),
                    epoch = done.epoch,
                    seconds = done.elapsed.as_secs_f64(),
                    peak_memory_bytes = process::peak_memory(),
                    "done"
                );
            }
            // The summary says it itself.
            if let Some(said) = nothing_accepted(&done.counts.intake).filter(|_| !args.summary) {
                tracing::warn!("{said}");
            }
            Ok(())
        }
        Command::Replay(args) => replay::run(args).map(drop).map_err(Error::from),
        Command::Simulate(args) => {
            let resume = match (&args.resume_from, &args.resume_password_file) {
                (Some(url), Some(path)) => {
                    store::last_readings(&with_password(url, "--resume-password-file", path)?)?
                }
                (Some(url), None) => store::last_readings(url)?,
                (None, _) => Vec::new(),
            };
            let simulated = simulate::run(args, resume)?;
            match args.json {
                true => print::line(simulated.to_json())?,
                false => print::note(simulated),
            }
            Ok(())
        }
        Command::Bench(args) => bench::run(args),
        Command::Check(args) => check::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Top(args) => top::run(args),
        Command::State(args) => state_command::run(&args.command),
        Command::Config(args) => config_command::run(&args.command),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
    }
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
