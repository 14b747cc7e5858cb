//! The exact sums of a correlation, and Pearson's r from them.
//!
//! Sums of floats depend on their order and cannot be retracted exactly; sums of integers can. Only
//! [`Accumulation::r`] leaves the integers, with one rounding at its end.

use ethnum::{I256, U256};

use crate::null::NULL;
use crate::real::power_of_two;

/// n, Σx, Σy, Σxx, Σxy and Σyy of pairs of `i64`.
///
/// Products have 256 bits: with fewer than 2⁶² pairs no sum, and no intermediate result of [`r`](Self::r), can
/// overflow. Arithmetic wraps nevertheless, so that a retraction always cancels its insertion.
///
/// ```
/// use dataflows::accumulation::Accumulation;
///
/// let mut sums = Accumulation::of(1, 2);
/// sums.add(&Accumulation::of(2, 4));
/// sums.add(&Accumulation::of(3, 5));
/// assert_eq!(sums.r(), Some(0.9819805060619657));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accumulation {
    n: i64,
    sum_x: i128,
    sum_y: i128,
    sum_xx: I256,
    sum_xy: I256,
    sum_yy: I256,
}

/// The exact product of two `i128`.
fn product(a: i128, b: i128) -> I256 {
    I256::from(a).wrapping_mul(I256::from(b))
}

impl Accumulation {
    /// The sums of one pair.
    pub fn of(x: i64, y: i64) -> Self {
        let (x, y) = (i128::from(x), i128::from(y));
        Self {
            n: 1,
            sum_x: x,
            sum_y: y,
            sum_xx: I256::from(x * x),
            sum_xy: I256::from(x * y),
            sum_yy: I256::from(y * y),
        }
    }

    /// Adds other sums.
    pub fn add(&mut self, other: &Self) {
        self.n = self.n.wrapping_add(other.n);
        self.sum_x = self.sum_x.wrapping_add(other.sum_x);
        self.sum_y = self.sum_y.wrapping_add(other.sum_y);
        self.sum_xx = self.sum_xx.wrapping_add(other.sum_xx);
        self.sum_xy = self.sum_xy.wrapping_add(other.sum_xy);
        self.sum_yy = self.sum_yy.wrapping_add(other.sum_yy);
    }

    /// Pearson's correlation coefficient,
    ///
    /// r = (n·Σxy − Σx·Σy) / √((n·Σxx − (Σx)²) · (n·Σyy − (Σy)²)),
    ///
    /// or none for fewer than two pairs or if one variable is constant.
    ///
    /// The result is within 0.51 units in the last place of the true value, never outside [−1, 1], and bit-identical
    /// on every machine. The three differences are exact in 256 bits. Each is truncated to its top 64 bits (relative
    /// error below 2⁻⁶³); the product of the two variances is then exact in 128 bits, its integer root is too small
    /// by at most 2⁻⁶², and so is the quotient: together below 2⁻⁶⁰ before the only rounding, to 53 bits, half to
    /// even. Formula: Pearson (1895).
    pub fn r(&self) -> Option<f64> {
        if self.n < 2 {
            return None;
        }
        let n = I256::from(self.n);
        let spread =
            |sum: i128, squares: I256| n.wrapping_mul(squares).wrapping_sub(product(sum, sum)).unsigned_abs();
        let (x, y) = (spread(self.sum_x, self.sum_xx), spread(self.sum_y, self.sum_yy));
        if x == U256::ZERO || y == U256::ZERO {
            return None;
        }
        let covariance = n.wrapping_mul(self.sum_xy).wrapping_sub(product(self.sum_x, self.sum_y));
        if covariance == I256::ZERO {
            return Some(0.0);
        }
        let (x, x_exponent) = top_bits(x);
        let (y, y_exponent) = top_bits(y);
        let (numerator, exponent) = top_bits(covariance.unsigned_abs());
        let mut variances = u128::from(x) * u128::from(y);
        let mut variances_exponent = x_exponent + y_exponent;
        if variances_exponent % 2 != 0 {
            variances >>= 1;
            variances_exponent += 1;
        }
        let root = variances.isqrt();
        let quotient = (u128::from(numerator) << 64) / root;
        // At most 2⁶⁶, so the conversion rounds once; the scaling is exact: |r| > 2⁻²⁵⁶.
        let r = quotient as f64 * power_of_two(exponent - 64 - variances_exponent / 2);
        let r = r.min(1.0);
        Some(if covariance < I256::ZERO { -r } else { r })
    }

