//! How a field's times are written, compiled once and used for each message.

use std::fmt;
use std::sync::Arc;

use super::epoch::{self, Unit};
use super::read;
use super::strptime::{Format, FormatFault};
use super::zone::Zone;

/// How a field's times are written. A clone shares what is compiled.
///
/// ```
/// use codec::text::time::{TimeForm, Unit};
///
/// let iso = TimeForm::iso();
/// assert_eq!(iso.read("1970-01-01T02:00:00.5+02:00"), Some((500_000, false)));
///
/// let millis = TimeForm::unit(Unit::Millis);
/// assert_eq!(millis.read("1.5e3"), Some((1_500_000, false)));
///
/// let local = TimeForm::text(Some("Europe/Berlin"), Some("%d.%m.%Y %H:%M"))?;
/// assert_eq!(local.read("1.1.1970 01:00"), Some((0, false)));
/// assert_eq!(local.read("26.3.2023 02:30"), None); // The clock went from 02:00 to 03:00.
/// # Ok::<(), codec::text::time::TimeFormError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TimeForm(Form);

#[derive(Clone, Debug)]
enum Form {
    Iso { zone: Option<Zone> },
    Format { written: Arc<str>, format: Arc<Format>, zone: Option<Zone> },
    Unit(Unit),
}

/// Why there is no such form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeFormError {
    /// The IANA time zone database has no zone with this name.
    #[error("unknown time zone `{name}`; give an IANA name, such as {example}")]
    Zone {
        /// The name.
        name: String,
        /// A known name, similar if there is one.
        example: String,
    },
    /// The format cannot be read.
    #[error("the format `{format}` {fault}")]
    Format {
        /// The format.
        format: String,
        /// What is wrong with it.
        fault: FormatFault,
    },
}

impl TimeForm {
    /// Text in ISO 8601, UTC unless it has an offset.
    pub fn iso() -> Self {
        Self(Form::Iso { zone: None })
    }

    /// A number of units since 1970, UTC.
    pub fn unit(unit: Unit) -> Self {
        Self(Form::Unit(unit))
    }

    /// Text in strptime's `format`, or else in ISO 8601. What has no offset is a local time of `zone`, an IANA name
    /// such as `Europe/Berlin`, or else UTC.
    pub fn text(zone: Option<&str>, format: Option<&str>) -> Result<Self, TimeFormError> {
        let zone = zone.map(|name| {
            Zone::new(name).ok_or_else(|| {
                let example = Zone::similar(name).unwrap_or_else(|| "Europe/Berlin".into());
                TimeFormError::Zone { name: name.into(), example }
            })
        });
        let zone = zone.transpose()?;
        let Some(format) = format else { return Ok(Self(Form::Iso { zone })) };
        match Format::new(format) {
            Ok(compiled) => {
                Ok(Self(Form::Format { written: format.into(), format: Arc::new(compiled), zone }))
            }
            Err(fault) => Err(TimeFormError::Format { format: format.into(), fault }),
        }
    }

    /// Whether it is [`iso`](Self::iso).
    pub fn is_default(&self) -> bool {
        matches!(self.0, Form::Iso { zone: None })
    }

    /// The unit, if times are written as numbers. [`Unit::read`] reads such a number, too.
    pub fn unit_of(&self) -> Option<Unit> {
        match self.0 {
            Form::Unit(unit) => Some(unit),
            Form::Iso { .. } | Form::Format { .. } => None,
        }
    }

    /// Reads a text into microseconds since 1970, UTC, rounded half to even, and whether digits were lost. None if the
    /// text is not such a time, or if there is no such instant: the zone skips it, or it is outside the years 1 to
    /// 9999. Of a local time that exists twice it is the earlier.
    #[inline]
    pub fn read(&self, text: &str) -> Option<(i64, bool)> {
        match &self.0 {
            Form::Iso { zone } => read::wall(text.as_bytes())?.instant(zone.as_ref()),
            Form::Format { format, zone, .. } => format.read(text)?.instant(zone.as_ref()),
            Form::Unit(unit) => unit.read(text),
        }
    }

