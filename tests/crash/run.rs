//! A workload's run: what was appended, acknowledged, cut and trimmed, and at which operation.

use std::sync::Arc;

use ringbolt::disk::sim::{SimDisk, SimOptions, Wreck};
use ringbolt::{Driver, Engine, Log, LogOptions, Poll, Position};

use crate::watched::{Pending, Watched};
use crate::workloads::Workload;

/// Where the log lies on the simulated disk.
pub(crate) const DIR: &str = "/log";

/// A record, and the last operation before it was acknowledged (`u64::MAX`: never): whoever looks
/// before the next one begins sees it acknowledged, so a crash in that one must not take it.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) position: Position,
    pub(crate) payload: Vec<u8>,
    pub(crate) acked_at: u64,
    /// Records of one batch share a number: they stand or fall together.
    pub(crate) group: u64,
}

/// One course of the log's history. A truncation begins a new one.
#[derive(Debug, Clone, Default)]
pub(crate) struct Timeline {
    pub(crate) entries: Vec<Entry>,
    /// From when on, and until when, the log may be found in this course.
    pub(crate) from: u64,
    pub(crate) until: u64,
}

/// A recorded run.
pub(crate) struct Run {
    pub(crate) timelines: Vec<Timeline>,
    /// Trims: requested at, acknowledged at, the new start.
    pub(crate) trims: Vec<(u64, u64, Position)>,
    pub(crate) wrecks: Vec<Wreck>,
}

/// What a workload acts on.
pub(crate) struct Actor {
    pub(crate) disk: SimDisk,
    pub(crate) log: Option<Log>,
    pub(crate) driver: Option<Driver>,
    pending: Arc<Pending>,
    timelines: Vec<Timeline>,
    trims: Vec<(u64, u64, Position)>,
    groups: u64,
    filled: bool,
}

pub(crate) fn options() -> LogOptions {
    LogOptions::new()
        .segment_bytes(1 << 20)
        .preallocation(ringbolt::Preallocation::Unwritten)
        .lock_timeout(std::time::Duration::from_secs(60))
}

impl Run {
    pub(crate) fn record(workload: &Workload) -> Self {
        let disk = SimOptions::new()
            .seed(workload.seed)
            .direct(workload.direct)
            .build();
        disk.record_wrecks();
        let mut actor = Actor {
            disk,
            log: None,
            driver: None,
            pending: Arc::default(),
            timelines: vec![Timeline {
                until: u64::MAX,
                ..Timeline::default()
            }],
            trims: Vec::new(),
            groups: 0,
            filled: workload.filled,
        };
        actor.open();
        (workload.act)(&mut actor);
        actor.note_acks();
        Self {
            timelines: actor.timelines,
            trims: actor.trims,
            wrecks: actor.disk.take_wrecks(),
        }
    }
}

impl Actor {
    pub(crate) fn open(&mut self) {
        let preallocation = if self.filled {
            ringbolt::Preallocation::Auto
        } else {
            ringbolt::Preallocation::Unwritten
        };
        self.open_with(&options().preallocation(preallocation));
    }

    pub(crate) fn open_with(&mut self, options: &LogOptions) {
        let disk = Watched::new(&self.disk, &self.pending);
        let builder = Engine::builder().disk(Arc::new(disk));
        let (engine, driver) = builder.caller_driven().unwrap();
        self.log = Some(options.open_on(&engine, DIR).unwrap());
        self.driver = Some(driver);
    }

    pub(crate) fn log(&self) -> Log {
        self.log.clone().expect("the log is open")
    }

    /// Appends a record of `len` bytes with a number of its own in it.
    pub(crate) fn append(&mut self, len: usize) {
        self.append_batch(&[len]);
    }

    /// Appends several as one batch; one alone goes as a record.
    pub(crate) fn append_batch(&mut self, lens: &[usize]) {
        let timeline = self.timelines.len() - 1;
        let first = self.timelines[timeline].entries.len();
        let payloads: Vec<Vec<u8>> = lens
            .iter()
            .enumerate()
            .map(|(n, len)| payload(timeline as u64, (first + n) as u64, *len))
            .collect();
        let log = self.log();
        let ticket = loop {
            let ticket = match &payloads[..] {
                [one] => log.try_append(one),
                many => log.try_append_batch(many),
            };
            match ticket {
                Ok(ticket) => break ticket.into_owned(),
                Err(error) if error.is_retryable() => {}
                Err(error) => panic!("{error}"),
            }
            self.turn();
        };
        self.groups += 1;
        let mut position = ticket.position();
        for payload in payloads {
            let len = payload.len() as u64;
            self.timelines[timeline].entries.push(Entry {
                position,
                payload,
                acked_at: u64::MAX,
                group: self.groups,
            });
            // The next record of a batch lies behind this one and its own 8 bytes.
            let next = position.to_u64() + (8 + len).div_ceil(8);
            position = Position::from_u64(next);
        }
        self.pending.push(timeline, first, ticket);
    }

