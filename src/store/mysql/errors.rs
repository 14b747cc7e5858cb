//! The faults of a statement, and their errors with the next step.

mod codes;

use std::io;

use mysql_async::{DriverError, IoError};
use sqlx::mysql::MySqlDatabaseError;

use self::codes::meaning;
use super::sql::literal;
use crate::store::error::{StoreError, one_line};
use crate::store::schema::quoted;
use crate::store::table::ROW_KEY;

pub(super) use self::codes::{Meaning, Product, is_id_exhausted, refuses_loads};

use Meaning::{Connection, Fatal, Row, Statement};

/// Why a statement failed.
#[derive(Debug)]
pub(super) enum Fault {
    /// The connection can no longer be used.
    Lost(String),
    /// The server's certificate is not trusted.
    Untrusted(String),
    /// An error of the server.
    Server {
        number: u16,
        state: String,
        message: String,
    },
    Other(String),
}

impl From<mysql_async::Error> for Fault {
    fn from(error: mysql_async::Error) -> Self {
        use mysql_async::Error::{Driver, Io, Server};
        match error {
            Server(error) => {
                Self::Server { number: error.code, message: one_line(error.message), state: error.state }
            }
            // It is reported as a failed read, but a retry does not help.
            Io(IoError::Io(error)) if error.to_string().contains("certificate") => {
                Self::Untrusted(one_line(error))
            }
            // The client reports bytes that it does not understand like this.
            Io(IoError::Io(error)) if error.kind() == io::ErrorKind::Other => {
                Self::Lost(one_line(format!("it does not speak the MySQL protocol: {error}")))
            }
            Io(IoError::Io(error)) => Self::Lost(one_line(error)),
            Io(IoError::Tls(error)) => Self::Lost(one_line(format!("TLS: {error}"))),
            Driver(DriverError::NoClientSslFlagFromServer) => {
                Self::Lost("TLS: the server does not support it".into())
            }
            Driver(error @ (DriverError::UnexpectedPacket { .. } | DriverError::PacketOutOfOrder)) => {
                Self::Lost(one_line(format!("it does not speak the MySQL protocol: {error}")))
            }
            Driver(error @ DriverError::ConnectionClosed) => Self::Lost(one_line(error)),
            error => Self::Other(one_line(error)),
        }
    }
}

impl From<sqlx::Error> for Fault {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{Database, Io, Protocol, Tls};
        match error {
            Database(error) => match error.try_downcast_ref::<MySqlDatabaseError>() {
                Some(error) => Self::Server {
                    number: error.number(),
                    state: error.code().unwrap_or_default().to_owned(),
                    message: one_line(error.message()),
                },
                None => Self::Other(one_line(error)),
            },
            Io(error) if error.to_string().contains("certificate") => Self::Untrusted(one_line(error)),
            Io(error) => Self::Lost(one_line(error)),
            Tls(error) if error.to_string().contains("does not support TLS") => {
                Self::Lost("TLS: the server does not support it".into())
            }
            Tls(error) if error.to_string().contains("certificate") => Self::Untrusted(one_line(error)),
            Tls(error) => Self::Lost(one_line(format!("TLS: {error}"))),
            Protocol(error) => Self::Lost(one_line(format!("it does not speak the MySQL protocol: {error}"))),
            error => Self::Other(one_line(error)),
        }
    }
}

impl Fault {
    /// Its meaning, from a server of `product`.
    pub fn meaning(&self, product: Product) -> Meaning {
        match self {
            Self::Server { number, state, message } => meaning(product, *number, state, message),
            // The client closes the connection.
            Self::Lost(_) | Self::Untrusted(_) | Self::Other(_) => Connection,
        }
    }
}

/// Where a statement failed.
pub(super) struct ErrorContext<'a> {
    /// Host, port and database.
    pub place: &'a str,
    pub database: &'a str,
    /// `'user'@'host'`.
    pub account: &'a str,
    pub product: Product,
}

