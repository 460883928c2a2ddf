//! One-way latency at a set rate.
//!
//! The producer is due to send at fixed points of time and writes that time into the item, not the
//! time at which it came to send. So whatever delays a send, be it a full queue, a slow call or a
//! preemption, is charged to each item that it delayed (coordinated omission).

use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use super::crew::{Plan, Turn, crew};
use crate::clock::Ticker;
use crate::hiccup::nanoseconds;
use crate::item::Item;
use crate::queue::{BlockingRx, BlockingTx, Queue, Rx, Tx};
use crate::wait::Broken;

/// How long before the first item is due.
const LEAD_NS: u64 = 200_000;

/// What came of a run.
#[derive(Debug)]
pub struct Latencies {
    pub histogram: Histogram<u64>,
    /// The consumer's processor time, as a part of the time that passed: how much of its waiting was
    /// not sleeping.
    pub busy: f64,
}

/// Latencies of `plan.items` items at `per_second`, the consumer spinning on its `try_` call.
pub fn spinning<Q: Queue<u64>>(
    plan: &Plan,
    ticker: Ticker,
    per_second: u64,
) -> Result<Latencies, Broken> {
    run::<Q>(
        plan,
        ticker,
        per_second,
        |tx, due_ns, turn| {
            let mut idle = turn.gate.idle();
            while !tx.try_put(|| due_ns) {
                idle.turn()?;
            }
            Ok(())
        },
        |rx, turn| {
            let mut idle = turn.gate.idle();
            let mut due_ns = 0;
            while !rx.try_take(|item| due_ns = item.read().0) {
                idle.turn()?;
            }
            Ok(due_ns)
        },
    )
}

/// The same by the queue's own blocking calls: the consumer parks as its library does.
pub fn parking<Q: Queue<u64>>(
    plan: &Plan,
    ticker: Ticker,
    per_second: u64,
) -> Result<Latencies, Broken>
where
    Q::Tx: BlockingTx<u64>,
    Q::Rx: BlockingRx<u64>,
{
    let closed = || Broken("the queue closed".into());
    run::<Q>(
        plan,
        ticker,
        per_second,
        |tx, due_ns, _turn| tx.put(due_ns).then_some(()).ok_or_else(closed),
        |rx, _turn| {
            let mut due_ns = 0;
            let taken = rx.take(|item| due_ns = item.read().0);
            taken.then_some(due_ns).ok_or_else(closed)
        },
    )
}

fn run<Q: Queue<u64>>(
    plan: &Plan,
    ticker: Ticker,
    per_second: u64,
    put: impl Fn(&mut Q::Tx, u64, &Turn<'_>) -> Result<(), Broken> + Sync,
    take: impl Fn(&mut Q::Rx, &Turn<'_>) -> Result<u64, Broken> + Sync,
) -> Result<Latencies, Broken> {
    let period_ns = 1e9 / per_second as f64;
    let (producers, consumers) = Q::open(plan.capacity, plan.producers, plan.consumers);
    let (seconds, consumed) = crew(
        plan,
        producers,
        consumers,
        |turn, _number, mut tx: Q::Tx| {
            turn.start(Ok(()))?;
            let origin_ns = ticker.now_ns() + LEAD_NS;
            for index in 0..plan.items {
                let due_ns = origin_ns + (index as f64 * period_ns) as u64;
                while ticker.now_ns() < due_ns {
                    std::hint::spin_loop();
                }
                put(&mut tx, due_ns, turn)?;
            }
            Ok(())
        },
        |turn, mut rx: Q::Rx| {
            let mut histogram = nanoseconds();
            let mut last_ns = 0;
            turn.start(Ok(()))?;
            let before = processor_time();
            for _ in 0..plan.items {
                let due_ns = take(&mut rx, turn)?;
                histogram.saturating_record(ticker.now_ns().saturating_sub(due_ns));
                if due_ns <= last_ns {
                    return Err(Broken("items out of order, lost or doubled".into()));
                }
                last_ns = due_ns;
            }
            turn.stop();
            Ok((histogram, processor_time() - before))
        },
    )?;
    let (histogram, time) = consumed
        .into_iter()
        .next()
        .ok_or_else(|| Broken("no consumer".into()))?;
    Ok(Latencies {
        histogram,
        busy: time.as_secs_f64() / seconds,
    })
}

/// Of the calling thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
