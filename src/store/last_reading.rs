//! The last readings in TRUCK_PARAMETER_MAP.

use dataflows::rows::{Type, column};

use super::bookkeeping::statement::{Reads, Row, Statement};
use super::error::StoreError;
use super::reader::StoreReader;
use crate::text::time;

const TABLE: &str = "TRUCK_PARAMETER_MAP";

/// The last reading of a truck in TRUCK_PARAMETER_MAP, from which a simulated drive continues.
#[derive(Clone, Debug, PartialEq)]
pub struct LastReading {
    /// The truck's name; empty for the single truck without a name.
    pub truck: String,
    /// Kilometres since the start of the drive.
    pub distance: f64,
    /// Litres since the start of the drive.
    pub fuel: f64,
    /// Event time in microseconds since 1970.
    pub timestamp_micros: i64,
}

/// The last reading of each truck: the one with the latest time, of several the one with the highest `id`. (That alone
/// does not order the rows of two epochs.) A table without `truck_id` has one truck without a name.
pub(super) fn last_readings(reader: &mut dyn StoreReader) -> Result<Vec<LastReading>, StoreError> {
    let columns = [
        column("truck_id", Type::Text),
        column("distance_covered", Type::Decimal),
        column("fuel_consumed", Type::Decimal),
        column("timestamp", Type::Timestamp),
    ];
    let Some(found) = reader.columns(TABLE, &columns)? else { return Ok(Vec::new()) };
    let session = reader.session()?;
    let name = |at: usize| match &found.columns[at] {
        Ok((name, _)) => session.quoted(name),
        Err(_) => "NULL".to_owned(),
    };
    let (truck, distance, fuel, time) = (format!("COALESCE({}, '')", name(0)), name(1), name(2), name(3));
    let (table, id, exact) = (session.quoted(&found.table), session.row_id(), session.exact(&truck));
    // As doubles, because MySQL prints a FLOAT with six digits.
    let usable = format!("{distance} IS NOT NULL AND {fuel} IS NOT NULL AND {time} IS NOT NULL");
    let sql = format!(
        "SELECT {truck}, {distance} + 0e0, {fuel} + 0e0, {time} FROM {table} WHERE {id} IN \
         (SELECT id FROM (SELECT MAX({id}) AS id FROM {table} JOIN \
         (SELECT {exact} AS last_truck, MAX({time}) AS last_time FROM {table} WHERE {usable} GROUP BY {exact}) AS last \
         ON {exact} = last_truck AND {time} = last_time WHERE {usable} GROUP BY last_truck) AS last_ids) ORDER BY 1"
    );
    let rows = session.fetch(&Statement { reads: Reads::Table, ..Statement::new(sql, []) })?;
    let reading = |row: Row| {
        let truck = row.text(0);
        let Some(timestamp_micros) = time::parse(&row.text(3)) else {
            return Err(StoreError::Table {
                table: TABLE.into(),
                reason: format!("the last row of truck `{truck}` has no usable timestamp"),
                advice: "fix or delete that row, or leave out --resume-from".into(),
            });
        };
        let number = |at| single(row.text(at).parse().unwrap_or_default());
        Ok(LastReading { truck, distance: number(1), fuel: number(2), timestamp_micros })
    };
    rows.into_iter().map(reading).collect()
}

/// A double read from a FLOAT column, as the decimal that was written.
fn single(value: f64) -> f64 {
    match value as f32 {
        single if f64::from(single) == value => single.to_string().parse().unwrap_or(value),
        _ => value,
    }
}
