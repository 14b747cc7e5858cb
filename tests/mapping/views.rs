//! Which built-in views a record has.

use super::job;

#[test]
fn another_field_may_name_the_truck_or_be_event_time() {
    let trucks = "[message]\nkey = \"vehicle\"\ntime = \"recorded\"\n[record]\nvehicle = \"text\"\nrecorded = \"timestamp\"";
    assert_eq!(job(trucks).missing_views(), None);
}

#[test]
fn a_view_without_its_fields_is_named_with_them() {
    let some = "[message]\npreset = \"none\"\ntime = \"timestamp\"\n[record]\ntimestamp = \"timestamp\"\ntruck_id = \"text\"\nengine_speed = \"number\"";
    let missing = job(some).missing_views().unwrap();
    assert!(missing.contains("distance_correlation (distance_covered)"), "{missing}");
    assert!(missing.contains("parameter_map (distance_covered, fuel_consumed)"), "{missing}");
    assert!(!missing.contains("engine_speed_correlation"), "{missing}");
}
