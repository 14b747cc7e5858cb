//! The fields that a built-in view needs, and their columns.

use super::settings::Settings;
use crate::schema::{FieldType, Place, Schema};

/// The names of the fields of trucks.
pub(super) const TIMESTAMP: &str = "timestamp";
pub(super) const TRUCK: &str = "truck_id";
pub(super) const DISTANCE_COVERED: &str = "distance_covered";
pub(super) const ENGINE_SPEED: &str = "engine_speed";
pub(super) const FUEL_CONSUMED: &str = "fuel_consumed";

/// A built-in view that is not built, because the record lacks fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The view.
    pub view: &'static str,
    /// The fields that it lacks.
    pub fields: Vec<&'static str>,
}

/// Finds the fields of a view in the record, and notes those that are missing.
pub(super) struct Wanted<'a> {
    pub settings: &'a Settings,
    missing: Vec<&'static str>,
}

/// The columns of the measures of trucks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measures {
    pub distance: usize,
    pub speed: usize,
    pub fuel: usize,
}

impl<'a> Wanted<'a> {
    pub fn new(settings: &'a Settings) -> Self {
        Self { settings, missing: Vec::new() }
    }

    fn schema(&self) -> &'a Schema {
        &self.settings.schema
    }

    /// Notes that a field is missing; its column is not used then.
    fn missing<T>(&mut self, name: &'static str, otherwise: T) -> T {
        self.missing.push(name);
        otherwise
    }

    /// Wants a number; returns its column of units.
    pub fn number(&mut self, name: &'static str) -> usize {
        self.schema().number(name).unwrap_or_else(|| self.missing(name, 0))
    }

    /// Wants an integer; returns its column of units.
    pub fn integer(&mut self, name: &'static str) -> usize {
        match self.schema().field(name).map(|field| (field.field_type, field.place)) {
            Some((FieldType::Integer, Place::Units(column))) => column,
            _ => self.missing(name, 0),
        }
    }

    /// Wants the fields that name time and truck. The view shows event time and the entity, whichever fields they are.
    pub fn truck_and_time(&mut self) {
        for name in [TIMESTAMP, TRUCK] {
            if self.schema().field(name).is_none() {
                self.missing(name, ());
            }
        }
    }

    /// Wants everything that a reading of a truck has.
    pub fn measures(&mut self) -> Measures {
        self.truck_and_time();
        Measures {
            distance: self.number(DISTANCE_COVERED),
            speed: self.number(ENGINE_SPEED),
            fuel: self.number(FUEL_CONSUMED),
        }
    }

    /// The view, if no field was missing.
    pub fn found<T>(self, view: &'static str, built: T) -> Result<T, Missing> {
        if self.missing.is_empty() { Ok(built) } else { Err(Missing { view, fields: self.missing }) }
    }
}
