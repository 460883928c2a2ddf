//! Consume, transform, produce: exactly once, though the worker is killed and starts anew.
//!
//! Orders come in, bills go out. What a worker makes of an order, how far it has come and what it
//! knows (the turnover) are one batch: on disk as a whole, or not at all. So a worker that starts
//! anew goes on where the last batch ended, and nobody has to find out what was done twice.
//!
//! `cargo run --release --example store_consume_transform_produce`

use std::error::Error;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use ringbolt::LogOptions;
use ringbolt::store::{Batch, ReadFrom, Store, StoreOptions, StreamOptions};

const ORDERS: u64 = 2_000;
const KILLS: usize = 5;
/// How far the worker has come is noted under this name.
const GROUP: &str = "billing";

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(dir) = std::env::args().nth(1) {
        return work(Path::new(&dir));
    }
    let dir = std::env::temp_dir().join(format!("ringbolt-exactly-once-{}", std::process::id()));
    prepare(&dir)?;

    // Workers come and go; each is killed after another number of batches.
    for round in 0..KILLS {
        let mut worker = start(&dir)?;
        let mut lines = BufReader::new(worker.stdout.take().expect("it is piped")).lines();
        let done = lines.by_ref().take(3 + 7 * round).last().transpose()?;
        worker.kill()?;
        let ended = worker.wait()?;
        assert!(ended.signal() == Some(9) || ended.success(), "{ended}");
        println!("killed behind: {}", done.unwrap_or_default());
    }
    let ended = start(&dir)?.wait()?;
    assert!(ended.success());

    check(&dir)?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// After a kill all of the last segment is looked through: small ones open sooner.
fn open(dir: &Path) -> Result<Store, Box<dyn Error>> {
    let log = LogOptions::new().segment_bytes(1 << 20);
    Ok(StoreOptions::new().log(log).open(dir)?)
}

/// Orders of 1, 2, 3 .. anvils, and a worker that has done none of them.
fn prepare(dir: &Path) -> Result<(), Box<dyn Error>> {
    let store = open(dir)?;
    let orders = store.create("orders", &StreamOptions::new())?;
    store.create("bills", &StreamOptions::new())?;
    for n in 1..=ORDERS {
        // Dropped tickets: whether all are there is asked once, by closing.
        drop(orders.append(format!("{n}").as_bytes())?);
    }
    orders.seek(GROUP, 0, b"")?.wait()?;
    Ok(store.close()?)
}

fn start(dir: &Path) -> std::io::Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(dir).stdout(Stdio::piped()).spawn()
}

/// The worker: until there are no more orders.
fn work(dir: &Path) -> Result<(), Box<dyn Error>> {
    let store = open(dir)?;
    let (orders, bills) = (store.stream("orders")?, store.stream("bills")?);
    let mut turnover = turnover(&store)?;
    let mut reader = orders.reader(ReadFrom::Cursor(GROUP))?;
    loop {
        let taken = reader.try_next_batch(20, 1 << 20)?;
        let Some(last) = taken.last() else { break };
        let mut batch = Batch::new();
        for order in &taken {
            let anvils: u64 = std::str::from_utf8(order.payload())?.parse()?;
            turnover += anvils * 40;
            let bill = format!("{anvils} anvils: {}", anvils * 40);
            batch.append(&bills, bill.as_bytes())?;
        }
        batch.seek(&orders, GROUP, last.offset() + 1, b"")?;
        batch.put(b"turnover", turnover.to_string().as_bytes())?;
        store.commit(&batch)?.wait()?;
        println!("{} orders are billed", last.offset() + 1);
    }
    Ok(store.close()?)
}

fn turnover(store: &Store) -> Result<u64, Box<dyn Error>> {
    let found = store.get(b"turnover");
    Ok(match found {
        Some(found) => std::str::from_utf8(&found.value)?.parse()?,
        None => 0,
    })
}

/// Each order was billed once, in order, and the turnover is exact.
fn check(dir: &Path) -> Result<(), Box<dyn Error>> {
    let store = open(dir)?;
    let mut reader = store.stream("bills")?.reader(ReadFrom::Earliest)?;
    for n in 1..=ORDERS {
        let bill = reader.try_next()?.ok_or("a bill is missing")?;
        assert_eq!(bill.payload(), format!("{n} anvils: {}", n * 40).as_bytes());
    }
    assert!(reader.try_next()?.is_none());
    let exact = ORDERS * (ORDERS + 1) / 2 * 40;
    assert_eq!(turnover(&store)?, exact);
    println!("{ORDERS} orders, {ORDERS} bills, a turnover of {exact}: each counted once");
    Ok(store.close()?)
}
