//! Required tables and columns: what an existing table lacks, and whether its columns can be used. Nothing here
//! accesses a database.
//!
//! An existing table is used as it is: a column may be narrower than ours (values that do not fit become dead letters),
//! and there may be additional columns if an INSERT can omit them.

use dataflows::rows::{ColumnSpec, Type};

use super::table::{ROW_KEY, Table, id_column};

/// A column of an existing table.
#[derive(Clone, Debug, Default)]
pub struct FoundColumn {
    /// The name in the database.
    pub name: String,
    /// The type without length: `varchar`.
    pub data_type: String,
    /// The type in full: `varchar(64)`.
    pub full_type: String,
    /// Whether an INSERT may omit it: it is nullable, has a default, or is AUTO_INCREMENT.
    pub optional: bool,
    /// Whether it is a generated column.
    pub generated: bool,
    /// Whether it is the whole primary key or part of it.
    pub primary: bool,
    /// Whether it has a unique key of its own.
    pub unique: bool,
    /// Whether it is part of any key.
    pub in_key: bool,
    /// The collation; empty if it has none.
    pub collation: String,
}

/// The kind of a MySQL or MariaDB table, from its `TABLE_TYPE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A table.
    Table,
    /// A system-versioned table of MariaDB.
    Versioned,
    /// Something that accepts no rows, in words.
    Other(String),
}

/// The kind for a `TABLE_TYPE`.
pub fn kind(table_type: &str) -> Kind {
    match table_type {
        "BASE TABLE" => Kind::Table,
        "SYSTEM VERSIONED" => Kind::Versioned,
        "VIEW" => Kind::Other("a view".into()),
        "SYSTEM VIEW" => Kind::Other("a system view".into()),
        "SEQUENCE" => Kind::Other("a sequence".into()),
        other => Kind::Other(format!("of the type {other}")),
    }
}

/// The collation if the server has nothing better: exact, except for trailing spaces.
pub const PADDING: &str = "utf8mb4_bin";

/// The collation of text columns that we create, chosen from those of the server: exact, and "a " differs from "a".
pub fn collation<'a>(there: impl Iterator<Item = &'a str> + Clone) -> &'static str {
    let mut exact = ["utf8mb4_nopad_bin", "utf8mb4_0900_bin"].into_iter();
    exact.find(|name| there.clone().any(|there| there == *name)).unwrap_or(PADDING)
}

/// Whether a collation of MySQL or MariaDB ignores trailing spaces (`PAD SPACE`). In MariaDB only the name shows it.
fn pads(collation: &str) -> bool {
    !matches!(collation, "" | "binary") && !["nopad", "_0900_"].iter().any(|exact| collation.contains(exact))
}

/// Our columns that are part of a key and ignore trailing spaces, with their collations.
pub fn padded_keys(table: &Table, found: &[FoundColumn]) -> Vec<String> {
    let is_ours = |there: &&FoundColumn| {
        table.columns.iter().any(|column| column.name.eq_ignore_ascii_case(&there.name))
    };
    let padded = found.iter().filter(is_ours).filter(|there| there.in_key && pads(&there.collation));
    padded.map(|there| format!("{} ({})", there.name, there.collation)).collect()
}

/// Why a table cannot be used, and the clause of an `ALTER TABLE` that fixes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flaw {
    /// The reason.
    pub reason: String,
    /// The clause.
    pub clause: String,
}

/// Those of `columns` that are not in `found`.
pub fn missing<'a>(columns: &[ColumnSpec], found: impl Iterator<Item = &'a str> + Clone) -> Vec<ColumnSpec> {
    let is_there = |column: &ColumnSpec| found.clone().any(|name| name.eq_ignore_ascii_case(&column.name));
    columns.iter().filter(|column| !is_there(column)).cloned().collect()
}

/// Whether `table` needs a column [`ROW_KEY`] that is not in `found`.
pub fn lacks_key<'a>(table: &Table, mut found: impl Iterator<Item = &'a str>) -> bool {
    table.keyed && !found.any(|name| name.eq_ignore_ascii_case(ROW_KEY))
}

