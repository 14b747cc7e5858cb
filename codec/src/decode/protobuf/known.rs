//! Files that every registry has without being given them, so that a schema imports them without a reference.

use prost_reflect::DescriptorPool;
use prost_reflect::prost_types::FileDescriptorProto;

/// The files of other packages than `google.protobuf`, as far as messages have them: path and content. Comments and
/// options are left out.
#[rustfmt::skip]
const FILES: [(&str, &str); 18] = [
    ("confluent/type/decimal.proto",
        "package confluent.type; message Decimal { bytes value = 1; uint32 precision = 2; int32 scale = 3; }"),
    ("confluent/type/variant.proto",
        "package confluent.type; message Variant { bytes metadata = 1; bytes value = 2; }"),
    ("confluent/types/decimal.proto", "import public 'confluent/type/decimal.proto';"),
    ("google/type/calendar_period.proto",
        "package google.type;
        enum CalendarPeriod {
            CALENDAR_PERIOD_UNSPECIFIED = 0; DAY = 1; WEEK = 2; FORTNIGHT = 3; MONTH = 4; QUARTER = 5; HALF = 6; YEAR = 7;
        }"),
    ("google/type/color.proto",
        "package google.type; import 'google/protobuf/wrappers.proto';
        message Color { float red = 1; float green = 2; float blue = 3; google.protobuf.FloatValue alpha = 4; }"),
    ("google/type/date.proto", "package google.type; message Date { int32 year = 1; int32 month = 2; int32 day = 3; }"),
    ("google/type/datetime.proto",
        "package google.type; import 'google/protobuf/duration.proto';
        message DateTime {
            int32 year = 1; int32 month = 2; int32 day = 3; int32 hours = 4; int32 minutes = 5; int32 seconds = 6;
            int32 nanos = 7;
            oneof time_offset { google.protobuf.Duration utc_offset = 8; TimeZone time_zone = 9; }
        }
        message TimeZone { string id = 1; string version = 2; }"),
    ("google/type/dayofweek.proto",
        "package google.type;
        enum DayOfWeek {
            DAY_OF_WEEK_UNSPECIFIED = 0; MONDAY = 1; TUESDAY = 2; WEDNESDAY = 3; THURSDAY = 4; FRIDAY = 5;
            SATURDAY = 6; SUNDAY = 7;
        }"),
    ("google/type/decimal.proto", "package google.type; message Decimal { string value = 1; }"),
    ("google/type/expr.proto",
        "package google.type;
        message Expr { string expression = 1; string title = 2; string description = 3; string location = 4; }"),
    ("google/type/fraction.proto",
        "package google.type; message Fraction { int64 numerator = 1; int64 denominator = 2; }"),
    ("google/type/interval.proto",
        "package google.type; import 'google/protobuf/timestamp.proto';
        message Interval { google.protobuf.Timestamp start_time = 1; google.protobuf.Timestamp end_time = 2; }"),
    ("google/type/latlng.proto", "package google.type; message LatLng { double latitude = 1; double longitude = 2; }"),
    ("google/type/money.proto",
        "package google.type; message Money { string currency_code = 1; int64 units = 2; int32 nanos = 3; }"),
    ("google/type/month.proto",
        "package google.type;
        enum Month {
            MONTH_UNSPECIFIED = 0; JANUARY = 1; FEBRUARY = 2; MARCH = 3; APRIL = 4; MAY = 5; JUNE = 6; JULY = 7;
            AUGUST = 8; SEPTEMBER = 9; OCTOBER = 10; NOVEMBER = 11; DECEMBER = 12;
        }"),
    ("google/type/postal_address.proto",
        "package google.type;
        message PostalAddress {
            int32 revision = 1; string region_code = 2; string language_code = 3; string postal_code = 4;
            string sorting_code = 5; string administrative_area = 6; string locality = 7; string sublocality = 8;
            repeated string address_lines = 9; repeated string recipients = 10; string organization = 11;
        }"),
    ("google/type/quaternion.proto",
        "package google.type; message Quaternion { double x = 1; double y = 2; double z = 3; double w = 4; }"),
    ("google/type/timeofday.proto",
        "package google.type; message TimeOfDay { int32 hours = 1; int32 minutes = 2; int32 seconds = 3; int32 nanos = 4; }"),
];

/// The file that is imported by this path.
pub(super) fn file(path: &str) -> Option<FileDescriptorProto> {
    if let Some(google) = DescriptorPool::global().get_file_by_name(path) {
        return Some(google.file_descriptor_proto().clone());
    }
    let (path, content) = FILES.iter().find(|(known, _)| *known == path)?;
    protox_parse::parse(path, &format!("syntax = 'proto3'; {content}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_file_is_a_definition() {
        for (path, _) in FILES {
            assert_eq!(file(path).unwrap().name(), path);
        }
        for name in
            ["any", "duration", "empty", "field_mask", "struct", "timestamp", "wrappers", "descriptor"]
        {
            let path = format!("google/protobuf/{name}.proto");
            assert_eq!(file(&path).unwrap().name(), path);
        }
        assert_eq!(file("other.proto"), None);
    }
}
