//! The only place that commits: a thread that writes rows as they arrive and, when the frontier has passed an epoch,
//! makes its effects durable atomically.
//!
//! ```text
//! rows of the open epoch -> CSV files (not yet durable) and the open SQL transaction
//! frontier passes        -> sync the CSV files -> state, offsets, CSV lengths, generation, epoch
//!                           into the same transaction -> COMMIT: the only commit point
//! rows of later epochs   -> kept; those that need not wait go to a transaction of their own on another connection
//! ```
//!
//! A thread for each open transaction inserts its rows (`loading`). At the turn of an epoch, when the one before is
//! committed, the commit thread takes its transaction and writes the rest.
//!
//! If the database fails, the transaction is retried with the rows, which are kept until the commit.
//!
//! Each commit, including the first one of a start, has a higher epoch than all before it. The epoch in the database
//! therefore decides whether a commit whose answer was lost has succeeded.
//!
//! | module | contains |
//! |---|---|
//! | `committer` | the thread; [`Committer::run`] is its loop |
//! | `attempt` | makes an epoch durable; `retry` in it retries a failed commit |
//! | `stores` | the connections, and which epochs have rows on their way to the store |
//! | `loading` | rows on their way, on a thread of their own |
//! | `publish` | publishes a commit to metrics, the clock, the live page and all that follow it |
//! | `pending` | the effects of the next commit |
//! | `refused` | turns rows that the database refuses into dead letters |
//! | `fold` | when the state changes of a view are folded into one snapshot |

mod attempt;
mod committer;
mod fold;
mod loading;
mod parts;
mod pending;
mod publish;
mod refused;
mod stores;
#[cfg(test)]
mod tests;

pub use committer::{Committer, Setup};
pub use fold::StateWeight;
pub use parts::Parts;
