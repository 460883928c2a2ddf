//! The broadcast: each item for each receiver, lent in place.

use ringbolt::ring::RingOptions;
use ringbolt::ring::broadcast::{self, Receiver, Sender};

use super::IN_PLACE_BYTES;
use crate::item::Item;
use crate::queue::{Fan, Rx, Tx};

pub struct RingboltBroadcast;

impl<T: Item> Fan<T> for RingboltBroadcast {
    type BroadcastTx = Sender<T>;
    type DiamondTx = Sender<T>;
    type First = Receiver<T>;
    type Last = Receiver<T>;

    fn broadcast(capacity: usize) -> (Self::BroadcastTx, [Self::First; 3]) {
        broadcast::ring(capacity).expect("the capacity is a sound one")
    }

    fn diamond(capacity: usize) -> (Self::DiamondTx, [Self::First; 2], Self::Last) {
        let open = || {
            let mut ring = RingOptions::new(capacity).broadcast()?;
            let first = [ring.receiver(), ring.receiver()];
            let last = ring.receiver_after(&[&first[0], &first[1]])?;
            Ok::<_, ringbolt::Error>((ring.single()?, first, last))
        };
        open().expect("the capacity is a sound one")
    }
}

impl<T: Item> Tx<T> for Sender<T> {
    #[inline(always)]
    fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
        if size_of::<T>() >= IN_PLACE_BYTES {
            self.try_send_with(make).is_ok()
        } else {
            self.try_send(make()).is_ok()
        }
    }

    #[inline(always)]
    fn try_put_many(&mut self, count: usize, make: impl FnMut(usize) -> T) -> usize {
        let Ok(mut claim) = self.try_claim(count) else {
            return 0;
        };
        claim.fill((0..count).map(make));
        claim.commit();
        count
    }
}

impl<T: Item> Rx<T> for Receiver<T> {
    #[inline(always)]
    fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
        self.try_recv().map(|item| each(&item)).is_ok()
    }

    #[inline(always)]
    fn try_take_many(&mut self, max: usize, each: impl FnMut(&T)) -> usize {
        let Ok(drain) = self.try_drain(max) else {
            return 0;
        };
        drain.iter().for_each(each);
        drain.len()
    }
}
