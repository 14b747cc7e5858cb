//! The meaning of the error codes of MySQL and MariaDB: each concerns a row, the statement, the connection, or something
//! that a person has to change.
//!
//! The class of the SQLSTATE decides ([`by_class`]), also for codes of future versions. [`CODES`] lists the codes for
//! which the class is missing (most have the general state `HY000`) or wrong. It is based on the complete error lists
//! of MariaDB 10.11 (1000 to 1982, 3000 to 3060, 4002 to 4192) and MySQL 9.7 (1000 to 1887, 3000 to 4169, 6000 to
//! 6579). All other codes concern definitions, replication or administration and end the job: a retry would not help.
//!
//! From 4000 on the two products use the same numbers for different errors.

/// How an error is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// It concerns the values of a row: the row becomes a dead letter, and the others are written.
    Row,
    /// The statement cannot be executed now: the transaction is rolled back and tried again. With advice for the
    /// operator.
    Statement(&'static str),
    /// The connection is lost: the transaction is tried again on a new one.
    Connection,
    /// A person has to change something: the job ends.
    Fatal,
}

use Meaning::{Connection, Fatal, Row, Statement};

/// The servers that use a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Product {
    /// Both, or a server that is not known yet.
    Any,
    MariaDb,
    MySql,
}

impl Product {
    /// The product of a server with this version, which is empty before the first connection.
    pub fn of(version: &str) -> Self {
        match version {
            "" => Self::Any,
            _ if version.contains("MariaDB") => Self::MariaDb,
            _ => Self::MySql,
        }
    }
}

const LOCKED: &str = "wait until the other transaction ends";
const CHANGED: &str = "wait until the table is no longer being changed";
const DISK: &str = "free space on its disk";
const READ_ONLY: &str = "make the server writable";
const CONNECTIONS: &str = "close other connections or raise its connection limit";
const MEMORY: &str = "give the server more memory";
const FILES: &str = "raise its limit on open files";
const TIME: &str = "raise its statement time limit";
const REPLICATION: &str = "check the state of its replication";