    /// The inverse of [`numbers`](Self::numbers); none for sums that no pairs of 64 bits have.
    pub(crate) fn from_numbers([n, x, y, sum_xx, sum_xy, sum_yy]: [I256; 6]) -> Option<Self> {
        Some(Self {
            n: n.try_into().ok()?,
            sum_x: x.try_into().ok()?,
            sum_y: y.try_into().ok()?,
            sum_xx,
            sum_xy,
            sum_yy,
        })
    }

    /// n, Σx, Σy, Σxx, Σxy and Σyy.
    pub(crate) fn numbers(&self) -> [I256; 6] {
        [I256::from(self.n), self.sum_x.into(), self.sum_y.into(), self.sum_xx, self.sum_xy, self.sum_yy]
    }
}

/// The top 64 bits of a nonzero value, and the exponent: `value ≈ bits · 2^exponent`, rounded down.
fn top_bits(value: U256) -> (u64, i32) {
    let zeros = value.leading_zeros();
    ((value << zeros >> 192u32).as_u64(), 192 - zeros as i32)
}

/// Sums of the pairs of one truck in one batch, in machine words: offsets from the first pair are small, and so are
/// their sums.
///
/// For 2²⁰ pairs with offsets below 2⁴², sums fit `i64` and sums of products fit `i128`. Other pairs are added in
/// full width.
///
/// ```
/// use dataflows::accumulation::{Accumulation, Narrow};
///
/// let mut batch = Narrow::start(1_681_088_547_000_000, 80);
/// batch.push(1_681_088_548_000_000, 81);
/// let mut sums = Accumulation::of(1_681_088_547_000_000, 80);
/// sums.add(&Accumulation::of(1_681_088_548_000_000, 81));
/// assert_eq!(batch.finish(), sums);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Narrow {
    first: (i64, i64),
    n: i64,
    sum_u: i64,
    sum_v: i64,
    sum_uu: i128,
    sum_uv: i128,
    sum_vv: i128,
    far: Accumulation,
}

/// Greater offsets are far.
const FAR: i64 = 1 << 42;
/// The maximum number of pairs in narrow sums.
const NARROW_PAIRS: i64 = 1 << 20;

impl Narrow {
    /// Starts with the first pair.
    pub fn start(x: i64, y: i64) -> Self {
        let far = Accumulation::default();
        Self { first: (x, y), n: 1, sum_u: 0, sum_v: 0, sum_uu: 0, sum_uv: 0, sum_vv: 0, far }
    }

    /// Adds a pair that is near the first one, as are at most 2²⁰ others: see [`Narrow::are_near`].
    #[inline(always)]
    pub fn push_near(&mut self, x: i64, y: i64) {
        let (u, v) = (x - self.first.0, y - self.first.1);
        self.n += 1;
        self.sum_u += u;
        self.sum_v += v;
        self.sum_uu += i128::from(u) * i128::from(u);
        self.sum_uv += i128::from(u) * i128::from(v);
        self.sum_vv += i128::from(v) * i128::from(v);
    }

    /// Whether all pairs of some numbers are near each other, and few enough for narrow sums. The least integer, which is
    /// NULL, is far from all.
    pub fn are_near(numbers: &[i64]) -> bool {
        let start = (i64::MAX, i64::MIN);
        let (least, greatest) = numbers
            .iter()
            .fold(start, |(least, greatest), &number| (number.min(least), number.max(greatest)));
        numbers.len() < NARROW_PAIRS as usize
            && least != NULL
            && greatest.checked_sub(least).is_some_and(|span| span <= FAR)
    }

