//! Names of fields, made of the keys on the way to their values.

use std::collections::HashSet;

use super::words::words;
use crate::config::names::RESERVED_COLUMNS;

/// Keys that say little without the one before.
const GENERIC: [&str; 33] = [
    "alpha",
    "amount",
    "at",
    "code",
    "content",
    "count",
    "date",
    "double",
    "element",
    "float",
    "id",
    "int",
    "integer",
    "key",
    "kind",
    "level",
    "max",
    "min",
    "n",
    "name",
    "number",
    "raw",
    "seconds",
    "state",
    "status",
    "string",
    "text",
    "time",
    "timestamp",
    "ts",
    "type",
    "unit",
    "value",
];
/// Keys of containers, which say nothing of what is in them.
const CONTAINERS: [&str; 20] = [
    "attributes",
    "body",
    "data",
    "fields",
    "message",
    "metrics",
    "params",
    "parameters",
    "payload",
    "pid",
    "pids",
    "properties",
    "reading",
    "record",
    "sensors",
    "signals",
    "tags",
    "telemetry",
    "v",
    "values",
];

/// Words of SQL that are no names, in MySQL, SQLite or truckflow's own.
const SQL: &str = " accessible add all alter analyze and any as asc before between both by call cascade case cast change \
    character check collate column columns condition constraint continue convert create cross cube current cursor database \
    databases day_hour declare default delayed delete desc describe deterministic distinct distinctrow div drop \
    dual each else elseif empty enclosed end escaped except exists exit explain false fetch filter first_value float for force \
    foreign from fulltext function generated get grant group grouping groups having hop if ignore in index infile inner \
    inout insert int integer intersect interval into is iterate join key keys kill lag last_value lateral lead leading leave left \
    like limit linear lines load localtime localtimestamp lock long loop manual match mod natural not null numeric of offset on \
    optimize option optionally or order out outer outfile over parallel partition percent_rank precision primary procedure purge \
    qualify range rank read reads readings real recursive references regexp release rename repeat replace require resignal \
    restrict return revoke right rlike row rows row_number schema schemas select sensitive separator session set show signal \
    spatial specific sql ssl starting stored straight_join system table tablesample terminated then to trailing trigger true \
    tumble undo union unique unlock unsigned update usage use using values varying virtual when where while window with within \
    write xor zerofill window_start window_end correlation samples time_elapsed ";

/// The longest name.
const LONGEST: usize = 50;

/// A name for each list of keys, all different.
#[derive(Default)]
pub(super) struct Names {
    taken: HashSet<String>,
}

impl Names {
    /// A name that is free, from the last keys of a path; as few of them as say enough.
    pub(super) fn of_keys(&mut self, keys: &[&str]) -> String {
        if let [.., "coordinates", axis @ ("0" | "1" | "2")] = keys {
            // In the order of RFC 7946.
            let name = match *axis {
                "0" => "longitude",
                "1" => "latitude",
                _ => "altitude",
            };
            return self.of(name);
        }
        // MongoDB's `{"$date": ...}` is no name.
        let is_type = |key: &str| key.starts_with('$') && keys.len() > 1;
        let parts: Vec<String> =
            keys.iter().filter(|key| !is_type(key)).map(|key| joined(words(key))).collect();
        let enough = (0..parts.len()).rev().find(|at| says_enough(&parts[*at]));
        let from = enough.unwrap_or(parts.len().saturating_sub(1));
        // The value of a measurement has the measurement's name.
        let is_value = parts.last().is_some_and(|last| matches!(&**last, "value" | "val" | "v"));
        let whole = parts.len() - usize::from(is_value && from + 1 < parts.len());
        // Longer names, if the short ones are taken.
        let ways = (0..=from).rev().flat_map(|from| [(from, whole), (from, parts.len())]);
        let names: Vec<String> = ways.map(|(from, to)| joined(words(&parts[from..to].join("_")))).collect();
        match names.iter().find(|name| self.is_free(name)) {
            Some(name) => self.take(name.clone()),
            None => self.of(names.first().map_or("", String::as_str)),
        }
    }

    /// A name that is free: the given one, or one that begins like it.
    pub(super) fn of(&mut self, name: &str) -> String {
        let base = match name {
            "" => "field".into(),
            _ if name.starts_with(|first: char| first.is_ascii_digit()) => format!("value_{name}"),
            _ if is_reserved(name) => format!("{name}_value"),
            _ => name.to_owned(),
        };
        let base = base[..base.len().min(LONGEST - 5)].trim_end_matches('_');
        if self.is_free(base) {
            return self.take(base.to_owned());
        }
        let numbered = (2u32..).map(|number| format!("{base}_{number}"));
        let free = numbered.into_iter().find(|name| self.is_free(name));
        self.take(free.unwrap_or_default())
    }

    /// Whether no field has the name yet, and SQL none of its own.
    pub(super) fn is_free(&self, name: &str) -> bool {
        (1..=LONGEST).contains(&name.len())
            && !name.as_bytes()[0].is_ascii_digit()
            && !is_reserved(name)
            && !self.taken.contains(name)
    }

    fn take(&mut self, name: String) -> String {
        self.taken.insert(name.clone());
        name
    }
}

/// Whether SQL or a table uses the name.
fn is_reserved(name: &str) -> bool {
    RESERVED_COLUMNS.contains(&name) || SQL.contains(&format!(" {name} "))
}

fn says_enough(part: &str) -> bool {
    !part.is_empty()
        && !part.bytes().all(|byte| byte.is_ascii_digit())
        && !GENERIC.contains(&part)
        && !CONTAINERS.contains(&part)
        && !is_reserved(part)
}

/// Words with `_` between them, none twice in a row.
fn joined(words: impl IntoIterator<Item = String>) -> String {
    let mut joined: Vec<String> = words.into_iter().filter(|word| !word.is_empty()).collect();
    joined.dedup();
    joined.join("_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::names::is_column_name;

    fn names(paths: &[&str]) -> Vec<String> {
        let mut names = Names::default();
        paths.iter().map(|path| names.of_keys(&path.split('/').collect::<Vec<_>>())).collect()
    }

    #[test]
    fn a_name_has_as_many_keys_as_say_enough() {
        let paths = [
            "vehicle/id",
            "engineRpm/value",
            "obd/rpm",
            "fixTime",
            "tags/axles/0",
            "pos.alt",
            "odo/$numberLong",
        ];
        assert_eq!(
            names(&paths),
            ["vehicle_id", "engine_rpm", "rpm", "fix_time", "axles_0", "pos_alt", "odo"]
        );
    }

    #[test]
    fn names_are_unique_without_case_and_longer_before_they_are_numbered() {
        assert_eq!(names(&["gps/speed", "obd/speed"]), ["speed", "obd_speed"]);
        assert_eq!(names(&["speed", "Speed", "SPEED"]), ["speed", "speed_2", "speed_3"]);
    }

    #[test]
    fn names_are_valid_columns_and_no_words_of_sql() {
        for path in ["", "速度", "order", "2nd", "row_key", "🚚 load", "a\"b", &"long ".repeat(30)] {
            let name = &names(&[path])[0];
            assert!(is_column_name(name) && !is_reserved(name), "{path}: {name}");
        }
    }
}