/// The meaning of codes whose SQLSTATE class does not decide it.
const CODES: &[(Product, Meaning, &[u16])] = &[
    // Values: out of range, cut, wrong, of another character set, too large for a page or the undo log.
    (Product::Any, Row, &[1118, 1260, 1265, 1299, 1300, 1301, 1366, 1411, 1644, 1709, 1713]),
    // No partition for the value; a view's CHECK OPTION.
    (Product::Any, Row, &[1369, 1526, 1591, 1748]),
    // In a trigger, whose outcome may depend on the row: no row found, too many, no case, an invalid pattern.
    (Product::Any, Row, &[1139, 1172, 1242, 1329, 1339, 1643]),
    // In an expression of a column or constraint: geometry and numbers.
    (Product::Any, Row, &[3033, 3034, 3035, 3036, 3037, 3038, 3039, 3040, 3041, 3042, 3043, 3055]),
    (Product::Any, Row, &[3045, 3046, 3047, 3048, 3049, 3050, 3051]),
    // A CHECK constraint; JSON, geometry, bits, patterns, vectors; an index on an expression.
    (Product::MySql, Row, &[3819, 3069, 3134, 3142, 3513, 3514, 3643, 3698, 3699, 3751, 3854, 3905]),
    (Product::MySql, Row, &[3906, 3908, 3934, 3988, 4074, 6136, 6137, 6138]),
    // A character that cannot be converted; a computed column or default; JSON; GeoJSON.
    (Product::MariaDb, Row, &[1977, 4027, 4028, 4035, 4036, 4037, 4038, 4039, 4040, 4048, 4049, 4050, 4076]),
    // Locks, deadlocks, conflicts of snapshots (1020), and a commit that was given up.
    (Product::Any, Statement(LOCKED), &[1020, 1180, 1205, 1206, 1213, 1297, 1402, 1613, 1614, 1637, 1689]),
    (Product::Any, Statement(LOCKED), &[3058]),
    (Product::MySql, Statement(LOCKED), &[3101, 3132, 3133, 3572]),
    (Product::MariaDb, Statement(LOCKED), &[1964, 4145]),
    // The table's definition was changed meanwhile.
    (Product::Any, Statement(CHANGED), &[1412, 1615]),
    // A file that cannot be created or written (codes below 1000 are of the server's own library), a full table.
    (Product::Any, Statement(DISK), &[1, 3, 20, 1021, 1026, 1114, 1534, 1811, 1878, 3019]),
    (Product::MySql, Statement(DISK), &[3675]),
    (Product::Any, Statement(READ_ONLY), &[1036, 1207, 1792, 1836, 1874]),
    (Product::MySql, Statement(READ_ONLY), &[1881, 3989]),
    // Connections, of the server and of the user; statements an hour; prepared statements.
    (Product::Any, Statement(CONNECTIONS), &[1040, 1203, 1226, 1461]),
    (Product::MySql, Statement(CONNECTIONS), &[6411]),
    (Product::Any, Statement(MEMORY), &[5, 1037, 1038, 1041, 1135, 3015, 3044]),
    (Product::MySql, Statement(MEMORY), &[3985, 4081, 4082]),
    (Product::Any, Statement(FILES), &[23]),
    // Interrupted by a timeout or by a person.
    (Product::Any, Statement(TIME), &[1317, 1969]),
    (Product::MySql, Statement(TIME), &[3024]),
    // A member of a replication group that cannot commit now.
    (Product::MySql, Statement(REPLICATION), &[3100, 3781, 3782, 3783, 3797]),
    // Shut down, killed, idle for too long, offline. Proxies report 2002 to 2055 and 9001 for a server behind them.
    (Product::Any, Connection, &[1077, 1078, 1079, 1243, 1835, 1927, 2002, 2003, 2006, 2013, 2055, 9001]),
    (Product::Any, Connection, &[3032]),
    (Product::MySql, Connection, &[3168, 3169, 4031, 6400]),
    // An ambiguous column, an authentication method: their states are those of integrity and connection errors.
    (Product::Any, Fatal, &[1052, 1251]),
];

/// The meaning of an error.
pub fn meaning(product: Product, number: u16, state: &str, message: &str) -> Meaning {
    // Only `SIGNAL` has this class, with any number that the author of a trigger chose.
    if state.starts_with("45") {
        return Row;
    }
    match number {
        1290 if message.contains("read-only") || message.contains("read_only") => {
            return Statement(READ_ONLY);
        }
        1004 | 1005 | 1006 | 1016 | 1030 => return by_cause(message),
        _ => {}
    }
    let is_listed = |(of, _, codes): &&(Product, Meaning, &[u16])| {
        (*of == Product::Any || *of == product) && codes.contains(&number)
    };
    CODES.iter().find(is_listed).map_or_else(|| by_class(state), |(_, meaning, _)| *meaning)
}

/// The meaning of the class of a SQLSTATE, its first two characters.
fn by_class(state: &str) -> Meaning {
    match state.get(..2).unwrap_or_default() {
        // Data exception, integrity constraint, check option.
        "22" | "23" | "44" => Row,
        // Transaction rollback.
        "40" => Statement(LOCKED),
        // Connection exception.
        "08" => Connection,
        // Classes of the servers themselves: interrupted, XA, spatial reference systems and units, roles.
        "70" | "XA" | "SR" | "SU" | "OP" => Fatal,
        // The standard leaves these classes to implementations, and the servers define no others: it is a SIGNAL of
        // a trigger.
        class if class.starts_with(|first: char| matches!(first, '5'..='9' | 'I'..='Z')) => Row,
        _ => Fatal,
    }
}

