//! A job, from its configuration to its last commit.
//!
//! | module | does |
//! |---|---|
//! | [`launch`] | starts and ends all parts, and is the one place that sees them |
//! | [`backfill`] | what a view that is new to a running job is given |
//! | `restore` | the views' state at a start, set back where it is too far ahead |
//! | [`inputs`] | the topics and files that the job reads, opened and dealt to the workers |
//! | [`worker`] | one worker thread: polls its inputs, feeds and steps the graph |
//! | [`graph`] | the dataflow: the views of the crate `dataflows`, and what carries rows out |
//! | [`routes`] | where the rows of each view go |
//! | [`plan`] | what the graph is made of, for whoever wants to see it |
//! | [`commit`] | makes an epoch durable, all at once |
//! | [`cluster`] | several processes that work on one job |
//! | [`error`] | what can end a job |

pub mod backfill;
pub mod cluster;
pub mod commit;
pub mod error;
pub mod graph;
pub mod inputs;
pub mod launch;
pub mod plan;
pub(crate) mod restore;
pub mod routes;
pub mod worker;
