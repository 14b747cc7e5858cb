//! A view of the user's own: the readings that meet a condition, and columns made of their fields.

use std::borrow::Cow;
use std::sync::Arc;

use super::{Settings, View, keeps_nothing, render_stateless};
use crate::expression::Query;

/// A view that a job defines.
#[derive(Clone, Debug)]
pub struct Own {
    /// The view's name.
    pub name: Cow<'static, str>,
    /// Its table.
    pub table: Cow<'static, str>,
    /// The text that it was made from: another text is another view.
    pub definition: String,
    /// What it shows.
    pub query: Query,
}

impl Own {
    /// The view that keeps it.
    pub fn view(self, settings: &Settings) -> View {
        let query = Arc::new(self.query);
        let operator = self.name.clone();
        View {
            name: self.name,
            table: self.table,
            columns: query.columns().into(),
            keyed: settings.upserts(),
            of_readings: true,
            gives_up: false,
            definition: self.definition,
            keeps: keeps_nothing(),
            build: Arc::new(move |inputs| {
                let query = query.clone();
                render_stateless(inputs, &operator, move |batch| query.rows(&batch))
            }),
        }
    }
}
