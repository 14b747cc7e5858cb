//! The proleptic Gregorian calendar.

/// Days since 1970-01-01; none if there is no such day.
#[inline]
pub(super) fn day(year: i64, month: i64, day: i64) -> Option<i64> {
    let exists = year >= 1 && (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    exists.then(|| day_number(year, month, day))
}

/// Whether a year has a 29th of February.
pub(super) fn is_leap(year: i64) -> bool {
    year % 4 == 0 && year % 100 != 0 || year % 400 == 0
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 => 28 + i64::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// `days_from_civil` of Howard Hinnant's "chrono-Compatible Low-Level Date Algorithms", for years from 1 on. Its
/// year begins in March.
fn day_number(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + day_of_year - 719_468
}

/// Year, month and day of a number of days since 1970-01-01.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
pub(super) fn date(days: i64) -> (i64, u64, u64) {
    let shifted = days + 719_468; // days since 0000-03-01
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u64, day as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn leap_years_have_a_29th_of_february() {
        for (year, leap) in [(2024, true), (2023, false), (1900, false), (2000, true)] {
            assert_eq!(day(year, 2, 29).is_some(), leap, "{year}");
        }
    }

    proptest! {
        #[test]
        fn dates_follow_each_other(days in -719_162i64..2_932_896) {
            let (today, tomorrow) = (date(days), date(days + 1));
            prop_assert!(tomorrow > today);
            let same_month = (today.0, today.1) == (tomorrow.0, tomorrow.1);
            let next_day = if same_month { today.2 + 1 } else { 1 };
            prop_assert_eq!(tomorrow.2, next_day);
            prop_assert!(same_month || today.2 >= 28);
        }

        #[test]
        fn a_date_and_its_number_are_inverse(days in -719_162i64..2_932_896) {
            let (year, month, of_month) = date(days);
            prop_assert_eq!(day(year, month as i64, of_month as i64), Some(days));
        }
    }
}
