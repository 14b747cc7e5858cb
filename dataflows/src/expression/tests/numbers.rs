//! Comparison and rounding of numbers by their exact values.

use num_rational::BigRational;
use proptest::prelude::*;

use crate::expression::Rounding;
use crate::expression::compare::with_real;
use crate::expression::rounding::round_real;
use crate::expression::types::power;
use crate::oracle::nearest;
use crate::oracle::value::rounded;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6000))]

    #[test]
    fn a_decimal_is_compared_with_a_double_exactly(
        units in prop_oneof![any::<i128>(), any::<i64>().prop_map(i128::from), -1000i128..1000],
        scale in 0u8..=38,
        step in -2i32..=2,
        other in any::<f64>(),
    ) {
        prop_assume!(units != i128::MIN && other.is_finite());
        let exact = BigRational::new(units.into(), power(scale).into());
        let mut near = nearest(&exact);
        for _ in 0..step.abs() {
            near = if step < 0 { near.next_down() } else { near.next_up() };
        }
        for real in [near, other] {
            let expected = exact.cmp(&BigRational::from_float(real).unwrap());
            prop_assert_eq!(with_real(units, scale, real), expected);
        }
    }

    #[test]
    fn a_double_is_rounded_by_its_exact_value(real in prop_oneof![any::<f64>(), -1e6f64..1e6], places in 0u8..=22) {
        prop_assume!(real.is_finite());
        let got = round_real(real, Rounding::Nearest, places);
        let exact = rounded(&BigRational::from_float(real).unwrap(), Rounding::Nearest, places);
        prop_assert_eq!(got + 0.0, nearest(&exact));
    }
}
