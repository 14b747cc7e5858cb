//! The last readings in TRUCK_PARAMETER_MAP.

use super::address::Address;
use super::server::{Server, TABLE_LIMIT};
use crate::store::error::StoreError;
use crate::store::last_reading::LastReading;
use crate::store::schema::quoted;

/// The last reading of each truck in `TRUCK_PARAMETER_MAP`: the one with the highest `id`. A table without `truck_id`
/// has one truck without a name.
pub(crate) fn last_readings(address: Address) -> Result<Vec<LastReading>, StoreError> {
    const TABLE: &str = "TRUCK_PARAMETER_MAP";
    let mut server = Server::new(address)?;
    server.connect()?;
    let Some(found) = server.found(TABLE)? else { return Ok(Vec::new()) };
    let named = found.columns.iter().any(|column| column.name.eq_ignore_ascii_case("truck_id"));
    let truck = if named { "COALESCE(truck_id, '')" } else { "''" };
    let table = quoted(&found.name);
    // As doubles, because a FLOAT is printed with six digits.
    let sql = format!(
        "SELECT {truck}, distance_covered + 0e0, fuel_consumed + 0e0, \
         TIMESTAMPDIFF(MICROSECOND, '1970-01-01', `timestamp`) FROM {table} WHERE id IN \
         (SELECT id FROM (SELECT MAX(id) AS id FROM {table} WHERE distance_covered IS NOT NULL \
         AND fuel_consumed IS NOT NULL AND `timestamp` IS NOT NULL \
         GROUP BY CAST({truck} AS BINARY)) AS last) ORDER BY 1"
    );
    let rows = server.try_fetch(sql, TABLE_LIMIT).map_err(|fault| server.explain(fault))?;
    let readings = rows.iter().map(|row| LastReading {
        truck: row.text(0),
        distance: shortest(row.text(1).parse().unwrap_or_default()),
        fuel: shortest(row.text(2).parse().unwrap_or_default()),
        timestamp_micros: row.number(3).unwrap_or_default(),
    });
    Ok(readings.collect())
}

/// A double read from a FLOAT column, as the decimal that was written.
pub(super) fn shortest(value: f64) -> f64 {
    match value as f32 {
        single if f64::from(single) == value => single.to_string().parse().unwrap_or(value),
        _ => value,
    }
}
