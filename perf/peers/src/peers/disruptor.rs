//! disruptor: one ring, publishers of one or many, pollers that depend on each other. Pollers, since
//! they let the bench own the threads; the crate's documentation gives both ways the same speed.
//! Events are read in place.

use disruptor::{
    BusySpin, EventPoller, MultiConsumerBarrier, MultiProducer, MultiProducerBarrier, Producer,
    SingleConsumerBarrier, SingleProducer, SingleProducerBarrier, build_multi_producer,
    build_single_producer,
};

use super::{clones, single};
use crate::item::Item;
use crate::queue::{Fan, Queue, Rx, Tx};

/// One publisher.
pub struct Disruptor;
/// Any number of publishers, or one in the mode for many.
pub struct DisruptorMulti;

/// A publisher, of either kind.
pub struct Publisher<P>(P);
/// A poller, whatever it depends on.
pub struct Poller<T, B>(EventPoller<T, B>);

impl<T: Item> Queue<T> for Disruptor {
    type Tx = Publisher<SingleProducer<T, SingleConsumerBarrier>>;
    type Rx = Poller<T, SingleProducerBarrier>;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let builder = build_single_producer(capacity, T::default, BusySpin);
        let (poller, builder) = builder.new_event_poller();
        let tx = Publisher(builder.build());
        (single(tx, producers), single(Poller(poller), consumers))
    }
}

impl<T: Item> Queue<T> for DisruptorMulti {
    type Tx = Publisher<MultiProducer<T, SingleConsumerBarrier>>;
    type Rx = Poller<T, MultiProducerBarrier>;

    fn open(capacity: usize, producers: usize, consumers: usize) -> (Vec<Self::Tx>, Vec<Self::Rx>) {
        let builder = build_multi_producer(capacity, T::default, BusySpin);
        let (poller, builder) = builder.new_event_poller();
        let publishers = clones(builder.build(), producers);
        let txs = publishers.into_iter().map(Publisher).collect();
        (txs, single(Poller(poller), consumers))
    }
}

impl<T: Item> Fan<T> for Disruptor {
    type BroadcastTx = Publisher<SingleProducer<T, MultiConsumerBarrier>>;
    type DiamondTx = Publisher<SingleProducer<T, SingleConsumerBarrier>>;
    type First = Poller<T, SingleProducerBarrier>;
    type Last = Poller<T, MultiConsumerBarrier>;

    fn broadcast(capacity: usize) -> (Self::BroadcastTx, [Self::First; 3]) {
        let builder = build_single_producer(capacity, T::default, BusySpin);
        let (a, builder) = builder.new_event_poller();
        let (b, builder) = builder.new_event_poller();
        let (c, builder) = builder.new_event_poller();
        (Publisher(builder.build()), [a, b, c].map(Poller))
    }

    fn diamond(capacity: usize) -> (Self::DiamondTx, [Self::First; 2], Self::Last) {
        let builder = build_single_producer(capacity, T::default, BusySpin);
        let (a, builder) = builder.new_event_poller();
        let (b, builder) = builder.new_event_poller();
        let (last, builder) = builder.and_then().new_event_poller();
        let tx = Publisher(builder.build());
        (tx, [a, b].map(Poller), Poller(last))
    }
}

impl<T: Item, P: Producer<T> + Send> Tx<T> for Publisher<P> {
    #[inline(always)]
    fn try_put(&mut self, make: impl FnOnce() -> T) -> bool {
        self.0.try_publish(|slot| *slot = make()).is_ok()
    }

    #[inline(always)]
    fn try_put_many(&mut self, count: usize, mut make: impl FnMut(usize) -> T) -> usize {
        let published = self.0.try_batch_publish(count, |slots| {
            for (index, slot) in slots.enumerate() {
                *slot = make(index);
            }
        });
        published.map_or(0, |_| count)
    }
}

macro_rules! poller {
    ($barrier:ty) => {
        impl<T: Item> Rx<T> for Poller<T, $barrier> {
            #[inline(always)]
            fn try_take(&mut self, each: impl FnOnce(&T)) -> bool {
                match self.0.take(1) {
                    Ok(mut events) => (&mut events).next().map(each).is_some(),
                    Err(_) => false,
                }
            }

            #[inline(always)]
            fn try_take_many(&mut self, max: usize, each: impl FnMut(&T)) -> usize {
                let Ok(mut events) = self.0.take(max as u64) else {
                    return 0;
                };
                let count = (&mut events).len();
                (&mut events).for_each(each);
                count
            }
        }
    };
}

// The trait of the barriers has no public name.
poller!(SingleProducerBarrier);
poller!(MultiProducerBarrier);
poller!(MultiConsumerBarrier);
