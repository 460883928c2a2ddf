//! The asynchronous way, on an executor of a few lines: any other does as well.
//!
//! `cargo run --release --example async_append`

use std::error::Error;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

use ringbolt::{From, Log};

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("ringbolt-async-{}", std::process::id()));
    let log = Log::open(&dir)?;
    block_on(async {
        // A reader that awaits what is not there yet, on a thread (and executor) of its own.
        let mut reader = log.reader(From::End)?;
        let consumer = thread::spawn(move || {
            block_on(async {
                for n in 0..1000 {
                    let record = reader.next_async().await?;
                    assert_eq!(&*record, format!("record {n}").as_bytes());
                }
                ringbolt::Result::Ok(())
            })
        });

        // Appending awaits room, never the disk: the tickets can be awaited later.
        let mut tickets = Vec::new();
        for n in 0..1000 {
            tickets.push(log.append_async(format!("record {n}").as_bytes()).await?);
        }
        for ticket in tickets {
            ticket.await?;
        }
        consumer.join().expect("the consumer panicked")?;
        println!(
            "1000 records on disk, and read; the log is durable up to {}",
            log.durable().get()
        );
        log.close_async().await
    })?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => thread::park(),
        }
    }
}
