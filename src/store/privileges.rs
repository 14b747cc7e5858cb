//! What a MySQL or MariaDB account may do, read from `SHOW GRANTS`: for tables that are not there yet,
//! as nothing can be tried on them.
//!
//! Grants on columns are left out: they are no right to a table. Where roles are granted, what the
//! account lacks by itself may come from them, and is not called missing.

use std::collections::BTreeSet;

/// The grants of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Privileges {
    grants: Vec<Grant>,
    revokes: Vec<Grant>,
    has_roles: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Grant {
    /// In capitals; `ALL PRIVILEGES` is all of them.
    privileges: BTreeSet<String>,
    /// None: every database. May be a pattern of `LIKE`.
    database: Option<String>,
    /// None: every table.
    table: Option<String>,
}

/// Whether something may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It may.
    Granted,
    /// It may not.
    Missing,
    /// It may if one of the account's roles has it.
    Unknown,
}

impl Privileges {
    /// Reads the lines of `SHOW GRANTS`.
    pub fn read(lines: impl Iterator<Item = impl AsRef<str>>) -> Self {
        let mut privileges = Self::default();
        for line in lines {
            let line = line.as_ref().trim();
            if let Some(rest) = line.strip_prefix("REVOKE ") {
                privileges.revokes.extend(grant(rest, " FROM "));
            } else if let Some(rest) = line.strip_prefix("GRANT ") {
                match grant(rest, " TO ") {
                    Some(grant) => privileges.grants.push(grant),
                    // A role has no `ON`; neither has a line of another kind, which changes nothing.
                    None => privileges.has_roles |= !rest.contains(" ON "),
                }
            }
        }
        privileges
    }

    /// Whether `privilege` is given on a table of a database.
    pub fn on(&self, privilege: &str, database: &str, table: &str) -> Answer {
        let gives = |grant: &&Grant| grant.covers(privilege, database, table);
        let revoked = self.revokes.iter().any(|revoke| gives(&revoke));
        // A server takes away only from what holds everywhere.
        let is_given = self.grants.iter().filter(gives).any(|grant| grant.database.is_some() || !revoked);
        match (is_given, self.has_roles) {
            (true, _) => Answer::Granted,
            (false, true) => Answer::Unknown,
            (false, false) => Answer::Missing,
        }
    }
}

impl Grant {
    fn covers(&self, privilege: &str, database: &str, table: &str) -> bool {
        let all = || self.privileges.contains("ALL PRIVILEGES") || self.privileges.contains("ALL");
        (self.privileges.contains(privilege) || all())
            && self.database.as_deref().is_none_or(|pattern| is_like(database, pattern))
            && self.table.as_deref().is_none_or(|name| name.eq_ignore_ascii_case(table))
    }
}

/// `SELECT, INSERT ON `d`.* TO …`
fn grant(rest: &str, end: &str) -> Option<Grant> {
    let (list, rest) = split_outside(rest, " ON ")?;
    let (object, _) = split_outside(rest, end)?;
    let object = object.strip_prefix("TABLE ").unwrap_or(object);
    // A routine's, a user's.
    let (database, table) = split_outside(object, ".")?;
    if database.contains(' ') && !database.starts_with(['`', '"']) {
        return None;
    }
    let mut privileges = BTreeSet::new();
    let mut rest = list;
    loop {
        let (one, next) = split_outside(rest, ",").map_or((rest, None), |(one, next)| (one, Some(next)));
        if !one.contains('(') {
            privileges.insert(one.trim().to_ascii_uppercase());
        }
        match next {
            Some(next) => rest = next,
            None => break,
        }
    }
    let name = |text: &str| (text != "*").then(|| unquoted(text));
    Some(Grant { privileges, database: name(database), table: name(table) })
}

