//! Where a key was written: its line in the file, or the variable or flag that set it.

use std::collections::BTreeMap;

use toml::de::{DeTable, DeValue};

/// The sources of a configuration.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// The name of the file; empty without one.
    file: String,
    /// The line of each dotted key of the file, counted from 1.
    lines: BTreeMap<String, usize>,
    /// The keys that variables and flags set, and their names, in the order in which they override each other.
    overrides: Vec<(String, String)>,
}

impl Places {
    /// The keys of a file with this text.
    pub fn of_file(name: &str, text: &str) -> Self {
        let mut places = Self { file: name.to_owned(), ..Self::default() };
        if let Ok(table) = DeTable::parse(text) {
            places.add(text, "", table.get_ref());
        }
        places
    }

    fn add(&mut self, text: &str, within: &str, table: &DeTable<'_>) {
        for (name, value) in table.iter() {
            let key = match within {
                "" => name.get_ref().to_string(),
                _ => format!("{within}.{}", name.get_ref()),
            };
            let line = text[..name.span().start].matches('\n').count() + 1;
            // A table may begin in several places; the first one has its header.
            self.lines.entry(key.clone()).or_insert(line);
            if let DeValue::Table(table) = value.get_ref() {
                self.add(text, &key, table);
            }
        }
    }

    /// Records that a variable or flag set a key.
    pub fn set(&mut self, key: &str, name: &str) {
        self.overrides.push((key.to_owned(), name.to_owned()));
    }

    /// Where a key was set; none if it was not. Without the key itself, where the table was begun that it belongs to.
    pub fn of(&self, key: &str) -> Option<String> {
        let is_within = |key: &str, table: &str| {
            key.strip_prefix(table).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let mut overrides = self.overrides.iter().rev();
        if let Some((_, name)) = overrides.clone().find(|(set, _)| is_within(key, set)) {
            return Some(name.clone());
        }
        let line = std::iter::successors(Some(key), |key| key.rsplit_once('.').map(|(table, _)| table))
            .find_map(|key| self.lines.get(key));
        let line = line.map(|line| match &*self.file {
            "" => format!("line {line}"),
            file => format!("{file} line {line}"),
        });
        // One that set only a part of it may be at fault as well.
        let of_part = overrides.find(|(set, _)| is_within(set, key)).map(|(_, name)| name.clone());
        match (line, of_part) {
            (Some(line), Some(name)) => Some(format!("{line} and {name}")),
            (line, name) => line.or(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_every_form_of_a_table() {
        let text = "\
job = \"a\"
[message]
root = \"/a\"
key = \"b\"
[record]
inline = { type = \"number\",
  path = \"/x\" }
dotted.type = \"text\"
dotted.unit = \"s\"
\"a b\" = \"text\"
[record.header]
sql = \"1\"
";
        let places = Places::of_file("job.toml", text);
        for (key, line) in [
            ("job", 1),
            ("message", 2),
            ("message.root", 3),
            ("message.time", 2),
            ("record.inline", 6),
            ("record.inline.path", 7),
            ("record.inline.unit", 6),
            ("record.dotted", 8),
            ("record.dotted.unit", 9),
            ("record.a b", 10),
            ("record.header", 11),
            ("record.header.sql", 12),
            ("record.other", 5),
        ] {
            assert_eq!(places.of(key), Some(format!("job.toml line {line}")), "{key}");
        }
        assert_eq!(places.of("limits.max_ahead"), None);
        assert_eq!(Places::of_file("", text).of("job").as_deref(), Some("line 1"));
    }

    #[test]
    fn what_overrides_a_key_is_named_instead_of_its_line() {
        let mut places = Places::of_file("job.toml", "[record]\na = { type = \"text\" }\nb = \"text\"");
        places.set("record.b", "TRUCKFLOW_RECORD__B");
        places.set("record.a.unit", "--set record.a.unit");
        places.set("message", "--set message");
        let of = |key: &str| places.of(key).unwrap_or_default();
        assert_eq!(of("record.b"), "TRUCKFLOW_RECORD__B");
        assert_eq!(of("record.b.sql"), "TRUCKFLOW_RECORD__B");
        assert_eq!(of("record.a"), "job.toml line 2 and --set record.a.unit");
        assert_eq!(of("record.a.unit"), "--set record.a.unit");
        assert_eq!(of("message.root"), "--set message");
        assert_eq!(of("record.ab"), "job.toml line 1");
    }
}
