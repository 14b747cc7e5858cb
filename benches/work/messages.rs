//! Messages as the producer writes them: readings of a truck 0.36 s apart, two decimals.

use std::ops::Range;

use codec::render::decimal;
use codec::text::time::TimeWriter;

/// How numbers and texts are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Json,
    Dict,
    Numpy,
}

/// In which order readings come.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Times {
    /// In that of time: neighbours share their minute.
    Rising,
    /// Every reading is of another minute.
    Scattered,
}

/// What messages look like.
#[derive(Clone, Copy)]
pub struct Shape {
    pub form: Form,
    pub times: Times,
    /// How many trucks there are, by their field `truck_id`; 0: the one without a name.
    pub trucks: usize,
    /// Whether the fields come in another order than the seed's.
    pub reordered: bool,
    /// Whether there is a field beyond the seed's, `oil_pressure`.
    pub extra: bool,
}

impl Shape {
    /// The seed's messages in this form.
    pub const fn of(form: Form) -> Self {
        Self { form, times: Times::Rising, trucks: 0, reordered: false, extra: false }
    }

    /// Appends a message, without a line's end.
    fn write(&self, index: usize, clock: &mut TimeWriter, out: &mut Vec<u8>) {
        let index = index as i64;
        let random = scrambled(index as usize) as i64;
        let micros = match self.times {
            Times::Rising => index * 360_007 / self.trucks.max(1) as i64,
            Times::Scattered => random % 1_000_000 * 60_000_000,
        };
        let fields: [(&str, Value); 4] = [
            ("timestamp", Value::Time(BEGIN + micros)),
            ("distance_covered", Value::Hundredths(index / 125)),
            ("engine_speed", Value::Hundredths(7800 + random % 400)),
            ("fuel_consumed", Value::Hundredths(index / 1000)),
        ];
        let extra = ("oil_pressure", Value::Hundredths(300 + random % 100));
        let truck = ("truck_id", Value::Truck(scrambled(index as usize + 1) % self.trucks.max(1)));
        let (behind, before) = fields.split_at(usize::from(self.reordered));
        let fields = before.iter().chain(behind);
        let fields = fields.chain(self.extra.then_some(&extra)).chain((self.trucks > 0).then_some(&truck));
        let quote = if self.form == Form::Json { b'"' } else { b'\'' };
        for (place, (name, value)) in fields.enumerate() {
            out.extend_from_slice(if place == 0 { b"{" } else { b", " });
            out.push(quote);
            out.extend_from_slice(name.as_bytes());
            out.extend([quote, b':', b' ']);
            match *value {
                Value::Hundredths(value) if self.form == Form::Numpy => {
                    out.extend_from_slice(b"np.float64(");
                    hundredths(value, out);
                    out.push(b')');
                }
                Value::Hundredths(value) => hundredths(value, out),
                Value::Time(micros) => {
                    out.push(quote);
                    clock.write(micros, out);
                    out.push(quote);
                }
                Value::Truck(truck) => {
                    out.push(quote);
                    out.extend_from_slice(b"truck-");
                    decimal(truck as i64, 0, out);
                    out.push(quote);
                }
            }
        }
        out.push(b'}');
    }
}

/// What a field holds.
enum Value {
    /// Microseconds since 1970.
    Time(i64),
    Hundredths(i64),
    Truck(usize),
}

/// 2023-04-10 01:02:27, in microseconds since 1970.
const BEGIN: i64 = 1_681_088_547_000_000;

/// As Python prints a number with two decimals: none is left out behind the point if it is the first.
fn hundredths(value: i64, out: &mut Vec<u8>) {
    decimal(value, 2, out);
    if value % 100 == 0 {
        out.extend_from_slice(b".0");
    }
}

/// Messages one behind the other, as a source has them.
pub struct Messages {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Messages {
    /// Messages of this shape, `from` the first of them.
    pub fn new(shape: &Shape, from: usize, count: usize) -> Self {
        let mut clock = TimeWriter::default();
        Self::written(from..from + count, |index, out| shape.write(index, &mut clock, out))
    }

    /// Messages that `write` appends.
    pub fn written(indices: Range<usize>, mut write: impl FnMut(usize, &mut Vec<u8>)) -> Self {
        let (mut text, mut ends) = (Vec::new(), Vec::with_capacity(indices.len()));
        for index in indices {
            write(index, &mut text);
            ends.push(text.len());
        }
        Self { text, ends }
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Their bytes, in batches of so many.
    pub fn batches(&self, size: usize) -> impl Iterator<Item = impl Iterator<Item = &[u8]>> {
        let mut start = 0;
        self.ends.chunks(size).map(move |ends| {
            let from = std::mem::replace(&mut start, *ends.last().unwrap_or(&0));
            ends.iter().scan(from, |from, &end| Some(&self.text[std::mem::replace(from, end)..end]))
        })
    }
}

/// A fixed number for each index that looks random.
pub fn scrambled(index: usize) -> usize {
    index.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40
}
