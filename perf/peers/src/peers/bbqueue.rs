//! bbqueue: frames between one producer and one consumer, granted and read in place, one at a time.

use bbqueue::ArcBBQueue;
use bbqueue::prod_cons::framed::{FramedConsumer, FramedProducer};
use bbqueue::traits::coordination::cas::AtomicCoord;
use bbqueue::traits::notifier::polling::Polling;
use bbqueue::traits::storage::BoxedSlice;

use super::single;
use crate::queue::{Bytes, BytesRx, BytesTx};

type Shared = std::sync::Arc<bbqueue::BBQueue<BoxedSlice, AtomicCoord, Polling>>;

pub struct Bbqueue;

impl Bytes for Bbqueue {
    type Tx = FramedProducer<Shared>;
    type Rx = FramedConsumer<Shared>;

    fn open(capacity: usize, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
        let queue = ArcBBQueue::new_with_storage(BoxedSlice::new(capacity));
        (
            single(queue.framed_producer(), producers),
            queue.framed_consumer(),
        )
    }
}

impl BytesTx for FramedProducer<Shared> {
    #[inline(always)]
    fn try_put(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
        let Ok(len) = u16::try_from(len) else {
            return false;
        };
        let Ok(mut grant) = self.grant(len) else {
            return false;
        };
        fill(&mut grant);
        grant.commit(len);
        true
    }
}

impl BytesRx for FramedConsumer<Shared> {
    #[inline(always)]
    fn try_take(&mut self, max: usize, mut each: impl FnMut(&[u8])) -> usize {
        let mut take = || {
            let Ok(grant) = self.read() else {
                return false;
            };
            each(&grant);
            grant.release();
            true
        };
        (0..max).take_while(|_| take()).count()
    }
}