/// The flaws of an existing MySQL table with columns `found`.
pub fn flaws(table: &Table, found: &[FoundColumn], collation: &str) -> Vec<Flaw> {
    found
        .iter()
        .filter_map(|there| {
            let ours = table.columns.iter().find(|column| column.name.eq_ignore_ascii_case(&there.name));
            match ours {
                Some(ours) => flaw(ours, there, collation),
                None if table.keyed && there.name.eq_ignore_ascii_case(ROW_KEY) => key_flaw(there),
                None if there.optional || there.generated => None,
                None => Some(surplus(there)),
            }
        })
        .collect()
}

/// The flaw of the column of row keys.
fn key_flaw(there: &FoundColumn) -> Option<Flaw> {
    let name = quoted(&there.name);
    let mut clauses = Vec::new();
    if there.generated || !there.full_type.eq_ignore_ascii_case(KEY_TYPE) {
        clauses.push(format!("MODIFY {name} {KEY_TYPE} NULL"));
    }
    if !there.unique {
        clauses.push(format!("ADD UNIQUE KEY ({name})"));
    }
    (!clauses.is_empty()).then(|| Flaw {
        reason: format!("column {name} must be {KEY_TYPE} and a unique key"),
        clause: clauses.join(", "),
    })
}

/// The flaw of a column that we write.
fn flaw(ours: &ColumnSpec, there: &FoundColumn, collation: &str) -> Option<Flaw> {
    let name = quoted(&there.name);
    if there.generated {
        return Some(Flaw {
            reason: format!("column {name} is generated"),
            clause: format!("RENAME COLUMN {name} TO {}", quoted(&format!("{}_generated", there.name))),
        });
    }
    (!accepts(ours.column_type, &there.data_type)).then(|| Flaw {
        reason: format!(
            "column {name} is {} and cannot hold {}",
            there.full_type,
            described(ours.column_type)
        ),
        clause: format!("MODIFY {name} {}", column_type(ours.column_type, collation)),
    })
}

/// The flaw of an unknown column that an INSERT cannot omit.
fn surplus(there: &FoundColumn) -> Flaw {
    let name = quoted(&there.name);
    let numbers = matches!(&*there.data_type, "tinyint" | "smallint" | "mediumint" | "int" | "bigint");
    let ending = if there.primary && numbers { "NOT NULL AUTO_INCREMENT" } else { "NULL" };
    Flaw {
        reason: format!("column {name} has no default and is not written by the job"),
        clause: format!("MODIFY {name} {} {ending}", there.full_type),
    }
}

/// Whether a MySQL column of type `data_type` can hold values of type `ours`.
fn accepts(ours: Type, data_type: &str) -> bool {
    let integer = matches!(data_type, "tinyint" | "smallint" | "mediumint" | "int" | "bigint");
    match ours {
        Type::Timestamp => matches!(data_type, "datetime" | "timestamp"),
        Type::Decimal | Type::Exact { .. } | Type::Real => {
            integer || matches!(data_type, "float" | "double" | "decimal")
        }
        Type::Integer => integer || matches!(data_type, "float" | "double" | "decimal"),
        Type::Text => {
            matches!(data_type, "char" | "varchar" | "tinytext" | "text" | "mediumtext" | "longtext")
        }
        Type::Bytes => {
            matches!(data_type, "binary" | "varbinary" | "tinyblob" | "blob" | "mediumblob" | "longblob")
        }
    }
}

/// Whether a MySQL column of type `data_type` rounds values of type `ours`.
pub fn rounds(ours: Type, data_type: &str) -> bool {
    let integer = matches!(data_type, "tinyint" | "smallint" | "mediumint" | "int" | "bigint");
    match ours {
        Type::Decimal | Type::Real => integer || matches!(data_type, "float" | "decimal"),
        Type::Exact { .. } => data_type != "decimal",
        Type::Integer => data_type == "float",
        Type::Timestamp | Type::Text | Type::Bytes => false,
    }
}

