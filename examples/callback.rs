//! The callback way: nobody waits; the engine's thread tells when a record is on disk.
//!
//! `cargo run --release --example callback`

use std::error::Error;
use std::sync::mpsc;

use ringbolt::Log;

fn main() -> Result<(), Box<dyn Error>> {
    let dir = std::env::temp_dir().join(format!("ringbolt-callback-{}", std::process::id()));
    let log = Log::open(&dir)?;
    let (sender, acknowledged) = mpsc::channel();
    for n in 0..1000_u32 {
        let sender = sender.clone();
        // Runs on the engine's thread: hand the news on, do not work here.
        log.append(&n.to_le_bytes())?.on_done(move |outcome| {
            let _ = sender.send((n, outcome));
        });
    }
    drop(sender);
    let mut last = None;
    for (n, outcome) in acknowledged {
        let position = outcome?;
        last = last.max(Some((n, position)));
    }
    println!(
        "all are on disk; the last one, {:?}",
        last.expect("a thousand of them")
    );
    log.close()?;
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
