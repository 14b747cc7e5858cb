//! The commands, an entry each. They borrow from nothing above them, and little from each other.
//!
//! | module | is |
//! |---|---|
//! | [`run`] | launches a job, and prints what it did; the job itself is in `job/` |
//! | [`replay`], [`simulate`] | messages into a topic: those of a file, those of simulated trucks |
//! | [`mod@bench`] | measures a job |
//! | [`check`], [`verify`] | whether a job can run; whether its results are what its input says |
//! | [`explain`], [`top`] | draws a job's dataflow; shows a running job on a terminal |
//! | [`state`], [`config`], [`shell`] | `state`, `config`, and `completions` with `man` |
//! | [`error`] | what can end a command, and its exit status |

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
pub mod top;
pub mod verify;

use crate::cli::Command;
use error::Error;

/// Does what the command line says.
pub fn execute(command: &Command) -> Result<(), Error> {
    match command {
        Command::Run(args) => run::run(args),
        Command::Replay(args) => Ok(replay::run(args).map(drop)?),
        Command::Simulate(args) => simulate::run_and_print(args),
        Command::Bench(args) => bench::run(args),
        Command::Check(args) => check::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Top(args) => top::run(args),
        Command::State(args) => state::run(&args.command),
        Command::Config(args) => config::run(&args.command),
        Command::Completions(args) => shell::completions(args),
        Command::Man(args) => shell::man(args),
    }
}