/// Whether a MySQL column of type `data_type` stores the same value from the text of a load as from the literal of an
/// INSERT. A literal of a double is rounded half to even, its text half up.
pub fn loads(ours: Type, data_type: &str) -> bool {
    ours != Type::Real || matches!(data_type, "float" | "double")
}

/// The type of a MySQL column that we create. Texts keep every character and compare exactly, whatever the default
/// character set of the database.
pub fn column_type(ours: Type, collation: &str) -> String {
    match ours {
        Type::Timestamp => "DATETIME(6)".into(),
        Type::Decimal | Type::Real => "DOUBLE".into(),
        Type::Exact { digits, scale } => format!("DECIMAL({digits},{scale})"),
        Type::Integer => "BIGINT".into(),
        Type::Text => format!("VARCHAR(255) CHARACTER SET utf8mb4 COLLATE {collation}"),
        Type::Bytes => "LONGBLOB".into(),
    }
}

fn described(ours: Type) -> &'static str {
    match ours {
        Type::Timestamp => "a time",
        Type::Decimal | Type::Exact { .. } | Type::Real => "a number",
        Type::Integer => "a 64-bit integer",
        Type::Text => "text",
        Type::Bytes => "bytes",
    }
}

/// A MySQL identifier.
pub fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// The MySQL statement that creates a table.
pub fn create(table: &Table, collation: &str) -> String {
    let counted = format!("{} BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY", quoted(id_column(&table.columns)));
    let key = table.keyed.then(key_definitions).into_iter().flatten();
    let defined = |column: &ColumnSpec| definition(column, collation);
    let own = (!table.index.is_empty()).then(|| {
        let columns: Vec<String> = table.index.iter().map(|column| quoted(column)).collect();
        format!("KEY ({})", columns.join(", "))
    });
    let parts: Vec<String> =
        std::iter::once(counted).chain(table.columns.iter().map(defined)).chain(key).chain(own).collect();
    format!("CREATE TABLE IF NOT EXISTS {} ({}) ENGINE=InnoDB", quoted(&table.name), parts.join(", "))
}

/// The MySQL statement that adds columns to a table, and if needed that of row keys.
pub fn extend(table: &str, columns: &[ColumnSpec], with_key: bool, collation: &str) -> String {
    let columns = columns.iter().map(|column| format!("COLUMN {}", definition(column, collation)));
    let [key, unique] = key_definitions();
    let key = with_key.then(|| [format!("COLUMN {key}"), unique]).into_iter().flatten();
    let clauses: Vec<String> = columns.chain(key).map(|added| format!("ADD {added}")).collect();
    format!("ALTER TABLE {} {}", quoted(table), clauses.join(", "))
}

const KEY_TYPE: &str = "BINARY(16)";

/// The column of row keys, and its unique key.
fn key_definitions() -> [String; 2] {
    let name = quoted(ROW_KEY);
    [format!("{name} {KEY_TYPE} NULL"), format!("UNIQUE KEY {name} ({name})")]
}

fn definition(column: &ColumnSpec, collation: &str) -> String {
    format!("{} {} NULL", quoted(&column.name), column_type(column.column_type, collation))
}

#[cfg(test)]
mod tests {
    use super::*;
    use dataflows::rows::column;

    const COLUMNS: &[ColumnSpec] =
        &[column("timestamp", Type::Timestamp), column("speed", Type::Decimal), column("truck", Type::Text)];

    fn table(keyed: bool) -> Table {
        Table {
            view: "v".into(),
            name: "a`b".into(),
            columns: COLUMNS[..2].to_vec(),
            keyed,
            in_order: false,
            index: Vec::new(),
        }
    }

