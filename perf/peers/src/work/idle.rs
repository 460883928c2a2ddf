//! What a consumer costs that waits for an item and gets none.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::queue::{BlockingRx, BlockingTx, Queue};
use crate::wait::Broken;

/// Between two looks whether the consumer has come to rest.
const SETTLE: Duration = Duration::from_millis(20);
/// A consumer that is still at work by then does not rest.
const SETTLE_MAX: Duration = Duration::from_secs(1);

/// What a waiting consumer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Idle {
    pub processor_ns: u64,
    pub wakeups: u64,
}

/// A consumer blocks in `take` for `time`; its processor time and its wake-ups.
pub fn run<Q: Queue<u64>>(time: Duration) -> Result<Idle, Broken>
where
    Q::Tx: BlockingTx<u64>,
    Q::Rx: BlockingRx<u64>,
{
    let (mut producers, mut consumers) = Q::open(1024, 1, 1);
    let one = || Broken("one producer and one consumer were asked for".into());
    let mut tx = producers.pop().ok_or_else(one)?;
    let mut rx = consumers.pop().ok_or_else(one)?;
    std::thread::scope(|scope| {
        let (tell, told) = mpsc::channel();
        let consumer = scope.spawn(move || {
            let _ = tell.send(rustix::thread::gettid().as_raw_nonzero().to_string());
            let mut got = 0;
            rx.take(|item| got = *item);
            got
        });
        let measured = told
            .recv()
            .map_err(|_| Broken("the consumer ended".into()))
            .and_then(|thread| {
                settle(&thread)?;
                let before = activity(&thread)?;
                // The measured time itself, in which nothing happens.
                std::thread::sleep(time);
                let after = activity(&thread)?;
                Ok(Idle {
                    processor_ns: after.processor_ns - before.processor_ns,
                    wakeups: after.wakeups - before.wakeups,
                })
            });
        tx.put(7);
        match consumer.join() {
            Ok(7) => measured,
            _ => Err(Broken("the item did not arrive".into())),
        }
    })
}

/// Waits until the thread does nothing between two looks.
fn settle(thread: &str) -> Result<(), Broken> {
    let begin = Instant::now();
    let mut before = activity(thread)?;
    while begin.elapsed() < SETTLE_MAX {
        std::thread::sleep(SETTLE);
        let now = activity(thread)?;
        if now == before {
            break;
        }
        before = now;
    }
    Ok(())
}

/// What a thread of this process did so far.
fn activity(thread: &str) -> Result<Idle, Broken> {
    let read = |name: &str| {
        let path = format!("/proc/self/task/{thread}/{name}");
        std::fs::read_to_string(&path).map_err(|error| Broken(format!("reading {path}: {error}")))
    };
    let number = |word: Option<&str>| word.and_then(|n| n.trim().parse().ok()).unwrap_or(0);
    Ok(Idle {
        processor_ns: number(read("schedstat")?.split_whitespace().next()),
        wakeups: number(
            read("status")?
                .lines()
                .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:")),
        ),
    })
}
