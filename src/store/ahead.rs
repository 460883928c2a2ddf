//! What a reader has read ahead, and how it is given out.

use std::collections::VecDeque;
use std::time::SystemTime;

use crate::error::{Error, Result};
use crate::log::Position;
use crate::store::record::StreamRecord;

/// Records that were read ahead, and an error that comes behind them.
#[derive(Default)]
pub(crate) struct Ahead {
    pub(crate) records: VecDeque<StreamRecord>,
    pub(crate) error: Option<Error>,
}

/// Who reads ahead.
pub(crate) trait ReadAhead {
    fn ahead(&mut self) -> &mut Ahead;

    /// Reads what there is to see, up to some records.
    fn read_ahead(&mut self) -> Result<()>;

    /// The next record, if there is one to see.
    fn take(&mut self) -> Result<Option<StreamRecord>> {
        if self.ahead().records.is_empty() {
            if let Some(error) = self.ahead().error.take() {
                return Err(error);
            }
            self.read_ahead()?;
        }
        match self.ahead().records.pop_front() {
            Some(record) => Ok(Some(record)),
            None => self.ahead().error.take().map_or(Ok(None), Err),
        }
    }

    /// Passes over what is older than `time`; what has no time of its own is older before `before`.
    fn pass_over(&mut self, time: SystemTime, before: Position) -> Result<()> {
        let is_older = |record: &StreamRecord| match record.time() {
            Some(given) => given < time,
            None => record.position() < before,
        };
        loop {
            if self.ahead().records.is_empty() {
                self.read_ahead()?;
            }
            let records = &mut self.ahead().records;
            match records.front() {
                Some(record) if is_older(record) => records.pop_front(),
                _ => return Ok(()),
            };
        }
    }

    /// Up to `records_max` records of up to `bytes_max` bytes together, but one of any size.
    fn take_batch(&mut self, records_max: usize, bytes_max: usize) -> Result<Vec<StreamRecord>> {
        let mut batch: Vec<StreamRecord> = Vec::new();
        let mut bytes = 0_usize;
        while batch.len() < records_max {
            if self.ahead().records.is_empty() && self.ahead().error.is_none() {
                match self.read_ahead() {
                    Ok(()) => {}
                    // Told at the next call.
                    Err(error) if !batch.is_empty() => self.ahead().error = Some(error),
                    Err(error) => return Err(error),
                }
            }
            let ahead = self.ahead();
            let Some(record) = ahead.records.front() else {
                match ahead.error.take() {
                    Some(error) if batch.is_empty() => return Err(error),
                    error => ahead.error = error,
                }
                break;
            };
            bytes = bytes.saturating_add(record.payload().len());
            if bytes > bytes_max && !batch.is_empty() {
                break;
            }
            batch.extend(ahead.records.pop_front());
        }
        Ok(batch)
    }
}
