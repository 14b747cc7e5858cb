//! The graph against the oracle: any stream, split into any batches and epochs, on 1, 2 and 3 workers, restarted
//! anywhere, has the same rows, with bit-identical correlations.
//!
//! | file | contents |
//! |---|---|
//! | `job` | runs the views of a job, and collects their output |
//! | `plans` | the plans of the views |
//! | `model` | a recomputation of correlations and windows |
//! | `records` | random records, and jobs of them |
//! | `expected` | the recomputation of each view |
//! | `dedupe` | random streams with repetitions, compared with a naive model |
//! | `properties` | random jobs, compared with the recomputation |
//! | `cases` | jobs of a few readings, with their rows written out |

mod cases;
mod dedupe;
mod expected;
mod job;
mod model;
mod plans;
mod properties;
mod records;
#[path = "../support/mod.rs"]
mod support;
