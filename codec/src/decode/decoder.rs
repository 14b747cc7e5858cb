//! The decoder of readings.

use std::collections::BTreeMap;
use std::sync::Arc;

use dataflows::batch::{Batch, BatchBuilder, Record};
use dataflows::dead_letter::{DeadLetter, Reason};
use dataflows::item::{Item, Upsert};
use dataflows::origin::Origin;
use dataflows::views::Mode;

use super::direct::Direct;
use super::found::{Found, Kind, Reading};
use super::future::{Future, FutureCheck};
use super::layout::{Fill, Layouts};
use super::lines::Columns;
use super::mapping::{Format, Mapping};
use super::message::{Counted, Decode, MAX_BYTES, MAX_ENTITY_BYTES, Message};
use super::outcome::{Judged, Part, Rejection, Unreadable};
use super::plan::Plan;
use super::row::{From, Row, Verdict};
use super::scalar::Scalar;
use super::scan::{self, Scanner};
use super::schema::{Schema, SchemaFormat, Schemas};
use super::value::{Value, text_of};
use crate::text::time::TimeWriter;

/// For how many schemas of a registry it is kept how they fill the row.
const KEPT: usize = 8;

/// Decodes messages of one topic into a batch and dead letters.
///
/// ```
/// use std::sync::Arc;
/// use codec::decode::{Decoder, Mapping, Message};
///
/// let mut decoder = Decoder::new("Truck-Data".into(), Arc::new(Mapping::trucks()));
/// let payload = b"{'timestamp': '2023-04-10 01:02:28', 'distance_covered': np.float64(0.01), \
///                  'engine_speed': 79.2, 'fuel_consumed': 0}";
/// let message = Message { partition: 0, offset: 7, payload: Some(payload), ..Message::default() };
/// decoder.decode(&message);
/// decoder.decode(&Message { payload: Some(b"{}"), ..message });
///
/// let record = decoder.take_batch().record(0);
/// assert_eq!(record.units, [10_000_000, 79_200_000_000, 0]);
/// assert_eq!(decoder.take_dead_letters()[0].field, "timestamp");
/// ```
#[derive(Debug)]
pub struct Decoder {
    pub(super) topic: Arc<str>,
    pub(super) max_bytes: usize,
    pub(super) mode: Mode,
    pub(super) mapping: Arc<Mapping>,
    pub(super) plan: Plan,
    /// The layouts of the messages so far.
    pub(super) layouts: Layouts,
    /// For messages of the default form.
    scanner: Option<Scanner>,
    /// The columns of CSV, if they are known before a message.
    pub(super) columns: Option<Columns>,
    /// The schemas of a registry.
    pub(super) schemas: Option<Arc<dyn Schemas>>,
    /// The last one that was looked up, by its id; none if the registry does not know the id.
    pub(super) looked_up: Option<(u32, Option<Arc<Schema>>)>,
    /// How the schemas that were met last fill the row; none if it takes the general pass.
    directs: Vec<(Arc<Schema>, Option<Direct>)>,
    pub(super) found: Found<'static>,
    pub(super) row: Row,
    records: BatchBuilder,
    upserts: Vec<Upsert>,
    origin: Option<Origin>,
    dead_letters: Vec<DeadLetter>,
    future: FutureCheck,
    /// The number of rounded values of each field.
    rounded: Vec<u64>,
    /// Bad values that became NULL, by field and reason.
    forgiven: BTreeMap<(usize, Reason), u64>,
    /// The number of readings that the condition of the mapping left out.
    skipped: u64,
    last_time: Option<i64>,
    times: TimeWriter,
}

impl Decoder {
    /// A decoder for messages of `topic`; the name appears in dead letters.
    pub fn new(topic: Arc<str>, mapping: Arc<Mapping>) -> Self {
        let plan = Plan::new(&mapping);
        let columns = match &mapping.format {
            Format::Csv { columns: Some(names), .. } => {
                Some(Columns::new(&mapping, &plan, names.iter().map(|name| name.as_str().into())))
            }
            _ => None,
        };
        Self {
            topic,
            max_bytes: MAX_BYTES,
            mode: Mode::Append,
            scanner: mapping.is_scanned().then(Scanner::default),
            columns,
            schemas: None,
            looked_up: None,
            directs: Vec::new(),
            found: Found::default(),
            row: Row::new(&mapping),
            records: BatchBuilder::new(&mapping.schema),
            upserts: Vec::new(),
            origin: None,
            dead_letters: Vec::new(),
            future: FutureCheck::new(Future::Never),
            rounded: vec![0; mapping.fields.len()],
            forgiven: BTreeMap::new(),
            skipped: 0,
            last_time: None,
            times: TimeWriter::default(),
            plan,
            layouts: Layouts::default(),
            mapping,
        }
    }

