//! The words in a key, and what they say about its values.

/// Splits a key into words in lower case: at signs, at digits, and where capitals begin a word.
pub(super) fn words(key: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut word = String::new();
    let mut before: Option<char> = None;
    let chars: Vec<char> = key.chars().filter_map(plain).collect();
    for (at, &char) in chars.iter().enumerate() {
        let begins = match before {
            Some(last) if char.is_ascii_uppercase() => {
                // `gpsTime` and the last capital of `GPSTime`.
                !last.is_ascii_uppercase() || chars.get(at + 1).is_some_and(char::is_ascii_lowercase)
            }
            Some(last) => last.is_ascii_digit() != char.is_ascii_digit(),
            None => false,
        };
        if !word.is_empty() && (begins || !char.is_ascii_alphanumeric()) {
            words.push(std::mem::take(&mut word));
        }
        if char.is_ascii_alphanumeric() {
            word.push(char.to_ascii_lowercase());
        }
        before = char.is_ascii_alphanumeric().then_some(char);
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}

/// The letter without its accents, a sign for what separates words, none for what is left out.
fn plain(char: char) -> Option<char> {
    Some(match char {
        'À'..='Å' | 'Ā' | 'Ă' | 'Ą' => 'A',
        'à'..='å' | 'ā' | 'ă' | 'ą' => 'a',
        'Ç' | 'Ć' | 'Č' => 'C',
        'ç' | 'ć' | 'č' => 'c',
        'È'..='Ë' | 'Ē' | 'Ę' | 'Ě' => 'E',
        'è'..='ë' | 'ē' | 'ę' | 'ě' => 'e',
        'Ì'..='Ï' | 'İ' => 'I',
        'ì'..='ï' | 'ı' => 'i',
        'Ł' => 'L',
        'ł' => 'l',
        'Ñ' | 'Ń' | 'Ň' => 'N',
        'ñ' | 'ń' | 'ň' => 'n',
        'Ò'..='Ö' | 'Ø' | 'Ő' => 'O',
        'ò'..='ö' | 'ø' | 'ő' => 'o',
        'Ś' | 'Š' | 'Ş' => 'S',
        'ś' | 'š' | 'ş' | 'ß' => 's',
        'Ù'..='Ü' | 'Ū' | 'Ű' | 'Ů' => 'U',
        'ù'..='ü' | 'ū' | 'ű' | 'ů' => 'u',
        'Ź' | 'Ż' | 'Ž' => 'Z',
        'ź' | 'ż' | 'ž' => 'z',
        // A combining accent.
        '\u{300}'..='\u{36f}' => return None,
        char if char.is_ascii() => char,
        _ => ' ',
    })
}

fn is_any(word: &str, of: &[&str]) -> bool {
    of.contains(&word)
}

/// Whether the words are of a time.
pub(super) fn names_time(words: &[String]) -> bool {
    const TIMES: [&str; 28] = [
        "at",
        "clock",
        "date",
        "dateandtime",
        "datetime",
        "datum",
        "dt",
        "epoch",
        "fecha",
        "heure",
        "hora",
        "instant",
        "jiffies",
        "moment",
        "nanos",
        "occurred",
        "recorded",
        "stamp",
        "t",
        "time",
        "timestamp",
        "tm",
        "ts",
        "tst",
        "utc",
        "uhrzeit",
        "when",
        "zeit",
    ];
    const ENDINGS: [&str; 5] = ["time", "date", "stamp", "zeit", "utc"];
    const DURATIONS: [&str; 9] = [
        "drivetime",
        "downtime",
        "idletime",
        "lifetime",
        "overtime",
        "realtime",
        "runtime",
        "uptime",
        "worktime",
    ];
    words.iter().any(|word| {
        is_any(word, &TIMES) || ENDINGS.iter().any(|end| word.ends_with(end)) && !is_any(word, &DURATIONS)
    })
}

/// Whether the words are of a moment: `start`, `received`.
pub(super) fn names_moment(words: &[String]) -> bool {
    let (role, _) = time_role(words);
    role != TimeRole::Event
}

/// Whether the words are of a count since 1970, by its unit: `gps.s`, `dbz_us_text`.
pub(super) fn names_unit(words: &[String]) -> bool {
    const UNITS: [&str; 11] = [
        "ms",
        "us",
        "ns",
        "millis",
        "micros",
        "nanos",
        "milliseconds",
        "microseconds",
        "nanoseconds",
        "epoch",
        "unix",
    ];
    words.iter().any(|word| is_any(word, &UNITS))
        || words.last().is_some_and(|last| is_any(last, &["s", "sec", "secs", "second", "seconds"]))
}

/// Whether the words are of an identifier, a kind or a counter: a value that nobody adds up.
pub(super) fn names_label(words: &[String]) -> bool {
    const LABELS: [&str; 50] = [
        "address", "category", "channel", "class", "code", "event", "firmware", "flag", "flags", "fmi",
        "group", "guid", "hash", "host", "hostname", "iccid", "id", "ident", "ids", "imei", "imsi", "index",
        "kind", "label", "license", "mac", "mcc", "mmsi", "mnc", "mode", "msisdn", "name", "number", "pgn",
        "phone", "plate", "port", "priority", "protocol", "qos", "revision", "seq", "sequence", "serial",
        "spn", "status", "type", "uid", "uuid", "version",
    ];
    words.last().is_some_and(|last| is_any(last, &LABELS) || ends_with_id(last)) || names_identifier(words)
}

/// Whether the words are of an identifier, which is kept as it is written.
pub(super) fn names_identifier(words: &[String]) -> bool {
    const IDENTIFIERS: [&str; 18] = [
        "guid",
        "iccid",
        "ident",
        "imei",
        "imsi",
        "license",
        "licence",
        "mac",
        "mmsi",
        "msisdn",
        "phone",
        "plate",
        "postcode",
        "registration",
        "serial",
        "uuid",
        "vin",
        "zip",
    ];
    const LAST: [&str; 7] = ["code", "id", "no", "number", "subject", "uid", "version"];
    words.iter().any(|word| is_any(word, &IDENTIFIERS))
        || words.last().is_some_and(|last| is_any(last, &LAST) || ends_with_id(last))
}

/// `deviceid`, but not `fluid`.
pub(super) fn ends_with_id(word: &str) -> bool {
    const OTHERS: [&str; 9] = ["acid", "avoid", "fluid", "grid", "hybrid", "paid", "rapid", "solid", "valid"];
    word.len() > 3 && word.ends_with("id") && !OTHERS.iter().any(|other| word.ends_with(other))
}

/// What the name of a time says about it. The greater one is the better event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TimeRole {
    /// Another moment: a start, an end, an installation.
    Other,
    /// When a server or gateway had the reading.
    Server,
    /// When the reading was taken.
    Event,
}