/// The meaning of an error that names its cause: `Got error N from storage engine`, `Can't create table … (errno:
/// N …)`. N is a code of the operating system or of the storage engine.
fn by_cause(message: &str) -> Meaning {
    let cause = ["errno: ", "error "].iter().find_map(|word| message.split_once(word));
    let digits = cause.map(|(_, rest)| rest.split(|char: char| !char.is_ascii_digit()).next());
    match digits.flatten() {
        // No space is left on the device; the table is full.
        Some("28" | "135") => Statement(DISK),
        // Too many open files.
        Some("24") => Statement(FILES),
        // The row is too large.
        Some("139") => Row,
        _ => Fatal,
    }
}

/// Whether an error is about the AUTO_INCREMENT `id` and not about the values of a row.
pub fn is_id_exhausted(number: u16, message: &str) -> bool {
    let of_id = || message.contains("column 'id'") || message.contains("PRIMARY'");
    number == 1467 || (matches!(number, 167 | 1062 | 1264) && of_id())
}

/// Whether the server or a proxy no longer accepts `LOAD DATA LOCAL`.
pub fn refuses_loads(number: u16) -> bool {
    matches!(number, 1148 | 3948 | 4166)
}

#[cfg(test)]
mod tests {
    use super::Product::{MariaDb, MySql};
    use super::*;

    #[test]
    fn each_code_is_listed_once() {
        for (place, (product, _, codes)) in CODES.iter().enumerate() {
            for code in *codes {
                let others = CODES[place + 1..].iter().filter(|(other, _, codes)| {
                    codes.contains(code)
                        && (*other == *product || Product::Any == *other || Product::Any == *product)
                });
                assert_eq!(others.count(), 0, "{code}");
                assert_eq!(codes.iter().filter(|other| *other == code).count(), 1, "{code}");
            }
        }
    }

    #[test]
    fn errors_are_classified_into_row_statement_connection_and_fatal() {
        for (product, number, state, expected) in [
            // Row.
            (MariaDb, 1526, "HY000", Row),
            (MySql, 1526, "HY000", Row),
            (MariaDb, 4025, "23000", Row),
            (MySql, 3819, "HY000", Row),
            (MariaDb, 1264, "22003", Row),
            (MariaDb, 1406, "22001", Row),
            (MariaDb, 1048, "23000", Row),
            (MariaDb, 1062, "23000", Row),
            (MariaDb, 1451, "23000", Row),
            (MariaDb, 1452, "23000", Row),
            (MariaDb, 1265, "HY000", Row),
            (MySql, 1265, "01000", Row),
            (MariaDb, 1366, "22007", Row),
            (MySql, 1366, "HY000", Row),
            (MySql, 3140, "22032", Row),
            (MariaDb, 1690, "22003", Row),
            (MariaDb, 1644, "45000", Row),
            // Statement.
            (MariaDb, 1205, "HY000", Statement(LOCKED)),
            (MariaDb, 1213, "40001", Statement(LOCKED)),
            (MariaDb, 1020, "HY000", Statement(LOCKED)),
            (MySql, 3101, "40000", Statement(LOCKED)),
            (MariaDb, 1412, "HY000", Statement(CHANGED)),
            (MariaDb, 1114, "HY000", Statement(DISK)),
            (MariaDb, 1021, "HY000", Statement(DISK)),
            (MariaDb, 3, "HY000", Statement(DISK)),
            (MariaDb, 1836, "HY000", Statement(READ_ONLY)),
            (MySql, 1792, "25006", Statement(READ_ONLY)),
            (Product::Any, 1040, "08004", Statement(CONNECTIONS)),
            (MariaDb, 1317, "70100", Statement(TIME)),
            // Connection.
            (MariaDb, 1053, "08S01", Connection),
            (MariaDb, 1927, "70100", Connection),
            (MariaDb, 1047, "08S01", Connection),
            (MySql, 4031, "HY000", Connection),
            // Fatal.
            (MariaDb, 1054, "42S22", Fatal),
            (MariaDb, 1146, "42S02", Fatal),
            (MariaDb, 1142, "42000", Fatal),
            (MariaDb, 1364, "HY000", Fatal),
            (MariaDb, 1906, "HY000", Fatal),
            (MariaDb, 1136, "21S01", Fatal),
            (MariaDb, 1045, "28000", Fatal),
            (MariaDb, 1251, "08004", Fatal),
            (MariaDb, 1449, "HY000", Fatal),
        ] {
            assert_eq!(meaning(product, number, state, ""), expected, "{product:?} {number}");
        }
    }

