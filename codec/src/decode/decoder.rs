//! The decoder of readings of trucks.

use std::sync::Arc;

use dataflows::batch::{Batch, BatchBuilder, FieldSpec, ROUNDED_FIELDS, Record, Value};
use dataflows::dead_letter::{DeadLetter, Reason};
use dataflows::item::{Item, Upsert};
use dataflows::origin::Origin;
use dataflows::views::Mode;

use super::future::{Future, FutureCheck};
use super::general;
use super::message::{Decode, MAX_BYTES, Message, Rejection};
use super::reading::{MAX_TRUCK_BYTES, Reading};
use super::scan::Scanner;

/// Decodes messages of one topic into a batch and dead letters.
///
/// ```
/// use codec::decode::{Decoder, Message};
///
/// let mut decoder = Decoder::new("Truck-Data".into());
/// let payload = b"{'timestamp': '2023-04-10 01:02:28', 'distance_covered': np.float64(0.01), \
///                  'engine_speed': 79.2, 'fuel_consumed': 0}";
/// let message = Message { partition: 0, offset: 7, timestamp: None, key: None, payload: Some(payload) };
/// decoder.decode(&message);
/// decoder.decode(&Message { payload: Some(b"{}"), ..message });
///
/// let record = decoder.take_batch().record(0);
/// assert_eq!(record.measures, [10_000_000, 79_200_000_000, 0]);
/// assert_eq!(decoder.take_dead_letters()[0].field, "timestamp");
/// ```
#[derive(Debug)]
pub struct Decoder {
    topic: Arc<str>,
    max_bytes: usize,
    mode: Mode,
    fields: Arc<[FieldSpec]>,
    /// None to use only the general parser.
    scanner: Option<Scanner>,
    records: BatchBuilder,
    upserts: Vec<Upsert>,
    origin: Option<Origin>,
    dead_letters: Vec<DeadLetter>,
    future: FutureCheck,
    /// The number of rounded values of each of [`ROUNDED_FIELDS`].
    rounded: [u64; 4],
    /// The number of rounded values of each of `fields`.
    rounded_declared: Vec<u64>,
    last_time: Option<i64>,
}

/// Why a message was rejected: for a known field, or for one that the job declares.
enum Refusal {
    Of(Rejection),
    OfDeclared(Reason, Arc<str>),
}

impl From<Rejection> for Refusal {
    fn from(rejection: Rejection) -> Self {
        Self::Of(rejection)
    }
}

impl Decoder {
    /// A decoder for messages of `topic`; the name appears in dead letters.
    pub fn new(topic: Arc<str>) -> Self {
        Self {
            topic,
            max_bytes: MAX_BYTES,
            mode: Mode::Append,
            fields: Arc::new([]),
            scanner: Some(Scanner::default()),
            records: BatchBuilder::default(),
            upserts: Vec::new(),
            origin: None,
            dead_letters: Vec::new(),
            future: FutureCheck::new(Future::Never),
            rounded: [0; 4],
            rounded_declared: Vec::new(),
            last_time: None,
        }
    }

