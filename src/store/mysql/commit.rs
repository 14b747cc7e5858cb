//! Writes everything of a commit except rows in the open transaction.

use dataflows::Epoch;
use dataflows::item::TopicId;

use super::books::PIECES;
use super::sql::{literal, topic_key};
use super::store::{Claim, MysqlStore, Reading};
use crate::store::commit::{Commit, StateChange};
use crate::store::error::StoreError;
use crate::store::offset;

/// Bytes reserved for a statement without its values.
pub(super) const PACKET_SPARE: usize = 1 << 10;
/// State parts are split into pieces of at most this, or of what fits into a packet.
pub(super) const STATE_PIECE: usize = 4 << 20;

impl MysqlStore {
    /// Writes a change of state, in pieces that fit into a packet.
    pub(super) fn put_state(
        &mut self,
        claim: &Claim,
        epoch: Epoch,
        change: &StateChange,
    ) -> Result<(), StoreError> {
        if change.replaces {
            self.server.execute(format!(
                "DELETE FROM truckflow_state WHERE job = {} AND view_name = {} AND epoch <= {epoch}",
                literal(&claim.job),
                literal(&change.view),
            ))?;
        }
        let largest = self.server.max_packet().saturating_sub(PACKET_SPARE).clamp(1, STATE_PIECE);
        for (place, part) in change.parts.iter().enumerate() {
            // An empty part is written as one piece.
            let pieces = part.len().div_ceil(largest).max(1);
            if pieces > PIECES {
                return Err(self.server.failed(&format!(
                    "state of {} bytes is too large for a max_allowed_packet of {} bytes",
                    part.len(),
                    self.server.max_packet(),
                )));
            }
            for piece in 0..pieces {
                let bytes = &part[piece * largest..part.len().min((piece + 1) * largest)];
                self.server.put_piece(&claim.job, &change.view, epoch, place * PIECES + piece, bytes)?;
            }
        }
        Ok(())
    }

    /// Writes everything of a commit before its `COMMIT`.
    pub(super) fn put_commit(&mut self, commit: &Commit<'_>) -> Result<(), StoreError> {
        let claim = self.claimed()?;
        self.check_generation(&claim, Reading::ForUpdate)?;
        for change in commit.state {
            self.put_state(&claim, commit.epoch, change)?;
        }
        let job = literal(&claim.job);
        // 500 rows per statement fit into the smallest packet of a server.
        let offsets: Vec<String> = commit
            .offset_rows()
            .map(|offset::Row { view, role, at }| {
                let (topic, long) = topic_key(&at.topic);
                let (bytes, hash) = match at.mark {
                    Some(mark) => (mark.bytes.to_string(), literal(&offset::hash_text(mark))),
                    None => ("NULL".into(), "NULL".into()),
                };
                let (partition, next, view) = (at.partition, at.offset, literal(view));
                format!("({job},{topic},{partition},{view},'{role}',{next},{bytes},{hash},{long})")
            })
            .collect();
        for values in offsets.chunks(500) {
            self.server.execute(format!(
                "INSERT INTO truckflow_offsets \
                 (job, topic, part, view_name, role, next_offset, byte_position, hash, long_topic) VALUES {} \
                 ON DUPLICATE KEY UPDATE next_offset = VALUES(next_offset), \
                 byte_position = VALUES(byte_position), hash = VALUES(hash)",
                values.join(",")
            ))?;
        }
        for TopicId { topic, id } in commit.topics {
            self.server.execute(format!(
                "INSERT INTO truckflow_topics (job, topic, topic_id) VALUES ({job},{},{}) \
                 ON DUPLICATE KEY UPDATE topic_id = VALUES(topic_id)",
                literal(topic),
                literal(id)
            ))?;
            // Decisions about an earlier topic of this name.
            self.server.execute(format!(
                "DELETE FROM truckflow_in_the_future WHERE job = {job} AND topic = {}",
                topic_key(topic).0
            ))?;
        }
        for messages in commit.in_the_future.chunks(500) {
            let values: Vec<String> = messages
                .iter()
                .map(|message| {
                    let (topic, long) = topic_key(&message.topic);
                    format!("({job},{topic},{},{},{long})", message.partition, message.offset)
                })
                .collect();
            self.server.execute(format!(
                "INSERT IGNORE INTO truckflow_in_the_future (job, topic, part, message_offset, long_topic) VALUES {}",
                values.join(",")
            ))?;
        }
        for files in commit.files.chunks(500) {
            let values: Vec<String> =
                files.iter().map(|(name, length)| format!("({job},{},{length})", literal(name))).collect();
            self.server.execute(format!(
                "INSERT INTO truckflow_files (job, name, length) VALUES {} \
                 ON DUPLICATE KEY UPDATE length = VALUES(length)",
                values.join(",")
            ))?;
        }
        self.server.execute(format!("UPDATE truckflow_jobs SET epoch = {} WHERE job = {job}", commit.epoch))
    }
}
