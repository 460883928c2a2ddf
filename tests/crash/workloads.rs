//! What the log does while it crashes.

use crate::run::Actor;

pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) seed: u64,
    /// Direct writes, or through the page cache with a sync.
    pub(crate) direct: bool,
    /// Whether zeroes are written ahead.
    pub(crate) filled: bool,
    pub(crate) act: fn(&mut Actor),
}

macro_rules! workloads {
    ($($name:literal, $direct:literal, $filled:literal, $act:expr;)*) => {
        /// All of them.
        pub(crate) const WORKLOADS: &[Workload] = &[
            $(Workload {
                name: $name,
                seed: line!() as u64,
                direct: $direct,
                filled: $filled,
                act: $act,
            },)*
        ];
    };
}

workloads! {
    "append", true, false, append;
    "append buffered", false, false, append;
    "pipelined", true, false, pipelined;
    "rollover", true, false, rollover;
    "rollover buffered", false, false, rollover;
    "batch", true, false, batch;
    "trim", true, false, trim;
    "truncate", true, false, truncate;
    "truncate in flight", true, false, truncate_in_flight;
    "reopen", true, false, reopen;
    "reopen unclean", true, false, reopen_unclean;
    "retention", true, false, retention;
    "filled ahead", true, true, filled_ahead;
}

/// One by one, each awaited.
fn append(actor: &mut Actor) {
    for len in [0, 1, 7, 100, 4096, 5000, 512, 13, 4056, 300] {
        actor.append(len);
        actor.settle();
    }
    actor.rest();
    for len in [20, 9000] {
        actor.append(len);
        actor.settle();
    }
}

/// Across a segment's end and an unclean opening, slowly enough that zeroes are written ahead.
fn filled_ahead(actor: &mut Actor) {
    for n in 0..24_usize {
        actor.append(46_000 + n);
        actor.settle();
    }
    actor.abandon();
    actor.open();
    for n in 0..8_usize {
        actor.append(30_000 + n);
        actor.settle();
    }
    actor.rest();
}

/// Many at a time, turns in between.
fn pipelined(actor: &mut Actor) {
    for n in 0..60_usize {
        actor.append(n * 37 % 700);
        if n % 7 == 0 {
            actor.turn();
        }
    }
    actor.settle();
    for n in 0..8 {
        actor.append(100_000 + n);
        actor.turn();
    }
    actor.settle();
    actor.rest();
}

/// Across several segments.
fn rollover(actor: &mut Actor) {
    for n in 0..14_usize {
        actor.append(230_000 + n * 1000);
        if n % 3 == 0 {
            actor.settle();
        }
    }
    actor.append(10);
    actor.settle();
    actor.rest();
}

/// Batches between records.
fn batch(actor: &mut Actor) {
    actor.append_batch(&[5, 0, 700]);
    actor.settle();
    actor.append(10);
    actor.append_batch(&[4000, 4000, 4000]);
    actor.append_batch(&[1, 2, 3, 4, 5, 6, 7, 8]);
    actor.append(1);
    actor.settle();
    actor.append_batch(&[300_000, 300_000]);
    actor.append_batch(&[300_000, 300_000]);
    actor.settle();
    actor.rest();
}

/// Within a segment, at its end, and over several.
fn trim(actor: &mut Actor) {
    for _ in 0..12 {
        actor.append(300_000);
    }
    actor.settle();
    actor.trim(1);
    actor.trim(5);
    actor.append(100);
    actor.settle();
    actor.trim(12);
    for _ in 0..6 {
        actor.append(300_000);
    }
    actor.settle();
    actor.rest();
}

/// Cuts in the last segment and in an earlier one, appending on behind them.
fn truncate(actor: &mut Actor) {
    for n in 0..6 {
        actor.append(1000 + n);
    }
    actor.settle();
    actor.truncate(4);
    actor.append(2000);
    actor.settle();
    for _ in 0..8 {
        actor.append(300_000);
    }
    actor.settle();
    actor.rest();
    actor.truncate(3);
    for _ in 0..3 {
        actor.append(700);
        actor.settle();
    }
    actor.truncate(0);
    actor.append(5);
    actor.settle();
    actor.rest();
}

/// Cuts what was never acknowledged.
fn truncate_in_flight(actor: &mut Actor) {
    for _ in 0..4 {
        actor.append(3000);
    }
    actor.turn();
    for _ in 0..4 {
        actor.append(5000);
    }
    actor.truncate(2);
    actor.append(800);
    actor.append(900);
    actor.truncate(3);
    actor.append(70);
    actor.settle();
    actor.rest();
}

/// Clean closes, and appending on in place.
fn reopen(actor: &mut Actor) {
    for round in 0..4 {
        for n in 0..3 {
            actor.append(500 * (n + round));
        }
        actor.settle();
        actor.close();
        actor.open();
    }
    actor.append(1);
    actor.settle();
    actor.close();
}

/// Processes that end without closing.
fn reopen_unclean(actor: &mut Actor) {
    for round in 0..4 {
        for n in 0..3 {
            actor.append(700 * (n + round));
        }
        actor.abandon();
        actor.open();
    }
    actor.append(1);
    actor.settle();
    actor.rest();
}

/// Segments that are dropped and recycled.
fn retention(actor: &mut Actor) {
    for n in 0..30 {
        actor.append(260_000 + n);
        if n % 2 == 0 {
            actor.settle();
            actor.rest();
        }
        if n % 8 == 7 {
            actor.trim(n - 4);
        }
    }
    actor.settle();
    actor.rest();
}
