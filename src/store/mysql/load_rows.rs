//! Loads rows that were rendered as lines in the open transaction.

use std::sync::{Arc, PoisonError};

use super::errors::{Fault, is_id_exhausted, refuses_loads};
use super::load::{MAX_ROLLED_BACK, Part, load_size, take};
use super::store::MysqlStore;
use crate::render::SqlRows;
use crate::store::chunk::{Chunk, Operation, STATEMENT_BYTES};
use crate::store::error::StoreError;
use crate::store::table::Refused;

impl MysqlStore {
    /// Writes the lines of the chunks at `places` to a table: as many as possible by loads, the rest by INSERTs.
    pub(super) fn put_lines(
        &mut self,
        table: usize,
        chunks: &[Arc<Chunk>],
        places: &[usize],
    ) -> Result<Vec<Refused>, StoreError> {
        let turns = self.turns.clone();
        let takes_turns = self.server.link.as_ref().is_some_and(|link| link.takes_turns);
        // No state is behind it that a panic could have left unfinished.
        let turn = turns.get(table).filter(|_| takes_turns);
        let _turn = turn.map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        let mut refused = Vec::new();
        let part = |&chunk: &usize| {
            let Chunk { rows, lines, .. } = &*chunks[chunk];
            Part { chunk, rows: 0..rows.len(), lines: lines.clone() }
        };
        let mut parts: Vec<Part> = places.iter().rev().map(part).collect();
        let mut left: usize = parts.iter().map(|part| part.rows.len()).sum();
        while left > 0 {
            let size = load_size(left);
            let taken = take(&mut parts, size.unwrap_or(left));
            left -= size.unwrap_or(left);
            if size.is_some() && self.load(table, &taken)? {
                continue;
            }
            let form = self.claimed()?.text;
            for Part { chunk: place, rows, .. } in taken {
                let chunk = &chunks[place];
                let opening = form.opening(Operation::Append);
                let text = SqlRows { rows: &chunk.rows, keys: &[], opening }.pieces(rows, STATEMENT_BYTES);
                let pieces = text.iter().map(|(rows, text)| (rows.clone(), Some(text.as_slice())));
                refused.extend(Refused::in_chunk(place, self.put_pieces(chunk, pieces)?));
            }
        }
        Ok(refused)
    }

    /// Loads all of the rows or none; returns whether they were loaded.
    fn load(&mut self, table: usize, parts: &[Part]) -> Result<bool, StoreError> {
        if !self.server.loads() {
            return Ok(false);
        }
        let Some(prepared) = self.tables.get_mut(table) else { return Ok(false) };
        let Some(load) = prepared.load.as_mut() else { return Ok(false) };
        if load.rolled_back >= MAX_ROLLED_BACK {
            return Ok(false);
        }
        self.server.run("SAVEPOINT loading")?;
        let rows: usize = parts.iter().map(|part| part.rows.len()).sum();
        let lines = parts.iter().map(|part| part.lines.clone()).collect();
        match self.server.load(&load.statement, lines) {
            Ok((loaded, 0)) if loaded == rows as u64 => return Ok(true),
            Ok(_) => {}
            Err(Fault::Server { number, .. }) if refuses_loads(number) => self.server.stop_loading(),
            Err(Fault::Server { number, message, .. }) if is_id_exhausted(number, &message) => {}
            Err(fault) if self.server.concerns_a_row(&fault) => {}
            Err(fault) => return Err(prepared.explain(&self.server, fault)),
        }
        load.rolled_back += 1;
        self.server.run("ROLLBACK TO SAVEPOINT loading")?;
        Ok(false)
    }
}
