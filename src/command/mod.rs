//! The subcommands, one module each.
//!
//! | module | contains |
//! |---|---|
//! | [`run`] | launches a job, and prints what it did; the job itself is in `job/` |
//! | [`replay`], [`simulate`] | send messages to a topic: from a file, or of simulated trucks |
//! | [`mod@bench`] | benchmarks a job |
//! | [`check`], [`verify`] | checks whether a job can run; recomputes its results from the input |
//! | [`mod@test`] | runs cases of views with their expected rows |
//! | [`explain`], [`top`] | draws a job's dataflow; shows a running job in the terminal |
//! | [`state`], [`config`], [`shell`] | `state`, `config`, and `completions` with `man` |
//! | [`error`] | the top-level error, and the exit status |

pub mod bench;
pub mod check;
pub mod config;
pub mod error;
pub mod explain;
pub mod replay;
mod report;
pub mod run;
pub mod shell;
pub mod simulate;
pub mod state;
mod stopped;
pub mod test;
pub mod top;
mod trial;
pub mod verify;

use crate::cli::Command;
use error::Error;

/// Runs the command.
pub fn execute(command: &Command) -> Result<(), Error> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Replay(args) => Ok(replay::run(args)?),
        Command::Simulate(args) => simulate::run_and_print(args),
        Command::Bench(args) => bench::run(args),
        Command::Check(args) => check::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Test(args) => test::run(args),
        Command::Top(args) => top::run(args),
        Command::State(args) => state::run(&args.command),
        Command::Config(args) => config::run(&args.command),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
    }
}