    fn flaws(columns: &[ColumnSpec], found: &[FoundColumn]) -> Vec<Flaw> {
        super::flaws(
            &Table {
                view: "v".into(),
                name: "t".into(),
                columns: columns.to_vec(),
                keyed: true,
                in_order: false,
                index: Vec::new(),
            },
            found,
            PADDING,
        )
    }

    fn found(name: &str, full_type: &str) -> FoundColumn {
        let data_type = full_type.split('(').next().unwrap_or_default();
        FoundColumn {
            name: name.into(),
            data_type: data_type.into(),
            full_type: full_type.into(),
            optional: true,
            ..FoundColumn::default()
        }
    }

    #[test]
    fn names_compare_without_case() {
        assert_eq!(missing(COLUMNS, ["TimeStamp", "SPEED"].into_iter()), &COLUMNS[2..]);
        assert_eq!(missing(COLUMNS, std::iter::empty()), COLUMNS);
    }

    #[test]
    fn the_table_of_the_original_pipeline_is_used_as_it_is() {
        let mut id = found("id", "int(11)");
        id.primary = true;
        assert_eq!(flaws(COLUMNS, &[id, found("timestamp", "datetime"), found("speed", "float")]), []);
        assert!(rounds(Type::Decimal, "float"));
        assert!(!rounds(Type::Decimal, "double"));
    }

    #[test]
    fn a_column_of_another_type_is_a_flaw() {
        let flaws = flaws(COLUMNS, &[found("Timestamp", "varchar(20)"), found("truck", "int(11)")]);
        assert_eq!(flaws[0].reason, "column `Timestamp` is varchar(20) and cannot hold a time");
        assert_eq!(flaws[0].clause, "MODIFY `Timestamp` DATETIME(6)");
        assert_eq!(flaws.len(), 2);
    }

    #[test]
    fn a_column_that_inserts_cannot_omit_is_a_flaw() {
        let mut id = found("id", "int(11)");
        (id.optional, id.primary) = (false, true);
        let mut extra = found("note", "varchar(9)");
        extra.optional = false;
        let flaws = flaws(COLUMNS, &[id, extra]);
        assert_eq!(flaws[0].clause, "MODIFY `id` int(11) NOT NULL AUTO_INCREMENT");
        assert_eq!(flaws[1].clause, "MODIFY `note` varchar(9) NULL");
    }

    #[test]
    fn only_our_columns_must_not_be_generated() {
        let mut computed = found("speed", "double");
        computed.generated = true;
        assert_eq!(
            flaws(COLUMNS, &[computed.clone()])[0].clause,
            "RENAME COLUMN `speed` TO `speed_generated`"
        );
        computed.name = "other".into();
        computed.optional = false;
        assert_eq!(flaws(COLUMNS, &[computed]), []);
    }

    #[test]
    fn a_table_is_created_with_an_id_before_its_columns() {
        assert_eq!(
            create(&table(false), PADDING),
            "CREATE TABLE IF NOT EXISTS `a``b` (`id` BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, \
             `timestamp` DATETIME(6) NULL, `speed` DOUBLE NULL) ENGINE=InnoDB"
        );
        assert_eq!(
            extend("t", &COLUMNS[..2], false, PADDING),
            "ALTER TABLE `t` ADD COLUMN `timestamp` DATETIME(6) NULL, ADD COLUMN `speed` DOUBLE NULL"
        );
    }

    #[test]
    fn a_view_may_have_a_column_id() {
        let columns = vec![column("Id", Type::Text), column("speed", Type::Decimal)];
        assert_eq!(
            create(
                &Table {
                    view: "v".into(),
                    name: "t".into(),
                    columns,
                    keyed: false,
                    in_order: false,
                    index: Vec::new()
                },
                PADDING
            ),
            "CREATE TABLE IF NOT EXISTS `t` (`row_id` BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, \
             `Id` VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL, `speed` DOUBLE NULL) ENGINE=InnoDB"
        );
    }

