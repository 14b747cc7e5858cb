//! What the tests start and wait for. Whatever is started ends with the test process, even if that
//! is killed.
//!
//! | module | is |
//! |---|---|
//! | [`browser`] | a browser |
//! | [`kafka`] | a Kafka broker |
//! | [`mariadb`] | a MariaDB server |
//! | [`certificates`] | certificate authorities |
//! | [`proxy`] | a way to that server which can be slow, and be cut |
//! | [`job`] | the command `truckflow` |
//! | [`prometheus`] | Prometheus and node-exporter |
//! | [`process`] | a started program, its log, its folder and its ports |
//! | [`sqlite`] | the rows of an SQLite file |
//! | [`terminal`] | a terminal, and what stands on it |
//! | [`wait`] | the one way to wait |

pub mod browser;
pub mod certificates;
pub mod job;
pub mod kafka;
pub mod mariadb;
pub mod output;
pub mod process;
pub mod prometheus;
pub mod proxy;
pub mod sqlite;
pub mod terminal;
pub mod wait;