/// What the words of a time say about it, and how well it is named for an event time.
pub(super) fn time_role(words: &[String]) -> (TimeRole, u32) {
    const OTHER: [&str; 40] = [
        "begin",
        "birth",
        "birthday",
        "boot",
        "build",
        "construction",
        "due",
        "end",
        "ended",
        "estimated",
        "eta",
        "etd",
        "expected",
        "expiration",
        "expires",
        "expiry",
        "finish",
        "finished",
        "first",
        "installed",
        "installation",
        "last",
        "login",
        "maintenance",
        "manufactured",
        "next",
        "planned",
        "previous",
        "registered",
        "registration",
        "scheduled",
        "service",
        "since",
        "start",
        "started",
        "stop",
        "stopped",
        "target",
        "until",
        "valid",
    ];
    const SERVER: [&str; 36] = [
        "arrival",
        "arrived",
        "broker",
        "cloud",
        "commit",
        "committed",
        "create",
        "created",
        "db",
        "enqueued",
        "export",
        "exported",
        "forwarded",
        "gateway",
        "ingest",
        "ingested",
        "ingestion",
        "insert",
        "inserted",
        "kafka",
        "modified",
        "process",
        "processed",
        "publish",
        "published",
        "push",
        "queue",
        "receive",
        "received",
        "recv",
        "send",
        "sent",
        "server",
        "stored",
        "updated",
        "upload",
    ];
    const EVENT: [&str; 26] = [
        "capture",
        "captured",
        "collected",
        "device",
        "event",
        "fix",
        "gnss",
        "gps",
        "happened",
        "measured",
        "measurement",
        "observation",
        "observed",
        "occurred",
        "occurrence",
        "point",
        "position",
        "read",
        "reading",
        "record",
        "recorded",
        "rtc",
        "sample",
        "sampled",
        "sensor",
        "unit",
    ];
    const PLAIN: [&str; 8] = ["timestamp", "time", "ts", "datetime", "t", "epoch", "tst", "dt"];
    let begins_with =
        |word: &str, of: &[&str]| of.iter().any(|start| word.len() > 4 && word.starts_with(start));
    let is_of = |list: &[&str]| words.iter().any(|word| is_any(word, list));
    let is_event =
        is_of(&EVENT) || words.iter().any(|word| begins_with(word, &["fixt", "gpst", "devicet", "eventt"]));
    let is_server =
        is_of(&SERVER) || words.iter().any(|word| begins_with(word, &["servert", "receivet", "update"]));
    let is_plain = words.last().is_some_and(|last| is_any(last, &PLAIN));
    let is_other = words.iter().any(|word| is_any(word, &OTHER));
    let quality = 2 * u32::from(is_event) + u32::from(is_plain) + u32::from(names_time(words));
    match () {
        () if is_other => (TimeRole::Other, quality),
        () if is_server => (TimeRole::Server, quality),
        () => (TimeRole::Event, quality),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(key: &str) -> Vec<String> {
        words(key)
    }

    #[test]
    fn a_key_is_split_at_signs_digits_and_capitals() {
        for (key, expected) in [
            ("fixTime", "fix time"),
            ("EVENT_TS", "event ts"),
            ("GPSTime", "gps time"),
            ("Speed (OBD)(km/h)", "speed obd km h"),
            ("timeUnixNano", "time unix nano"),
            ("Température", "temperature"),
            ("t_stamp", "t stamp"),
            ("axle2Load", "axle 2 load"),
            ("🚚 load", "load"),
            ("速度", ""),
        ] {
            assert_eq!(of(key).join(" "), expected, "{key}");
        }
    }

    #[test]
    fn times_labels_and_identifiers_are_known_by_their_words() {
        for key in ["timestamp", "recorded_at", "gpsTime", "devicetime", "ts_ms", "EventDate", "t"] {
            assert!(names_time(&of(key)), "{key}");
        }
        for key in ["uptime", "temperature", "rpm", "latitude", "estimate"] {
            assert!(!names_time(&of(key)), "{key}");
        }
        for key in ["id", "deviceId", "deviceid", "vehicle_type", "seq"] {
            assert!(names_label(&of(key)), "{key}");
        }
        for key in ["valid", "speed", "fluid", "humidity"] {
            assert!(!names_label(&of(key)), "{key}");
        }
        for key in ["imei", "vehicleId", "zip", "operator_code"] {
            assert!(names_identifier(&of(key)), "{key}");
        }
    }

    #[test]
    fn a_device_is_a_better_clock_than_a_server() {
        let role = |key: &str| time_role(&of(key));
        assert!(role("fixTime") > role("serverTime"));
        assert!(role("event_time") > role("time"));
        assert!(role("time") > role("updatedAt"));
        assert!(role("received") > role("trip_start_time"));
        assert_eq!(role("expires_at").0, TimeRole::Other);
    }
}
