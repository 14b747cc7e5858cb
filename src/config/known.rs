//! The views that a job can have.

use dataflows::views::{self, DEAD_LETTERS, DEAD_LETTERS_TABLE};

use super::error::ConfigError;
use super::names::{is_table_name, is_view_name};
use super::raw::Config;
use super::sql::script::Script;

/// The names of the views that a job can have.
pub(super) struct Names(Vec<String>);

impl Names {
    /// Those of the built-in views.
    pub(super) fn built_in(script: &Script) -> Self {
        Self(script.views().map(|view| view.name.clone()).chain([DEAD_LETTERS.to_owned()]).collect())
    }

    /// Refuses a name that no view has.
    pub(super) fn check_known<'a>(
        &self,
        key: &'static str,
        names: impl IntoIterator<Item = &'a str>,
    ) -> Result<(), ConfigError> {
        match names.into_iter().find(|name| !self.0.iter().any(|known| known == name)) {
            None => Ok(()),
            Some(name) => Err(ConfigError::Value {
                key,
                value: name.to_owned(),
                reason: format!("unknown view; expected one of {}", self.0.join(", ")),
            }),
        }
    }
}

/// The names of all views, built-in and the job's own; refuses invalid and duplicate names.
pub(super) fn names(config: &Config, built_in: &Script) -> Result<Names, ConfigError> {
    let Names(mut names) = Names::built_in(built_in);
    // The tables of built-in views that the job does not have are free for its own.
    let there = built_in.views().filter(|view| config.has_builtin(&view.name));
    let mut tables: Vec<String> = there.filter_map(|view| view.table.clone()).collect();
    tables.push(DEAD_LETTERS_TABLE.to_owned());
    // Reserved for the readings of an upsert job, and for those of a job that drops repetitions.
    let reserved = [views::READINGS, views::DEDUPE];
    let mut add = |name: &str, table: Option<&str>| {
        if !is_view_name(name) {
            let rule = "use lowercase letters, digits and `_`, at most 48, starting with a letter";
            return Err(format!("`{name}` is not a valid name of a view; {rule}"));
        }
        if names.iter().any(|other| other == name) || reserved.contains(&name) {
            return Err(format!("another view has the name `{name}`; choose a different one"));
        }
        names.push(name.to_owned());
        let Some(table) = table else { return Ok(()) };
        if !is_table_name(table) || table.to_lowercase().starts_with("truckflow_") {
            let rule =
                "use letters, digits and `_`, at most 64, starting with neither a digit nor `truckflow_`";
            return Err(format!("`{table}` is not a valid table name; {rule}"));
        }
        if tables.iter().any(|other| other.eq_ignore_ascii_case(table)) {
            return Err(format!("another view writes to table {table}; set `table` to another one"));
        }
        tables.push(table.to_owned());
        Ok(())
    };
    if let Some(script) = &config.sql {
        for view in script.views() {
            add(&view.name, view.table.as_deref()).map_err(|reason| script.wrong(view, reason))?;
        }
    }
    Ok(Names(names))
}
