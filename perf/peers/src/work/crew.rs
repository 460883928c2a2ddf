//! The threads of one run: placed, started together, timed.

use std::sync::Barrier;
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use crate::machine;
use crate::wait::{Broken, Gate};

/// How one run goes.
#[derive(Debug, Clone)]
pub struct Plan {
    pub producers: usize,
    pub consumers: usize,
    /// Items of each producer, beyond those that warm the queue up.
    pub items: u64,
    /// Of the queue; in bytes for byte rings.
    pub capacity: usize,
    /// The processors to be had.
    pub cpus: Vec<usize>,
}

impl Plan {
    fn threads(&self) -> usize {
        self.producers + self.consumers
    }

    /// More threads than processors: they are not pinned, and yield.
    pub fn crowded(&self) -> bool {
        self.threads() > self.cpus.len()
    }

    /// Items of each producer that warm a queue of items up: once around.
    pub fn warm_items(&self) -> u64 {
        (self.capacity / self.producers) as u64
    }
}

/// One thread's turn.
#[derive(Debug)]
pub(super) struct Turn<'c> {
    pub(super) gate: &'c Gate,
    barrier: &'c Barrier,
    begin: Instant,
    end: Instant,
}

impl Turn<'_> {
    /// Waits until all threads are warm; the timed part begins.
    pub(super) fn start(&mut self, warmed: Result<(), Broken>) -> Result<(), Broken> {
        self.barrier.wait();
        self.begin = Instant::now();
        warmed
    }

    /// The timed part ends.
    pub(super) fn stop(&mut self) {
        self.end = Instant::now();
    }
}

/// Lets a thread work with each handle; each starts and stops its turn. Returns for how many seconds
/// the timed part went on, and what came of the consumers.
pub(super) fn crew<X: Send, R: Send, Out: Send>(
    plan: &Plan,
    producers: Vec<X>,
    consumers: Vec<R>,
    produce: impl Fn(&mut Turn<'_>, usize, X) -> Result<(), Broken> + Sync,
    consume: impl Fn(&mut Turn<'_>, R) -> Result<Out, Broken> + Sync,
) -> Result<(f64, Vec<Out>), Broken> {
    let threads = producers.len() + consumers.len();
    assert_eq!(threads, plan.threads(), "a handle for each thread");
    let gate = Gate::new(plan.crowded(), producers.len());
    let barrier = Barrier::new(threads);
    let cpus: &[usize] = if plan.crowded() { &[] } else { &plan.cpus };
    let turn = || {
        let now = Instant::now();
        let (gate, barrier) = (&gate, &barrier);
        Turn {
            gate,
            barrier,
            begin: now,
            end: now,
        }
    };
    let (turn, produce, consume) = (&turn, &produce, &consume);
    let (spans, outs) = std::thread::scope(|scope| {
        let mut place = 0..;
        let mut next_place = || place.next().unwrap_or(0);
        let producing: Vec<_> = producers
            .into_iter()
            .enumerate()
            .map(|(number, tx)| {
                let place = next_place();
                scope.spawn(move || {
                    machine::pin(cpus, place);
                    let mut turn = turn();
                    let done = produce(&mut turn, number, tx);
                    turn.gate.leave();
                    turn.stop();
                    done.map(|()| (turn.begin, turn.end))
                })
            })
            .collect();
        let consuming: Vec<_> = consumers
            .into_iter()
            .map(|rx| {
                let place = next_place();
                scope.spawn(move || {
                    machine::pin(cpus, place);
                    let mut turn = turn();
                    let out = consume(&mut turn, rx)?;
                    Ok(((turn.begin, turn.end), out))
                })
            })
            .collect();
        // All are joined before the first failure is told.
        let produced: Vec<_> = producing.into_iter().map(join).collect();
        let consumed: Vec<_> = consuming.into_iter().map(join).collect();
        let mut spans = produced.into_iter().collect::<Result<Vec<_>, _>>()?;
        let mut outs = Vec::new();
        for result in consumed {
            let (span, out) = result?;
            spans.push(span);
            outs.push(out);
        }
        Ok::<_, Broken>((spans, outs))
    })?;
    let begin = spans.iter().map(|span| span.0).min();
    let end = spans.iter().map(|span| span.1).max();
    let time = end.zip(begin).map(|(end, begin)| end.duration_since(begin));
    Ok((time.unwrap_or_default().as_secs_f64().max(1e-9), outs))
}

fn join<T>(thread: ScopedJoinHandle<'_, Result<T, Broken>>) -> Result<T, Broken> {
    let panicked = || Err(Broken("a thread panicked".into()));
    thread.join().unwrap_or_else(|_| panicked())
}