/// Splits at the first `separator` that is not in quotes or parentheses.
fn split_outside<'a>(text: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let (mut quote, mut depth) = (None, 0_i32);
    for (at, char) in text.char_indices() {
        if quote.is_none() && depth == 0 && text[at..].starts_with(separator) {
            return Some((&text[..at], &text[at + separator.len()..]));
        }
        match (quote, char) {
            (Some(open), _) if char == open => quote = None,
            (Some(_), _) => {}
            (None, '`' | '"' | '\'') => quote = Some(char),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}

/// An identifier without its quotes.
fn unquoted(name: &str) -> String {
    match name.chars().next() {
        Some(quote @ ('`' | '"')) if name.len() >= 2 && name.ends_with(quote) => {
            name[1..name.len() - 1].replace(&format!("{quote}{quote}"), &quote.to_string())
        }
        _ => name.to_owned(),
    }
}

/// `LIKE`, without case.
fn is_like(text: &str, pattern: &str) -> bool {
    fn matches(text: &[char], pattern: &[char]) -> bool {
        let same = |a: char, b: char| a.to_lowercase().eq(b.to_lowercase());
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|from| matches(&text[from..], rest)),
            ['_', rest @ ..] => !text.is_empty() && matches(&text[1..], rest),
            ['\\', char, rest @ ..] | [char, rest @ ..] => {
                text.first().is_some_and(|first| same(*first, *char)) && matches(&text[1..], rest)
            }
        }
    }
    matches(&text.chars().collect::<Vec<_>>(), &pattern.chars().collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> Privileges {
        Privileges::read(lines.iter())
    }

    #[test]
    fn grants_of_every_level_count() {
        let privileges = read(&[
            "GRANT USAGE ON *.* TO `u`@`%` IDENTIFIED BY PASSWORD '*23 ON x.* TO'",
            "GRANT SELECT, INSERT (a, b), CREATE ON `d`.* TO `u`@`%`",
            "GRANT ALTER, SHOW VIEW ON `d`.`t` TO `u`@`%` WITH GRANT OPTION",
        ]);
        assert_eq!(privileges.on("SELECT", "d", "any"), Answer::Granted);
        assert_eq!(privileges.on("CREATE", "d", "any"), Answer::Granted);
        assert_eq!(privileges.on("INSERT", "d", "any"), Answer::Missing);
        assert_eq!(privileges.on("ALTER", "d", "t"), Answer::Granted);
        assert_eq!(privileges.on("ALTER", "d", "other"), Answer::Missing);
        assert_eq!(privileges.on("SELECT", "other", "any"), Answer::Missing);
    }

    #[test]
    fn all_is_everything() {
        assert_eq!(
            read(&["GRANT ALL PRIVILEGES ON *.* TO `root`@`%`"]).on("ALTER", "d", "t"),
            Answer::Granted
        );
    }

    #[test]
    fn a_database_may_be_a_pattern() {
        let privileges = read(&[r"GRANT CREATE ON `test\_%`.* TO 'u'@'%'"]);
        assert_eq!(privileges.on("CREATE", "test_1", "t"), Answer::Granted);
        assert_eq!(privileges.on("CREATE", "testx1", "t"), Answer::Missing);
        let quoted = read(&["GRANT CREATE ON `a``b.c`.* TO 'u'@'%'"]);
        assert_eq!(quoted.on("CREATE", "a`b.c", "t"), Answer::Granted);
    }

    #[test]
    fn what_a_role_may_have_is_not_called_missing() {
        let privileges = read(&["GRANT USAGE ON *.* TO `u`@`%`", "GRANT `writer`@`%` TO `u`@`%`"]);
        assert_eq!(privileges.on("CREATE", "d", "t"), Answer::Unknown);
        let proxy = read(&["GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION"]);
        assert_eq!(proxy, Privileges::default());
        let routine = read(&["GRANT EXECUTE ON FUNCTION `d`.`f` TO `u`@`%`"]);
        assert_eq!(routine.on("EXECUTE", "d", "f"), Answer::Missing);
    }

    #[test]
    fn a_partial_revoke_takes_away() {
        let privileges =
            read(&["GRANT SELECT, CREATE ON *.* TO `u`@`%`", "REVOKE CREATE ON `d`.* FROM `u`@`%`"]);
        assert_eq!(privileges.on("CREATE", "d", "t"), Answer::Missing);
        assert_eq!(privileges.on("CREATE", "e", "t"), Answer::Granted);
        assert_eq!(privileges.on("SELECT", "d", "t"), Answer::Granted);
    }
}
