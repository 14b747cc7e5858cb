//! The black-box tests: the real command on real servers. One binary, so that all share one broker
//! and one database server.
//!
//! | module | tests |
//! |---|---|
//! | [`access`] | who is let in and who is not: TLS, logins, secrets |
//! | [`golden`] | the cases under `fixtures/`, against an independent computation |
//! | [`backfill`] | views added to a running job, corrections, catching up |
//! | [`calendar`] | times at both ends of the calendar |
//! | [`cluster`] | several processes that work on one job |
//! | [`counted`] | readings, rows and dead letters in numbers, and a job that accepts nothing |
//! | [`dashboards`] | queries, alerts and metrics, with a real Prometheus |
//! | [`docs`] | the commands and steps of the pages under `docs/` |
//! | [`dead_letters`] | the bytes of what could not be used, and its replay |
//! | [`database_errors`] | what a server says of a row, of a table and of itself |
//! | [`database_faults`] | databases that go away, lose answers, lock, or are slow |
//! | [`disk_faults`] | disks that are full |
//! | [`exactly_once`] | kills, lost databases, signals, restarts |
//! | [`fenced`] | two instances of one job |
//! | [`in_the_future`] | readings that are dated too far ahead, and jobs that one of them blinded |
//! | [`files`] | files that are replaced, unfinished or compressed, and long lines |
//! | [`injection`] | names and texts that are written to be something else |
//! | [`keyed`] | tables whose rows change and end, and what else a store keeps |
//! | [`kubernetes`] | the manifests under `deploy/kubernetes` |
//! | [`late`] | `verify` of overlapping windows with late readings |
//! | [`load`] | load in one partition, and in a thousand |
//! | [`messages`] | the messages of 26 producers, mapped by `[message]` and `[record]` |
//! | [`migrations`] | the version of the bookkeeping tables |
//! | [`moves`] | the seed's topic, tables and queries |
//! | [`orientation`] | the phone's job: its topic and its file |
//! | [`own_views`] | views that a job defines, against built-in ones |
//! | [`package`] | what the Debian package has |
//! | [`page`] | the live page, in a browser |
//! | [`parts`] | readings of messages with several: explained, corrected and sent again |
//! | [`seen`] | metrics, health, readiness, logs |
//! | [`shown_views`] | views of any shape in the API and on the live page |
//! | [`signals`] | signals: the end of a start that waits, terminals that are closed, `nohup` |
//! | [`sql`] | views in SQL: aggregates, windows, joins, from files and from Kafka, through kills |
//! | [`stack`] | `docker-compose.yml` and what it mounts |
//! | [`top`] | a running job on a terminal, and in scripts |
//! | [`torture`] | a death at every named moment, and at any other |
//! | [`state`] | state that cannot be used, and its way to a file and back |
//! | [`several_topics`] | lists and patterns of topics, and where a new job begins |
//! | [`tables`] | tables that were there before |
//! | [`broker_faults`] | brokers that go away, topics that change, messages that are gone or too large |
//! | [`bench`] | what `bench` measures, and that nothing of it is left behind |
//! | [`commands`] | what `check` finds and `explain` draws |
//! | [`verify`] | what `verify` finds when a row or a file was changed by hand |
//! | [`wrong_use`] | what a new user does wrong |
//! | [`records`] | records of other fields, and NULL in what is computed |
//! | [`registry`] | no tests: a schema registry, which the tests of its client have, too |
//! | [`replay`] | what `replay` sends, and what it leaves out |
//! | [`servers`] | the servers and the job that the other tests build on |
//! | [`support`] | no tests: how servers and jobs are started, waited for and ended |

// What tests print is read by who runs them.
#![allow(clippy::print_stdout)]

// The tests of the client use all of it.
#[allow(dead_code)]
#[path = "../registry/server.rs"]
mod registry;

mod access;
mod backfill;
mod bench;
mod broker_faults;
mod calendar;
mod cluster;
mod commands;
mod counted;
mod dashboards;
mod database_errors;
mod database_faults;
mod dead_letters;
mod dedupe;
mod disk_faults;
mod docs;
mod exactly_once;
mod fenced;
mod files;
mod golden;
mod in_the_future;
mod injection;
mod keyed;
mod kubernetes;
mod late;
mod load;
mod messages;
mod migrations;
mod moves;
mod orientation;
mod own_views;
mod package;
mod page;
mod parts;
mod records;
mod replace;
mod replay;
mod seen;
mod servers;
mod several_topics;
mod shown_views;
mod signals;
mod sql;
mod stack;
mod state;
mod support;
mod tables;
mod top;
mod torture;
mod verify;
mod wrong_use;
