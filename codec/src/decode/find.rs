//! Finds the readings of a message, whatever its format.

use std::sync::Arc;

use dataflows::dead_letter::Reason;
use dataflows::views::Mode;

use super::confluent;
use super::decoder::Decoder;
use super::extract;
use super::found::{Found, Kind, Reading, Source};
use super::lines;
use super::mapping::Format;
use super::message::Message;
use super::outcome::{Part, Rejection, Unreadable};
use super::schema::{Lookup, Schema, SchemaFormat};
use super::undecodable::Undecodable;

/// Takes a reading of a message: its number and itself, and its part of the message if that has several.
type Each<'f> = &'f mut dyn FnMut(&mut Decoder, &Found<'_>, (usize, &Reading<'_>), Option<Part<'_>>);

impl Decoder {
    /// Calls `each` for every reading of a message.
    pub(super) fn visit(&mut self, message: &Message<'_>, each: Each<'_>) -> Result<(), Unreadable> {
        if self.mode == Mode::Upsert && message.key.is_none() {
            return Err(Rejection { reason: Reason::MissingField, field: "key".into() }.into());
        }
        let Some(payload) = message.payload else {
            return Err(match self.mode {
                Mode::Upsert => Unreadable::Deleted,
                Mode::Append => Rejection::of_all(Reason::NullValue).into(),
            });
        };
        if payload.len() > self.max_bytes {
            return Err(Rejection::of_all(Reason::TooLarge).into());
        }
        let payload = match &self.mapping.format {
            Format::Text | Format::Csv { .. } => payload,
            Format::Schema(schema) => return self.visit_body(&schema.clone(), payload, each),
            Format::Registry(_) => {
                let (id, body) = confluent::split(payload).map_err(undecodable)?;
                match self.schema_of(id) {
                    Some(schema) if !matches!(*schema, Schema::Json) => {
                        return self.visit_body(&schema, body, each);
                    }
                    Some(_) => body,
                    // The registry's client logs the id, which is also in the bytes of the dead letter.
                    None => return Err(Rejection::of_all(Reason::Undecodable).into()),
                }
            }
        };
        let text = std::str::from_utf8(payload).map_err(|_| not_an_object())?;
        let mut found: Found<'_> = std::mem::take(&mut self.found);
        let result = match &self.mapping.format {
            Format::Csv { separator, .. } => {
                let columns = self.columns.as_ref();
                lines::of_lines(&self.mapping, &self.plan, columns, *separator, text, &mut found);
                Ok(())
            }
            _ => {
                let is_read = extract::of_text(&self.plan, text, &mut found);
                if is_read.is_some() {
                    self.layouts.learn(&self.plan, text);
                }
                is_read.ok_or_else(not_an_object)
            }
        };
        let result = result.and_then(|()| self.pass(&found, text, each));
        self.found = found.emptied();
        result
    }

    /// The JSON of a payload, if it is that alone, or behind the id of a schema of JSON.
    #[inline]
    pub(super) fn text_of<'a>(&mut self, payload: &'a [u8]) -> Option<&'a str> {
        let body = match &self.mapping.format {
            Format::Text => payload,
            Format::Registry(SchemaFormat::Json) => {
                let (id, body) = confluent::split(payload).ok()?;
                matches!(*self.schema_of(id)?, Schema::Json).then_some(body)?
            }
            _ => return None,
        };
        std::str::from_utf8(body).ok()
    }

    /// The schema of a payload, and what it describes.
    pub(super) fn schema_and_body<'a>(&mut self, payload: &'a [u8]) -> Option<(Arc<Schema>, &'a [u8])> {
        match &self.mapping.format {
            Format::Schema(schema) => Some((schema.clone(), payload)),
            Format::Registry(_) => {
                let (id, body) = confluent::split(payload).ok()?;
                Some((self.schema_of(id)?, body))
            }
            Format::Text | Format::Csv { .. } => None,
        }
    }

    /// Finds the readings of a message that a schema describes.
    fn visit_body(&mut self, schema: &Schema, body: &[u8], each: Each<'_>) -> Result<(), Unreadable> {
        let Some(tree) = schema.decode(body) else { return Err(not_an_object()) };
        let tree = tree.map_err(undecodable)?;
        let mut found: Found<'_> = std::mem::take(&mut self.found);
        extract::of_tree(&self.plan, &tree, &mut found);
        let result = self.pass(&found, "", each);
        self.found = found.emptied();
        result
    }

    /// The schema with this id, if the registry has it.
    fn schema_of(&mut self, id: u32) -> Option<Arc<Schema>> {
        match self.looked_up.take() {
            Some((of, schema)) if of == id => {
                self.looked_up = Some((id, schema.clone()));
                schema
            }
            _ => match self.schemas.as_ref()?.get(id) {
                Lookup::Known(schema) => Some(schema),
                Lookup::Unknown | Lookup::Pending => None,
            },
        }
    }

    /// Whether a message can be decoded now. One whose schema the registry has not given yet has to wait.
    pub fn is_ready(&mut self, message: &Message<'_>) -> bool {
        let Some(schemas) = &self.schemas else { return true };
        let Some(Ok((id, _))) = message.payload.map(confluent::split) else { return true };
        if matches!(&self.looked_up, Some((of, Some(_))) if *of == id) {
            return true;
        }
        // What is unknown now may be asked for again later: the answer is kept for this message.
        self.looked_up = match schemas.get(id) {
            Lookup::Pending => return false,
            Lookup::Known(schema) => Some((id, Some(schema))),
            Lookup::Unknown => Some((id, None)),
        };
        true
    }

    /// Passes what was found in a message with this text.
    fn pass(&mut self, found: &Found<'_>, text: &str, each: Each<'_>) -> Result<(), Unreadable> {
        if self.mode == Mode::Upsert {
            return match &found.readings[..] {
                _ if !found.is_alone() => Err(not_an_object()),
                [reading] if reading.kind == Kind::Null => Err(Unreadable::Deleted),
                [reading] => {
                    each(self, found, (0, reading), None);
                    Ok(())
                }
                _ => Err(not_an_object()),
            };
        }
        let several = found.readings.len() > 1;
        for (number, reading) in found.readings.iter().enumerate() {
            let bytes = match &reading.source {
                Source::Bytes(range) => text.as_bytes().get(range.clone()).unwrap_or_default(),
                Source::Json(text) => text.as_bytes(),
            };
            let part = several.then_some(Part { place: number as u32, bytes });
            each(self, found, (number, reading), part);
        }
        Ok(())
    }
}

fn undecodable(why: Undecodable) -> Unreadable {
    Rejection::of_all(why.reason()).into()
}

fn not_an_object() -> Unreadable {
    Rejection::of_all(Reason::NotAnObject).into()
}
