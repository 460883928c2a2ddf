//! Throughput of a ring in which each consumer gets each item: side by side, and in a diamond.

use std::sync::atomic::{AtomicU64, Ordering};

use super::crew::{Plan, Turn, crew};
use super::share::{put_batches, put_each};
use super::{BATCH, Rate, Style};
use crate::item::{Check, Item, Order, Tally, complete};
use crate::queue::{Fan, Rx, Tx};
use crate::wait::{Broken, Gate};

/// How the consumers stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// All beside each other.
    Broadcast,
    /// Two beside each other, the third behind both.
    Diamond,
}

/// How often the last of a diamond looks whether those before it have been there.
const LOOK: u64 = 1024;

/// A count on a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Progress(AtomicU64);

/// The producer's handle.
enum Source<Broadcast, Diamond> {
    Broadcast(Broadcast),
    Diamond(Diamond),
}

/// A consumer and its place.
enum Place<First, Last> {
    First(First, usize),
    Last(Last),
}

type Crew<T, F> = (
    Source<<F as Fan<T>>::BroadcastTx, <F as Fan<T>>::DiamondTx>,
    Vec<Place<<F as Fan<T>>::First, <F as Fan<T>>::Last>>,
);

fn open<T: Item, F: Fan<T>>(capacity: usize, layout: Layout) -> Crew<T, F> {
    match layout {
        Layout::Broadcast => {
            let (tx, all) = F::broadcast(capacity);
            let place = |(number, rx)| Place::First(rx, number);
            let places = all.into_iter().enumerate().map(place).collect();
            (Source::Broadcast(tx), places)
        }
        Layout::Diamond => {
            let (tx, [a, b], last) = F::diamond(capacity);
            let places = vec![Place::First(a, 0), Place::First(b, 1), Place::Last(last)];
            (Source::Diamond(tx), places)
        }
    }
}

/// Items a second through `F`, each counted once. The plan has one producer and three consumers.
pub fn run<T: Item, F: Fan<T>>(plan: &Plan, layout: Layout, style: Style) -> Result<Rate, Broken> {
    let (tx, places) = open::<T, F>(plan.capacity, layout);
    let warm = plan.warm_items();
    let all = warm + plan.items;
    let progress: Vec<Progress> = places.iter().map(|_| Progress::default()).collect();
    let (seconds, tallies) = crew(
        plan,
        vec![tx],
        places,
        |turn, _, tx| match tx {
            Source::Broadcast(mut tx) => produce(turn, &mut tx, warm, all, style),
            Source::Diamond(mut tx) => produce(turn, &mut tx, warm, all, style),
        },
        |turn, place| match place {
            Place::First(mut rx, number) => {
                // Only in a diamond does anyone look.
                let mine = &progress[number];
                consume(turn, &mut rx, warm, all, style, |seen| {
                    if layout == Layout::Diamond {
                        mine.0.store(seen, Ordering::Relaxed);
                    }
                    true
                })
            }
            Place::Last(mut rx) => consume(turn, &mut rx, warm, all, style, |seen| {
                let passed = |p: &Progress| p.0.load(Ordering::Relaxed) >= seen;
                !seen.is_multiple_of(LOOK) || progress[..2].iter().all(passed)
            }),
        },
    )?;
    for tally in &tallies {
        complete(std::slice::from_ref(tally), 1, all).map_err(Broken)?;
    }
    Ok(Rate {
        per_second: plan.items as f64 / seconds,
        order: Order::Kept,
    })
}

fn produce<T: Item>(
    turn: &mut Turn<'_>,
    tx: &mut impl Tx<T>,
    warm: u64,
    all: u64,
    style: Style,
) -> Result<(), Broken> {
    let warmed = put_each(tx, 0, 0..warm, turn.gate);
    turn.start(warmed)?;
    match style {
        Style::One | Style::Drain => put_each(tx, 0, warm..all, turn.gate),
        Style::Batch => put_batches(tx, 0, warm..all, turn.gate),
    }
}

/// Takes `warm` items, then the rest until `all`. `pass` is called with the number of each.
fn consume<T: Item>(
    turn: &mut Turn<'_>,
    rx: &mut impl Rx<T>,
    warm: u64,
    all: u64,
    style: Style,
    pass: impl Fn(u64) -> bool,
) -> Result<Tally, Broken> {
    let mut check = Check::<true>::new();
    let (mut seen, mut in_turn) = (0, true);
    let mut each = |item: &T| {
        check.see(item.read());
        seen += 1;
        in_turn &= pass(seen);
        seen
    };
    let warmed = take_to(warm, turn.gate, || {
        let mut last = 0;
        rx.try_take(|item| last = each(item));
        last
    });
    turn.start(warmed)?;
    match style {
        Style::One => take_to(all, turn.gate, || {
            let mut last = 0;
            rx.try_take(|item| last = each(item));
            last
        }),
        Style::Drain | Style::Batch => take_to(all, turn.gate, || {
            let mut last = 0;
            rx.try_take_many(BATCH, |item| last = each(item));
            last
        }),
    }?;
    turn.stop();
    if in_turn {
        Ok(check.tally())
    } else {
        Err(Broken("an item came before its stages were done".into()))
    }
}

/// Calls `take`, which says the number of the last item it took, or 0, until that is `until`.
#[inline(always)]
fn take_to(until: u64, gate: &Gate, mut take: impl FnMut() -> u64) -> Result<(), Broken> {
    let mut seen = 0;
    while seen < until {
        let mut idle = gate.idle();
        seen = loop {
            let last = take();
            if last > 0 {
                break last;
            }
            idle.turn()?;
        };
    }
    Ok(())
}
