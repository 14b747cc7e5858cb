//! A job, from its configuration to its last commit.
//!
//! | module | does |
//! |---|---|
//! | [`launch`] | starts and ends all parts, and is the one place that sees them |
//! | `open` | opens the schema registry and the store, and finds the views that have to be filled |
//! | [`backfill`] | fills a view that is added to an existing job |
//! | `filling` | a view that is filled, and the names under which it is stored |
//! | [`replace`] | replaces a view whose definition has changed |
//! | `restore` | loads the views' state at a start, and sets back times that are too far ahead |
//! | [`inputs`] | opens the job's topics and files, and assigns them to the workers |
//! | `topics` | where the topics of a job begin, and what has changed since the job began |
//! | `options` | the options and the decoder of each input |
//! | `schemas` | the schemas of messages, for short-lived commands |
//! | [`worker`] | one worker thread: polls its inputs, feeds and steps the graph |
//! | [`graph`] | the dataflow: the views of the crate `dataflows`, and the operators that carry rows out |
//! | [`routes`] | the sinks of each view |
//! | [`plan`] | a description of the graph, for `explain` and the live page |
//! | [`commit`] | makes each epoch durable atomically |
//! | [`cluster`] | a job in several processes |
//! | `about` | the job, its views and their committed rows, for the live page |
//! | `progress` | the thread that forwards a stop request, and updates gauges and the progress line |
//! | [`summary`] | the summary of a run |
//! | [`error`] | the errors of a job |

mod about;
pub mod backfill;
pub mod cluster;
pub mod commit;
pub mod error;
pub(crate) mod filling;
pub mod graph;
pub mod inputs;
pub mod launch;
mod open;
pub(crate) mod options;
pub mod plan;
mod progress;
pub mod replace;
pub(crate) mod restore;
pub mod routes;
pub(crate) mod schemas;
pub mod summary;
pub(crate) mod topics;
pub mod worker;
