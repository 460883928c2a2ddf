//! Reads by io_uring: a small ring for each queue of them.
//!
//! - A queue may change threads with reads on their way. So its ring knows no single issuer, and
//!   nothing is put off until one thread enters the kernel: a read that ends shows in the ring,
//!   whatever the thread that submitted it does by then, and also when that thread has ended.
//! - At most as many reads as the ring has entries are in it; the others wait in a queue of our
//!   own, so that neither side of the ring can overflow.
//! - The buffers belong to the queue while the kernel may write to them. A queue that is dropped,
//!   or whose ring is refused in the middle (a seccomp filter, say), waits for the reads that the
//!   kernel has: they can be waited for without entering the ring, on its descriptor. What
//!   the kernel was not given is then read by plain calls.
//! - In a forked child the ring's memory is not there: the queue goes on by plain calls, into its
//!   own copies of the buffers.

use std::fmt;
use std::io;
use std::mem;

use self::ring::Ring;
use crate::disk::{BackendKind, PlainReads, Read, ReadDone, ReadQueue, Rung};
use crate::sys::fork::process_mark;

mod ring;

/// The queue of a ring, or of plain calls once the ring was refused.
pub(in crate::disk) struct UringReads {
    way: Way,
    /// The process that made it.
    process: u64,
}

enum Way {
    Ring(Box<Ring>),
    Plain(PlainReads),
}

impl UringReads {
    /// Sets a ring up. Fails where there is no io_uring, or one that is too old.
    pub(in crate::disk) fn new(depth: usize) -> io::Result<Self> {
        Ok(Self {
            way: Way::Ring(Box::new(Ring::new(depth)?)),
            process: process_mark(),
        })
    }

    /// Does something with the ring, or, when there is none (any more), with the plain queue.
    fn act(
        &mut self,
        on_ring: impl FnOnce(&mut Ring) -> io::Result<()>,
        plainly: impl FnOnce(&mut PlainReads),
    ) {
        if let Way::Ring(ring) = &mut self.way {
            let refusal = if self.process == process_mark() {
                match on_ring(ring) {
                    Ok(()) => return,
                    Err(error) => format!("io_uring was refused: {error}"),
                }
            } else {
                "opened before a fork".into()
            };
            self.degrade(refusal);
        }
        if let Way::Plain(plain) = &mut self.way {
            plainly(plain);
        }
    }

    /// Goes on by plain calls, with all that the ring had.
    fn degrade(&mut self, reason: String) {
        let plain = Way::Plain(PlainReads::new(reason));
        if let Way::Ring(ring) = mem::replace(&mut self.way, plain) {
            let (done, undone) = ring.dissolve(self.process == process_mark());
            if let Way::Plain(plain) = &mut self.way {
                plain.adopt(done);
                undone.into_iter().for_each(|read| plain.push(read));
            }
        }
    }
}

impl ReadQueue for UringReads {
    fn rung(&self) -> Rung {
        match &self.way {
            Way::Ring(_) => Rung::new(BackendKind::Uring, false, None),
            Way::Plain(plain) => plain.rung(),
        }
    }

    fn push(&mut self, read: Read) {
        match &mut self.way {
            Way::Ring(ring) => ring.push(read),
            Way::Plain(plain) => plain.push(read),
        }
    }

    fn submit(&mut self) {
        self.act(Ring::submit, PlainReads::submit);
    }

    fn reap(&mut self, done: &mut Vec<ReadDone>) {
        let mut landed = Vec::new();
        self.act(|ring| ring.reap(&mut landed), |_| {});
        done.append(&mut landed);
        if let Way::Plain(plain) = &mut self.way {
            plain.reap(done);
        }
    }

    fn wait(&mut self) {
        self.act(Ring::wait, PlainReads::wait);
    }

    fn outstanding(&self) -> usize {
        match &self.way {
            Way::Ring(ring) => ring.outstanding(),
            Way::Plain(plain) => plain.outstanding(),
        }
    }
}

impl Drop for UringReads {
    fn drop(&mut self) {
        let nothing = Way::Plain(PlainReads::new("dropped"));
        if let Way::Ring(ring) = mem::replace(&mut self.way, nothing) {
            drop(ring.dissolve(self.process == process_mark()));
        }
    }
}