    /// Rejects payloads longer than `max_bytes` instead of [`MAX_BYTES`].
    pub fn with_max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
        self
    }

    /// Reads these fields in addition to those of the default schema.
    pub fn with_fields(mut self, fields: Arc<[FieldSpec]>) -> Self {
        self.records = BatchBuilder::new(&fields);
        self.rounded_declared = vec![0; fields.len()];
        self.fields = fields;
        self
    }

    /// Interprets messages according to `mode`.
    pub fn with_mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// Rejects readings that are in the future.
    pub fn with_future(mut self, future: Future) -> Self {
        self.future = FutureCheck::new(future);
        self
    }

    /// Keeps the origin and the bytes of records with each batch, for views that may drop records as late.
    pub fn with_origins(mut self) -> Self {
        self.origin = Some(Origin::new(self.topic.clone()));
        self
    }

    /// Reads every message with the general parser.
    pub fn without_scanner(mut self) -> Self {
        self.scanner = None;
        self
    }

    /// Adds the message's record to the batch, or the message to the dead letters.
    pub fn decode(&mut self, message: &Message<'_>) {
        self.future.arrive(message);
        if let Err(refusal) = self.try_decode(message) {
            self.last_time = None;
            self.reject(message, refusal);
        }
    }

    /// How many records [`take_batch`](Self::take_batch) would return.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// The records since the last call.
    pub fn take_batch(&mut self) -> Batch {
        self.records.take()
    }

    /// The dead letters since the last call.
    pub fn take_dead_letters(&mut self) -> Vec<DeadLetter> {
        std::mem::take(&mut self.dead_letters)
    }

    #[inline]
    fn try_decode(&mut self, message: &Message<'_>) -> Result<(), Refusal> {
        if self.mode == Mode::Upsert {
            return self.try_upsert(message);
        }
        let Some(payload) = message.payload else {
            return Err(Rejection { reason: Reason::NullValue, field: "" }.into());
        };
        let (reading, extras) = self.read(payload, message.key, message)?;
        let truck = name_of_truck(&reading, message.key)?;
        self.records.push(truck, reading.time, reading.measures);
        self.records.push_extras(extras);
        self.count_rounded(reading.rounded);
        if let Some(origin) = &mut self.origin {
            origin.push(message.partition, message.offset, message.timestamp, message.key, payload);
        }
        self.last_time = Some(reading.time);
        Ok(())
    }

    fn try_upsert(&mut self, message: &Message<'_>) -> Result<(), Refusal> {
        let Some(key) = message.key else {
            return Err(Rejection { reason: Reason::MissingField, field: "key" }.into());
        };
        let record = match message.payload {
            None => None,
            Some(payload) => {
                // The key identifies the reading, not the truck.
                let (reading, mut extras) = self.read(payload, None, message)?;
                let truck = name_of_truck(&reading, None)?.into();
                self.count_rounded(reading.rounded);
                // The same form as in restored state, so that a repeated reading is recognized.
                extras.resize(self.fields.len(), Value::Null);
                Some(Record { truck, time: reading.time, measures: reading.measures, extras })
            }
        };
        self.last_time = record.as_ref().map(|record| record.time);
        let (partition, offset) = (message.partition, message.offset);
        self.upserts.push(Upsert { key: key.into(), partition, offset, record });
        Ok(())
    }

    /// Parses a payload with its declared fields. `key` names the truck if the payload does not.
    #[inline]
    fn read<'a>(
        &mut self,
        payload: &'a [u8],
        key: Option<&[u8]>,
        message: &Message<'_>,
    ) -> Result<(Reading<'a>, Vec<Value>), Refusal> {
        if payload.len() > self.max_bytes {
            return Err(Rejection { reason: Reason::TooLarge, field: "" }.into());
        }
        let scanned = self.scanner.as_mut().and_then(|scanner| scanner.scan(payload));
        let has_declared = scanned.is_none() && !self.fields.is_empty();
        let reading = scanned.map_or_else(|| general::read(payload), Ok)?;
        self.future.check(reading.time, message, general::TIMESTAMP)?;
        let extras = if has_declared { self.read_declared(payload, &reading, key)? } else { Vec::new() };
        Ok((reading, extras))
    }

    /// The declared fields of a reading. Rounded values are counted here, to keep that cost off the path of the
    /// scanner, which reads no declared fields.
    fn read_declared(
        &mut self,
        payload: &[u8],
        reading: &Reading<'_>,
        key: Option<&[u8]>,
    ) -> Result<Vec<Value>, Refusal> {
        let declared = general::declared(payload, &self.fields)
            .map_err(|(reason, place)| Refusal::OfDeclared(reason, self.fields[place].name.clone()))?;
        // The last check of a record: count only accepted values.
        name_of_truck(reading, key)?;
        for (count, (_, rounded)) in self.rounded_declared.iter_mut().zip(&declared) {
            *count += u64::from(*rounded);
        }
        Ok(declared.into_iter().map(|(value, _)| value).collect())
    }

    /// Counts the rounded values of an accepted record.
    #[inline]
    fn count_rounded(&mut self, rounded: [bool; 4]) {
        for (count, rounded) in self.rounded.iter_mut().zip(rounded) {
            *count += u64::from(rounded);
        }
    }

    #[cold]
    fn reject(&mut self, message: &Message<'_>, refusal: Refusal) {
        let refusal = self.time_first(message, refusal);
        let letter = match &refusal {
            Refusal::Of(rejection) => message.dead_letter(&self.topic, rejection.reason, rejection.field),
            Refusal::OfDeclared(reason, field) => message.dead_letter(&self.topic, *reason, field),
        };
        self.dead_letters.push(letter);
    }

    /// A reading in the future is always rejected for that reason, whatever else is wrong with it.
    fn time_first(&mut self, message: &Message<'_>, refusal: Refusal) -> Refusal {
        let is_read = matches!(
            refusal,
            Refusal::Of(Rejection { reason: Reason::InTheFuture | Reason::NotAnObject, .. })
        );
        let payload = message.payload.filter(|payload| payload.len() <= self.max_bytes);
        let time = payload.filter(|_| !is_read && self.future.is_needed()).and_then(general::time);
        match time.map(|time| self.future.check(time, message, general::TIMESTAMP)) {
            Some(Err(rejection)) => rejection.into(),
            Some(Ok(())) | None => refusal,
        }
    }
}