impl ErrorContext<'_> {
    /// The error for a fault, with the next step.
    pub fn explain(&self, fault: Fault) -> StoreError {
        let place = self.place.to_owned();
        let meaning = fault.meaning(self.product);
        let (number, message) = match fault {
            Fault::Lost(reason) => return StoreError::Away { place, reason },
            Fault::Untrusted(reason) => {
                let advice = match reason.contains("not valid for") {
                    true => "use the host name of the server's certificate in --database",
                    false => "give the server's certificate authority as ssl-ca=FILE in --database",
                };
                let advice = advice.into();
                return StoreError::Denied { place, reason, advice };
            }
            Fault::Other(reason) => return StoreError::Failed { place, reason },
            Fault::Server { number, message, .. } => (number, message),
        };
        let reason = format!("{number}: {message}");
        match meaning {
            Connection => StoreError::Away { place, reason },
            Statement(advice) => StoreError::Busy { place, reason, advice: advice.into() },
            Row | Fatal => match self.permission(number, &message) {
                Some(advice) => StoreError::Denied { place, reason, advice },
                None => StoreError::Failed { place, reason },
            },
        }
    }

    /// The same for a statement that writes `columns` of a table.
    pub fn explain_on(&self, table: &str, columns: &[&str], fault: Fault) -> StoreError {
        let number = match &fault {
            Fault::Server { number, .. } => *number,
            _ => 0,
        };
        match self.explain(fault) {
            StoreError::Busy { place, reason, advice } => {
                StoreError::Busy { place, reason: format!("table {table}: {reason}"), advice }
            }
            StoreError::Failed { reason, .. } => {
                let advice = table_advice(number, &reason, table, columns);
                StoreError::Table { table: table.to_owned(), reason, advice: advice.into() }
            }
            other => other,
        }
    }

    /// The next step for an error about a missing permission.
    fn permission(&self, number: u16, message: &str) -> Option<String> {
        let Self { account, product, .. } = self;
        let database = quoted(self.database);
        Some(match number {
            1045 | 1698 => "correct user and password in --database".into(),
            1044 => format!(
                "run GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER ON {database}.* TO {}",
                denied_account(message).unwrap_or_else(|| (*account).to_owned())
            ),
            1049 => format!("run CREATE DATABASE {database}"),
            1142 | 1143 => grant(message, &database, account),
            1129 => "run FLUSH HOSTS".into(),
            1130 => "allow the user to connect from this host".into(),
            1227 => format!("grant that privilege to {account}"),
            1251 | 1820 => "change the user's authentication plugin".into(),
            3118 | 3955 => "unlock the account or give another user in --database".into(),
            4150 | 4151 if *product != Product::MySql => {
                "unlock the account or give another user in --database".into()
            }
            3159 => "add ssl-mode=REQUIRED to --database".into(),
            _ => return None,
        })
    }
}

/// The next step for a table that no longer accepts rows.
fn table_advice(number: u16, reason: &str, table: &str, columns: &[&str]) -> &'static str {
    // A quoted name, also if qualified by database and table.
    let names = |name: &str| {
        let ends = [format!("'{name}'"), format!(".{name}'")];
        ends.iter().any(|end| reason.contains(end.as_str()))
    };
    match number {
        1054 if table.starts_with("truckflow_") => {
            "it belongs to another version of truckflow or to another program: rename it or give another --database"
        }
        1054 if columns.iter().chain([&ROW_KEY]).any(|column| names(column)) => {
            "start the job again to add the missing columns"
        }
        1146 if names(table) => "start the job again to create the table",
        1364 | 1423 => "give that column a default or make it nullable, and start the job again",
        1906 | 3105 => "drop or rename that generated column, and start the job again",
        1197 | 1705 => "lower limits.epoch_records or raise the server's max_binlog_cache_size",
        _ => "correct the table or its triggers and start the job again: it resumes from its last commit",
    }
}

