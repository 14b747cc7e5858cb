//! Planned views against the interpreter of plans: any plan over any stream, split into any batches and epochs, on 1, 2
//! and 3 workers, restarted anywhere, has the rows that are recomputed from all readings.
//!
//! | file | contents |
//! |---|---|
//! | `choices` | random plans |
//! | `stream` | random streams |
//! | `job` | runs views, and keeps their tables, files and state |
//! | `properties` | random plans over random streams |
//! | `late` | random readings with a short grace, compared with a model of what is late |
//! | `cases` | views of a few readings, with their rows written out |

mod cases;
mod choices;
mod job;
mod late;
mod properties;
mod stream;
#[path = "../support/mod.rs"]
mod support;