    /// Reads a time that a schema declares into microseconds like [`read`](Self::read): nanoseconds since 1970, UTC, or
    /// if it is `local` since the clock of the form's zone showed 1970-01-01 00:00.
    pub fn nanos(&self, nanos: i128, local: bool) -> Option<(i64, bool)> {
        match &self.0 {
            Form::Iso { zone } | Form::Format { zone, .. } if local => epoch::shown(nanos, zone.as_ref()),
            _ => epoch::shown(nanos, None),
        }
    }
}

/// What a text or number is that it reads, such as `a time in ISO 8601`.
impl fmt::Display for TimeForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = |unit: &Unit| match unit {
            Unit::Seconds => "seconds",
            Unit::Millis => "milliseconds",
            Unit::Micros => "microseconds",
            Unit::Nanos => "nanoseconds",
        };
        match &self.0 {
            Form::Iso { .. } => f.write_str("a time in ISO 8601, as text"),
            Form::Format { written, .. } => write!(f, "a time in the format `{written}`"),
            Form::Unit(counted) => write!(f, "a number of {} since 1970", unit(counted)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::text::time::TimeWriter;

    /// The time as `YYYY-MM-DD HH:MM:SS.ffffff`.
    fn read(form: &TimeForm, text: &str) -> Option<String> {
        let (micros, _) = form.read(text)?;
        Some(String::from_utf8(TimeWriter::default().text(micros).to_vec()).unwrap())
    }

    fn assert_reads(form: &TimeForm, text: &str, expected: Option<&str>) {
        assert_eq!(read(form, text).as_deref(), expected, "{text}");
    }

    #[test]
    fn local_times_are_read_in_their_zone() {
        let berlin = TimeForm::text(Some("Europe/Berlin"), Some("%d.%m.%Y %H:%M:%S")).unwrap();
        let angeles = TimeForm::text(Some("America/Los_Angeles"), Some("%d-%b-%Y %H:%M:%S.%f")).unwrap();
        let tokyo = TimeForm::text(Some("Asia/Tokyo"), Some("%Y/%m/%d %H:%M:%S")).unwrap();
        for (form, text, expected) in [
            (&berlin, "26.03.2023 01:59:59", Some("2023-03-26 00:59:59.000000")),
            (&berlin, "26.03.2023 02:00:00", None),
            (&berlin, "26.03.2023 02:59:59", None),
            (&berlin, "26.03.2023 03:00:00", Some("2023-03-26 01:00:00.000000")),
            (&berlin, "29.10.2023 01:59:59", Some("2023-10-28 23:59:59.000000")),
            (&berlin, "29.10.2023 02:30:00", Some("2023-10-29 00:30:00.000000")),
            (&berlin, "29.10.2023 03:00:00", Some("2023-10-29 02:00:00.000000")),
            (&berlin, "01.01.2024 00:30:00", Some("2023-12-31 23:30:00.000000")),
            (&berlin, "01.07.2023 12:00:00", Some("2023-07-01 10:00:00.000000")),
            (&berlin, "31.06.2023 12:00:00", None),
            (&berlin, "2023-07-01 12:00:00", None),
            (&angeles, "05-Oct-2025 14:22:01.100", Some("2025-10-05 21:22:01.100000")),
            (&angeles, "01-Nov-2025 23:59:59.999", Some("2025-11-02 06:59:59.999000")),
            (&angeles, "02-Nov-2025 12:00:00.000", Some("2025-11-02 20:00:00.000000")),
            (&angeles, "-", None),
            (&tokyo, "2023/04/10 10:02:27", Some("2023-04-10 01:02:27.000000")),
            (&tokyo, "2024/03/01 08:59:59", Some("2024-02-29 23:59:59.000000")),
        ] {
            assert_reads(form, text, expected);
        }
    }

    #[test]
    fn an_offset_in_the_text_beats_the_zone() {
        let iso = TimeForm::text(Some("Europe/Berlin"), None).unwrap();
        let format = TimeForm::text(Some("Europe/Berlin"), Some("%Y-%m-%d %H:%M:%S%z")).unwrap();
        let name = TimeForm::text(Some("Europe/Berlin"), Some("%Y-%m-%d %H:%M:%S %Z")).unwrap();
        for (form, text, expected) in [
            (&iso, "2023-04-10T03:02:27", Some("2023-04-10 01:02:27.000000")),
            (&iso, "2023-04-10T03:02:27Z", Some("2023-04-10 03:02:27.000000")),
            (&iso, "2023-04-10 03:02+00", Some("2023-04-10 03:02:00.000000")),
            (&iso, "2023-03-26 02:30:00", None),
            (&iso, "2023-03-26 02:30:00+02:00", Some("2023-03-26 00:30:00.000000")),
            (&iso, "20231029T023000+0100", Some("2023-10-29 01:30:00.000000")),
            (&format, "2023-03-26 02:30:00+0000", Some("2023-03-26 02:30:00.000000")),
            (&name, "2023-03-26 02:30:00 UTC", Some("2023-03-26 02:30:00.000000")),
        ] {
            assert_reads(form, text, expected);
        }
    }

    #[test]
    fn rounding_does_not_carry_a_time_into_a_gap() {
        let berlin = TimeForm::text(Some("Europe/Berlin"), None).unwrap();
        let expected = Some((1_679_792_400_000_000, true)); // 03:00, one hour after 01:59:59.
        assert_eq!(berlin.read("2023-03-26T01:59:59.9999999"), expected);
    }

    #[test]
    fn an_instant_outside_the_years_1_to_9999_is_none() {
        let format = "%Y-%m-%d %H:%M:%S.%f";
        for (zone, text, is_some) in [
            (None, "0001-01-01 00:00:00.0", true),
            (None, "9999-12-31 23:59:59.999999", true),
            (None, "9999-12-31 23:59:59.9999999", false),
            (None, "0000-12-31 00:00:00.0", false),
            (Some("Asia/Tokyo"), "0001-01-01 00:00:00.0", false),
            (Some("Asia/Tokyo"), "9999-12-31 23:59:59.9", true),
            (Some("America/New_York"), "0001-01-01 00:00:00.0", true),
            (Some("America/New_York"), "9999-12-31 23:59:59.9", false),
        ] {
            for format in [None, Some(format)] {
                let form = TimeForm::text(zone, format).unwrap();
                assert_eq!(form.read(text).is_some(), is_some, "{zone:?} {text}");
            }
        }
    }

    #[test]
    fn a_wrong_zone_or_format_is_refused_with_what_to_write() {
        for (zone, format, error) in [
            (Some("Berlin"), None, "unknown time zone `Berlin`; give an IANA name, such as Europe/Berlin"),
            (Some("CEST"), None, "unknown time zone `CEST`; give an IANA name, such as Europe/Berlin"),
            (
                None,
                Some("%H:%M"),
                "the format `%H:%M` does not determine a date; give year, month and day, as in `%Y-%m-%d`",
            ),
        ] {
            assert_eq!(TimeForm::text(zone, format).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_schemas_time_is_utc_unless_it_is_local() {
        let berlin = TimeForm::text(Some("Europe/Berlin"), None).unwrap();
        let nanos = 1_681_088_547_123_456_789; // 2023-04-10 01:02:27
        assert_eq!(berlin.nanos(nanos, false), Some((1_681_088_547_123_457, true)));
        assert_eq!(berlin.nanos(nanos, true), Some((1_681_081_347_123_457, true)));
        assert_eq!(TimeForm::iso().nanos(nanos, true), Some((1_681_088_547_123_457, true)));
        assert_eq!(TimeForm::unit(Unit::Seconds).nanos(-1_500, true), Some((-2, true)));
    }

    #[test]
    fn a_form_can_be_sent_to_other_threads() {
        fn is_sent<T: Send + Sync>(_: &T) {}
        is_sent(&TimeForm::iso());
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic(text: String, near in "[0-9TZ:., +-]{0,40}", nanos: i128, shift in 0u32..127) {
            for form in [
                TimeForm::text(Some("Pacific/Apia"), None).unwrap(),
                TimeForm::text(Some("Africa/Casablanca"), Some("%Y-%m-%dT%H:%M:%S.%f")).unwrap(),
                TimeForm::unit(Unit::Nanos),
            ] {
                for text in [&text, &near, &format!("2023-04-10T{near}")] {
                    form.read(text);
                }
                form.nanos(nanos >> shift, true);
                form.nanos(nanos >> shift, false);
            }
        }
    }
}