    #[test]
    fn a_keyed_table_has_a_unique_key_of_its_own() {
        assert_eq!(
            create(&table(true), PADDING),
            "CREATE TABLE IF NOT EXISTS `a``b` (`id` BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, \
             `timestamp` DATETIME(6) NULL, `speed` DOUBLE NULL, `row_key` BINARY(16) NULL, \
             UNIQUE KEY `row_key` (`row_key`)) ENGINE=InnoDB"
        );
        assert_eq!(
            extend("t", &[], true, PADDING),
            "ALTER TABLE `t` ADD COLUMN `row_key` BINARY(16) NULL, ADD UNIQUE KEY `row_key` (`row_key`)"
        );
        assert!(lacks_key(&table(true), ["id"].into_iter()) && !lacks_key(&table(false), ["id"].into_iter()));
        assert!(!lacks_key(&table(true), ["ROW_KEY"].into_iter()));
    }

    #[test]
    fn text_columns_get_the_most_exact_collation_available() {
        let collation = |there: &str| super::collation(there.split(','));
        assert_eq!(collation("utf8mb4_nopad_bin"), "utf8mb4_nopad_bin");
        assert_eq!(collation("utf8mb4_0900_bin,utf8mb4_nopad_bin"), "utf8mb4_nopad_bin");
        assert_eq!(collation("utf8mb4_0900_bin"), "utf8mb4_0900_bin");
        assert_eq!(collation(""), "utf8mb4_bin");
        let sql = extend("t", &COLUMNS[2..], false, "utf8mb4_0900_bin");
        assert!(sql.contains("`truck` VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin NULL"));
    }

    #[test]
    fn a_key_that_ignores_trailing_spaces_is_named() {
        let column = |name: &str, collation: &str, in_key| FoundColumn {
            collation: collation.into(),
            in_key,
            ..found(name, "varchar(32)")
        };
        let padded = |there: FoundColumn| {
            let table = Table {
                view: "v".into(),
                name: "t".into(),
                columns: COLUMNS.to_vec(),
                keyed: false,
                in_order: false,
                index: Vec::new(),
            };
            padded_keys(&table, &[there])
        };
        assert_eq!(padded(column("Truck", "latin1_swedish_ci", true)), ["Truck (latin1_swedish_ci)"]);
        assert_eq!(padded(column("truck", "utf8mb4_bin", true)), ["truck (utf8mb4_bin)"]);
        for exact in ["utf8mb4_0900_bin", "utf8mb4_0900_ai_ci", "utf8mb4_nopad_bin", "binary", ""] {
            assert!(padded(column("truck", exact, true)).is_empty(), "{exact}");
        }
        assert!(padded(column("truck", "utf8mb4_bin", false)).is_empty());
        assert!(padded(column("other", "utf8mb4_bin", true)).is_empty());
    }

    #[test]
    fn each_type_of_table_is_known() {
        assert_eq!(kind("BASE TABLE"), Kind::Table);
        assert_eq!(kind("SYSTEM VERSIONED"), Kind::Versioned);
        for (table_type, words) in [
            ("VIEW", "a view"),
            ("SYSTEM VIEW", "a system view"),
            ("SEQUENCE", "a sequence"),
            ("NEW KIND", "of the type NEW KIND"),
        ] {
            assert_eq!(kind(table_type), Kind::Other(words.into()));
        }
    }

    #[test]
    fn a_row_key_without_its_type_or_unique_key_is_a_flaw() {
        let mut key = found("row_key", "binary(16)");
        assert_eq!(flaws(COLUMNS, &[key.clone()])[0].clause, "ADD UNIQUE KEY (`row_key`)");
        key.unique = true;
        assert_eq!(flaws(COLUMNS, &[key.clone()]), []);
        key.full_type = "varchar(16)".into();
        assert_eq!(flaws(COLUMNS, &[key.clone()])[0].clause, "MODIFY `row_key` BINARY(16) NULL");
        // Append-only tables do not use it.
        assert_eq!(super::flaws(&table(false), &[key], PADDING), []);
    }
}