impl fmt::Debug for UringReads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UringReads")
            .field("rung", &self.rung())
            .field("outstanding", &self.outstanding())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::sync::Arc;

    use super::*;
    use crate::disk::{AlignedBuf, Disk, File, Real};
    use crate::sys::event::CANCELED;

    const BLOCK: usize = 4096;
    const BLOCKS: usize = 256;

    struct Scene {
        queue: UringReads,
        file: Arc<dyn File>,
        path: PathBuf,
    }

    /// A queue on a ring, and a file whose blocks all differ. `None`, said aloud, where there is no
    /// io_uring.
    fn start(name: &str, depth: usize) -> Option<Scene> {
        let queue = match UringReads::new(depth) {
            Ok(queue) => queue,
            Err(error) => {
                println!("skipped: no io_uring here: {error}");
                return None;
            }
        };
        let path = std::env::temp_dir().join(format!("ringbolt-{name}-{}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        let dir = Real::probe().open_dir(&path).unwrap();
        let file = dir.create("file").unwrap();
        let mut bytes = AlignedBuf::new(BLOCKS * BLOCK).unwrap();
        for (block, bytes) in bytes.chunks_mut(BLOCK).enumerate() {
            bytes.fill(block as u8);
        }
        file.write_at(&bytes, 0).unwrap();
        Some(Scene { queue, file, path })
    }

    impl Drop for Scene {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }

    impl Scene {
        fn push(&mut self, blocks: std::ops::Range<usize>) {
            for block in blocks {
                self.queue.push(Read {
                    file: Arc::clone(&self.file),
                    file_offset: (block * BLOCK) as u64,
                    buffer: AlignedBuf::new(BLOCK).unwrap(),
                    range: 0..BLOCK,
                    token: block as u64,
                });
            }
        }

        fn refuse(&mut self) {
            match &mut self.queue.way {
                Way::Ring(ring) => ring.refuse = true,
                Way::Plain(_) => panic!("no ring to refuse"),
            }
        }

        /// Reaps until nothing is outstanding: each of these blocks once, with its bytes.
        fn expect(&mut self, blocks: std::ops::Range<usize>) {
            let mut done = Vec::new();
            while self.queue.outstanding() > 0 {
                self.queue.wait();
                self.queue.reap(&mut done);
            }
            done.sort_unstable_by_key(|done| done.token);
            for done in &done {
                assert_eq!(*done.result.as_ref().unwrap(), BLOCK);
                assert!(done.buffer.iter().all(|&byte| byte == done.token as u8));
            }
            let tokens: Vec<_> = done.iter().map(|done| done.token as usize).collect();
            assert_eq!(tokens, Vec::from_iter(blocks));
        }
    }

    #[test]
    fn a_ring_that_is_refused_with_reads_in_flight_loses_none() {
        // More than the ring holds, so that some are in the kernel and some are not.
        let Some(mut scene) = start("reads-refused", 16) else {
            return;
        };
        scene.push(0..100);
        scene.queue.submit();
        scene.refuse();
        scene.expect(0..100);
        let rung = scene.queue.rung();
        assert_eq!(rung.backend, BackendKind::Posix);
        assert!(rung.reason.unwrap().contains("refused"));
        scene.push(100..110);
        scene.expect(100..110);
    }

    #[test]
    fn a_ring_that_is_refused_from_the_first_call_is_as_good() {
        let Some(mut scene) = start("reads-refused-first", 4) else {
            return;
        };
        scene.refuse();
        scene.push(0..10);
        assert_eq!(scene.queue.outstanding(), 10);
        scene.queue.submit();
        assert_eq!(scene.queue.rung().backend, BackendKind::Posix);
        scene.expect(0..10);
    }

    #[test]
    fn a_queue_that_is_dropped_waits_for_its_reads_also_when_refused() {
        for refused in [false, true] {
            let Some(mut scene) = start(&format!("reads-dropped-{refused}"), 8) else {
                return;
            };
            scene.push(0..100);
            scene.queue.submit();
            if refused {
                scene.refuse();
            }
            let nothing = UringReads::new(1).unwrap();
            drop(mem::replace(&mut scene.queue, nothing));
            assert_eq!(Arc::strong_count(&scene.file), 1, "no read is left behind");
        }
    }

    #[test]
    fn reads_that_were_cancelled_or_interrupted_are_made_again() {
        let Some(mut scene) = start("reads-again", 4) else {
            return;
        };
        scene.push(0..1);
        let Way::Ring(ring) = &mut scene.queue.way else {
            panic!("no ring");
        };
        for errno in [CANCELED, 4 /* EINTR */, 11 /* EAGAIN */] {
            let flight = ring.backlog.pop_front().unwrap();
            ring.land(flight, -errno);
            assert!(ring.done.is_empty(), "{errno}");
        }
        // Short, within a sector: as at the end of a file of odd length.
        let flight = ring.backlog.pop_front().unwrap();
        ring.land(flight, 100);
        let flight = ring.backlog.pop_front().unwrap();
        ring.land(flight, -22 /* EINVAL */);
        assert_eq!(*ring.done[0].result.as_ref().unwrap(), 100);
        ring.done.clear();
        // One that comes to nothing again and again fails in the end.
        scene.push(1..2);
        let Way::Ring(ring) = &mut scene.queue.way else {
            panic!("no ring");
        };
        while let Some(flight) = ring.backlog.pop_front() {
            ring.land(flight, -CANCELED);
        }
        let error = ring.done.pop().unwrap().result.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(CANCELED));
    }
}
