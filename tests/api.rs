//! What may be sent, shared and kept, held by the compiler. That a `Claim` can be neither sent nor
//! held across an await is in the documentation of `Claim`, as examples that must not compile.

use std::future::Future;
use std::time::SystemTime;

use ringbolt::disk::Real;
use ringbolt::{
    Acknowledged, Batch, Claim, Driver, Durable, Engine, EngineBuilder, Error, ErrorKind, From,
    Log, LogOptions, LogView, Position, ReadOptions, Reader, Record, SealedSegment, SharedRecord,
    Stats, Ticket, ViewReader, ViewRecord,
};

fn send<T: Send>() {}
fn sync<T: Sync>() {}
fn fixed<T: 'static>() {}
fn cloned<T: Clone>() {}

/// Handles: to be kept anywhere, used from any thread.
#[test]
fn handles_are_shared_freely() {
    fn handle<T: Clone + Send + Sync + 'static>() {}
    handle::<Log>();
    handle::<Engine>();
    handle::<EngineBuilder>();
    handle::<LogOptions>();
    handle::<ReadOptions>();
    handle::<Durable>();
    handle::<Ticket<'static>>();
    handle::<SharedRecord>();
    handle::<Error>();
    handle::<Position>();
    handle::<SealedSegment>();
    handle::<Stats>();
    handle::<Real>();
    handle::<LogView>();
}

#[test]
fn readers_and_what_they_lend_change_threads() {
    send::<Reader>();
    fixed::<Reader>();
    send::<ViewReader>();
    fixed::<ViewReader>();
    send::<Record<'_>>();
    send::<Batch<'_>>();
    send::<ViewRecord>();
    send::<Ticket<'_>>();
    sync::<Ticket<'_>>();
    send::<Acknowledged<'static>>();
    cloned::<From>();
}

#[test]
fn errors_are_errors() {
    fn error<T: std::error::Error + Into<std::io::Error> + Send + Sync + 'static>() {}
    error::<Error>();
    fn kind<T: Copy + Eq + std::hash::Hash + std::fmt::Display>() {}
    kind::<ErrorKind>();
}

/// Whether a type is `Send` and `Sync`, asked where a bound cannot say no: the inherent constants
/// win where they apply, the trait's are there for all others.
struct Ask<T>(std::marker::PhantomData<T>);
trait Otherwise {
    const SEND: bool = false;
    const SYNC: bool = false;
}
impl<T> Otherwise for Ask<T> {}
impl<T: Send> Ask<T> {
    const SEND: bool = true;
}
impl<T: Sync> Ask<T> {
    const SYNC: bool = true;
}

#[test]
fn claims_and_drivers_stay_on_their_thread() {
    const {
        assert!(Ask::<Log>::SEND && Ask::<Log>::SYNC);
        assert!(!Ask::<Claim<'static>>::SEND && !Ask::<Claim<'static>>::SYNC);
        assert!(!Ask::<Driver>::SEND);
    }
}

/// All that can be awaited can be awaited by a task that moves between threads.
#[test]
fn futures_are_send() {
    fn future<T>(_: impl FnOnce(T)) {}
    fn is_send<F: Future + Send>(_: F) {}
    future(|log: &Log| is_send(log.append_async(b"")));
    future(|log: &Log| is_send(log.append_batch_async(&[b""])));
    future(|log: &Log| is_send(log.append_with_async(8, |buffer| buffer.fill(1))));
    future(|log: &Log| is_send(log.flush_async()));
    future(|log: &Log| is_send(log.close_async()));
    future(|log: &Log| is_send(log.trim_async(Position::MIN)));
    future(|log: &Log| is_send(log.truncate_async(Position::MIN)));
    future(|ticket: Ticket<'_>| is_send(ticket.into_future()));
    future(|durable: &mut Durable| is_send(durable.changed()));
    future(|durable: &Durable| is_send(durable.reached(Position::MIN)));
    future(|reader: &mut Reader| is_send(reader.next_async()));
    future(|reader: &mut Reader| is_send(reader.next_batch_async(1, 1)));
    // A whole task: the log moves in, and what it reads is held across an await.
    future(|log: Log| {
        is_send(async move {
            let ticket = log.append_async(b"asked").await?;
            ticket.await?;
            let mut reader = log.reader(From::Time(SystemTime::now()))?;
            let record = reader.next_async().await?;
            log.append_async(&record).await?.await
        })
    });
}

/// Trait objects and generics of embedders: what they are given can be put behind these.
#[test]
fn payloads_are_anything_that_is_bytes() {
    fn append(log: &Log) -> Result<(), Error> {
        let _ = log.append_batch(&[vec![1], vec![2, 3]])?;
        let _ = log.append_batch(&["text", "more"])?;
        let _ = log.append_batch(&[b"array", b"again"])?;
        Ok(())
    }
    let _ = append;
}
