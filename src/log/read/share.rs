//! Sharing records beyond the reader's next move: what keeps memory has a budget, what is small or
//! beyond the budget is copied.

use std::ops::Range;
use std::sync::{Arc, Weak};

use bytes::Bytes;

use crate::disk::AlignedBuf;
use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::lock::Mutex;

/// Records up to this size are copied when they are shared: a copy costs less than what a pin
/// keeps.
pub(crate) const COPY_BYTES_MAX: usize = 4096;

/// What one reader's shared records may keep.
#[derive(Debug)]
pub(crate) struct Sharing {
    budget: Arc<Budget>,
    /// What was last shared of: its next record costs nothing more.
    last: Mutex<Option<(Shareable, Weak<Permit>)>>,
}

/// Memory that shared records keep: an image, by its segment, or a buffer, by its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shareable {
    Image(u64),
    Buffer(usize),
}

#[derive(Debug)]
struct Budget {
    limit: u64,
    used: AtomicU64,
}

/// A part of the budget, given back when the last shared record of it goes.
#[derive(Debug)]
pub(crate) struct Permit {
    budget: Arc<Budget>,
    bytes: u64,
}

impl Sharing {
    pub(crate) fn new(limit_bytes: u64) -> Self {
        Self {
            budget: Arc::new(Budget {
                limit: limit_bytes,
                used: AtomicU64::new(0),
            }),
            last: Mutex::new(None),
        }
    }

    /// A permit to keep `what`, of `bytes`; `None` beyond the budget.
    pub(crate) fn permit(&self, what: Shareable, bytes: u64) -> Option<Arc<Permit>> {
        let mut last = self.last.lock();
        if let Some((same, permit)) = &*last {
            if let (true, Some(permit)) = (*same == what, permit.upgrade()) {
                return Some(permit);
            }
        }
        let permit = Arc::new(Budget::take(&self.budget, bytes)?);
        *last = Some((what, Arc::downgrade(&permit)));
        Some(permit)
    }
}

impl Budget {
    fn take(this: &Arc<Self>, bytes: u64) -> Option<Permit> {
        // The number orders nothing: relaxed.
        let used = this.used.fetch_add(bytes, Ordering::Relaxed);
        let permit = Permit {
            budget: Arc::clone(this),
            bytes,
        };
        // Beyond it, the permit gives back what it took.
        (used.saturating_add(bytes) <= this.limit).then_some(permit)
    }
}

/// Bytes of a buffer, owned, within the budget.
pub(super) struct BufferPart {
    buffer: Arc<AlignedBuf>,
    range: Range<usize>,
    _permit: Arc<Permit>,
}

impl BufferPart {
    /// Bytes that keep their buffer; `None` beyond the budget.
    pub(super) fn share(
        buffer: &Arc<AlignedBuf>,
        range: Range<usize>,
        sharing: &Sharing,
    ) -> Option<Bytes> {
        let what = Shareable::Buffer(Arc::as_ptr(buffer) as usize);
        let permit = sharing.permit(what, buffer.len() as u64)?;
        Some(Bytes::from_owner(Self {
            buffer: Arc::clone(buffer),
            range,
            _permit: permit,
        }))
    }
}

impl AsRef<[u8]> for BufferPart {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[self.range.clone()]
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(ringbolt_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_by_what_is_kept_not_by_records() {
        let sharing = Sharing::new(100);
        let one = sharing.permit(Shareable::Image(1), 60).unwrap();
        let same = sharing.permit(Shareable::Image(1), 60).unwrap();
        assert!(sharing.permit(Shareable::Image(2), 60).is_none());
        drop(one);
        assert!(
            sharing.permit(Shareable::Buffer(2), 60).is_none(),
            "one record still keeps it"
        );
        drop(same);
        assert!(sharing.permit(Shareable::Buffer(2), 60).is_some());
    }
}
