//! The byte rings: records claimed and read in place.

use ringbolt::ring::bytes::{Receiver, mpsc, spsc};

use super::super::{clones, single};
use crate::queue::{Bytes, BytesRx, BytesTx};

macro_rules! ring {
    ($name:ident, $module:ident, $producers:ident) => {
        pub struct $name;

        impl Bytes for $name {
            type Tx = $module::Sender;
            type Rx = Receiver;

            fn open(capacity: usize, producers: usize) -> (Vec<Self::Tx>, Self::Rx) {
                let (tx, rx) = $module::ring(capacity).expect("the capacity is a sound one");
                ($producers(tx, producers), rx)
            }
        }

        impl BytesTx for $module::Sender {
            #[inline(always)]
            fn try_put(&mut self, len: usize, fill: impl FnOnce(&mut [u8])) -> bool {
                self.try_send_with(len, fill).is_ok()
            }
        }
    };
}

ring!(RingboltBytesSpsc, spsc, single);
ring!(RingboltBytesMpsc, mpsc, clones);

impl BytesRx for Receiver {
    #[inline(always)]
    fn try_take(&mut self, max: usize, mut each: impl FnMut(&[u8])) -> usize {
        if max == 1 {
            return usize::from(self.try_recv().map(|record| each(&record)).is_ok());
        }
        let Ok(drain) = self.try_drain(max) else {
            return 0;
        };
        let mut count = 0;
        drain.for_each(|record| {
            each(record);
            count += 1;
        });
        count
    }
}
