//! Which readings repeat others.

use std::collections::BTreeSet;
use std::time::Duration;

use dataflows::schema::Schema;
use dataflows::views::{Dedupe, Mode};

use crate::config::error::{ConfigError, wrong};
use crate::config::raw::Config;
use crate::config::span::span;

/// `message.dedupe`, for a record with these fields.
pub fn dedupe(config: &Config, schema: &Schema) -> Result<Option<Dedupe>, ConfigError> {
    let Some(written) = &config.message.dedupe else { return Ok(None) };
    if config.mode == Mode::Upsert {
        let reason = "is for mode = \"append\"; with mode = \"upsert\" a message replaces the reading of its key, so \
                      leave it out";
        return Err(wrong("message.dedupe", reason));
    }
    if written.fields.is_empty() {
        let reason =
            "is empty; name the fields that are equal in a repetition, such as truck_id and timestamp";
        return Err(wrong("message.dedupe.fields", reason));
    }
    // Their order does not matter.
    let names: BTreeSet<&str> = written.fields.iter().map(String::as_str).collect();
    let mut fields = Vec::with_capacity(names.len());
    for name in &names {
        let Some(field) = schema.field(name) else {
            let known: Vec<&str> = schema.fields().iter().map(|field| &*field.name).collect();
            let reason = format!("the record has no field `{name}`; expected some of {}", known.join(", "));
            return Err(wrong("message.dedupe.fields", reason));
        };
        fields.push(field.place);
    }
    let within = span("message.dedupe.within", &written.within, Duration::ZERO)?;
    let definition = format!(
        "{{ fields = {:?}, within = \"{}\" }}",
        names.iter().collect::<Vec<_>>(),
        humantime::format_duration(Duration::from_micros(within as u64))
    );
    Ok(Some(Dedupe { fields, within, definition }))
}
