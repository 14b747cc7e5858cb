//! Pairs of rows, as columns.

use super::super::column::Column;
use super::super::delta::Deltas;
use super::super::value::Value;
use super::block::Block;
use super::side::Shown;

/// The number of pairs that are passed at once.
pub(super) const AT_ONCE: usize = 1 << 14;

/// Pairs, as columns.
#[derive(Default)]
pub(super) struct Pairs {
    columns: Vec<Column>,
    len: usize,
}

impl Pairs {
    /// Appends the pairs of rows of a left and a right block.
    pub fn add(
        &mut self,
        shown: &Shown,
        blocks: [&Block; 2],
        rows: &[Vec<u32>; 2],
        pass: &mut impl FnMut(Deltas),
    ) {
        let more = rows[0].len();
        if more == 0 {
            return;
        }
        // Others stay NULL.
        self.columns.resize(shown.pairs.len(), Column::Same(Value::Null));
        for (column, of) in self.columns.iter_mut().zip(&shown.pairs) {
            if let Some((side, place)) = of {
                let side = *side as usize;
                column.extend(self.len, &blocks[side].columns[*place], &rows[side]);
            }
        }
        self.len += more;
        if self.len >= AT_ONCE {
            std::mem::take(self).finish(pass);
        }
    }

    /// Passes the last pairs.
    pub fn finish(self, pass: &mut impl FnMut(Deltas)) {
        if self.len > 0 {
            pass(Deltas::inserting(self.columns, self.len));
        }
    }
}
