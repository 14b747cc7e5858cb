//! Planned views against the interpreter of plans: any plan over any stream, split into any batches and epochs, on 1, 2
//! and 3 workers, restarted anywhere, has the rows that are recomputed from all readings.
//!
//! | file | contents |
//! |---|---|
//! | `choices` | random views, as plans and as SQL |
//! | `stream` | random streams |
//! | `job` | runs views, and keeps their tables, files and state |
//! | `compare` | compares runs with the expected rows |
//! | `properties` | random views over random streams |
//! | `grammar` | what random views contain |
//! | `late` | random readings with a short grace, compared with a model of what is late |
//! | `faults` | a test for each fault that random views found |
//! | `small` | what `late`, `faults` and `cases` share |
//! | `cases` | views of a few readings, with their rows written out |

mod cases;
mod choices;
mod compare;
mod faults;
mod grammar;
mod job;
mod late;
mod properties;
mod small;
mod stream;
#[path = "../support/mod.rs"]
mod support;
