//! A view of the user's own: the readings that meet a condition, and columns made of their fields.

use std::borrow::Cow;
use std::sync::Arc;

use super::settings::Settings;
use super::view::{View, keeps_nothing, render_stateless};
use crate::expression::Query;

/// A view that a job defines.
///
/// ```
/// use dataflows::expression::{Expression, Field, Query};
/// use dataflows::views::{Own, Settings};
///
/// let truck = ("truck_id".to_owned(), Expression::field(Field::Truck));
/// let own = Own {
///     name: "trucks".into(),
///     table: "TRUCK_TRUCKS".into(),
///     definition: "truck_id".into(),
///     query: Query::new(None, [truck]).unwrap(),
/// };
/// let view = own.view(&Settings::default());
/// assert_eq!(view.columns[0].name, "truck_id");
/// ```
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
            keeps_times: false,
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
