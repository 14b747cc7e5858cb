//! Whether messages have the default form, for which nothing has to be configured.

use std::collections::HashMap;

use super::candidate::Candidate;
use super::form::Form;
use super::kind::{self, Kind, Reads};
use super::shape::Place;

/// Whether the readings have nothing but the default fields, and as many of them as any record could accept.
pub(super) fn is_default(candidates: &[Candidate<'_>], readings: usize) -> bool {
    const MEASURES: [&str; 3] = ["distance_covered", "engine_speed", "fuel_consumed"];
    let own = |candidate: &&Candidate<'_>| matches!(candidate.column.place, Place::Reading(_));
    let fields: HashMap<String, &Candidate<'_>> = candidates
        .iter()
        .filter(own)
        .map(|candidate| (candidate.column.place.keys().join("/"), candidate))
        .collect();
    let only_known =
        fields.keys().all(|key| MEASURES.contains(&&**key) || key == "timestamp" || key == "truck_id");
    let accepted = |key: &str, kind: &Kind| {
        let (field, mut accepted) = (kind.field(&[]), vec![false; readings]);
        let values = fields.get(key).map_or(&[][..], |candidate| &candidate.column.values);
        for (reading, leaf) in values {
            accepted[*reading as usize] = kind::reads(&field, leaf) == Reads::Value;
        }
        accepted
    };
    let times = accepted("timestamp", &Kind::Time(Form::Iso));
    let with_time = times.iter().filter(|there| **there).count();
    let mut all = times;
    for measure in MEASURES {
        all.iter_mut().zip(accepted(measure, &Kind::Number)).for_each(|(all, there)| *all &= there);
    }
    let whole = all.iter().filter(|there| **there).count();
    only_known && whole > 0 && whole * 100 >= with_time * 95
}
