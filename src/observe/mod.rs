//! What is seen of a job while it runs.
//!
//! | module | is |
//! |---|---|
//! | `progress` | the progress line of a terminal |
//! | [`board`] | what the live page shows, in bounded memory |
//! | [`web`] | HTTP: the page, its API, metrics, health |

pub mod board;
pub(crate) mod progress;
pub mod web;
