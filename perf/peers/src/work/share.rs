//! Throughput of a queue in which each item goes to one consumer.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::crew::{Plan, Turn, crew};
use super::{BATCH, Rate, Style};
use crate::item::{Check, Item, Tally, complete, tag};
use crate::queue::{BlockingRx, BlockingTx, Queue, Rx, Tx};
use crate::wait::{Broken, Gate};

/// Items a second through `Q`, by its `try_` calls and the waiting loop that all share.
pub fn trying<T: Item, Q: Queue<T>>(plan: &Plan, style: Style) -> Result<Rate, Broken> {
    match (plan.producers, plan.consumers) {
        (1, 1) => trying_checked::<T, Q, true>(plan, style),
        _ => trying_checked::<T, Q, false>(plan, style),
    }
}

fn trying_checked<T: Item, Q: Queue<T>, const EXACT: bool>(
    plan: &Plan,
    style: Style,
) -> Result<Rate, Broken> {
    run::<T, Q, EXACT>(
        plan,
        |tx, producer, indices, gate| match style {
            Style::One | Style::Drain => put_each(tx, producer, indices, gate),
            Style::Batch => put_batches(tx, producer, indices, gate),
        },
        |rx, check, gate| match style {
            Style::One => take_until(gate, || {
                usize::from(rx.try_take(|item| check.see(item.read())))
            }),
            Style::Drain | Style::Batch => take_until(gate, || {
                rx.try_take_many(BATCH, |item| check.see(item.read()))
            }),
        },
    )
}

/// Items a second through `Q`, by its own blocking calls.
pub fn blocking<T: Item, Q: Queue<T>>(plan: &Plan) -> Result<Rate, Broken>
where
    Q::Tx: BlockingTx<T>,
    Q::Rx: BlockingRx<T>,
{
    match (plan.producers, plan.consumers) {
        (1, 1) => blocking_checked::<T, Q, true>(plan),
        _ => blocking_checked::<T, Q, false>(plan),
    }
}

fn blocking_checked<T: Item, Q: Queue<T>, const EXACT: bool>(plan: &Plan) -> Result<Rate, Broken>
where
    Q::Tx: BlockingTx<T>,
    Q::Rx: BlockingRx<T>,
{
    run::<T, Q, EXACT>(
        plan,
        |tx, producer, mut indices, _gate| {
            let all = indices.all(|index| tx.put(T::of(tag(producer, index))));
            let closed = || Broken("the queue closed under its producer".into());
            all.then_some(()).ok_or_else(closed)
        },
        |rx, check, _gate| {
            while rx.take(|item| check.see(item.read())) {}
            Ok(())
        },
    )
}

fn run<T: Item, Q: Queue<T>, const EXACT: bool>(
    plan: &Plan,
    produce: impl Fn(&mut Q::Tx, usize, Range<u64>, &Gate) -> Result<(), Broken> + Sync,
    consume: impl Fn(&mut Q::Rx, &mut Check<EXACT>, &Gate) -> Result<(), Broken> + Sync,
) -> Result<Rate, Broken> {
    let (producers, consumers) = Q::open(plan.capacity, plan.producers, plan.consumers);
    let warm = plan.warm_items();
    let warming = AtomicU64::new(warm * plan.producers as u64);
    let (seconds, tallies) = crew(
        plan,
        producers,
        consumers,
        |turn: &mut Turn<'_>, number, mut tx: Q::Tx| {
            let warmed = put_each(&mut tx, number, 0..warm, turn.gate);
            turn.start(warmed)?;
            produce(&mut tx, number, warm..warm + plan.items, turn.gate)
        },
        |turn: &mut Turn<'_>, mut rx: Q::Rx| {
            let mut check = Check::<EXACT>::new();
            let warmed = take_warm(&mut rx, &mut check, &warming, turn.gate);
            turn.start(warmed)?;
            consume(&mut rx, &mut check, turn.gate)?;
            turn.stop();
            Ok::<Tally, _>(check.tally())
        },
    )?;
    let order = complete(&tallies, plan.producers, warm + plan.items).map_err(Broken)?;
    Ok(Rate {
        per_second: (plan.items * plan.producers as u64) as f64 / seconds,
        order,
    })
}

/// Takes the warming items, together with the other consumers.
fn take_warm<T: Item, const EXACT: bool>(
    rx: &mut impl Rx<T>,
    check: &mut Check<EXACT>,
    warming: &AtomicU64,
    gate: &Gate,
) -> Result<(), Broken> {
    let mut idle = gate.idle();
    while warming.load(Ordering::Relaxed) > 0 {
        if rx.try_take(|item| check.see(item.read())) {
            warming.fetch_sub(1, Ordering::Relaxed);
            idle = gate.idle();
        } else {
            idle.turn()?;
        }
    }
    Ok(())
}

/// Puts items one by one.
#[inline(always)]
pub(super) fn put_each<T: Item>(
    tx: &mut impl Tx<T>,
    producer: usize,
    indices: Range<u64>,
    gate: &Gate,
) -> Result<(), Broken> {
    for index in indices {
        let mut idle = gate.idle();
        while !tx.try_put(|| T::of(tag(producer, index))) {
            idle.turn()?;
        }
    }
    Ok(())
}

/// Puts items in batches.
#[inline(always)]
pub(super) fn put_batches<T: Item>(
    tx: &mut impl Tx<T>,
    producer: usize,
    indices: Range<u64>,
    gate: &Gate,
) -> Result<(), Broken> {
    let mut next = indices.start;
    while next < indices.end {
        let count = BATCH.min((indices.end - next) as usize);
        let mut idle = gate.idle();
        next += loop {
            let put = tx.try_put_many(count, |at| T::of(tag(producer, next + at as u64)));
            if put > 0 {
                break put as u64;
            }
            idle.turn()?;
        };
    }
    Ok(())
}

/// Takes until the producers have left and nothing is there any more.
#[inline(always)]
pub(super) fn take_until(gate: &Gate, mut take: impl FnMut() -> usize) -> Result<(), Broken> {
    loop {
        let mut idle = gate.idle();
        while take() == 0 {
            if gate.finished() {
                // What was put before they left is seen by this take.
                if take() == 0 {
                    return Ok(());
                }
                break;
            }
            idle.turn()?;
        }
    }
}
