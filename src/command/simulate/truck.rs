//! The model of one truck, taken from the original pipeline.
//!
//! ```text
//! speed ~ Normal(80, 1)                                   km/h
//! gap   ~ Exponential(mean 1/10000) * 3600                seconds, mean 0.36 s
//! step  = gap / 3600 * speed                              km
//! rate  = linear from 0.01 at 80 to 0.1 at 200, clamped   litre/km
//! ```
//!
//! The first reading of a drive is taken at its start, before the truck has moved.

use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, Exp1, StandardNormal};

/// Litres in a full tank.
const TANK: f64 = 600.0;
const MEAN_SPEED: f64 = 80.0;
const SPEED_DEVIATION: f64 = 1.0;
const MEAN_GAP_HOURS: f64 = 1.0 / 10_000.0;

/// The measures of a truck at one instant, not rounded; rounding happens in messages.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    /// Which truck, from 0.
    pub(super) truck: usize,
    /// Event time in microseconds since 1970.
    pub(super) micros: i64,
    /// Kilometres since the drive began.
    pub(super) distance: f64,
    /// Kilometres per hour.
    pub(super) speed: f64,
    /// Litres since the drive began.
    pub(super) fuel: f64,
}

/// The start of a drive.
#[derive(Clone, Copy, Debug)]
pub(super) enum Departure {
    /// With a reading at this event time.
    At(i64),
    /// Resumed after this reading.
    After { micros: i64, distance: f64, fuel: f64 },
}

/// A driving truck, with its next reading already generated, so that trucks can be ordered.
pub(super) struct Truck {
    rng: ChaCha8Rng,
    next: Reading,
    /// Litres left after the next reading.
    remaining: f64,
}

impl Truck {
    pub(super) fn new(truck: usize, seed: u64, departure: Departure) -> Truck {
        match departure {
            Departure::At(micros) => {
                let mut rng = stream(seed, truck, 0);
                let speed = draw_speed(&mut rng);
                let next = Reading { truck, micros, distance: 0.0, speed, fuel: 0.0 };
                Truck { rng, next, remaining: TANK }
            }
            Departure::After { micros, distance, fuel } => {
                // A truck that resumes with an empty tank has refuelled.
                let remaining = TANK - fuel % TANK;
                let last = Reading { truck, micros, distance, speed: 0.0, fuel };
                // Mixed with the time, otherwise the drive would repeat the one before it.
                let mut truck = Truck { rng: stream(seed, truck, micros), next: last, remaining };
                truck.drive();
                truck
            }
        }
    }

    /// Event time of the next reading.
    pub(super) fn due(&self) -> i64 {
        self.next.micros
    }

    /// Returns the next reading, and whether another follows.
    pub(super) fn take(&mut self) -> (Reading, bool) {
        let reading = self.next;
        if self.remaining <= 0.0 {
            return (reading, false);
        }
        self.drive();
        (reading, true)
    }

    fn drive(&mut self) {
        let speed = draw_speed(&mut self.rng);
        let gap_hours = MEAN_GAP_HOURS * Distribution::<f64>::sample(&Exp1, &mut self.rng);
        let step = gap_hours * speed;
        let burnt = step * litres_per_km(speed);
        self.next.micros += (gap_hours * 3_600e6).round() as i64;
        self.next.distance += step;
        self.next.speed = speed;
        self.next.fuel += burnt;
        self.remaining -= burnt;
    }
}

fn draw_speed(rng: &mut ChaCha8Rng) -> f64 {
    MEAN_SPEED + SPEED_DEVIATION * Distribution::<f64>::sample(&StandardNormal, rng)
}

fn litres_per_km(speed: f64) -> f64 {
    (0.01 + (speed - 80.0) * (0.1 - 0.01) / (200.0 - 80.0)).clamp(0.01, 0.1)
}

/// A separate stream of random numbers for each seed, truck and departure. ChaCha produces the same
/// numbers on every machine. The distributions call `ln` and `exp` for a few readings in a hundred,
/// whose last bit depends on the platform; rounding to two decimals hides it.
fn stream(seed: u64, truck: usize, departed: i64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[0..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&(truck as u64).to_le_bytes());
    key[16..24].copy_from_slice(&departed.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: usize = 100_000;

    fn readings(seed: u64) -> Vec<Reading> {
        let mut truck = Truck::new(0, seed, Departure::At(0));
        (0..COUNT).map(|_| truck.take().0).collect()
    }

    #[test]
    fn speeds_and_gaps_are_those_of_the_model() {
        for seed in 0..3 {
            let readings = readings(seed);
            let n = COUNT as f64;
            let mean = readings.iter().map(|r| r.speed).sum::<f64>() / n;
            let deviation = (readings.iter().map(|r| (r.speed - mean).powi(2)).sum::<f64>() / n).sqrt();
            assert!((mean - 80.0).abs() < 0.1, "{mean}");
            assert!((deviation - 1.0).abs() < 0.05, "{deviation}");

            let gaps: Vec<_> =
                readings.windows(2).map(|w| (w[1].micros - w[0].micros) as f64 / 1e6).collect();
            let mean_gap = gaps.iter().sum::<f64>() / gaps.len() as f64;
            assert!((mean_gap / 0.36 - 1.0).abs() < 0.02, "{mean_gap}");
            // The standard deviation of an exponential distribution is its mean.
            let spread =
                (gaps.iter().map(|g| (g - mean_gap).powi(2)).sum::<f64>() / gaps.len() as f64).sqrt();
            assert!((spread / 0.36 - 1.0).abs() < 0.03, "{spread}");
            assert!(gaps.iter().all(|gap| *gap >= 0.0));
        }
    }

    #[test]
    fn steps_are_gap_times_speed_and_fuel_their_sum_times_rate() {
        let readings = readings(7);
        assert_eq!((readings[0].distance, readings[0].fuel), (0.0, 0.0));
        let mut fuel = 0.0;
        for pair in readings.windows(2) {
            let step = pair[1].distance - pair[0].distance;
            let gap = (pair[1].micros - pair[0].micros) as f64 / 1e6;
            // The event time is rounded to a microsecond.
            assert!((step - gap / 3600.0 * pair[1].speed).abs() < 1e-7);
            fuel += step * litres_per_km(pair[1].speed);
        }
        assert!((fuel - readings[COUNT - 1].fuel).abs() < 1e-6);
    }

    #[test]
    fn the_rate_is_linear_and_clamped() {
        assert_eq!(litres_per_km(79.0), 0.01);
        assert_eq!(litres_per_km(80.0), 0.01);
        assert!((litres_per_km(140.0) - 0.055).abs() < 1e-12);
        assert!((litres_per_km(200.0) - 0.1).abs() < 1e-12);
        assert_eq!(litres_per_km(300.0), 0.1);
    }

    #[test]
    fn a_full_tank_lasts_until_it_is_empty() {
        let mut truck = Truck::new(0, 0, Departure::At(0));
        let last = loop {
            let (reading, more) = truck.take();
            if !more {
                break reading;
            }
        };
        assert!((600.0..600.01).contains(&last.fuel), "{}", last.fuel);
    }
}
