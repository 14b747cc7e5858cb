//! Formats that are known by their look, and not supported.

/// The name of a format that most of the messages have and that is not supported.
pub(super) fn name(payloads: &[&[u8]]) -> Option<&'static str> {
    type Looks = fn(&[u8]) -> bool;
    let formats: [(&str, Looks); 11] = [
        ("an Avro container file", |bytes| bytes.starts_with(b"Obj\x01")),
        ("Parquet", |bytes| bytes.starts_with(b"PAR1")),
        ("gzip", |bytes| bytes.starts_with(&[0x1f, 0x8b])),
        ("zstd", |bytes| bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])),
        ("Python pickles", |bytes| bytes.len() > 2 && bytes[0] == 0x80 && (2..=5).contains(&bytes[1])),
        ("XML", is_xml),
        ("NMEA sentences", is_nmea),
        ("Influx line protocol", is_influx),
        ("key=value lines", is_pairs),
        ("hexadecimal digits", is_hex),
        ("binary without a schema registry", |bytes| std::str::from_utf8(bytes).is_err()),
    ];
    let is_most = |looks: Looks| payloads.iter().filter(|bytes| looks(bytes)).count() * 2 > payloads.len();
    formats.into_iter().find(|(_, looks)| is_most(*looks)).map(|(name, _)| name)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().map(str::trim).filter(|text| !text.is_empty())
}

fn is_xml(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let mut chars = text.chars();
    chars.next() == Some('<')
        && text.ends_with('>')
        && chars.next().is_some_and(|char| char.is_alphabetic() || "?!/".contains(char))
}

/// `$GPRMC,…*7A`, perhaps behind a time or another prefix.
fn is_nmea(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let Some(at) = text.find(['$', '!']) else { return false };
    let head = text[at + 1..].split(',').next().unwrap_or_default();
    let checked = text.rfind('*').is_some_and(|star| {
        let sum = &text[star + 1..];
        sum.len() == 2 && sum.bytes().all(|byte| byte.is_ascii_hexdigit())
    });
    let is_talker = (5..=6).contains(&head.len())
        && head.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    is_talker && (checked || text.starts_with('$') && text.contains(','))
}

/// `measurement,tag=value field=1.5,other=2i 1681088547000000000`.
fn is_influx(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let Some(line) = text.lines().find(|line| !line.starts_with('#')) else { return false };
    let mut parts = line.split(' ');
    let (Some(head), Some(fields)) = (parts.next(), parts.next()) else { return false };
    let is_pair =
        |pair: &str| pair.split_once('=').is_some_and(|(key, value)| !key.is_empty() && !value.is_empty());
    let mut tags = head.split(',');
    let is_name = tags.next().is_some_and(|name| !name.is_empty() && !name.contains(['=', '{', '"', ':']));
    let time = parts.next_back();
    is_name
        && tags.all(is_pair)
        && fields.split(',').all(is_pair)
        && time.is_none_or(|time| {
            time.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') || time.ends_with('"')
        })
}

/// `ts=1681088547 speed=62.5 truck=t-1`.
fn is_pairs(bytes: &[u8]) -> bool {
    let Some(text) = text(bytes) else { return false };
    let words: Vec<&str> = text.split([' ', ';', '&', '|']).filter(|word| !word.is_empty()).collect();
    let pairs =
        words.iter().filter(|word| word.split_once('=').is_some_and(|(key, _)| !key.is_empty())).count();
    pairs >= 2 && pairs * 10 >= words.len() * 8 && !text.starts_with(['{', '['])
}

fn is_hex(bytes: &[u8]) -> bool {
    text(bytes).is_some_and(|text| {
        text.len() >= 16
            && text.len() % 2 == 0
            && text.bytes().all(|byte| byte.is_ascii_hexdigit())
            && text.bytes().any(|byte| byte.is_ascii_alphabetic())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_known_by_their_look() {
        for (payload, expected) in [
            (&b"Obj\x01\x04\x16avro.schema"[..], Some("an Avro container file")),
            (b"<?xml version=\"1.0\"?><gpx/>", Some("XML")),
            (b"<reading><rpm>900</rpm></reading>", Some("XML")),
            (b"$GPRMC,010227,A,4843.2,N,01130.0,E,12.5,80.0,100423,,*1B", Some("NMEA sentences")),
            (b"can,truck=t-1 rpm=900i,speed=62.5 1681088547000000000", Some("Influx line protocol")),
            (b"ts=1681088547 speed=62.5 truck=t-1", Some("key=value lines")),
            (b"000000000000003608010000016B40D8EA30010000", Some("hexadecimal digits")),
            (b"\x0a\x03t-1\x10\xb3\x92\xbe\xc5\xf6\x30", Some("binary without a schema registry")),
            (b"{\"a\": \"b=c d=e\"}", None),
            (b"1681088547,62.5,t-1", None),
            (b"2023-04-10 01:02:27;t-1;5", None),
        ] {
            assert_eq!(name(&[payload]), expected, "{}", String::from_utf8_lossy(payload));
        }
    }
}
