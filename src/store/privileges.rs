//! The privileges of a MySQL or MariaDB account, read from `SHOW GRANTS`. They are needed for tables that do not exist
//! yet, on which nothing can be tried.
//!
//! Grants on columns are ignored, because they do not cover the table. If the account has roles, privileges that it
//! lacks itself may come from a role and are not reported as missing.

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
    /// In capitals; `ALL PRIVILEGES` stands for all of them.
    privileges: BTreeSet<String>,
    /// `None`: every database. May be a `LIKE` pattern.
    database: Option<String>,
    /// `None`: every table.
    table: Option<String>,
}

/// Whether an account has a privilege.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has the privilege.
    Granted,
    /// It does not.
    Missing,
    /// It has the privilege if one of its roles does.
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
                    // Only grants of roles have no `ON`.
                    None => privileges.has_roles |= !rest.contains(" ON "),
                }
            }
        }
        privileges
    }

    /// Whether the account has `privilege` on a table of a database.
    pub fn on(&self, privilege: &str, database: &str, table: &str) -> Answer {
        let covers = |grant: &&Grant| grant.covers(privilege, database, table);
        let revoked = self.revokes.iter().any(|revoke| covers(&revoke));
        // Partial revokes apply only to global grants.
        let is_granted = self.grants.iter().filter(covers).any(|grant| grant.database.is_some() || !revoked);
        match (is_granted, self.has_roles) {
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

/// Parses `SELECT, INSERT ON `d`.* TO …`.
fn grant(rest: &str, end: &str) -> Option<Grant> {
    let (list, rest) = split_outside(rest, " ON ")?;
    let (object, _) = split_outside(rest, end)?;
    let object = object.strip_prefix("TABLE ").unwrap_or(object);
    // Grants on routines or users are ignored.
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

/// Case-insensitive `LIKE`.
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
    fn grants_of_every_level_are_considered() {
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
    fn all_privileges_include_each() {
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
    fn privileges_that_a_role_may_have_are_not_reported_missing() {
        let privileges = read(&["GRANT USAGE ON *.* TO `u`@`%`", "GRANT `writer`@`%` TO `u`@`%`"]);
        assert_eq!(privileges.on("CREATE", "d", "t"), Answer::Unknown);
        let proxy = read(&["GRANT PROXY ON ''@'%' TO 'root'@'localhost' WITH GRANT OPTION"]);
        assert_eq!(proxy, Privileges::default());
        let routine = read(&["GRANT EXECUTE ON FUNCTION `d`.`f` TO `u`@`%`"]);
        assert_eq!(routine.on("EXECUTE", "d", "f"), Answer::Missing);
    }

    #[test]
    fn a_partial_revoke_removes_a_privilege() {
        let privileges =
            read(&["GRANT SELECT, CREATE ON *.* TO `u`@`%`", "REVOKE CREATE ON `d`.* FROM `u`@`%`"]);
        assert_eq!(privileges.on("CREATE", "d", "t"), Answer::Missing);
        assert_eq!(privileges.on("CREATE", "e", "t"), Answer::Granted);
        assert_eq!(privileges.on("SELECT", "d", "t"), Answer::Granted);
    }
}
