//! nexus-logbuf: byte records for one consumer, claimed and read in place, one at a time; channels over
//! them, in which only the consumer waits.

use nexus_logbuf::{channel, queue};

use super::{clones, single};
use crate::queue::{BlockingRx, BlockingTx, Bytes, BytesRx, BytesTx, Queue, Rx, Tx};

macro_rules! ring {
    ($name:ident, $module:ident, $producers:ident) => {
        pub struct $name;

        impl Bytes for $name {
            type Tx = queue::$module::Producer;
            type Rx = queue::$module::Consumer;

            fn open(capacity: usize, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
                let (tx, rx) = queue::$module::new(capacity);
                ($producers(tx, producers), rx)
            }
        }

        impl BytesTx for queue::$module::Producer {
            #[inline(always)]
            fn try_put(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
                let Ok(mut claim) = self.try_claim(len) else {
                    return false;
                };
                fill(&mut claim);
                claim.commit();
                true
            }
        }

        impl BytesRx for queue::$module::Consumer {
            #[inline(always)]
            fn try_take(&mut self, max: usize, mut each: impl FnMut(&[u8])) -> usize {
                let take = |_: &usize| self.try_claim().map(|record| each(&record)).is_some();
                (0..max).take_while(take).count()
            }
        }
    };
}

ring!(LogbufSpsc, spsc, single);
ring!(LogbufMpsc, mpsc, clones);

/// The channel for one producer, used for single words.
pub struct LogbufChannel;

impl Queue<u64> for LogbufChannel {
    type Tx = channel::spsc::Sender;
    type Rx = channel::spsc::Receiver;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        // A word takes a header of the same size.
        let (tx, rx) = channel::spsc::channel(capacity * 16);
        (single(tx, producers), single(rx, consumers))
    }
}

impl Tx<u64> for channel::spsc::Sender {
    #[inline(always)]
    fn try_put(&mut self, make: impl FnOnce() -> u64) -> bool {
        let Ok(mut claim) = self.try_send(8) else {
            return false;
        };
        claim.copy_from_slice(&make().to_ne_bytes());
        claim.commit();
        self.notify();
        true
    }
}

impl Rx<u64> for channel::spsc::Receiver {
    #[inline(always)]
    fn try_take(&mut self, each: impl FnOnce(&u64)) -> bool {
        self.try_recv().map(|record| each(&word(&record))).is_some()
    }
}

impl BlockingTx<u64> for channel::spsc::Sender {
    #[inline(always)]
    fn put(&mut self, item: u64) -> bool {
        let Ok(mut claim) = self.send(8) else {
            return false;
        };
        claim.copy_from_slice(&item.to_ne_bytes());
        claim.commit();
        self.notify();
        true
    }
}

impl BlockingRx<u64> for channel::spsc::Receiver {
    #[inline(always)]
    fn take(&mut self, each: impl FnOnce(&u64)) -> bool {
        self.recv(None).map(|record| each(&word(&record))).is_ok()
    }
}

fn word(record: &[u8]) -> u64 {
    record.try_into().map_or(0, u64::from_ne_bytes)
}
