//! Random jobs, compared with the recomputation and with each other.

use std::collections::{BTreeMap, BTreeSet};

use dataflows::Epoch;
use dataflows::batch::Record;
use proptest::prelude::*;

use crate::expected::{
    CORRELATIONS, Forgetful, STATELESS, all_cells, assert_correlations, assert_windows, counted, joined_rows,
    latest_of_history, stateless_rows, sum_of, table_after,
};
use crate::job::{Gave, folded, of, run, whole};
use crate::plans::WINDOW;
use crate::records::{append_job, epochs, upsert_job, upserts, wide_epochs};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn retention_matches_a_simple_model(epochs in wide_epochs(), workers in 1usize..=3, cut in 0usize..7) {
        let job = append_job(&epochs, false);
        let model = Forgetful::of(&epochs);
        let cut = cut.min(job.epochs.len());
        let first = run(&job, workers, 0, &BTreeMap::new(), &job.epochs[..cut]);
        let state = |gave: &Gave| {
            folded(gave.state.clone(), 1 << 20)
        };
        let restored = first.iter().map(|(name, gave)| (name.clone(), state(gave))).collect();
        let second = run(&job, 4 - workers, cut as Epoch, &restored, &job.epochs[cut..]);
        let rows = |view| [of(&first, view).table, of(&second, view).table].concat();
        let letters = |view| -> BTreeSet<i64> {
            let letters = [of(&first, view).letters, of(&second, view).letters];
            letters.into_iter().flatten().map(|(offset, _, _)| offset).collect()
        };
        prop_assert_eq!(letters("window_averages"), model.late[0].clone());
        prop_assert_eq!(letters("filtered_join"), model.late[1].clone());
        prop_assert_eq!(all_cells(&rows("filtered_join")), counted(&joined_rows(&model.kept[1])));
        assert_windows(&table_after(&rows("window_averages")), &model.kept[0], WINDOW);
        // The state has only the windows within the retention, and the times of each truck.
        let kept = |view: &str| {
            let gave = [&first, &second].map(|gave| of(gave, view));
            let parts = folded(gave.iter().flat_map(|gave| gave.state.clone()).collect(), 1 << 20);
            (parts.iter().flat_map(|part| dataflows::state::entries(part)).count() as i64, gave[0].entries + gave[1].entries)
        };
        for view in ["window_averages", "filtered_join"] {
            let (found, counted) = kept(view);
            prop_assert_eq!(found, counted, "{}", view);
        }
    }

    #[test]
    fn every_view_equals_the_recomputation(epochs in epochs(), workers in 1usize..=3, latest: bool) {
        let records: Vec<Record> = epochs.iter().flatten().flatten().cloned().collect();
        let job = append_job(&epochs, latest);
        let gave = whole(&job, workers);
        assert_correlations(&gave, &records, latest);
        for name in STATELESS {
            prop_assert_eq!(all_cells(&of(&gave, name).table), counted(&stateless_rows(&records, name)), "{}", name);
        }
        prop_assert_eq!(all_cells(&of(&gave, "filtered_join").file), counted(&joined_rows(&records)));
        assert_windows(&table_after(&of(&gave, "window_averages").table), &records, WINDOW);
        prop_assert!(gave.values().all(|gave| gave.letters.is_empty()));
    }

    #[test]
    fn every_view_equals_the_recomputation_over_the_current_readings(
        epochs in upserts(), workers in 1usize..=3, latest: bool,
    ) {
        let mut left = BTreeMap::new();
        for (key, record) in epochs.iter().flatten().flatten() {
            left.insert(*key, record.clone());
        }
        let records: Vec<Record> = left.into_values().flatten().collect();
        let job = upsert_job(&epochs, latest);
        let gave = whole(&job, workers);
        assert_correlations(&gave, &records, latest);
        // Bit-identical to a job that received only these readings.
        let plain = whole(&append_job(&[vec![records.clone()]], true), 1);
        for (name, _) in CORRELATIONS.into_iter().filter(|_| latest) {
            let held = |gave| counted(table_after(&of(gave, name).table).values());
            prop_assert_eq!(held(&gave), held(&plain), "{}", name);
        }
        let stateless = STATELESS.map(|name| (name, stateless_rows(&records, name)));
        for (name, expected) in stateless.into_iter().chain([("filtered_join", joined_rows(&records))]) {
            let gave = of(&gave, name);
            prop_assert_eq!(counted(table_after(&gave.table).values()), counted(&expected), "{}", name);
            prop_assert_eq!(sum_of(&gave.file), counted(&expected), "{}", name);
        }
        let windows = of(&gave, "window_averages");
        let table = table_after(&windows.table);
        assert_windows(&table, &records, WINDOW);
        // The changes in the file add up to the closed windows.
        for (cells, count) in sum_of(&windows.file) {
            prop_assert_eq!(count, 1);
            prop_assert!(table.values().any(|row| *row == cells), "{:?}", cells);
        }
    }

    #[test]
    fn every_number_of_workers_has_the_same_rows_in_the_same_epochs(epochs in epochs(), upserts in upserts()) {
        for job in [append_job(&epochs, false), upsert_job(&upserts, true)] {
            let one = whole(&job, 1);
            for workers in [2, 3] {
                let more = whole(&job, workers);
                prop_assert_eq!(one.keys().collect::<Vec<_>>(), more.keys().collect::<Vec<_>>());
                for (name, gave) in &one {
                    prop_assert_eq!(&gave.table, &more[name].table, "{} on {} workers", name, workers);
                    prop_assert_eq!(&gave.file, &more[name].file, "{} on {} workers", name, workers);
                }
            }
        }
    }

    #[test]
    fn order_and_batches_do_not_change_a_bit(epochs in epochs(), seed in any::<u64>()) {
        let mut records: Vec<Record> = epochs.iter().flatten().flatten().cloned().collect();
        let mut state = seed;
        for i in (1..records.len()).rev() {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            records.swap(i, (state >> 33) as usize % (i + 1));
        }
        let shuffled = vec![records.chunks(5).map(<[Record]>::to_vec).collect()];
        let one = whole(&append_job(&epochs, false), 1);
        let other = whole(&append_job(&shuffled, false), 2);
        for (name, _) in CORRELATIONS {
            let last = |gave| latest_of_history(&of(gave, name).table);
            prop_assert_eq!(last(&one), last(&other));
        }
        let windows = |gave| table_after(&of(gave, "window_averages").table);
        prop_assert_eq!(windows(&one), windows(&other));
        prop_assert_eq!(all_cells(&of(&one, "filtered_join").table), all_cells(&of(&other, "filtered_join").table));
    }

    #[test]
    fn a_restart_anywhere_with_another_number_of_workers_has_the_same_rows(
        epochs in epochs(), upserts in upserts(), cut in 0usize..6, before in 1usize..=3, after in 1usize..=3,
        fold_first in any::<bool>(), latest: bool,
    ) {
        for job in [append_job(&epochs, latest), upsert_job(&upserts, latest)] {
            let cut = cut.min(job.epochs.len());
            let whole = whole(&job, 1);
            let first = run(&job, before, 0, &BTreeMap::new(), &job.epochs[..cut]);
            let restored = first.iter().filter(|(_, gave)| !gave.state.is_empty()).map(|(name, gave)| {
                // State is folded before it is fed, as the graph adds up its input.
                (name.clone(), folded(gave.state.clone(), if fold_first { 1 } else { 1 << 20 }))
            }).collect();
            let second = run(&job, after, cut as Epoch, &restored, &job.epochs[cut..]);
            for (name, gave) in &whole {
                let mut both = Gave::default();
                for part in [&first, &second].into_iter().filter_map(|part| part.get(name)) {
                    both.table.extend(part.table.clone());
                    both.file.extend(part.file.clone());
                    both.entries += part.entries;
                }
                both.table.sort();
                both.file.sort();
                prop_assert_eq!(&gave.table, &both.table, "{}", name);
                prop_assert_eq!(&gave.file, &both.file, "{}", name);
                prop_assert_eq!(gave.entries, both.entries, "{}", name);
            }
        }
    }
}