    /// One turn of the engine; what is acknowledged is noted at once.
    pub(crate) fn turn(&mut self) {
        let driver = self.driver.as_mut().expect("the engine is there");
        let poll = driver.poll().unwrap();
        // Waiting is operations, too: writes complete.
        self.pending.look(self.disk.operations());
        match poll {
            Poll::Busy | Poll::Ended => {}
            Poll::Idle => {
                driver
                    .wait(Some(std::time::Duration::from_millis(1)))
                    .unwrap();
            }
            Poll::IdleFor(time) => driver.wait(Some(time)).unwrap(),
        }
        self.note_acks();
    }

    /// Turns until all that was appended is acknowledged.
    pub(crate) fn settle(&mut self) {
        for _ in 0..100_000 {
            if self.pending.is_empty() {
                return;
            }
            self.turn();
        }
        panic!("never acknowledged: {:?}", self.log().stats());
    }

    /// Some turns more, so that trailing checkpoints and file work come to an end.
    pub(crate) fn rest(&mut self) {
        for _ in 0..40 {
            self.turn();
        }
    }

    fn note_acks(&mut self) {
        self.pending.look(self.disk.operations());
        for (timeline, first, acked_at) in self.pending.take_acked() {
            let entries = &mut self.timelines[timeline].entries;
            let group = entries[first].group;
            for entry in entries[first..].iter_mut().take_while(|e| e.group == group) {
                entry.acked_at = acked_at;
            }
        }
    }

    /// Drives a request that blocks on another thread.
    fn drive<R: Send + 'static>(&mut self, request: impl FnOnce(Log) -> R + Send + 'static) -> R {
        let log = self.log();
        let asked = std::thread::spawn(move || request(log));
        while !asked.is_finished() {
            self.turn();
        }
        asked.join().unwrap()
    }

    /// The position of the n-th record of the present course.
    pub(crate) fn position(&self, n: usize) -> Position {
        self.timelines.last().expect("there is one").entries[n].position
    }

    pub(crate) fn trim(&mut self, n: usize) {
        let position = self.position(n);
        let asked = self.disk.operations();
        self.drive(move |log| log.trim(position)).unwrap();
        self.trims.push((asked, self.disk.operations(), position));
        self.rest();
    }

    /// Cuts off the n-th record and all behind it.
    pub(crate) fn truncate(&mut self, n: usize) {
        let position = self.position(n);
        let asked = self.disk.operations();
        let old = self.timelines.last_mut().expect("there is one");
        let new = Timeline {
            entries: old.entries[..n].to_vec(),
            from: asked,
            until: u64::MAX,
        };
        self.drive(move |log| log.truncate(position)).unwrap();
        let timeline = self.timelines.len();
        // What was cut off is not waited for; what stays is, in the new course.
        self.note_acks();
        self.pending.cut(n, timeline);
        let old = self.timelines.last_mut().expect("there is one");
        old.until = self.disk.operations();
        let mut new = new;
        for (entry, before) in new.entries.iter_mut().zip(&old.entries) {
            entry.acked_at = before.acked_at;
        }
        self.timelines.push(new);
    }

    /// Closes and lets everything go.
    pub(crate) fn close(&mut self) {
        self.drive(|log| log.close()).unwrap();
        self.log = None;
        self.driver = None;
    }

    /// Lets everything go without closing, as a process that ends does.
    pub(crate) fn abandon(&mut self) {
        self.settle();
        self.driver = None;
        self.log = None;
    }
}

/// A payload that tells course and number, and fills its length with bytes that depend on both.
pub(crate) fn payload(timeline: u64, number: u64, len: usize) -> Vec<u8> {
    let mut state = timeline << 32 | number | 1 << 63;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state as u8
        })
        .collect()
}
