//! Monitoring of a running job.
//!
//! | module | contains |
//! |---|---|
//! | `progress` | progress bars and lines on standard error |
//! | [`board`] | the live page's data, in bounded memory |
//! | [`web`] | the HTTP server: live page, API, metrics, health |

pub mod board;
pub(crate) mod progress;
pub mod web;
