//! A diamond of stages over one ring: two that work on each order beside each other, and one that gets
//! it after both.
//!
//! Run with `cargo run --example ring_pipeline`.

use std::error::Error;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use ringbolt::ring::RingOptions;
use ringbolt::ring::broadcast::Receiver;

const ORDERS: u64 = 100_000;

/// An order, and what the stages before the last add to it. They share it by reference: what they
/// write is atomic, and each has a field of its own.
struct Order {
    number: u64,
    price: u64,
    tax: AtomicU64,
    checksum: AtomicU64,
}

fn tax(mut orders: Receiver<Order>) {
    orders.for_each(|order| order.tax.store(order.price / 5, Ordering::Relaxed));
}

fn checksum(mut orders: Receiver<Order>) {
    orders.for_each(|order| {
        let sum = (order.number ^ order.price).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        order.checksum.store(sum, Ordering::Relaxed);
    });
}

/// Returns how many orders it booked, and the sum of all prices with tax.
fn book(mut orders: Receiver<Order>) -> (u64, u64) {
    let (mut booked, mut total) = (0, 0);
    orders.for_each(|order| {
        assert_eq!(order.number, booked, "in the order in which they were sent");
        assert_ne!(order.checksum.load(Ordering::Relaxed), 0, "after both");
        booked += 1;
        total += order.price + order.tax.load(Ordering::Relaxed);
    });
    (booked, total)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut ring = RingOptions::new(1024).broadcast()?;
    let (taxed, checked) = (ring.receiver(), ring.receiver());
    let booked = ring.receiver_after(&[&taxed, &checked])?;
    let mut sender = ring.single()?;

    let stages = [
        thread::spawn(move || tax(taxed)),
        thread::spawn(move || checksum(checked)),
    ];
    let books = thread::spawn(move || book(booked));

    // One by one, built in place; and in batches, which become visible together.
    for number in 0..ORDERS / 2 {
        sender.send_with(|| order(number))?;
    }
    let mut next = ORDERS / 2;
    while next < ORDERS {
        let mut batch = sender.claim(256.min((ORDERS - next) as usize))?;
        next += batch.fill((next..).map(order)) as u64;
        batch.commit();
    }
    // The stages end when they have seen everything.
    drop(sender);
    for stage in stages {
        stage.join().expect("a stage does not panic");
    }
    let (booked, total) = books.join().expect("a stage does not panic");

    let expected: u64 = (0..ORDERS).map(price).map(|price| price + price / 5).sum();
    assert_eq!((booked, total), (ORDERS, expected));
    println!("booked {booked} orders, {total} in all");
    Ok(())
}

fn order(number: u64) -> Order {
    Order {
        number,
        price: price(number),
        tax: AtomicU64::new(0),
        checksum: AtomicU64::new(0),
    }
}

fn price(number: u64) -> u64 {
    10 + number % 90
}
