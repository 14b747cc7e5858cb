//! The readings of a message and their values, as a pass over it finds them.

use std::borrow::Cow;
use std::ops::Range;

use super::plan::Plan;
use super::tree::Scalar;

/// What a pass found. It keeps its memory for the next message.
#[derive(Debug, Default)]
pub(super) struct Found<'a> {
    /// The values of each object in the message; none of a value that is absent.
    message: Vec<Option<Scalar<'a>>>,
    /// The values of each reading.
    values: Vec<Option<Scalar<'a>>>,
    /// The readings.
    pub readings: Vec<Reading<'a>>,
    /// Whether readings were in an array.
    pub is_array: bool,
    /// Whether the root of the current object, or of the current element, was met.
    pub met: bool,
    /// The number of values of an object and of a reading.
    widths: (usize, usize),
    objects: usize,
}

/// A reading of a message, or what is at its place.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    /// The object of the message that it is in.
    object: usize,
    pub kind: Kind,
    /// What the message has for it.
    pub source: Source,
    /// The key that a `*` in the root met.
    pub key: Option<Cow<'a, str>>,
}

/// What a message has for a reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// These bytes of its text.
    Bytes(Range<usize>),
    /// A value that this JSON shows; empty of what is alone in its message.
    Json(String),
}

/// What is at the place of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An object or an array.
    Object,
    /// Null, alone at the root.
    Null,
    /// Something else, or nothing.
    Other,
}

impl<'a> Found<'a> {
    /// Nothing, for messages of another lifetime, in the same memory.
    pub fn emptied<'b>(self) -> Found<'b> {
        fn empty<A, B>(mut values: Vec<A>) -> Vec<B> {
            values.clear();
            // Collecting in place keeps the memory.
            values.into_iter().filter_map(|_| None).collect()
        }
        Found {
            message: empty(self.message),
            values: empty(self.values),
            readings: empty(self.readings),
            is_array: false,
            met: false,
            widths: (0, 0),
            objects: 0,
        }
    }

    /// Whether all is in one object, and not in an array.
    pub fn is_alone(&self) -> bool {
        self.objects == 1 && !self.is_array
    }

    /// The value in a slot of the message of a reading.
    pub fn of_message(&self, reading: &Reading<'_>, slot: usize) -> Option<&Scalar<'a>> {
        self.message[reading.object * self.widths.0 + slot].as_ref()
    }

    /// The value in a slot of a reading.
    pub fn of_reading(&self, reading: usize, slot: usize) -> Option<&Scalar<'a>> {
        self.values[reading * self.widths.1 + slot].as_ref()
    }

    /// Sets the value in a slot of the current object.
    pub fn set_of_message(&mut self, slot: usize, value: Scalar<'a>) {
        let start = self.message.len() - self.widths.0;
        self.message[start + slot] = Some(value);
    }

    /// Sets the value in a slot of the last reading.
    pub fn set(&mut self, slot: usize, value: Scalar<'a>) {
        let start = self.values.len() - self.widths.1;
        self.values[start + slot] = Some(value);
    }

    /// Forgets values of the current object.
    pub fn forget_of_message(&mut self, slots: &Range<usize>) {
        let start = self.message.len() - self.widths.0;
        self.message[start + slots.start..start + slots.end].fill_with(|| None);
    }

    /// Forgets values of the last reading.
    pub fn forget(&mut self, slots: &Range<usize>) {
        if !slots.is_empty() {
            let start = self.values.len() - self.widths.1;
            self.values[start + slots.start..start + slots.end].fill_with(|| None);
        }
    }

    /// Begins an object of the message.
    pub fn begin_object(&mut self, plan: &Plan) {
        self.widths = (plan.message.slots, plan.reading.slots);
        self.objects += 1;
        self.message.resize_with(self.objects * self.widths.0, || None);
        self.met = false;
    }

    /// Begins a reading.
    pub fn begin_reading(&mut self, kind: Kind, source: Source, key: Option<Cow<'a, str>>) {
        self.met = true;
        self.readings.push(Reading { object: self.objects - 1, kind, source, key });
        self.values.resize_with(self.readings.len() * self.widths.1, || None);
    }

    /// Takes back readings of the current object.
    pub fn remove(&mut self, readings: Range<usize>) {
        self.values.drain(readings.start * self.widths.1..readings.end * self.widths.1);
        self.readings.drain(readings);
    }
}
