//! The table against its definition, and against jiff's own conversion.

use jiff::civil::{DateTime, date};
use jiff::tz::AmbiguousOffset;
use proptest::prelude::*;

use super::*;
use crate::text::time::span::SHOWN;

const HOUR: i64 = 3600;

fn database() -> Vec<String> {
    TimeZoneDatabase::bundled()
        .available()
        .map(|name| name.to_string())
        .filter(|name| name != "Etc/Unknown")
        .collect()
}

/// The offset in seconds when `zone` shows a time, in seconds since it showed 1970-01-01 00:00.
fn offset(zone: &Zone, shown: i64) -> Option<i64> {
    zone.offset(shown * SECOND).map(|offset| offset / SECOND)
}

/// The same by jiff.
fn offset_by_jiff(zone: &TimeZone, shown: i64) -> Option<i64> {
    let shown = date(1970, 1, 1).to_datetime(jiff::civil::Time::MIN) + jiff::SignedDuration::from_secs(shown);
    let offset = match zone.to_ambiguous_timestamp(shown).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset,
        AmbiguousOffset::Gap { .. } => return None,
        AmbiguousOffset::Fold { before, .. } => before,
    };
    Some(offset.seconds().into())
}

#[test]
fn every_transition_of_every_zone_is_that_of_the_database() {
    let start_of = |year: i64| (year - 1970) * 31_556_952;
    for name in database() {
        let (zone, theirs) = (Zone::new(&name).unwrap(), TimeZone::get(&name).unwrap());
        if !theirs.is_primary() {
            continue;
        }
        let mut offsets = vec![i64::from(theirs.to_offset(Timestamp::MIN).seconds())];
        let listed = theirs.following(Timestamp::MIN).take(300);
        offsets.extend(listed.map(|transition| i64::from(transition.offset().seconds())));
        offsets.sort_unstable();
        offsets.dedup();
        // All that the database lists; the yearly rule where the table begins to repeat it, and far from there.
        for (from, to) in [(-9000, 2110), (2495, 2505), (2898, 2902), (9990, 9999)] {
            let (from, to) = [from, to].map(|year| Timestamp::from_second(start_of(year)).unwrap()).into();
            let mut before = i64::from(theirs.to_offset(from).seconds());
            for transition in theirs.following(from).take_while(|transition| transition.timestamp() < to) {
                let (at, after) = (transition.timestamp().as_second(), transition.offset().seconds().into());
                for edge in [at + before, at + after] {
                    for shown in [edge - HOUR, edge - 1, edge, edge + 1, edge + HOUR] {
                        // The earliest instant at which the zone shows this time.
                        let is_right = |offset: &&i64| {
                            let instant = Timestamp::from_second(shown - **offset).unwrap();
                            i64::from(theirs.to_offset(instant).seconds()) == **offset
                        };
                        let expected = offsets.iter().filter(is_right).max().copied();
                        assert_eq!(offset(&zone, shown), expected, "{name} {shown}");
                    }
                }
                before = after;
            }
        }
    }
}

#[test]
fn a_skipped_time_is_none_and_a_repeated_one_is_the_earlier() {
    let shown = |text: &str| {
        let time: DateTime = text.parse().unwrap();
        time.duration_since(date(1970, 1, 1).to_datetime(jiff::civil::Time::MIN)).as_secs()
    };
    for (name, time, hours) in [
        ("Europe/Berlin", "2023-03-26T01:59:59", Some(1.0)),
        ("Europe/Berlin", "2023-03-26T02:00:00", None),
        ("Europe/Berlin", "2023-03-26T02:59:59", None),
        ("Europe/Berlin", "2023-03-26T03:00:00", Some(2.0)),
        ("Europe/Berlin", "2023-10-29T02:00:00", Some(2.0)),
        ("Europe/Berlin", "2023-10-29T02:59:59", Some(2.0)),
        ("Europe/Berlin", "2023-10-29T03:00:00", Some(1.0)),
        ("America/Los_Angeles", "2025-11-02T01:30:00", Some(-7.0)),
        ("America/Los_Angeles", "2025-11-02T02:00:00", Some(-8.0)),
        ("Asia/Tokyo", "2023-04-10T10:02:27", Some(9.0)),
        ("Asia/Kathmandu", "2023-04-10T10:02:27", Some(5.75)),
        ("Australia/Lord_Howe", "2023-04-02T01:45:00", Some(11.0)),
        ("Australia/Lord_Howe", "2023-10-01T02:15:00", None),
        // Samoa left out a day.
        ("Pacific/Apia", "2011-12-29T23:59:59", Some(-10.0)),
        ("Pacific/Apia", "2011-12-30T12:00:00", None),
        ("Pacific/Apia", "2011-12-31T00:00:00", Some(14.0)),
        ("UTC", "2023-03-26T02:00:00", Some(0.0)),
        ("Etc/GMT-2", "2023-03-26T02:00:00", Some(2.0)),
    ] {
        let zone = Zone::new(name).unwrap();
        let expected = hours.map(|hours| (hours * 3600.0) as i64);
        assert_eq!(offset(&zone, shown(time)), expected, "{name} {time}");
    }
}

#[test]
fn a_zone_is_found_in_upper_and_lower_case_and_suggested_by_its_place() {
    assert_eq!(format!("{:?}", Zone::new("europe/BERLIN").unwrap()), "Zone(\"Europe/Berlin\")");
    for name in ["", "Berlin", "Europe/Berln", "CEST", "+02:00", "Etc/Unknown", "../Europe/Berlin", "é"] {
        assert!(Zone::new(name).is_none(), "{name}");
    }
    assert_eq!(Zone::similar("berlin").as_deref(), Some("Europe/Berlin"));
    assert_eq!(Zone::similar("USA/Los Angeles").as_deref(), Some("America/Los_Angeles"));
    assert_eq!(Zone::similar("Atlantis"), None);
}

proptest! {
    #[test]
    fn any_time_of_any_zone_is_converted_as_by_jiff(
        names in prop::sample::select(database()),
        // Jiff needs some days at both ends for offsets.
        times in prop::collection::vec(SHOWN.start / SECOND + 3 * 86_400..SHOWN.end / SECOND - 3 * 86_400, 20),
        recent in prop::collection::vec(0i64..5_000_000_000, 100),
    ) {
        let (zone, theirs) = (Zone::new(&names).unwrap(), TimeZone::get(&names).unwrap());
        for shown in times.into_iter().chain(recent) {
            prop_assert_eq!(offset(&zone, shown), offset_by_jiff(&theirs, shown), "{} {}", names, shown);
        }
    }

    #[test]
    fn any_name_and_any_time_is_read_without_a_panic(name: String, shown in SHOWN) {
        let _ = Zone::new(&name);
        let _ = Zone::similar(&name);
        let _ = Zone::new("America/St_Johns").unwrap().offset(shown);
    }
}
