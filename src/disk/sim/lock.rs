//! Locks as `flock` gives them: they belong to an opening of a file, and live as long as anybody
//! holds that opening, a queue included.

use super::media::InodeId;
use crate::disk::LockMode;

pub(super) type HandleId = u64;
pub(super) type QueueId = u64;

/// All locks that are held.
#[derive(Debug, Default)]
pub(super) struct Locks(Vec<Held>);

#[derive(Debug)]
struct Held {
    inode: InodeId,
    mode: LockMode,
    owner: Owner,
    /// Queues that keep the opening alive.
    queues: Vec<QueueId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owner {
    Open(HandleId),
    /// The handle was dropped, and queues keep the lock.
    Closed(HandleId),
    /// The process died, or dropped the queue, with writes in flight.
    Gone,
}

impl Owner {
    fn is(self, handle: HandleId) -> bool {
        self == Self::Open(handle) || self == Self::Closed(handle)
    }
}

impl Locks {
    /// Locks, or changes the mode of a lock that the handle has already.
    pub(super) fn try_lock(&mut self, inode: InodeId, handle: HandleId, mode: LockMode) -> bool {
        let exclusive = |mode| mode == LockMode::Exclusive;
        let taken = self.0.iter().any(|held| {
            held.inode == inode
                && !held.owner.is(handle)
                && (exclusive(mode) || exclusive(held.mode))
        });
        if taken {
            return false;
        }
        match self.0.iter_mut().find(|held| held.owner.is(handle)) {
            Some(held) => held.mode = mode,
            None => self.0.push(Held {
                inode,
                mode,
                owner: Owner::Open(handle),
                queues: Vec::new(),
            }),
        }
        true
    }

    /// Gives the lock back, whoever keeps the opening alive.
    pub(super) fn unlock(&mut self, handle: HandleId) {
        self.0.retain(|held| !held.owner.is(handle));
    }

    /// The handle was dropped: the lock goes, unless a queue holds it.
    pub(super) fn close(&mut self, handle: HandleId) {
        for held in &mut self.0 {
            if held.owner.is(handle) {
                held.owner = Owner::Closed(handle);
            }
        }
        self.prune();
    }

    pub(super) fn hold(&mut self, handle: HandleId, queue: QueueId) {
        for held in &mut self.0 {
            if held.owner.is(handle) && !held.queues.contains(&queue) {
                held.queues.push(queue);
            }
        }
    }

    pub(super) fn release(&mut self, handle: HandleId, queue: QueueId) {
        for held in &mut self.0 {
            if held.owner.is(handle) {
                held.queues.retain(|&other| other != queue);
            }
        }
        self.prune();
    }

    /// The queue was dropped; `writing`: with writes that may still land.
    pub(super) fn drop_queue(&mut self, queue: QueueId, writing: bool) {
        let kept = if writing {
            self.held_by(queue)
        } else {
            Vec::new()
        };
        for held in &mut self.0 {
            held.queues.retain(|&other| other != queue);
        }
        self.prune();
        for inode in kept {
            self.keep(inode);
        }
    }

    /// The files that `queue` keeps locked.
    pub(super) fn held_by(&self, queue: QueueId) -> Vec<InodeId> {
        self.0
            .iter()
            .filter(|held| held.queues.contains(&queue))
            .map(|held| held.inode)
            .collect()
    }

    /// Locks a file on behalf of writes that have lost their process.
    pub(super) fn keep(&mut self, inode: InodeId) {
        self.0.push(Held {
            inode,
            mode: LockMode::Exclusive,
            owner: Owner::Gone,
            queues: Vec::new(),
        });
    }

    /// The files that are locked by writes without a process.
    pub(super) fn kept(&self) -> Vec<InodeId> {
        self.0
            .iter()
            .filter(|held| held.owner == Owner::Gone)
            .map(|held| held.inode)
            .collect()
    }

    /// The last write without a process has landed.
    pub(super) fn forget_kept(&mut self) {
        self.0.retain(|held| held.owner != Owner::Gone);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    fn prune(&mut self) {
        self.0.retain(|held| match held.owner {
            Owner::Closed(_) => !held.queues.is_empty(),
            Owner::Open(_) | Owner::Gone => true,
        });
    }
}
