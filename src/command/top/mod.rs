//! `truckflow top`: a running job on a terminal, for whoever has no browser at hand.
//!
//! ```text
//! the job's /api/events -> feed -> seen -> screen (a terminal)
//!                                     '-> text (a pipe, --once), or the status as it is (--json)
//! ```
//!
//! It reads what the live page reads, takes one of its places, and changes nothing.

mod feed;
mod screen;
mod seen;
mod text;

use std::io;
use std::ops::ControlFlow;

use thiserror::Error as ThisError;

use crate::cli::top::TopArgs;
use crate::command::error::Error;
use crate::config::read_secret;
use crate::runtime::failure::SystemError;
use crate::runtime::print;
use crate::runtime::stop::{Hangup, Stop};
use feed::Feed;
use seen::{Asked, News, Seen};

/// Why a job is not shown.
#[derive(Debug, ThisError)]
pub enum TopError {
    /// Nobody is there.
    #[error("no job answers at {address}: {reason}; start one, or give the address of its --listen")]
    NoAnswer {
        /// Where it was asked.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The job wants a token.
    #[error(
        "the job at {0} asks for its token; give the file that it has as listen_token_file in --token-file"
    )]
    NoToken(String),
    /// The job has another token.
    #[error(
        "the job at {0} has another token; give the file that it has as listen_token_file in --token-file"
    )]
    OtherToken(String),
    /// It has no page.
    #[error("{0} shows no trucks: of a job with several processes, give the address of process 0")]
    Elsewhere(String),
    /// The job says why not.
    #[error("the job at {address} refuses: {said}")]
    Refused {
        /// Where it was asked.
        address: String,
        /// What it said.
        said: String,
    },
    /// What was heard is not what a job says.
    #[error(
        "what answers at {0} is not a truckflow that this version understands; give the address of a job's --listen"
    )]
    Strange(String),
    /// The connection ended, though the job had not said that it ends.
    #[error("the job at {address} is gone: {reason}")]
    Gone {
        /// Where it was asked.
        address: String,
        /// What went wrong.
        reason: String,
    },
    /// The terminal cannot be used.
    #[error("cannot use the terminal: {0}; --once prints one view as plain text")]
    Terminal(io::Error),
}

/// Shows a job.
///
/// # Errors
/// Nobody answers, or who answers is no job, or does not let one look.
pub fn run(args: &TopArgs) -> Result<(), Error> {
    let token = args.token_file.as_deref().map(|path| read_secret("--token-file", path)).transpose()?;
    let feed = Feed::new(args.address.clone(), token);
    let asked = Asked { search: args.search.clone(), sort: args.sort.clone(), offset: 0 };
    if args.json {
        json(&feed, &asked, args.once)?;
    } else if args.once || !print::output_is_terminal() {
        print::out(text::plain(&first(&feed, &asked)?))?;
    } else {
        let stop = Stop::on_signals(Hangup::Kills)?;
        // Whoever mistypes the address sees it at once, and no empty screen.
        let seen = first(&feed, &asked)?;
        screen::show(feed, seen, &stop)?;
    }
    Ok(())
}

/// What the job says first: all that it has.
fn first(feed: &Feed, asked: &Asked) -> Result<Seen, Error> {
    let mut seen = Seen::new(asked.clone());
    block_on(feed.listen(asked, |news| {
        seen.take(news);
        ControlFlow::Break(())
    }))??;
    Ok(seen)
}

/// The statuses as they come. The job's own end is the end; any other is a failure.
fn json(feed: &Feed, asked: &Asked, once: bool) -> Result<(), Error> {
    let (mut ended, mut printed) = (false, Ok(true));
    let heard = block_on(feed.listen(asked, |news: News| {
        ended = news.status.doing == "ended";
        printed = print::stream(format_args!("{}\n", news.status_line()));
        let goes_on = !once && !ended && matches!(printed, Ok(true));
        if goes_on { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    }))?;
    printed?;
    heard.map_err(Error::from)
}

fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|source| SystemError { verb: "start a runtime", source })?;
    Ok(runtime.block_on(work))
}