    #[test]
    fn the_same_number_has_another_meaning_in_another_product() {
        // A constraint that failed; a tablespace's option.
        assert_eq!(meaning(MariaDb, 4025, "23000", ""), Row);
        assert_eq!(meaning(MySql, 4025, "HY000", ""), Fatal);
        // A trigger's order; a client that was idle for too long.
        assert_eq!(meaning(MariaDb, 4031, "HY000", ""), Fatal);
        assert_eq!(meaning(MySql, 4031, "HY000", ""), Connection);
        assert_eq!(meaning(MariaDb, 4038, "HY000", ""), Row);
    }

    #[test]
    fn a_signal_concerns_the_row_whatever_number_it_has() {
        for number in [1205, 1213, 2013, 1146, 30001, 5] {
            assert_eq!(meaning(MariaDb, number, "45000", ""), Row, "{number}");
            assert_eq!(meaning(MySql, number, "45T01", ""), Row, "{number}");
        }
        assert_eq!(meaning(MariaDb, 1644, "99001", ""), Row);
        assert_eq!(meaning(MariaDb, 30001, "99001", ""), Row);
    }

    #[test]
    fn an_unknown_code_is_classified_by_its_sqlstate() {
        for (state, expected) in [
            ("22999", Row),
            ("23999", Row),
            ("40003", Statement(LOCKED)),
            ("08003", Connection),
            ("42999", Fatal),
            ("28000", Fatal),
            ("HY000", Fatal),
            ("70100", Fatal),
            ("XAE07", Fatal),
            ("SR001", Fatal),
            ("", Fatal),
            ("é", Fatal),
        ] {
            assert_eq!(meaning(MySql, 9999, state, ""), expected, "{state}");
        }
    }

    #[test]
    fn an_error_with_a_cause_is_classified_by_the_cause() {
        for (number, message, expected) in [
            (1030, "Got error 28 \"No space left on device\" from storage engine InnoDB", Statement(DISK)),
            (1030, "Got error 139 from storage engine", Row),
            (1030, "Got error 168 - 'Unknown (generic) error from engine'", Fatal),
            (
                1005,
                "Can't create table `d`.`t2` (errno: 135 \"No more room in record file\")",
                Statement(DISK),
            ),
            (
                1005,
                "Can't create table `d`.`t` (errno: 150 \"Foreign key constraint is incorrectly formed\")",
                Fatal,
            ),
            (1016, "Can't open file: 't28.frm' (errno: 24 \"Too many open files\")", Statement(FILES)),
            (1030, "", Fatal),
        ] {
            assert_eq!(meaning(MariaDb, number, "HY000", message), expected, "{message}");
        }
    }

    #[test]
    fn an_exhausted_id_does_not_concern_a_row() {
        assert!(is_id_exhausted(1062, "Duplicate entry '127' for key 'PRIMARY'"));
        assert!(is_id_exhausted(1062, "Duplicate entry '127' for key 't.PRIMARY'"));
        assert!(is_id_exhausted(167, "Out of range value for column 'id' at row 1"));
        assert!(!is_id_exhausted(1062, "Duplicate entry 'x' for key 'name'"));
        assert!(!is_id_exhausted(1264, "Out of range value for column 'speed' at row 1"));
    }
}
