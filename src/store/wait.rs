//! Waiting on many streams at once, until they have enough together.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use crate::error::Result;
use crate::log::Position;
use crate::store::Inner;
use crate::store::read::{StreamReader, Watched};
use crate::sync::park::Parker;

type Reached = Pin<Box<dyn Future<Output = Result<Position>> + Send>>;

impl StreamReader {
    /// Waits until the readers have records of `bytes_min` bytes together, or until `deadline`, and returns
    /// how many bytes they have. Of each reader some hundred records are looked at; one that has more
    /// has enough for all. Which has what is told by [`StreamReader::try_next_batch`], which then does not
    /// wait.
    ///
    /// # Errors
    ///
    /// What made the log fail or close. What befell one of the streams is told by its reader: then there
    /// is something to take.
    pub fn wait_many(readers: &mut [Self], bytes_min: usize, deadline: Instant) -> Result<usize> {
        let parker = Parker::new();
        let waker = parker.waker();
        {
            let mut wait = pin!(Self::wait_many_async(readers, bytes_min));
            let mut context = Context::from_waker(&waker);
            loop {
                if let Poll::Ready(found) = wait.as_mut().poll(&mut context) {
                    return found;
                }
                if !parker.park(Some(deadline)) {
                    break;
                }
            }
        }
        let mut bytes = 0;
        for reader in readers {
            bytes += reader.available()?.bytes;
        }
        Ok(bytes)
    }

    /// The same without a deadline, awaited.
    ///
    /// # Errors
    ///
    /// Those of [`StreamReader::wait_many`].
    pub async fn wait_many_async(readers: &mut [Self], bytes_min: usize) -> Result<usize> {
        let stores: Vec<Arc<Inner>> = readers.iter().map(StreamReader::store).collect();
        let mut waits: Vec<_> = stores
            .iter()
            .map(|store| (Watched::new(store), None))
            .collect();
        std::future::poll_fn(|context| {
            let (mut bytes, mut is_enough) = (0, bytes_min == 0);
            for (reader, (watched, durable)) in readers.iter_mut().zip(&mut waits) {
                watched.again(reader.stream().id(), context.waker().clone());
                let found = match look(reader, durable, context) {
                    Ok(found) => found,
                    Err(error) => return Poll::Ready(Err(error)),
                };
                bytes += found.bytes;
                is_enough |= found.is_enough;
            }
            match is_enough || bytes >= bytes_min {
                true => Poll::Ready(Ok(bytes)),
                false => Poll::Pending,
            }
        })
        .await
    }
}

/// What a reader has that can be taken without waiting.
pub(crate) struct Available {
    pub(crate) bytes: usize,
    /// There is more than was looked at, or something to be told.
    pub(crate) is_enough: bool,
}

/// Looks at what a reader has; has the context woken when what comes next is on disk.
fn look(
    reader: &mut StreamReader,
    durable: &mut Option<Reached>,
    context: &mut Context<'_>,
) -> Result<Available> {
    loop {
        let found = reader.available()?;
        let Some(wanted) = reader.wanted() else {
            *durable = None;
            return Ok(found);
        };
        let watermark = reader.store().log.durable();
        let reached = Box::pin(async move { watermark.reached(wanted).await });
        match durable.insert(reached).as_mut().poll(context) {
            Poll::Pending => return Ok(found),
            // It is there by now.
            Poll::Ready(reached) => reached.map(drop)?,
        }
    }
}
