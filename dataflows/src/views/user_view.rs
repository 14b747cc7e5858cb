//! A user-defined view: the readings that satisfy a condition, and columns computed from their fields.

use std::borrow::Cow;
use std::sync::Arc;

use super::settings::Settings;
use super::view::{View, keeps_nothing, render_stateless};
use crate::expression::Query;

/// A view that a job defines.
///
/// ```
/// use dataflows::expression::{Expression, Query};
/// use dataflows::views::{UserView, Settings};
///
/// let settings = Settings::default();
/// let truck = ("truck_id".to_owned(), Expression::field(settings.schema.field("truck_id").unwrap()));
/// let user_view = UserView {
///     name: "trucks".into(),
///     table: "TRUCK_TRUCKS".into(),
///     definition: "truck_id".into(),
///     query: Query::new(None, [truck]).unwrap(),
/// };
/// let view = user_view.view(&settings);
/// assert_eq!(view.columns[0].name, "truck_id");
/// ```
#[derive(Clone, Debug)]
pub struct UserView {
    /// The view's name.
    pub name: Cow<'static, str>,
    /// Its table.
    pub table: Cow<'static, str>,
    /// The text of the definition: with another text it is another view.
    pub definition: String,
    /// The condition and columns.
    pub query: Query,
}

impl UserView {
    /// The view itself.
    pub fn view(self, settings: &Settings) -> View {
        let query = Arc::new(self.query);
        let operator = self.name.clone();
        View {
            name: self.name,
            table: self.table,
            columns: query.columns().into(),
            keyed: settings.upserts(),
            of_readings: true,
            has_change: settings.upserts(),
            keeps_times: false,
            drops_readings: false,
            definition: self.definition,
            keeps: keeps_nothing(),
            build: Arc::new(move |inputs| {
                let query = query.clone();
                render_stateless(inputs, &operator, move |batch| query.rows(&batch))
            }),
        }
    }
}