/// The GRANT for the privilege that is missing in `CREATE command denied to user … for table …`.
fn grant(message: &str, database: &str, account: &str) -> String {
    let privilege = message.split(" command denied").next().unwrap_or("ALL");
    let table = message
        .rsplit_once("table ")
        .map(|(_, table)| table.rsplit('.').next().unwrap_or(table).trim_matches(['\'', '`']));
    match table {
        Some(table) if !privilege.contains("CREATE") => {
            format!("run GRANT {privilege} ON {database}.{} TO {account}", quoted(table))
        }
        _ => format!("run GRANT {privilege} ON {database}.* TO {account}"),
    }
}

/// The account in `Access denied for user 'u'@'h' to database 'd'`.
fn denied_account(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("for user ")?;
    rest.rsplit_once(" to database").map(|(account, _)| account.to_owned())
}

/// Quotes an account from `CURRENT_USER()`, `u@h`, for use in a GRANT.
pub(super) fn account(current: &str) -> String {
    let (user, host) = current.rsplit_once('@').unwrap_or((current, "%"));
    format!("{}@{}", literal(user), literal(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    const CONTEXT: ErrorContext<'static> =
        ErrorContext { place: "h:1/d", database: "d", account: "'u'@'%'", product: Product::MariaDb };

    fn fault(number: u16, state: &str, message: &str) -> Fault {
        Fault::Server { number, state: state.into(), message: message.into() }
    }

    fn said(number: u16, message: &str) -> StoreError {
        CONTEXT.explain(fault(number, "HY000", message))
    }

    #[test]
    fn temporary_errors_are_retryable() {
        for number in [1040, 1205, 1213, 1114, 1927, 2006, 1836] {
            assert!(said(number, "").is_retryable(), "{number}");
        }
        for number in [1045, 1044, 1049, 1142, 1064, 1146, 1264] {
            assert!(!said(number, "").is_retryable(), "{number}");
        }
        assert!(said(1290, "running with the --read-only option").is_retryable());
        assert!(!said(1290, "running with the --secure-file-priv option").is_retryable());
    }

    #[test]
    fn an_error_of_a_table_names_it_and_the_next_step() {
        let said = |number, message: &str| {
            CONTEXT.explain_on("T", &["truck_id"], fault(number, "HY000", message)).to_string()
        };
        for (number, message, expected) in [
            (
                1054,
                "Unknown column 'truck_id' in 'field list'",
                "table T: 1054: Unknown column 'truck_id' in 'field list'; start the job again to add the missing columns",
            ),
            (1146, "Table 'd.T' doesn't exist", "start the job again to create the table"),
            (1146, "Table 'd.audit' doesn't exist", "correct the table or its triggers"),
            (1054, "Unknown column 'x' in 'NEW'", "correct the table or its triggers"),
            (1364, "Field 'note' doesn't have a default value", "give that column a default"),
            (1205, "Lock wait timeout exceeded", "h:1/d cannot execute this now: table T: 1205: Lock wait"),
        ] {
            assert!(said(number, message).contains(expected), "{}", said(number, message));
        }
    }

    #[test]
    fn a_missing_privilege_is_answered_with_its_grant() {
        let advice = |error| match error {
            StoreError::Denied { advice, .. } => advice,
            other => panic!("{other}"),
        };
        assert_eq!(
            advice(said(1142, "CREATE command denied to user 'u'@'localhost' for table `d`.`t`")),
            "run GRANT CREATE ON `d`.* TO 'u'@'%'"
        );
        assert_eq!(
            advice(said(1142, "INSERT command denied to user 'u'@'localhost' for table 't'")),
            "run GRANT INSERT ON `d`.`t` TO 'u'@'%'"
        );
        assert_eq!(
            advice(said(1044, "Access denied for user 'u'@'10.%' to database 'd'")),
            "run GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, ALTER ON `d`.* TO 'u'@'10.%'"
        );
        assert_eq!(advice(said(1049, "Unknown database 'd'")), "run CREATE DATABASE `d`");
    }

    #[test]
    fn an_account_is_quoted() {
        assert_eq!(account("o'neil@%"), "'o''neil'@'%'");
    }
}