impl Decode for Decoder {
    /// Readings of trucks have no header.
    fn header(&mut self, _header: &[u8]) -> Result<(), &'static str> {
        Ok(())
    }

    fn set_wall_clock(&mut self, wall: i64) {
        self.future.set_wall_clock(wall);
    }

    #[inline]
    fn decode(&mut self, message: &Message<'_>) {
        self.decode(message);
    }

    fn take(&mut self, items: &mut Vec<Item>) {
        let (mut batch, letters) = (self.take_batch(), self.take_dead_letters());
        batch.origin = self.origin.as_mut().map(|origin| Arc::new(origin.take()));
        if !self.upserts.is_empty() {
            items.push(Item::Upserts(std::mem::take(&mut self.upserts)));
        }
        items.extend((!batch.is_empty()).then_some(Item::Records(batch)));
        items.extend((!letters.is_empty()).then_some(Item::DeadLetters(letters)));
        self.future.take(items);
    }

    fn take_rounded(&mut self, count: &mut dyn FnMut(&str, u64)) {
        let known = ROUNDED_FIELDS.into_iter().zip(&mut self.rounded);
        let declared = self.fields.iter().map(|field| &*field.name).zip(&mut self.rounded_declared);
        for (field, rounded) in known.chain(declared).filter(|(_, rounded)| **rounded > 0) {
            count(field, std::mem::take(rounded));
        }
    }

    fn last_time(&self) -> Option<i64> {
        self.last_time
    }
}

/// The field `truck_id`, otherwise the message's key, otherwise the empty name.
#[inline]
fn name_of_truck<'a>(reading: &'a Reading<'_>, key: Option<&'a [u8]>) -> Result<&'a str, Rejection> {
    let (name, field) = match (&reading.truck, key) {
        (Some(name), _) => (&**name, general::TRUCK),
        (None, Some(key)) => {
            let wrong = Rejection { reason: Reason::WrongType, field: "key" };
            (std::str::from_utf8(key).map_err(|_| wrong)?, "key")
        }
        (None, None) => ("", ""),
    };
    if name.len() > MAX_TRUCK_BYTES {
        return Err(Rejection { reason: Reason::TooLarge, field });
    }
    Ok(name)
}
