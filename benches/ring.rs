//! The rings with nobody on the other side: what a call costs when nothing is contended.
//!
//! Figures between threads, which swing with the machine, are those of `ringbolt bench ring` and
//! `perf/peers`: ratios of alternating rounds.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ringbolt::ring::{bytes, mpmc, mpsc, spsc};

/// Items in a ring that is filled and emptied.
const ITEMS: u64 = 1024;

macro_rules! queue {
    ($group:ident, $ring:ident) => {
        let (mut sender, mut receiver) = $ring::ring::<u64>(ITEMS as usize).unwrap();
        $group.bench_function(concat!(stringify!($ring), " one by one"), |b| {
            b.iter(|| {
                for n in 0..ITEMS {
                    sender.try_send(black_box(n)).unwrap();
                }
                for _ in 0..ITEMS {
                    black_box(receiver.try_recv().unwrap());
                }
            });
        });
        $group.bench_function(concat!(stringify!($ring), " in batches"), |b| {
            b.iter(|| {
                for first in (0..ITEMS).step_by(256) {
                    let mut claim = sender.try_claim(256).unwrap();
                    claim.fill(black_box(first)..);
                    claim.commit();
                }
                for _ in 0..ITEMS / 256 {
                    receiver.try_drain(256).unwrap().for_each(|n| {
                        black_box(n);
                    });
                }
            });
        });
    };
}

#[allow(unused_mut)] // some rings' handles need it
fn queues(c: &mut Criterion) {
    let mut group = c.benchmark_group("ring");
    group.throughput(Throughput::Elements(ITEMS));
    queue!(group, spsc);
    queue!(group, mpsc);
    queue!(group, mpmc);
    group.finish();
}

fn byte_rings(c: &mut Criterion) {
    for payload_bytes in [8, 64, 1024] {
        let mut group = c.benchmark_group(format!("ring of bytes, {payload_bytes} B"));
        group.throughput(Throughput::Elements(ITEMS));
        let payload = vec![0x5a; payload_bytes];
        let (mut sender, mut receiver) = bytes::spsc::ring(1 << 21).unwrap();
        group.bench_function("spsc", |b| {
            b.iter(|| {
                for _ in 0..ITEMS {
                    sender.try_send(black_box(&payload)).unwrap();
                }
                for _ in 0..ITEMS {
                    black_box(receiver.try_recv().unwrap().first());
                }
            });
        });
        let (sender, mut receiver) = bytes::mpsc::ring(1 << 21).unwrap();
        group.bench_function("mpsc", |b| {
            b.iter(|| {
                for _ in 0..ITEMS {
                    sender.try_send(black_box(&payload)).unwrap();
                }
                for _ in 0..ITEMS {
                    black_box(receiver.try_recv().unwrap().first());
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, queues, byte_rings);
criterion_main!(benches);
