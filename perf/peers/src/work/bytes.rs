//! Throughput of byte rings.

use std::ops::Range;

use super::crew::{Plan, Turn, crew};
use super::share::take_until;
use super::{BATCH, Rate, Style};
use crate::item::{self, Check, Order, complete, tag};
use crate::queue::{Bytes, BytesRx, BytesTx};
use crate::wait::{Broken, Gate};

/// Records a second of `len` bytes each, which is a multiple of eight. Records are claimed one by one;
/// with [`Style::One`] taken so, else up to a batch at a time.
pub fn run<B: Bytes>(plan: &Plan, len: usize, style: Style) -> Result<Rate, Broken> {
    if plan.producers == 1 {
        run_checked::<B, true>(plan, len, style)
    } else {
        run_checked::<B, false>(plan, len, style)
    }
}

fn run_checked<B: Bytes, const EXACT: bool>(
    plan: &Plan,
    len: usize,
    style: Style,
) -> Result<Rate, Broken> {
    let (producers, rx) = B::open(plan.capacity, plan.producers);
    // Once around, whatever each ring adds to a record.
    let warm = (plan.capacity / (len * plan.producers)) as u64;
    let all = warm + plan.items;
    let max = match style {
        Style::One => 1,
        Style::Drain | Style::Batch => BATCH,
    };
    let (seconds, tallies) = crew(
        plan,
        producers,
        vec![rx],
        |turn: &mut Turn<'_>, number, mut tx: B::Tx| {
            let warmed = put(&mut tx, len, number, 0..warm, turn.gate);
            turn.start(warmed)?;
            put(&mut tx, len, number, warm..all, turn.gate)
        },
        |turn: &mut Turn<'_>, mut rx: B::Rx| {
            let mut check = Check::<EXACT>::new();
            let mut seen = 0;
            let warmed = take_warm(warm * plan.producers as u64, turn.gate, || {
                rx.try_take(1, |record| {
                    check.see(item::read(record));
                    seen += u64::from(record.len() == len);
                })
            });
            turn.start(warmed)?;
            take_until(turn.gate, || {
                rx.try_take(max, |record| {
                    check.see(item::read(record));
                    seen += u64::from(record.len() == len);
                })
            })?;
            turn.stop();
            Ok((check.tally(), seen))
        },
    )?;
    let mut order = Order::Kept;
    for (tally, right_length) in tallies {
        if right_length != tally.count {
            return Err(Broken("a record has another length than it had".into()));
        }
        order = complete(&[tally], plan.producers, all).map_err(Broken)?;
    }
    Ok(Rate {
        per_second: (plan.items * plan.producers as u64) as f64 / seconds,
        order,
    })
}

#[inline(always)]
fn put(
    tx: &mut impl BytesTx,
    len: usize,
    producer: usize,
    indices: Range<u64>,
    gate: &Gate,
) -> Result<(), Broken> {
    for index in indices {
        let mut idle = gate.idle();
        while !tx.try_put(len, |record| item::fill(record, tag(producer, index))) {
            idle.turn()?;
        }
    }
    Ok(())
}

fn take_warm(warm: u64, gate: &Gate, mut take: impl FnMut() -> usize) -> Result<(), Broken> {
    let mut taken = 0;
    let mut idle = gate.idle();
    while taken < warm {
        match take() {
            0 => idle.turn()?,
            some => {
                taken += some as u64;
                idle = gate.idle();
            }
        }
    }
    Ok(())
}