    /// Adds a pair.
    #[inline(always)]
    pub fn push(&mut self, x: i64, y: i64) {
        // A wrapped offset of two far values could look near.
        let ((u, is_far), (v, is_other_far)) =
            (x.overflowing_sub(self.first.0), y.overflowing_sub(self.first.1));
        let near = |offset: i64| offset.wrapping_add(FAR) as u64 <= 2 * FAR as u64;
        if is_far | is_other_far | !near(u) | !near(v) || self.n >= NARROW_PAIRS {
            self.far.add(&Accumulation::of(x, y));
            return;
        }
        self.push_near(x, y);
    }

    /// The sums of all pairs, equal to the sum of their [`Accumulation::of`].
    pub fn finish(self) -> Accumulation {
        if self.n == 1 {
            let mut sums = Accumulation::of(self.first.0, self.first.1);
            sums.add(&self.far);
            return sums;
        }
        let (x, y) = (i128::from(self.first.0), i128::from(self.first.1));
        let (n, u, v) = (i128::from(self.n), i128::from(self.sum_u), i128::from(self.sum_v));
        // With x = x₀ + u: Σxy = Σuv + x₀Σv + y₀Σu + n·x₀·y₀, and likewise Σxx and Σyy.
        let products = |sum: i128, a: i128, b: i128, a_offsets: i128, b_offsets: i128| {
            I256::from(sum) + product(a, b_offsets) + product(b, a_offsets) + product(n, 1) * product(a, b)
        };
        let mut sums = Accumulation {
            n: self.n,
            sum_x: u + n * x,
            sum_y: v + n * y,
            sum_xx: products(self.sum_uu, x, x, u, u),
            sum_xy: products(self.sum_uv, x, y, u, v),
            sum_yy: products(self.sum_vv, y, y, v, v),
        };
        sums.add(&self.far);
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle;
    use proptest::prelude::*;

    fn sum(pairs: &[(i64, i64)]) -> Accumulation {
        pairs.iter().fold(Accumulation::default(), |mut sums, &(x, y)| {
            sums.add(&Accumulation::of(x, y));
            sums
        })
    }

    /// Measures of every magnitude from 1e-9 to 9e9, in nano-units.
    fn measure() -> impl Strategy<Value = i64> {
        prop_oneof![
            -9_200_000_000_000_000_000i64..=9_200_000_000_000_000_000,
            (0u32..19, -9i64..=9).prop_map(|(power, digit)| digit * 10i64.pow(power)),
            -100i64..100,
            75_000_000_000i64..85_000_000_000,
        ]
    }

    /// Event times over years, in microseconds.
    fn time() -> impl Strategy<Value = i64> {
        prop_oneof![
            1_500_000_000_000_000i64..1_800_000_000_000_000,
            1_681_088_547_000_000i64..1_681_088_548_000_000,
            -62_135_596_800_000_000i64..253_402_300_800_000_000,
        ]
    }

    fn pairs() -> impl Strategy<Value = Vec<(i64, i64)>> {
        let mixed = prop::collection::vec((time(), measure()), 0..60);
        let extreme = prop::collection::vec((any::<i64>(), any::<i64>()), 0..20);
        // Nearly linear: the worst case for cancellation.
        let line = (time(), 1i64..1_000_000, prop::collection::vec((0i64..100_000, -3i64..=3), 2..60))
            .prop_map(|(start, slope, steps)| {
                steps.iter().map(|&(t, noise)| (start + t, t * slope + noise)).collect()
            });
        prop_oneof![mixed, line, extreme]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn r_is_within_half_an_ulp_of_the_true_value(pairs in pairs()) {
            let truth = oracle::Correlation::of(pairs.iter().copied());
            match sum(&pairs).r() {
                None => prop_assert!(truth.is_none()),
                Some(r) => {
                    let truth = truth.expect("the oracle defines it, too");
                    prop_assert!((-1.0..=1.0).contains(&r));
                    prop_assert!(truth.is_within_ulps(r, 2, 1), "2 ulp: {r}");
                    prop_assert!(truth.is_within_ulps(r, 51, 100), "0.51 ulp: {r}");
                }
            }
        }

        #[test]
        fn r_is_bit_identical_for_any_order_and_split(pairs in pairs(), seed in any::<u64>(), cut in 0usize..60) {
            let whole = sum(&pairs);
            let mut shuffled = pairs.clone();
            let mut state = seed;
            for i in (1..shuffled.len()).rev() {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                shuffled.swap(i, (state >> 33) as usize % (i + 1));
            }
            let (left, right) = shuffled.split_at(cut.min(shuffled.len()));
            let mut merged = sum(right);
            merged.add(&sum(left));
            prop_assert_eq!(whole, merged);
            prop_assert_eq!(whole.r().map(f64::to_bits), merged.r().map(f64::to_bits));
            let mirrored = sum(&pairs.iter().map(|&(x, y)| (y, x)).collect::<Vec<_>>());
            prop_assert_eq!(whole.r().map(f64::to_bits), mirrored.r().map(f64::to_bits));
        }

        #[test]
        fn narrow_sums_equal_the_plain_sums(pairs in pairs(), wild in prop::collection::vec((any::<i64>(), any::<i64>()), 0..4)) {
            let pairs: Vec<_> = pairs.into_iter().chain(wild).collect();
            if let Some((&(x, y), rest)) = pairs.split_first() {
                let mut narrow = Narrow::start(x, y);
                rest.iter().for_each(|&(x, y)| narrow.push(x, y));
                prop_assert_eq!(narrow.finish(), sum(&pairs));
            }
        }

        #[test]
        fn near_pairs_have_the_plain_sums(pairs in pairs()) {
            let (xs, ys): (Vec<i64>, Vec<i64>) = pairs.iter().copied().unzip();
            let is_near = |a: i64, b: i64| a.abs_diff(b) <= FAR as u64;
            let are_near = xs.iter().all(|a| *a != NULL && xs.iter().all(|b| is_near(*a, *b)));
            prop_assert_eq!(Narrow::are_near(&xs), !xs.is_empty() && are_near);
            if let Some((&(x, y), rest)) = pairs.split_first() && Narrow::are_near(&xs) && Narrow::are_near(&ys) {
                let mut narrow = Narrow::start(x, y);
                rest.iter().for_each(|&(x, y)| narrow.push_near(x, y));
                prop_assert_eq!(narrow.finish(), sum(&pairs));
            }
        }

        #[test]
        fn sums_are_their_numbers(pairs in pairs()) {
            let sums = sum(&pairs);
            prop_assert_eq!(Accumulation::from_numbers(sums.numbers()), Some(sums));
        }
    }

    #[test]
    fn r_of_a_line_is_exactly_one() {
        for slope in [1, 7, 999_999_937] {
            let pairs: Vec<_> = (0..1000).map(|t| (1_681_088_547_000_000 + t * 31, t * slope)).collect();
            assert_eq!(sum(&pairs).r(), Some(1.0));
            let falling: Vec<_> = pairs.iter().map(|&(x, y)| (x, -y)).collect();
            assert_eq!(sum(&falling).r(), Some(-1.0));
        }
    }

    #[test]
    fn r_is_undefined_below_two_pairs_or_for_a_constant() {
        assert_eq!(Accumulation::default().r(), None);
        assert_eq!(Accumulation::of(1, 2).r(), None);
        assert_eq!(sum(&[(1, 5), (2, 5), (3, 5)]).r(), None);
        assert_eq!(sum(&[(1, 5), (1, 6)]).r(), None);
        assert_eq!(sum(&[(1, 5), (2, 6)]).r(), Some(1.0));
    }

    #[test]
    fn the_sums_of_2_to_the_60_extreme_pairs_do_not_overflow() {
        let mut sums = sum(&[(i64::MIN, i64::MAX), (i64::MAX, i64::MIN)]);
        (0..59).for_each(|_| sums.add(&sums.clone()));
        assert_eq!(sums.r(), Some(-1.0));
    }
}
