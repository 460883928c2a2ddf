//! The plain way: threads that append, wait until their record is on disk, and read it back.
//!
//! `cargo run --release --example blocking [DIR]`

use std::error::Error;
use std::thread;

use ringbolt::{From, LogOptions};

fn main() -> Result<(), Box<dyn Error>> {
    let (dir, temporary) = match std::env::args_os().nth(1) {
        Some(dir) => (dir.into(), false),
        None => (
            std::env::temp_dir().join(format!("ringbolt-{}", std::process::id())),
            true,
        ),
    };
    let log = LogOptions::new().segment_bytes(4 << 20).open(&dir)?;

    // Handles are cheap to clone and go to any thread; no lock is shared between them.
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let log = log.clone();
            thread::spawn(move || -> ringbolt::Result<()> {
                for n in 0..100 {
                    let ticket = log.append(format!("writer {writer}, record {n}").as_bytes())?;
                    // The position is known at once; this returns when the record is on disk.
                    ticket.wait()?;
                }
                Ok(())
            })
        })
        .collect();
    for writer in writers {
        writer.join().expect("a writer panicked")?;
    }

    // Several records under one checksum: after a crash all of them are there, or none.
    log.append_batch(&["debit 5 from a", "credit 5 to b"])?
        .wait()?;

    let mut reader = log.reader(From::Start)?;
    let mut count = 0;
    while let Some(record) = reader.try_next()? {
        if count < 3 {
            println!(
                "{}: {}",
                record.position(),
                String::from_utf8_lossy(&record)
            );
        }
        count += 1;
    }
    println!(
        "… {count} records in all; on disk up to {}",
        log.durable().get()
    );
    assert_eq!(count, 402);

    log.close()?;
    if temporary {
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}
