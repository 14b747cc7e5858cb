//! The last readings in TRUCK_PARAMETER_MAP.

use std::path::Path;

use super::errors::{failure, unopened};
use super::open::open_to_read;
use super::tables::{look_up, quoted};
use crate::store::error::StoreError;
use crate::store::last_reading::LastReading;
use crate::text::time::{self};

/// The last row of each truck in `TRUCK_PARAMETER_MAP`; empty if the file or the table does not exist.
pub(crate) fn last_readings(path: &str) -> Result<Vec<LastReading>, StoreError> {
    let failure = |error| failure(path, &error);
    if !Path::new(path).try_exists().map_err(|error| unopened(path, path, &error))? {
        return Ok(Vec::new());
    }
    let connection = open_to_read(path)?;
    let Some(found) = look_up(&connection, "TRUCK_PARAMETER_MAP").map_err(failure)? else {
        return Ok(Vec::new());
    };
    let column = |name: &str| match found.columns.iter().any(|there| there.name.eq_ignore_ascii_case(name)) {
        true => quoted(name),
        false => "NULL".to_owned(),
    };
    // With max(), SQLite takes the other columns from the row with the maximum. The rowid is the automatic id.
    let sql = format!(
        "SELECT coalesce({truck}, ''), {distance}, {fuel}, {time}, max(rowid) FROM TRUCK_PARAMETER_MAP
         GROUP BY coalesce({truck}, '') ORDER BY 1",
        truck = column("truck_id"),
        distance = column("distance_covered"),
        fuel = column("fuel_consumed"),
        time = column("timestamp"),
    );
    let mut statement = connection.prepare(&sql).map_err(failure)?;
    let mut rows = statement.query([]).map_err(failure)?;
    let mut readings = Vec::new();
    while let Some(row) = rows.next().map_err(failure)? {
        let number = |at| row.get::<_, Option<f64>>(at).map(Option::unwrap_or_default);
        let truck: String = row.get(0).map_err(failure)?;
        let time: Option<String> = row.get(3).map_err(failure)?;
        let Some(timestamp_micros) = time.as_deref().and_then(time::parse) else {
            return Err(StoreError::Table {
                table: "TRUCK_PARAMETER_MAP".into(),
                reason: format!("the last row of truck `{truck}` has no usable timestamp"),
                advice: "fix or delete that row, or leave out --resume-from".into(),
            });
        };
        let (distance, fuel) = (number(1).map_err(failure)?, number(2).map_err(failure)?);
        readings.push(LastReading { truck, distance, fuel, timestamp_micros });
    }
    Ok(readings)
}
