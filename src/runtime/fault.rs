//! Named moments at which a test lets the process die, as by `kill -9`.
//!
//! A kill from outside comes at any moment, and hardly ever between two that follow each other closely.
//! `truckflow run --die-at MOMENT#N` dies when it comes to that moment for the Nth time; without the flag
//! a moment is one look at a variable, once a commit or statement.

use std::pin::pin;
use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::task::Poll;

use clap::ValueEnum;
use rustix::process::{Signal, getpid, kill_process};

/// A moment of a job, in the order of a start and a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Moment {
    /// The output folder is locked, nothing else is done.
    FolderLocked,
    /// The store has counted the generation up.
    JobClaimed,
    /// The tables fit.
    TablesMade,
    /// The files are cut back to the last commit.
    FilesCut,
    /// The state is read.
    StateRead,
    /// Lines are about to be written to a file.
    CsvWrite,
    /// They are written, and not synced.
    CsvWritten,
    /// A file is full, and synced.
    Rotation,
    /// The next file has its header.
    Rotated,
    /// Rows are about to go to the store.
    Statement,
    /// They are in the open transaction.
    StatementDone,
    /// The files are about to be synced.
    CsvSync,
    /// They are durable, and not committed.
    CsvSynced,
    /// State is about to be folded.
    Fold,
    /// It is folded, and not committed.
    Folded,
    /// State, offsets and epoch are about to go to the store, and COMMIT behind them.
    Commit,
    /// COMMIT is sent, and not answered; of servers only.
    CommitSent,
    /// COMMIT is answered, and nobody knows yet.
    CommitAnswered,
    /// Those who wait for the commit were told.
    CommitTold,
}

impl Moment {
    /// Whether a start comes to it once, and no commit does.
    pub fn is_of_start(self) -> bool {
        use Moment::{FilesCut, FolderLocked, JobClaimed, StateRead, TablesMade};
        matches!(self, FolderLocked | JobClaimed | TablesMade | FilesCut | StateRead)
    }

    /// Its name, as `--die-at` takes it.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// A moment, and the how manieth time it is come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    moment: Moment,
    count: u32,
}

impl FromStr for Passage {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, count) = text.split_once('#').unwrap_or((text, "1"));
        let count = count.parse().map_err(|_| format!("`{count}` is not a count"))?;
        Ok(Self { moment: Moment::from_str(name, false)?, count })
    }
}

static ARMED: OnceLock<(Moment, AtomicU32)> = OnceLock::new();

/// Lets the process die at a passage, once and for all.
pub fn arm(passage: Passage) {
    ARMED.get_or_init(|| (passage.moment, AtomicU32::new(passage.count)));
}

/// Says that the process has come to `moment`.
pub fn at(moment: Moment) {
    if let Some((armed, left)) = ARMED.get()
        && *armed == moment
        && left.fetch_sub(1, SeqCst) == 1
    {
        loop {
            // Nothing of this process runs on from here: no destructor, no flush, no other thread.
            let _ = kill_process(getpid(), Signal::KILL);
        }
    }
}

/// Asks, and says `moment` when the question has been sent and its answer has not been waited for.
pub async fn asked<T>(moment: Moment, question: impl Future<Output = T>) -> T {
    let mut question = pin!(question);
    let begun = std::future::poll_fn(|context| Poll::Ready(question.as_mut().poll(context))).await;
    at(moment);
    match begun {
        Poll::Ready(answer) => answer,
        Poll::Pending => question.await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_is_a_moment_and_a_count() {
        let passage = |moment, count| Ok(Passage { moment, count });
        assert_eq!("csv-synced".parse(), passage(Moment::CsvSynced, 1));
        assert_eq!("commit-sent#12".parse(), passage(Moment::CommitSent, 12));
        assert!("commit-sent#x".parse::<Passage>().is_err());
        assert!("lunch".parse::<Passage>().is_err());
        for moment in Moment::value_variants() {
            assert_eq!(moment.name().parse(), passage(*moment, 1));
        }
    }

    #[test]
    fn nothing_happens_at_a_moment_that_is_not_armed() {
        Moment::value_variants().iter().for_each(|moment| at(*moment));
    }
}