    /// Rejects payloads longer than `max_bytes` instead of [`MAX_BYTES`].
    pub fn with_max_bytes(mut self, max_bytes: usize) -> Self {
        self.max_bytes = max_bytes;
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

    /// Asks for the schemas of messages there.
    pub fn with_schemas(mut self, schemas: Arc<dyn Schemas>) -> Self {
        self.schemas = Some(schemas);
        self
    }

    /// Keeps the origin and the bytes of records with each batch, for views that may drop records as late.
    pub fn with_origins(mut self) -> Self {
        self.origin = Some(Origin::new(self.topic.clone()));
        self
    }

    /// Keeps where each record is, without its bytes, for a job that drops repetitions.
    pub fn with_positions(mut self) -> Self {
        self.origin = Some(Origin::bare(self.topic.clone()));
        self
    }

    /// Reads every message with the general parser.
    pub fn without_scanner(mut self) -> Self {
        self.scanner = None;
        self
    }

    /// Adds the records of the message to the batch; what cannot be read becomes a dead letter.
    pub fn decode(&mut self, message: &Message<'_>) {
        self.future.arrive(message);
        self.last_time = None;
        if self.mode == Mode::Append
            && let Some(payload) = message.payload
            && payload.len() <= self.max_bytes
            && let Some(scanner) = &mut self.scanner
            && let Some(scanned) = scanner.scan(payload)
            && self.accept_scanned(&scanned, message, payload)
        {
            return;
        }
        if self.fill_directly(message) {
            let judged = self.judge(message, None);
            return self.take_one(judged, message, None);
        }
        self.decode_generally(message);
    }

    /// Decodes a message without shortcuts, which any message may be decoded by.
    pub(super) fn decode_generally(&mut self, message: &Message<'_>) {
        let taken = self.visit(message, &mut |decoder, found, reading, part| {
            let judged = decoder.fill(found, reading, message).and_then(|()| decoder.judge(message, part));
            decoder.take_one(judged, message, part);
        });
        match taken {
            Ok(()) => {}
            Err(Unreadable::Deleted) => self.upsert(message, None),
            Err(Unreadable::Rejected(rejection)) => self.reject(message, rejection),
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

    /// Adds a reading of the default form, unless something is wrong with it.
    #[inline]
    fn accept_scanned(&mut self, scanned: &scan::Scanned<'_>, message: &Message<'_>, payload: &[u8]) -> bool {
        let truck = match (scanned.truck, message.key) {
            (Some(truck), _) => truck,
            (None, None) => "",
            (None, Some(key)) => match std::str::from_utf8(key) {
                Ok(key) => key,
                Err(_) => return false,
            },
        };
        if truck.len() > MAX_ENTITY_BYTES || self.future.may_be_ahead(scanned.time) {
            return false;
        }
        self.records.push(truck, scanned.time, &scanned.measures);
        for (count, rounded) in self.rounded.iter_mut().zip(scanned.rounded) {
            *count += u64::from(rounded);
        }
        if let Some(origin) = &mut self.origin {
            origin.push(message.partition, message.offset, message.timestamp, message.key, None, payload);
        }
        self.last_time = Some(scanned.time);
        true
    }

    /// Takes one reading, or rejects it.
    fn take_one(&mut self, judged: Result<Judged, Rejection>, message: &Message<'_>, part: Option<Part<'_>>) {
        let rejection = match judged {
            Ok(Judged::Record(entity, time)) => return self.accept(entity, time, message, part),
            Ok(Judged::Skipped) => {
                self.skipped += 1;
                return;
            }
            Err(rejection) => rejection,
        };
        let mut letter = message.dead_letter(&self.topic, rejection.reason, &rejection.field);
        if let Some(part) = part {
            letter.place = Some(part.place);
            letter.payload = Some(part.bytes.to_vec());
        }
        self.dead_letters.push(letter);
    }

    /// Fills the row with the one reading of a message: a line, a datum of Avro, or a message whose layout is known.
    /// Returns whether it is.
    #[inline]
    pub(super) fn fill_directly(&mut self, message: &Message<'_>) -> bool {
        let Some(payload) = message.payload else { return false };
        let takes_key = self.mode == Mode::Append;
        let has_schema =
            matches!(self.mapping.format, Format::Schema(_) | Format::Registry(SchemaFormat::Avro));
        let is_tried = has_schema || self.columns.is_some() || !self.layouts.is_empty();
        if !is_tried || payload.len() > self.max_bytes || !takes_key && message.key.is_none() {
            return false;
        }
        if has_schema {
            let is_filled = self.fill_by_schema(payload, From { message, takes_key }).is_some();
            if is_filled {
                self.row.compute(&self.mapping);
            }
            return is_filled;
        }
        let text = match &self.mapping.format {
            Format::Csv { .. } => std::str::from_utf8(payload).ok(),
            _ => self.text_of(payload),
        };
        let Some(text) = text else { return false };
        let (mapping, from) = (&*self.mapping, From { message, takes_key });
        let mut filling = Filling { mapping, row: &mut self.row, from };
        let is_filled = match (&mapping.format, &self.columns) {
            (Format::Csv { separator, .. }, Some(columns)) => columns.read(*separator, text, &mut filling),
            _ => self.layouts.read(text, &mut filling),
        };
        if is_filled {
            self.row.compute(mapping);
        }
        is_filled
    }

    /// Fills the row with the values of a datum of Avro.
    fn fill_by_schema(&mut self, payload: &[u8], from: From<'_>) -> Option<()> {
        let (schema, body) = self.schema_and_body(payload)?;
        let Schema::Avro(avro) = &*schema else { return None };
        let place = match self.directs.iter().position(|(of, _)| Arc::ptr_eq(of, &schema)) {
            Some(place) => place,
            None => {
                self.directs.insert(0, (schema.clone(), Direct::new(avro, &self.plan)));
                self.directs.truncate(KEPT);
                0
            }
        };
        let direct = self.directs[place].1.as_ref()?;
        direct.read(avro, body, &mut Filling { mapping: &self.mapping, row: &mut self.row, from })
    }

    /// Fills the row with a reading.
    pub(super) fn fill(
        &mut self,
        found: &Found<'_>,
        (number, reading): (usize, &Reading<'_>),
        message: &Message<'_>,
    ) -> Result<(), Rejection> {
        if reading.kind != Kind::Object {
            return Err(Rejection::of_all(Reason::NotAnObject));
        }
        let from = From { message, takes_key: self.mode == Mode::Append };
        self.row.fill(&self.mapping, &self.plan, found, (number, reading), from);
        Ok(())
    }

    /// Says what becomes of the reading in the row.
    pub(super) fn judge(
        &mut self,
        message: &Message<'_>,
        part: Option<Part<'_>>,
    ) -> Result<Judged, Rejection> {
        let mapping = &*self.mapping;
        let is_key = self.row.key_stands_in;
        let field = |index: usize| match is_key && mapping.fields[index].or_key {
            true => "key".into(),
            false => mapping.fields[index].name.clone(),
        };
        let place = part.map_or(0, |part| part.place);
        let verdict = self.row.verdict(mapping);
        if verdict == Verdict::Skipped {
            return Ok(Judged::Skipped);
        }
        if let Some(time) = self.row.time()
            && self.future.is_ahead(time, message, place)
        {
            return Err(Rejection { reason: Reason::InTheFuture, field: field(0) });
        }
        if let Verdict::Rejected(reason, index) = verdict {
            return Err(Rejection { reason, field: field(index) });
        }
        let entity = self.entity(message)?;
        Ok(Judged::Record(entity, self.row.time().unwrap_or_default()))
    }

    /// Adds the reading in the row.
    fn accept(&mut self, entity: Arc<str>, time: i64, message: &Message<'_>, part: Option<Part<'_>>) {
        for (count, cell) in self.rounded.iter_mut().zip(&self.row.cells) {
            *count += u64::from(cell.rounded);
        }
        for &bad in &self.row.forgiven {
            *self.forgiven.entry(bad).or_default() += 1;
        }
        if self.mode == Mode::Upsert {
            let (units, texts) = (self.row.units().collect(), self.row.texts().collect());
            return self.upsert(message, Some(Record { entity, time, units, texts }));
        }
        self.records.push_with(&entity, time, self.row.units(), self.row.texts());
        if let Some(origin) = &mut self.origin {
            let bytes = part.map_or(message.payload.unwrap_or_default(), |part| part.bytes);
            let place = part.map(|part| part.place);
            origin.push(message.partition, message.offset, message.timestamp, message.key, place, bytes);
        }
        self.last_time = self.last_time.max(Some(time));
    }

    /// The name of the reading's entity: the key field, otherwise the message's key, otherwise the empty name. In an
    /// upsert job the message's key names the reading, not the entity.
    fn entity(&mut self, message: &Message<'_>) -> Result<Arc<str>, Rejection> {
        let key = self.mapping.key.map(|index| (&self.mapping.fields[index], &self.row.cells[index].value));
        let (name, field): (Arc<str>, &str) = match (key, message.key) {
            (Some((field, Value::Text(text))), _) => (text.clone(), &field.name),
            (Some((field, Value::Units(units))), _) => {
                (text_of(field.field_type, *units, &mut self.times).into(), &field.name)
            }
            (_, Some(key)) if self.mode == Mode::Append => {
                let wrong = Rejection { reason: Reason::WrongType, field: "key".into() };
                (std::str::from_utf8(key).map_err(|_| wrong)?.into(), "key")
            }
            _ => ("".into(), ""),
        };
        if name.len() > MAX_ENTITY_BYTES {
            let field = if self.row.key_stands_in { "key" } else { field };
            return Err(Rejection { reason: Reason::TooLarge, field: field.into() });
        }
        Ok(name)
    }

    fn upsert(&mut self, message: &Message<'_>, record: Option<Record>) {
        self.last_time = record.as_ref().map(|record| record.time);
        let (partition, offset) = (message.partition, message.offset);
        let key = message.key.unwrap_or_default().into();
        self.upserts.push(Upsert { key, partition, offset, record });
    }

    #[cold]
    fn reject(&mut self, message: &Message<'_>, rejection: Rejection) {
        self.dead_letters.push(message.dead_letter(&self.topic, rejection.reason, &rejection.field));
    }
}

/// Fills a row without the general pass.
struct Filling<'f> {
    mapping: &'f Mapping,
    row: &'f mut Row,
    from: From<'f>,
}

impl<'a> Fill<'a> for Filling<'_> {
    #[inline]
    fn begin(&mut self) {
        self.row.begin();
    }

    #[inline]
    fn field(&mut self, index: usize, value: Option<&Scalar<'a>>) {
        self.row.fill_field(self.mapping, index, value, None, self.from);
    }
}

impl Decode for Decoder {
    fn header(&mut self, header: &[u8]) {
        if let Format::Csv { separator, columns: None } = self.mapping.format {
            self.columns = Some(Columns::of_header(&self.mapping, &self.plan, header, separator));
        }
    }

    fn set_wall_clock(&mut self, wall: i64) {
        self.future.set_wall_clock(wall);
    }

    fn is_ready(&mut self, message: &Message<'_>) -> bool {
        self.is_ready(message)
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

    fn take_counts(&mut self, count: &mut dyn FnMut(Counted<'_>, u64)) {
        let fields = &self.mapping.fields;
        for (field, rounded) in fields.iter().zip(&mut self.rounded) {
            if *rounded > 0 {
                count(Counted::Rounded(&field.name), std::mem::take(rounded));
            }
        }
        for ((index, reason), forgiven) in std::mem::take(&mut self.forgiven) {
            count(Counted::Forgiven(&fields[index].name, reason), forgiven);
        }
        if self.skipped > 0 {
            count(Counted::Skipped, std::mem::take(&mut self.skipped));
        }
    }

    fn last_time(&self) -> Option<i64> {
        self.last_time
    }
}
