//! Rejected input, with its bytes and the reason.

use std::sync::Arc;

use super::view::{View, append_only, render_each};
use crate::dead_letter::{ByReason, DeadLetter, Reason};
use crate::rows::{Column, ColumnSpec, NULL, Rows, Type, column};

/// The view's name.
pub const NAME: &str = "dead_letters";
/// Its table.
pub const TABLE: &str = "TRUCK_DEAD_LETTERS";

const COLUMNS: &[ColumnSpec] = &[
    column("topic", Type::Text),
    column("partition", Type::Integer),
    column("offset", Type::Integer),
    column("kafka_timestamp", Type::Timestamp),
    column("message_key", Type::Bytes),
    column("reason", Type::Text),
    column("field", Type::Text),
    column("payload", Type::Bytes),
    column("place", Type::Integer),
];

/// The view itself.
pub fn view() -> View {
    append_only(NAME, TABLE, COLUMNS, |inputs| {
        render_each(inputs.dead_letters.clone(), inputs.start, "DeadLetterRows", |letters| {
            vec![rows(letters)]
        })
    })
}

/// Dead letters as rows of the view.
pub fn rows(letters: Vec<DeadLetter>) -> Rows {
    let mut columns = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut texts = (Vec::new(), Vec::<Option<Arc<str>>>::new(), Vec::<Option<Arc<str>>>::new());
    let mut payloads = Vec::new();
    for letter in letters {
        texts.0.push(Some(letter.topic));
        columns.0.push(i64::from(letter.partition));
        columns.1.push(letter.offset);
        columns.2.push(letter.kafka_timestamp.map_or(NULL, |ms| ms.saturating_mul(1000)));
        columns.3.push(letter.key);
        columns.4.push(letter.place.map_or(NULL, i64::from));
        texts.1.push(Some(letter.reason.name().into()));
        texts.2.push(Some(letter.field.into()));
        payloads.push(letter.payload);
    }
    vec![
        Column::Text(Arc::new(texts.0)),
        Column::Integer(Arc::new(columns.0)),
        Column::Integer(Arc::new(columns.1)),
        Column::Timestamp(Arc::new(columns.2)),
        Column::Bytes(Arc::new(columns.3)),
        Column::Text(Arc::new(texts.1)),
        Column::Text(Arc::new(texts.2)),
        Column::Bytes(Arc::new(payloads)),
        Column::Integer(Arc::new(columns.4)),
    ]
    .into()
}

/// The number of these rows of the view by reason.
pub fn reasons(rows: &Rows) -> ByReason {
    let mut numbers = ByReason::default();
    if let Some(Column::Text(reasons)) = rows.columns.get(5) {
        let reasons = reasons.iter().flatten().filter_map(|reason| Reason::named(reason));
        reasons.for_each(|reason| numbers.add(reason, 1));
    }
    numbers
}
